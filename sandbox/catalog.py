"""The events and ticket definitions of one site, and their changes over time (a sale starts, an event ends).

In: actions of organisers as plain calls, and a clock. Out: new values, and one notification to the Observer for each
change that Wix would send a webhook about. No HTTP or JSON here. World (world.py) adds the buyers.
"""

import heapq
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

from sandbox.clock import Clock
from sandbox.errors import InvalidSalePeriod, NotFound, StaleRevision, TooManyTickets
from sandbox.history import History
from sandbox.model import Event, EventStatus, SaleStatus, Ticket
from sandbox.observer import ChangeType, Observer

T = TypeVar("T")

MAX_TICKETS = 100
"""Most ticket definitions of one event (Ticket Definitions V3, create)."""


@dataclass(frozen=True, slots=True)
class View:
    """Events and tickets as they were at one time."""

    events: Mapping[str, Event]
    tickets: Mapping[str, Ticket]


class Catalog:
    """The events and tickets of one site. *wake* is called when a timed change is scheduled."""

    def __init__(
        self,
        observer: Observer,
        *,
        clock: Clock = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.events: dict[str, Event] = {}
        self.tickets: dict[str, Ticket] = {}
        self.wake: Callable[[], None] = lambda: None
        self._observer = observer
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - ids of a sandbox are no secrets
        self._due: list[tuple[float, int, Callable[[str, float], None], str]] = []
        self._sequence = count()
        self._positions = count(1)
        self._event_history: History[Event] = History()
        self._ticket_history: History[Ticket] = History()

    # -- time --

    def now(self) -> float:
        """The current time, cut to milliseconds as in Wix's dates."""
        return int(self._clock() * 1000) / 1000

    def tick(self) -> float | None:
        """Apply the timed changes that are due; return the time of the next one."""
        now = self.now()
        while self._due and self._due[0][0] <= now:
            at, _, act, key = heapq.heappop(self._due)
            act(key, at)
        return self._due[0][0] if self._due else None

    def view(self, lag: float = 0.0) -> View:
        """Everything as it was *lag* seconds ago."""
        self.tick()
        if lag <= 0:
            return View(self.events, self.tickets)
        moment = self.now() - lag
        return View(self._event_history.at(moment), self._ticket_history.at(moment))

    def reset_history(self) -> None:
        """Drop earlier states: reads that lag see the current one."""
        self._event_history.forget()
        self._ticket_history.forget()

    def new_id(self) -> str:
        """A GUID."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    # -- events --

    def event(self, id_: str) -> Event:
        """The event with this id. Raises NotFound."""
        return find(self.events, id_, "event")

    def create_event(self, title: str, start: float, end: float, zone: str = "UTC", id_: str | None = None) -> Event:
        """Create an event, published at once."""
        now = self.now()
        event = Event(id_ or self.new_id(), title, EventStatus.UPCOMING, start, end, zone, now, now)
        self._put_event(event)
        self._schedule(start, self._on_event_time, event.id)
        self._schedule(end, self._on_event_time, event.id)
        self._observer.event(ChangeType.CREATED, event)
        self.tick()
        return event

    def update_event(self, id_: str, **changes: Any) -> Event:
        """Change an event's title, zone, start, end or status."""
        event = self._change_event(id_, **changes)
        self._schedule(event.start, self._on_event_time, event.id)
        self._schedule(event.end, self._on_event_time, event.id)
        self._observer.event(ChangeType.UPDATED, event)
        return event

    def cancel_event(self, id_: str) -> Event:
        """Cancel an event: its tickets can no longer be bought."""
        event = self._change_event(id_, status=EventStatus.CANCELED)
        self._observer.event(ChangeType.CANCELED, event)
        return event

    def end_event(self, id_: str) -> Event:
        """End an event before its time."""
        event = self._change_event(id_, status=EventStatus.ENDED)
        self._observer.event(ChangeType.ENDED, event)
        return event

    def delete_event(self, id_: str) -> None:
        """Delete an event and its tickets; no notification is sent for the tickets."""
        event = self.event(id_)
        for ticket in [one for one in self.tickets.values() if one.event == id_]:
            self._remove(ticket)
        del self.events[id_]
        self._event_history.put(id_, self.now(), None)
        self._observer.event(ChangeType.DELETED, event)

    def _change_event(self, id_: str, **changes: Any) -> Event:
        self.tick()
        event = self.event(id_)
        event = replace(event, **changes, updated=self.now(), revision=event.revision + 1)
        self._put_event(event)
        return event

    def _on_event_time(self, id_: str, at: float) -> None:
        event = self.events.get(id_)
        if event is None:
            return
        if at == event.end and event.status in {EventStatus.UPCOMING, EventStatus.STARTED}:
            self.end_event(id_)
        elif at == event.start and event.status is EventStatus.UPCOMING:
            event = replace(event, status=EventStatus.STARTED)
            self._put_event(event)
            self._observer.event(ChangeType.STARTED, event)

    def _put_event(self, event: Event) -> None:
        self.events[event.id] = event
        self._event_history.put(event.id, self.now(), event)

    # -- ticket definitions --

    def ticket(self, id_: str) -> Ticket:
        """The ticket with this id. Raises NotFound."""
        return find(self.tickets, id_, "ticket definition")

    def create(self, event: str, *, id_: str | None = None, kind: str = "other", **fields: Any) -> Ticket:
        """Create a definition; *fields* are those of Ticket. Raises NotFound, InvalidSalePeriod, TooManyTickets."""
        self.tick()
        self.event(event)
        if sum(one.event == event for one in self.tickets.values()) >= MAX_TICKETS:
            raise TooManyTickets(f"an event has at most {MAX_TICKETS} ticket definitions")
        now = self.now()
        given = {"limit": None, **fields}
        ticket = Ticket(
            id=id_ or self.new_id(),
            event=event,
            kind=kind,
            created=now,
            updated=now,
            position=next(self._positions),
            **given,
        )
        ticket = replace(ticket, status=_sale_status(ticket, now))
        self._put(ticket)
        self._schedule_sale(ticket)
        self._observer.ticket(ChangeType.CREATED, ticket)
        return ticket

    def update(self, id_: str, revision: int | None = None, **changes: Any) -> Ticket:
        """Change a definition; *revision*, if given, must be the current one. Raises NotFound, InvalidSalePeriod.

        Raises StaleRevision for another revision.
        """
        self.tick()
        before = self.ticket(id_)
        if revision is not None and revision != before.revision:
            raise StaleRevision(f"the revision is {before.revision}, not {revision}")
        now = self.now()
        after = replace(before, **changes, updated=now, revision=before.revision + 1)
        after = replace(after, status=_sale_status(after, now))
        self._put(after)
        self._schedule_sale(after)
        self._observer.ticket(ChangeType.UPDATED, after, before)
        if (before.start, before.end, before.shown_early) != (after.start, after.end, after.shown_early):
            self._observer.ticket(ChangeType.SALE_PERIOD_UPDATED, after)
        self._notify_sale(before, after)
        return after

    def delete(self, id_: str) -> None:
        """Delete a definition. Raises NotFound."""
        self.tick()
        ticket = self.ticket(id_)
        self._remove(ticket)
        self._observer.ticket(ChangeType.DELETED, ticket)

    def _on_sale_time(self, id_: str, _: float) -> None:
        before = self.tickets.get(id_)
        if before is None:
            return
        after = replace(before, status=_sale_status(before, self.now()))
        if after.status is not before.status:
            self._put(after)
            self._notify_sale(before, after)

    def _notify_sale(self, before: Ticket, after: Ticket) -> None:
        if before.status is after.status:
            return
        if after.status is SaleStatus.STARTED:
            self._observer.ticket(ChangeType.SALE_STARTED, after)
        elif after.status is SaleStatus.ENDED:
            self._observer.ticket(ChangeType.SALE_ENDED, after)

    def _schedule_sale(self, ticket: Ticket) -> None:
        for moment in (ticket.start, ticket.end):
            if moment is not None and moment > self.now():
                self._schedule(moment, self._on_sale_time, ticket.id)

    def _put(self, ticket: Ticket) -> None:
        self.tickets[ticket.id] = ticket
        self._ticket_history.put(ticket.id, self.now(), ticket)

    def _remove(self, ticket: Ticket) -> None:
        del self.tickets[ticket.id]
        self._ticket_history.put(ticket.id, self.now(), None)

    def _schedule(self, at: float, act: Callable[[str, float], None], key: str) -> None:
        heapq.heappush(self._due, (at, next(self._sequence), act, key))
        self.wake()


def find(things: Mapping[str, T], id_: str, what: str) -> T:
    """The object with this id; *what* names its type in errors. Raises NotFound."""
    try:
        return things[id_]
    except KeyError:
        raise NotFound(f"there is no {what} {id_}") from None


def _sale_status(ticket: Ticket, now: float) -> SaleStatus:
    if ticket.start is not None and ticket.end is not None and ticket.end <= ticket.start:
        raise InvalidSalePeriod("the sale ends before it starts")
    if ticket.end is not None and ticket.end <= now:
        return SaleStatus.ENDED
    if ticket.start is not None and ticket.start > now:
        return SaleStatus.SCHEDULED
    return SaleStatus.STARTED
