"""The commands of `ticket-counter`: options in, texts or JSON and an exit status out.

__main__.py          `python -m server.cli`
commands.py          the program, and the commands that run the server
sync.py              `ticket-counter sync …`: options, what is printed, exit statuses
sync_apply.py        `sync apply`: the plan and the question before it, the progress bar, what was done
sync_conformance.py  `sync conformance`: checks a system behind a URL
sync_service.py      opens sync for one command: SYNC_FILE, Redis, names of targets and tickets
sync_json.py         plans, outcomes, differences, status and parked tickets as JSON
plan_text.py         plans as text
diff_text.py         differences as text
status_text.py       the status of targets, parked tickets and outcomes as text
values.py            values of fields, times and durations as text
table.py             columns of text, which know how wide a character is in a terminal
terminal.py          where text goes: a terminal or not, how wide, with colours or not
start.py             what every command begins with: settings, logs, and errors as one line
"""

from server.cli.commands import app, main

__all__ = ["app", "main"]
