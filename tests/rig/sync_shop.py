"""The commands of sync on real parts: a read site in Redis, and a box office that keeps its tickets in a SQLite file.

sync_shop    the event "spring-gala" of the local Wix is stored with all its tickets; `run` runs a command in this process
"""

import asyncio
import logging
import os
import pty
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, chdir, closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import structlog
from typer.testing import CliRunner

from docs.sqlite_target import SCHEMA, SqliteTarget
from server.cli import commands
from server.model import EventId, SiteId
from server.settings import Settings
from server.store.definitions import Definitions
from server.sync.targets import KINDS
from tests.rig.redis import RedisServer
from tests.rig.server import until
from tests.rig.wix import WixRig
from tests.rig.worker_rig import running_worker

SYNC_TOML = """format = 1
[targets.box-office]
kind = "sqlite"
file = "box-office.db"
secret_env = "BOX_OFFICE_SECRET"
events = { "EVENT" = "ev1" }
"""
SECRET = "hush-hush-secret"


class SyncShop:
    """A folder with sync.toml and box-office.db, and the Redis that has the tickets of Wix."""

    def __init__(self, folder: Path, redis: RedisServer, wix: WixRig, slug: str) -> None:
        self.folder = folder
        self.redis = redis
        self.wix = wix
        self.slug = slug
        self.file = folder / "box-office.db"

    async def run(self, *words: str, **given: str) -> tuple[int, str, str]:
        """Run `ticket-counter sync …` without a terminal: status, output, errors."""

        def run() -> tuple[int, str, str]:
            with chdir(self.folder):
                answer = CliRunner().invoke(commands.app, ["sync", *words], env=self._environment(given))
            if answer.exception is not None and not isinstance(answer.exception, SystemExit):
                raise answer.exception
            return answer.exit_code, answer.stdout, answer.stderr

        return await asyncio.to_thread(run)

    async def on_terminal(self, *words: str, typed: str = "", columns: int = 100, **given: str) -> tuple[int, str]:
        """Run it on a terminal of this width, with what a person types: status, and all that the terminal shows."""

        def run() -> int:
            variables = self._environment({"COLUMNS": str(columns), "TERM": "xterm", **given})
            with ExitStack() as stack:
                screen = [stack.enter_context(os.fdopen(os.dup(end), how)) for how in ("r", "w", "w")]
                stack.enter_context(chdir(self.folder))
                stack.enter_context(_environment(variables))
                for name, one in zip(("stdin", "stdout", "stderr"), screen, strict=True):
                    stack.enter_context(patch.object(sys, name, one))
                try:
                    commands.app(["sync", *words])
                except SystemExit as error:
                    return int(error.code or 0)
            raise AssertionError("a command ends by SystemExit")

        keyboard, end = pty.openpty()
        shown: list[bytes] = []
        reading = asyncio.create_task(asyncio.to_thread(_read_all, keyboard, shown))
        os.write(keyboard, typed.encode())
        try:
            status = await asyncio.to_thread(run)
        finally:
            os.close(end)
            await reading
            os.close(keyboard)
        return status, b"".join(shown).decode().replace("\r\n", "\n")

    def sql(self, text: str, *values: Any) -> list[Any]:
        """What a person does, or sees, in the box office."""
        with closing(sqlite3.connect(self.file)) as file, file:
            return file.execute(text, values).fetchall()

    def _environment(self, given: Mapping[str, str]) -> dict[str, str | None]:
        nothing = dict.fromkeys((name.upper() for name in Settings.model_fields), None)
        return {**nothing, "REDIS_URL": self.redis.url, "BOX_OFFICE_SECRET": SECRET, "NO_COLOR": None, **given}


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


@pytest.fixture
async def sync_shop(
    redis_url: str, redis_shared: RedisServer, wix: WixRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SyncShop]:
    """The event is read, and the box office has an event for it, without tickets."""
    with_secret = f'secret = "secret_env"  # needed for nothing, and to be shown nowhere\n{SqliteTarget.DEFAULTS}'
    kind = type("WithSecret", (SqliteTarget,), {"DEFAULTS": with_secret})
    monkeypatch.setitem(KINDS, "sqlite", kind)
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level = [*root.handlers], root.level
    async with running_worker(redis_url, wix) as worker:
        await worker.add_site(wix.site, everything=True)
        definitions = Definitions(worker.store)

        async def slug() -> str | None:
            site, event = SiteId(wix.site), EventId(wix.event)
            stored = [await definitions.read(site, one) for one in await definitions.of_event(site, event)]
            return await definitions.slug(site, event) if len(stored) == len(wix.tickets) and all(stored) else None

        name = await until(slug)
    shop = SyncShop(tmp_path, redis_shared, wix, str(name))
    (tmp_path / "sync.toml").write_text(SYNC_TOML.replace("EVENT", shop.slug))
    with closing(sqlite3.connect(shop.file)) as made, made:
        made.executescript(SCHEMA)
        made.execute("INSERT INTO events VALUES ('ev1', 'Gala', ?)", ("USD",))
    yield shop
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configured)
