"""Records every change of the local Wix and its time, and how late the event loop was.

In: a sandbox in the same event loop. Out: a timeline of each ticket's claims (what a counter may say), of its facts and of
those of its event; and the longest delay of the loop. A ticket is recorded before a viewer's frame about it is, so that a change is always
known here first.
"""

import asyncio
import json
import math
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.chaos.timeline import Claims, Span, Timeline
from sandbox.app import Sandbox
from sandbox.entity import FIELDS, entity
from sandbox.event_entity import FIELDS as EVENT_FIELDS
from sandbox.event_entity import event_entity
from sandbox.model import Event, EventStatus, Ticket
from tests.rig import canonical_counter

POLL_EVERY = 0.02
NOT_FACTS = ("salesDetails", "limitPerCheckout", "revision", "updatedDate", "seatingDetails")
"""Members that change with sales or with every edit."""
EVENT_FACTS = {
    "id": None,
    "title": None,
    "slug": None,
    "status": None,
    "dateAndTimeSettings": None,
    "location": None,
    "eventPageUrl": None,
    "eventDisplaySettings": None,
    "registration": {
        "type": None,
        "status": None,
        "registrationPaused": None,
        "registrationDisabled": None,
        "tickets": {
            "ticketLimitPerOrder": None,
            "currency": None,
            "taxSettings": None,
            "reservationDurationInMinutes": None,
        },
    },
}
"""The members of an event that are facts, as docs/contract.md names them; None: with all that is in it."""
MAX_LOOP_DELAY = 0.5
"""Longest acceptable delay of the event loop in seconds; beyond it, a run measures the machine and not the server."""


class Facts(NamedTuple):
    """The facts of a change, as canonical JSON: those of the ticket, and those of its event; None where there are none."""

    ticket: str
    event: str | None


@dataclass(frozen=True, slots=True)
class FactsOverTime:
    """The facts of a ticket, and those of its event, which are read at another time."""

    ticket: Timeline
    event: Timeline

    @property
    def now(self) -> Facts | None:
        """The current facts; None: the ticket is deleted."""
        return None if self.ticket.now is None else Facts(str(self.ticket.now), str(self.event.now))

    def were(self, facts: Facts | None) -> bool:
        """Whether the ticket's part and the event's part each were true at some time."""
        if facts is None:
            return bool(self.ticket.actual_spans(None))
        return bool(self.ticket.actual_spans(facts.ticket) and self.event.actual_spans(facts.event))


class Recorder:
    """The timelines of all tickets of a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.lags: list[tuple[Span, float]] = []
        self.claims: dict[str, Claims] = {}
        self.facts: dict[str, FactsOverTime] = {}
        self.max_delay = 0.0
        """Longest delay of the event loop in seconds."""
        self.delays = 0
        """How often the delay was longer than acceptable."""
        self._sandbox = sandbox
        self._seen: dict[str, tuple[Ticket | None, Event]] = {}
        self._events: dict[str, tuple[Timeline, Timeline]] = {}
        self._lag = 0.0
        self._lags_since = 0.0
        self.observe_all()

    def observe(self, id_: str) -> None:
        """Record the current state of a ticket and of its event."""
        world = self._sandbox.world
        ticket = world.tickets.get(id_)
        seen = self._seen.get(id_)
        if ticket is None and seen is None:
            return
        event = world.events[seen[1].id if seen is not None else ticket.event]  # type: ignore[union-attr]
        # Values are replaced, never changed: the same object has the same state.
        if seen is not None and seen[0] is ticket and seen[1] is event:
            return
        at = time.monotonic() if seen is not None else -math.inf
        self._seen[id_] = ticket, event
        states, facts = self._observe_event(event, at)
        if seen is None:
            self.claims[id_] = Claims(canonical_counter.of_states, Timeline(self.lags), states)
            self.facts[id_] = FactsOverTime(Timeline(), facts)
        ticket_state = canonical_counter.ticket_state(ticket, event, id_)
        self.claims[id_].add(at, ticket_state, canonical_counter.event_state(event))
        self.facts[id_].ticket.add(at, self._facts(ticket, event))

    def _observe_event(self, event: Event, at: float) -> tuple[Timeline, Timeline]:
        """Record what reads of this event answer: its states, its facts. Queries leave drafts out, so a draft is not read."""
        states, facts = self._events.setdefault(event.id, (Timeline(self.lags), Timeline()))
        if event.status is not EventStatus.DRAFT:
            states.add(at, canonical_counter.event_state(event))
            tickets = self._sandbox.world.tickets_of(event.id)
            json_ = event_entity(event, tickets, "", self._sandbox.knobs.now, EVENT_FIELDS)
            facts.add(at, _text(_selected(json_, EVENT_FACTS)))
        return states, facts

    def observe_all(self) -> None:
        """Record the current state of all tickets, and the lag of reads."""
        for id_ in {*self._sandbox.world.tickets, *self._seen}:
            self.observe(id_)
        lag, now = self._sandbox.knobs.now.stale_reads, time.monotonic()
        if lag != self._lag:
            if self._lag:
                self.lags.append(((self._lags_since, now), self._lag))
            self._lag, self._lags_since = lag, now

    async def run(self) -> None:
        """Record for ever."""
        while True:
            due = time.monotonic() + POLL_EVERY
            await asyncio.sleep(POLL_EVERY)
            late = time.monotonic() - due
            self.max_delay = max(self.max_delay, late)
            self.delays += late > MAX_LOOP_DELAY
            self.observe_all()

    def _facts(self, ticket: Ticket | None, event: Event) -> str | None:
        if ticket is None:
            return None
        return _text(_without_sales(entity(ticket, event, self._sandbox.knobs.now, FIELDS)))


def canonical(facts: dict[str, Any] | None) -> Facts | None:
    """Facts of the log of changes: equal facts give equal texts; None for no facts."""
    if facts is None:
        return None
    event = facts.get("event")
    ticket = {name: value for name, value in _without_sales(facts).items() if name != "event"}
    return Facts(_text(ticket), None if event is None else _text(event))


def _without_sales(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in NOT_FACTS}


def _selected(json_: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if names[name] is None else _selected(value, names[name])
        for name, value in json_.items()
        if name in names
    }


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)
