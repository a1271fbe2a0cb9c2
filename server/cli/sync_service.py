"""Opens sync for one command: reads SYNC_FILE, finds Redis, and closes both ends."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from server.cli.start import redis_url
from server.cli.ticket_ids import StoredTickets
from server.errors import NotStarted
from server.model import TicketId
from server.redis.client import RedisClient, Use
from server.settings import Settings, environment
from server.store.schedule import Schedule
from server.sync.mapping import TargetSettings
from server.sync.mapping_file import file as mapping_file
from server.sync.service import Sync


@dataclass(frozen=True, slots=True)
class Opened:
    """Sync, with the targets of SYNC_FILE; *tickets* are all that are stored."""

    service: Sync
    targets: Mapping[str, TargetSettings]
    tickets: StoredTickets

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
        return await self.tickets.find(text)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    """Sync, over the Redis of REDIS_URL or that of a `serve` with the same DATA_DIR. Raises NotStarted, RedisUnavailable."""
    targets = mapping_file.load(settings.mapping_file(), environment(), required=True)
    if not targets:
        raise NotStarted(f"the file {settings.sync_file} has no target: `ticket-counter sync init` writes an example")
    async with aclosing(RedisClient(redis_url(settings), Use.WORK, settings.redis_prefix)) as redis:
        await redis.do("PING")
        async with aclosing(await Sync.opened(redis, targets)) as service:
            yield Opened(service, targets, StoredTickets(Schedule(redis, settings.timing)))
