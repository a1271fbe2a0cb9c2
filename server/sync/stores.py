"""What sync reads and writes in Redis, together: every part of it gets these."""

from dataclasses import dataclass

from server.redis.client import RedisClient
from server.store.definitions import Definitions
from server.store.leases import Leases
from server.store.schedule import Schedule
from server.store.sync_due import Due
from server.store.sync_records import Records
from server.store.sync_targets import Targets


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of sync, over one client of Redis."""

    redis: RedisClient
    definitions: Definitions
    due: Due
    leases: Leases
    records: Records
    schedule: Schedule
    targets: Targets

    @classmethod
    def of(cls, redis: RedisClient, schedule: Schedule | None = None) -> "Stores":
        """The stores that use this client."""
        return cls(
            redis,
            Definitions(redis),
            Due(redis),
            Leases(redis),
            Records(redis),
            schedule or Schedule(redis),
            Targets(redis),
        )
