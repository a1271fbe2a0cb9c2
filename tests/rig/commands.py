"""The commands of one group, such as `sync`, in this process: without a terminal, and on one."""

import asyncio
import logging
import os
import pty
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from unittest.mock import patch

import structlog
from typer.testing import CliRunner

from server.cli import commands
from server.settings import Settings
from tests.rig.server import until

Once = tuple[str, Callable[[], Awaitable[object]]]


class Commands:
    """Runs `ticket-counter GROUP …` in a folder; *environment* are its variables."""

    def __init__(self, group: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.group = group
        self.folder = folder
        self.environment = dict(environment)

    async def run(self, *words: str, **given: str) -> tuple[int, str, str]:
        """Run `ticket-counter GROUP …` without a terminal: status, output, errors."""

        def run() -> tuple[int, str, str]:
            with chdir(self.folder), logs_as_before():
                answer = CliRunner().invoke(commands.app, [self.group, *words], env=self._environment(given))
            if answer.exception is not None and not isinstance(answer.exception, SystemExit):
                raise answer.exception
            return answer.exit_code, answer.stdout, answer.stderr

        return await asyncio.to_thread(run)

    async def on_terminal(
        self, *words: str, typed: str = "", columns: int = 100, once: Once | None = None, **given: str
    ) -> tuple[int, str]:
        """Run it on a terminal of this width, with what a person types: status, and all that the terminal shows.

        *once*: a text, and what is done when the terminal shows it.
        """

        def run() -> int:
            variables = self._environment({"COLUMNS": str(columns), "TERM": "xterm", **given})
            with ExitStack() as stack:
                screen = [stack.enter_context(os.fdopen(os.dup(end), how)) for how in ("r", "w", "w")]
                stack.enter_context(chdir(self.folder))
                stack.enter_context(_environment(variables))
                for name, one in zip(("stdin", "stdout", "stderr"), screen, strict=True):
                    stack.enter_context(patch.object(sys, name, one))
                try:
                    commands.app([self.group, *words])
                except SystemExit as error:
                    return int(error.code or 0)
            raise AssertionError("a command ends by SystemExit")

        keyboard, end = pty.openpty()
        shown: list[bytes] = []
        reading = asyncio.create_task(asyncio.to_thread(_read_all, keyboard, shown))
        os.write(keyboard, typed.encode())
        running = asyncio.create_task(asyncio.to_thread(run))
        try:
            if once is not None:
                text, act = once
                await until(lambda: running.done() or text in b"".join(shown).decode(errors="replace"))
                await act()
            status = await running
        finally:
            os.close(end)
            await reading
            os.close(keyboard)
        return status, b"".join(shown).decode().replace("\r\n", "\n")

    def _environment(self, given: Mapping[str, str]) -> dict[str, str | None]:
        nothing = dict.fromkeys((name.upper() for name in Settings.model_fields), None)
        return {**nothing, "NO_COLOR": None, **self.environment, **given}


@contextmanager
def logs_as_before() -> Iterator[None]:
    """Afterwards logs are set up as before: each command sets them up for its own process."""
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level = [*root.handlers], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**configured)


class _environment:  # noqa: N801 - a context manager
    """The variables of this process as given; None removes one."""

    def __init__(self, given: Mapping[str, str | None]) -> None:
        self._given = given

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._given}
        _set(self._given)

    def __exit__(self, *_: object) -> None:
        _set(self._before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _read_all(keyboard: int, shown: list[bytes]) -> None:
    """Read what a terminal shows until its programs have ended."""
    while True:
        try:
            found = os.read(keyboard, 65536)
        except OSError:
            return
        if not found:
            return
        shown.append(found)
