"""The commands of sync on real parts: a read site in Redis, and a box office that keeps its tickets in a SQLite file.

sync_shop    the event "spring-gala" of the local Wix is stored with all its tickets; `run` runs a command in this process
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from docs.sqlite_target import SCHEMA, SqliteTarget
from server.model import EventId, SiteId
from server.store.definitions import Definitions
from server.sync.targets import KINDS
from tests.rig.commands import Commands, logs_as_before
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


class SyncShop(Commands):
    """A folder with sync.toml and box-office.db, and the Redis that has the tickets of Wix."""

    def __init__(self, folder: Path, redis: RedisServer, wix: WixRig, slug: str) -> None:
        super().__init__("sync", folder, {"REDIS_URL": redis.url, "BOX_OFFICE_SECRET": SECRET})
        self.redis = redis
        self.wix = wix
        self.slug = slug
        self.file = folder / "box-office.db"

    def sql(self, text: str, *values: Any) -> list[Any]:
        """What a person does, or sees, in the box office."""
        with closing(sqlite3.connect(self.file)) as file, file:
            return file.execute(text, values).fetchall()


@pytest.fixture
async def sync_shop(
    redis_url: str, redis_shared: RedisServer, wix: WixRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SyncShop]:
    """The event is read, and the box office has an event for it, without tickets."""
    with_secret = f'secret = "secret_env"  # needed for nothing, and to be shown nowhere\n{SqliteTarget.DEFAULTS}'
    kind = type("WithSecret", (SqliteTarget,), {"DEFAULTS": with_secret})
    monkeypatch.setitem(KINDS, "sqlite", kind)
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
    with logs_as_before():
        yield shop
