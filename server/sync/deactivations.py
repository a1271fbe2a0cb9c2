"""How many records may be taken off sale by themselves: a mistake must not empty an event.

In: a deleted ticket whose record is to be taken off sale. Out: nothing, or why it waits for a person. More than `max_deactivate`
of an event in an hour, and more than a fifth of it, needs a person who says the number; but for an event that Wix has deleted
itself, of which no ticket is left.
"""

from collections.abc import Callable, Sequence

from server.model import TicketId
from server.sync.mapped_events import MappedEvent
from server.sync.mapping import TargetSettings
from server.sync.stores import Stores

HOUR = 3600.0
SHARE = 5
"""A fifth of an event."""


class Deactivations:
    """The deactivations of one target. Every method raises RedisUnavailable; *clock* gives seconds since 1970."""

    def __init__(self, settings: TargetSettings, stores: Stores, *, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.stores = stores
        self._clock = clock

    async def need_a_person(self, event: MappedEvent, pending: int, records: int) -> bool:
        """Whether so many deactivations of an event with so many records wait until a person says their number."""
        since = self._clock() - HOUR
        lately = await self.stores.records.deactivations(event.site, self.settings.name, event.event, since)
        if lately + pending <= max(self.settings.max_deactivate, records / SHARE):
            return False
        stored = await self.stores.definitions.event(event.site, event.event)
        gone = stored is not None and stored.left_out
        return not gone or bool(await self.stores.definitions.of_event(event.site, event.event))

    async def refused(self, event: MappedEvent, ticket: TicketId) -> int:
        """The number that a person has to say before this ticket's record is taken off sale; 0 where nobody has to."""
        tickets = await self._tickets(event)
        pending = await self._pending(event, tickets, ticket)
        return pending if await self.need_a_person(event, pending, len(tickets)) else 0

    async def _pending(self, event: MappedEvent, tickets: Sequence[TicketId], ticket: TicketId) -> int:
        """How many tickets of the event are deleted in Wix and not yet at the target, this one among them."""
        waiting = {ticket}
        for one in tickets:
            stored = await self.stores.definitions.read(event.site, one)
            if stored and stored.facts is None:
                memory = await self.stores.records.read(event.site, self.settings.name, one)
                if not memory.removed:
                    waiting.add(one)
        return len(waiting)

    async def count(self, event: MappedEvent, ticket: TicketId) -> None:
        """One was done."""
        await self.stores.records.deactivated(event.site, self.settings.name, event.event, ticket, self._clock())

    async def _tickets(self, event: MappedEvent) -> list[TicketId]:
        states = await self.stores.records.states(event.site, self.settings.name)
        return [ticket for ticket, (_, its) in states.items() if its == event.event]
