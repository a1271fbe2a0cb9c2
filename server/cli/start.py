"""What every command begins with: settings and logs; an error of errors.py becomes one line and exit status 2.

Any other error is a bug, and shows its traceback.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import typer

from server import logs, settings, valkey
from server.errors import NotStarted, TicketCounterError

INTERRUPTED = 130


def load_settings(quiet: bool = False, /, **given: Any) -> settings.Settings:
    """The settings, where *given* wins over the environment; sets up logging by them.

    *quiet*: only errors are logged, unless LOG_LEVEL is set: what the command prints says the rest.
    """
    with errors_as_lines():
        found = settings.load(**given)
        level = "ERROR" if quiet and "log_level" not in found.model_fields_set else found.log_level
        logs.set_up(level, found.log_form)
        return found


def redis_url(found: settings.Settings) -> str:
    """The URL of Redis: REDIS_URL, else that of a `serve` with the same DATA_DIR; raises NotStarted where there is neither."""
    url = found.redis() if found.redis_url else valkey.url_of(found.data_dir)
    if url is None:
        raise NotStarted(
            f"no `ticket-counter serve` runs with DATA_DIR={found.data_dir.absolute()}, and REDIS_URL is not set: "
            "start `serve`, or set DATA_DIR or REDIS_URL as they are for the server"
        )
    return url


@contextlib.contextmanager
def errors_as_lines() -> Iterator[None]:
    """End the program with one line and status 2 where an error of ours is raised."""
    try:
        yield
    except TicketCounterError as error:
        exit_with_error(str(error))


@contextlib.contextmanager
def interruptible(text: str) -> Iterator[None]:
    """End the program with status 130 at Ctrl+C, and a line: what was written, which *text* says unless the error does."""
    try:
        yield
    except KeyboardInterrupt as error:
        print_error(f"interrupted: {error if error.args else text}")
        raise typer.Exit(INTERRUPTED) from None


def exit_with_error(text: str) -> NoReturn:
    """End the program with this line and status 2."""
    print_error(text)
    raise typer.Exit(2)


def print_error(text: str) -> None:
    """Print a line on standard error, after the program's name."""
    print(f"ticket-counter: {text}", file=sys.stderr)  # noqa: T201 - the line that says what to do
