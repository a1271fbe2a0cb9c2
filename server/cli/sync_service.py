"""Opens sync for one command: reads SYNC_FILE, finds Redis, and closes both ends."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from server.cli.start import redis_url
from server.errors import NotStarted
from server.model import TicketId
from server.redis.client import RedisClient, Use
from server.settings import Settings, environment
from server.store.schedule import Schedule
from server.sync.mapping import TargetSettings
from server.sync.mapping_file import file as mapping_file
from server.sync.service import Sync
from server.wire import guid

SHORTEST_ID = 4
"""Characters of a ticket's id that a person has to write, at least."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Sync, with the targets of SYNC_FILE; *tickets* lists the ids of all tickets that are known."""

    service: Sync
    targets: Mapping[str, TargetSettings]
    tickets: Callable[[], AsyncIterator[TicketId]]

    def target(self, name: str | None) -> TargetSettings:
        """The target of this name, or the only one; raises NotStarted."""
        if name is None and len(self.targets) == 1:
            return next(iter(self.targets.values()))
        if name is None:
            raise NotStarted(f"say which target: --to with one of {', '.join(self.targets)}")
        if name not in self.targets:
            raise NotStarted(f"there is no target {name!r}: SYNC_FILE has {', '.join(self.targets)}")
        return self.targets[name]

    async def ticket(self, text: str) -> TicketId:
        """The ticket of this id, or of an id that begins so, as terminals show it; raises NotStarted."""
        if whole := guid(text):
            return TicketId(whole)
        if not re.fullmatch(rf"[0-9a-fA-F-]{{{SHORTEST_ID},}}", text):
            raise NotStarted(
                f"{text!r} is not a ticket definition id, nor the first {SHORTEST_ID} or more characters of one"
            )
        found = sorted({one async for one in self.tickets() if one.startswith(text.lower())})
        if not found:
            raise NotStarted(f"no ticket is known whose id begins with {text!r}: write the whole id")
        if len(found) > 1:
            raise NotStarted(f"several ids begin with {text!r}: {', '.join(found)}")
        return found[0]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    """Sync, over the Redis of REDIS_URL or that of a `serve` with the same DATA_DIR. Raises NotStarted, RedisUnavailable."""
    targets = mapping_file.load(settings.mapping_file(), environment(), required=True)
    if not targets:
        raise NotStarted(f"the file {settings.sync_file} has no target: `ticket-counter sync init` writes an example")
    async with aclosing(RedisClient(redis_url(settings), Use.WORK, settings.redis_prefix)) as redis:
        await redis.do("PING")
        schedule = Schedule(redis, settings.timing)

        async def tickets() -> AsyncIterator[TicketId]:
            for site in sorted(await schedule.sites()):
                for ticket in await schedule.tracked(site):
                    yield ticket

        async with aclosing(await Sync.opened(redis, targets)) as service:
            yield Opened(service, targets, tickets)
