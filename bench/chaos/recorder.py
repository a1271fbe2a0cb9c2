"""The witness: sees every change in the local Wix's world, and when, and whether this loop was fit to see it.

In: a sandbox in the same loop. Out: the past of each ticket, as what a counter may claim of it and as its facts; and
how late the loop was at the worst. It looks at a ticket before anything that a viewer is told of it counts, so that
nothing can be told before it is known here.
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
from tests.rig import claims

POLL_EVERY = 0.02
NOT_FACTS = ("salesDetails", "limitPerCheckout", "revision", "updatedDate", "seatingDetails")
"""Members that move with sales or with every edit."""
MAX_LOOP_DELAY = 0.5
"""Seconds by which the loop may be late: beyond that a run measures this machine."""


class Recorder:
    """All pasts of one world."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.lags: list[tuple[Span, float]] = []
        self.claims: dict[str, Timeline] = {}
        self.facts: dict[str, Timeline] = {}
        self.max_delay = 0.0
        """Seconds by which the loop was late at most."""
        self.delays = 0
        """How often it was later than is fair."""
        self._sandbox = sandbox
        self._seen: dict[str, tuple[Ticket | None, Event | None]] = {}
        self._lag = 0.0
        self._lags_since = 0.0
        self.observe_all()

    def observe(self, id_: str) -> None:
        """See what a ticket is now."""
        world = self._sandbox.world
        ticket = world.tickets.get(id_)
        event = None if ticket is None else world.events.get(ticket.event)
        seen = self._seen.get(id_)
        # Values are never changed, only replaced: the same object is the same truth.
        if seen is not None and seen[0] is ticket and seen[1] is event:
            return
        at = time.monotonic()
        self._seen[id_] = ticket, event
        if id_ not in self.claims:
            self.claims[id_], self.facts[id_] = Timeline(self.lags), Timeline()
            at = -math.inf
        self.claims[id_].add(at, claims.of_ticket(ticket, event, id_))
        self.facts[id_].add(at, self._facts(ticket, event))

    def observe_all(self) -> None:
        """See what every ticket is now, and how far reads lag."""
        for id_ in {*self._sandbox.world.tickets, *self._seen}:
            self.observe(id_)
        lag, now = self._sandbox.knobs.now.stale_reads, time.monotonic()
        if lag != self._lag:
            if self._lag:
                self.lags.append(((self._lags_since, now), self._lag))
            self._lag, self._lags_since = lag, now

    async def run(self) -> None:
        """Look around for ever."""
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
    """Facts as one text that is the same for the same facts; None for none."""
    if facts is None:
        return None
    return json.dumps({name: value for name, value in facts.items() if name not in NOT_FACTS}, sort_keys=True)
