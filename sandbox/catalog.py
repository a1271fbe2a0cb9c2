"""The events and ticket definitions of one site, and their changes over time (a sale starts, tickets sell out).

In: actions of organisers as plain calls, and a clock. Out: new values, and one notification to the Observer for each
change that Wix would send a webhook about. No HTTP or JSON here. World (world.py) adds the buyers.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.clock import Clock
from sandbox.errors import BadReorder, InvalidSalePeriod, StaleRevision, TooManyTickets
from sandbox.events import Events, find
from sandbox.history import History
from sandbox.model import Event, SaleStatus, Ticket
from sandbox.observer import ChangeType, Observer

MAX_TICKETS = 100
"""Most ticket definitions of one event (Ticket Definitions V3, create)."""


@dataclass(frozen=True, slots=True)
class View:
    """Events and tickets as they were at one time."""

    events: Mapping[str, Event]
    tickets: Mapping[str, Ticket]

    def by_event(self) -> dict[str, list[Ticket]]:
        """The tickets of each event that has some."""
        found: dict[str, list[Ticket]] = {}
        for ticket in self.tickets.values():
            found.setdefault(ticket.event, []).append(ticket)
        return found


class Catalog(Events):
    """The events and tickets of one site."""

    def __init__(
        self,
        observer: Observer,
        *,
        clock: Clock = time.time,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(observer, clock=clock, rng=rng)
        self.tickets: dict[str, Ticket] = {}
        self._ids: dict[str, dict[str, None]] = {}  # event -> ids of its tickets in order of creation
        self._ticket_history: History[Ticket] = History()

    # -- reads --

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

    def ticket(self, id_: str) -> Ticket:
        """The ticket with this id. Raises NotFound."""
        return find(self.tickets, id_, "ticket definition")

    def tickets_of(self, event: str) -> list[Ticket]:
        """The tickets of an event in the order of its page: by sortIndex, then by age."""
        return sorted(
            (self.tickets[id_] for id_ in self._ids.get(event, ())), key=lambda one: (one.sort_index, one.position)
        )

    # -- ticket definitions --

    def create(self, event: str, *, id_: str | None = None, kind: str = "other", **fields: Any) -> Ticket:
        """Create a definition, the last of its event; *fields* are those of Ticket.

        Raises NotFound, InvalidSalePeriod, TooManyTickets.
        """
        self.tick()
        self.event(event)
        others = self._ids.setdefault(event, {})
        if len(others) >= MAX_TICKETS:
            raise TooManyTickets(f"an event has at most {MAX_TICKETS} ticket definitions")
        now = self.now()
        last = max((self.tickets[other].sort_index for other in others), default=-1)
        given = {"limit": None, "sort_index": last + 1, **fields}
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
        self._check_sold_out(event)
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
        self._check_sold_out(after.event)
        return after

    def reorder(self, event: str, id_: str, *, before: str | None = None, after: str | None = None) -> None:
        """Move a ticket of this event before or after another one of it. Raises NotFound, BadReorder."""
        self.tick()
        anchor = before if before is not None else after
        order = [ticket.id for ticket in self.tickets_of(self.event(event).id)]
        self.ticket(id_)
        if anchor == id_ or not {id_, anchor} <= set(order):
            raise BadReorder("give two different tickets of that event")
        order.remove(id_)
        order.insert(order.index(str(anchor)) + (before is None), id_)
        for place, one in enumerate(order):
            was = self.tickets[one]
            if was.sort_index != place:
                moved = replace(was, sort_index=place, updated=self.now(), revision=was.revision + 1)
                self._put(moved)
                self._observer.ticket(ChangeType.REORDERED, moved, was)

    def delete(self, id_: str) -> None:
        """Delete a definition. Raises NotFound."""
        self.tick()
        ticket = self.ticket(id_)
        self._remove(ticket)
        self._observer.ticket(ChangeType.DELETED, ticket)
        self._check_sold_out(ticket.event)

    def delete_event(self, id_: str) -> None:
        """Delete an event and its tickets: neither is found or listed any more. Raises NotFound."""
        event = self.event(id_)
        for ticket in self.tickets_of(id_):
            self._remove(ticket)
            self._observer.ticket(ChangeType.DELETED_WITH_EVENT, ticket)
        self._ids.pop(id_, None)
        del self.events[id_]
        self._event_history.put(id_, self.now(), None)
        self._observer.event(ChangeType.DELETED, event)

    # -- shared --

    def _check_sold_out(self, event: str) -> None:
        """Close registration when each ticket that visitors see is sold out, held ones included; else open it again."""
        known = self.events[event]
        sold_out = self._is_sold_out(event)
        if sold_out is not known.registration.sold_out:
            registration = replace(known.registration, sold_out=sold_out)
            after = replace(known, registration=registration, updated=self.now())
            self._put_event(after)
            self._observer.event(ChangeType.SOLD_OUT_CHANGED, after)

    def _is_sold_out(self, event: str) -> bool:
        seen = False
        for ticket in map(self.tickets.__getitem__, self._ids.get(event, ())):
            if not ticket.hidden and ticket.left != 0:  # an unlimited one has None left
                return False
            seen = seen or not ticket.hidden
        return seen

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
            # Its status is that of when it was changed: a start that has passed since then is still to come.
            if moment is not None and moment > ticket.updated:
                self._schedule(moment, self._on_sale_time, ticket.id)

    def _put(self, ticket: Ticket) -> None:
        self.tickets[ticket.id] = ticket
        self._ids.setdefault(ticket.event, {})[ticket.id] = None
        self._ticket_history.put(ticket.id, self.now(), ticket)

    def _remove(self, ticket: Ticket) -> None:
        del self.tickets[ticket.id]
        self._ids[ticket.event].pop(ticket.id, None)
        self._ticket_history.put(ticket.id, self.now(), None)


def _sale_status(ticket: Ticket, now: float) -> SaleStatus:
    if ticket.start is not None and ticket.end is not None and ticket.end <= ticket.start:
        raise InvalidSalePeriod("the sale ends before it starts")
    if ticket.end is not None and ticket.end <= now:
        return SaleStatus.ENDED
    if ticket.start is not None and ticket.start > now:
        return SaleStatus.SCHEDULED
    return SaleStatus.STARTED
