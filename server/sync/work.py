"""One ticket on its way to a target: what is known of it, what may be written, and what became of it, as values."""

from dataclasses import dataclass

from server.model import SiteId, TicketId
from server.store.leases import Lease
from server.store.sync_due import Claimed
from server.store.sync_records import FollowedEvent, StoredRecord
from server.sync.mapped_events import MappedEvent
from server.sync.model import Kind, Operation, Outcome, Reason
from server.sync.stores import Stores


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a person has allowed beyond what happens by itself; `by_person`: also at an event that is not followed yet."""

    by_person: bool = False
    adopt: bool = False
    replace: bool = False
    deactivate: bool = False


NOTHING_MORE = Allowed()


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a ticket, and in how many seconds it is due again (None: not before it is marked)."""

    outcome: Outcome
    again: float | None = None


class HeldLeases:
    """Both leases under which a ticket is written: the target's and the ticket's."""

    def __init__(self, stores: Stores, lease: Lease, claimed: Claimed) -> None:
        self._stores = stores
        self._lease = lease
        self.claimed = claimed

    async def before_write(self) -> None:
        """Extend both; raises LeaseLost."""
        await self._lease.extend()
        self.claimed = await self._stores.due.extend(self.claimed)


@dataclass(slots=True)
class Work:
    """One ticket, its event, and what is remembered of it; `memory` is replaced as things happen. `latency`: seconds of the last look-up."""

    site: SiteId
    ticket: TicketId
    event: MappedEvent
    followed: FollowedEvent | None
    memory: StoredRecord
    leases: HeldLeases
    allowed: Allowed
    latency: float = 0.0

    @property
    def nothing(self) -> Operation:
        """No operation: nothing was compared."""
        memory = self.memory
        return Operation(Kind.UPDATE, self.ticket, memory.name, memory.record or None, Reason.NOT_KNOWN)
