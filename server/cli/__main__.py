"""`python -m server.cli`: the same program as `ticket-counter`."""

from server.cli.commands import main

if __name__ == "__main__":
    main()
