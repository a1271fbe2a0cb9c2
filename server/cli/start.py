"""What every command begins with: settings and logs; an error of errors.py becomes one line and exit status 2.

Any other error is a bug, and shows its traceback.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import typer

from server import logs, settings, valkey
from server.cli import values
from server.errors import NotStarted, TicketCounterError
from server.settings_advice import all_advice

INTERRUPTED = 130


def load_settings(quiet: bool = False, /, **given: Any) -> settings.Settings:
    """The settings, where *given* wins over the environment; sets up logging by them.

    *quiet*: only errors are logged, unless LOG_LEVEL is set: what the command prints says the rest.
    """
    with errors_as_lines():
        return read_settings(quiet, **given)


def read_settings(quiet: bool = False, /, **given: Any) -> settings.Settings:
    """As `load_settings`, but it raises NotStarted where a setting is wrong."""
    found = settings.load(**given)
    level = "ERROR" if quiet and "log_level" not in found.model_fields_set else found.log_level
    logs.set_up(level, found.log_form)
    return found


def log_advice(found: settings.Settings) -> None:
    """Log a warning for each setting that is probably not what was meant, as a process that serves does at its start."""
    for one in all_advice(found):
        logs.logger("settings").warning(one.event, setting=one.setting, what=one.what, hint=f"{one.why}: {one.cure}")


def redis_url(found: settings.Settings) -> str:
    """The URL of Redis: REDIS_URL, else that of a `serve` with the same DATA_DIR; raises NotStarted where there is neither."""
    url = redis_url_or_none(found)
    if url is None:
        raise NotStarted(
            f"no `ticket-counter serve` runs with DATA_DIR={found.data_dir.absolute()}, and REDIS_URL is not set: "
            "start `serve`, or set DATA_DIR or REDIS_URL as they are for the server"
        )
    return url


def redis_url_or_none(found: settings.Settings) -> str | None:
    """The URL of Redis: REDIS_URL, else that of a `serve` with the same DATA_DIR; None where there is neither."""
    return found.redis() if found.redis_url else valkey.url_of(found.data_dir)


@contextlib.contextmanager
def errors_as_lines() -> Iterator[None]:
    """End the program with one line and status 2 where an error of ours is raised; its cure, where it has one, is a line below."""
    try:
        yield
    except TicketCounterError as error:
        exit_with_error(f"{error}\n  {error.hint}" if error.hint else str(error))


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
    """Print a line on standard error, after the program's name; what others wrote in it cannot control the terminal."""
    shown = "\n".join(map(values.printable, text.split("\n")))
    print(f"ticket-counter: {shown}", file=sys.stderr)  # noqa: T201 - the line that says what to do
