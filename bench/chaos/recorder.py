"""Records every change of the local Wix and its time, and how late the event loop was.

In: a sandbox in the same event loop. Out: a timeline of each ticket's claims (what a counter may say) and of its facts;
and the longest delay of the loop. A ticket is recorded before a viewer's frame about it is, so that a change is always
known here first.
"""

import asyncio
import json
import math
import time
from typing import Any

from bench.chaos.timeline import Span, Timeline
from sandbox.app import Sandbox
from sandbox.entity import FIELDS, entity
from sandbox.model import Event, Ticket
from tests.rig import canonical_counter

POLL_EVERY = 0.02
NOT_FACTS = ("salesDetails", "limitPerCheckout", "revision", "updatedDate", "seatingDetails")
"""Members that change with sales or with every edit."""
MAX_LOOP_DELAY = 0.5
"""Longest acceptable delay of the event loop in seconds; beyond it, a run measures the machine and not the server."""


class Recorder:
    """The timelines of all tickets of a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.lags: list[tuple[Span, float]] = []
        self.claims: dict[str, Timeline] = {}
        self.facts: dict[str, Timeline] = {}
        self.max_delay = 0.0
        """Longest delay of the event loop in seconds."""
        self.delays = 0
        """How often the delay was longer than acceptable."""
        self._sandbox = sandbox
        self._seen: dict[str, tuple[Ticket | None, Event | None]] = {}
        self._lag = 0.0
        self._lags_since = 0.0
        self.observe_all()

    def observe(self, id_: str) -> None:
        """Record the current state of a ticket."""
        world = self._sandbox.world
        ticket = world.tickets.get(id_)
        event = None if ticket is None else world.events.get(ticket.event)
        seen = self._seen.get(id_)
        # Values are replaced, never changed: the same object has the same state.
        if seen is not None and seen[0] is ticket and seen[1] is event:
            return
        at = time.monotonic()
        self._seen[id_] = ticket, event
        if id_ not in self.claims:
            self.claims[id_], self.facts[id_] = Timeline(self.lags), Timeline()
            at = -math.inf
        self.claims[id_].add(at, canonical_counter.of_ticket(ticket, event, id_))
        self.facts[id_].add(at, self._facts(ticket, event))

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

    def _facts(self, ticket: Ticket | None, event: Event | None) -> str | None:
        if ticket is None:
            return None
        return canonical(entity(ticket, event, self._sandbox.knobs.now, FIELDS))


def canonical(facts: dict[str, Any] | None) -> str | None:
    """Facts as canonical JSON: equal facts give equal texts; None for no facts."""
    if facts is None:
        return None
    return json.dumps({name: value for name, value in facts.items() if name not in NOT_FACTS}, sort_keys=True)
