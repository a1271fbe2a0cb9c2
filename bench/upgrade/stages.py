"""What is started and stopped, in order, and what the viewers of each web must see at the end of each stage.

In: the parts. Out: nothing; raises Late where it did not come. In each stage tickets are sold, and registration is paused and opened.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.upgrade.checker import by_old_rules, canonical, is_unknown
from bench.upgrade.parts import Parts
from sandbox.errors import NotForSale

ORDER_EVERY = 0.4
WITHIN = 30.0
"""Seconds that a stage's end may take to come: MAX_STALE, a read, and a round of the feed, on a busy machine."""
MOST = 60

RIGHT, OLD_RULES, UNKNOWN = "right", "right by the old rules", "unknown"


class Late(Exception):
    """What a stage ends with did not come."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What is done (`+part` starts it, `-part` stops it), and what the viewers of each web see at the end; '' = no such web.

    *registration* is what it is in each third of the stage: o = open, p = paused; the last one stays until the next stage.
    """

    name: str
    steps: Sequence[str]
    old: str = ""
    new: str = ""
    registration: str = "opo"


STAGES = (
    Stage("all old", ["+old worker", "+old web"], old=OLD_RULES, registration="oop"),
    Stage("a new worker beside the old one", ["+new worker"], old=UNKNOWN, registration="pop"),
    Stage("a new web", ["+new web"], old=UNKNOWN, new=RIGHT),
    Stage("the old worker restarted", ["-old worker", "+old worker"], old=OLD_RULES, new=UNKNOWN, registration="opp"),
    Stage("the new worker restarted", ["-new worker", "+new worker"], old=UNKNOWN, new=RIGHT, registration="pop"),
    Stage("the old web restarted", ["-old web", "+old web"], old=OLD_RULES, new=UNKNOWN, registration="pop"),
    Stage("the new web restarted", ["-new web", "+new web"], old=UNKNOWN, new=RIGHT, registration="poo"),
    Stage("the old worker stopped", ["-old worker"], old=UNKNOWN, new=RIGHT),
    Stage("all new", ["-old web"], new=RIGHT),
    # The new code knows last that registration is open; from here on it is paused, for longer than any number may be old.
    Stage("an old web is back, without an old worker", ["+old web"], old=UNKNOWN, new=UNKNOWN, registration="ppp"),
    Stage("an old worker too", ["+old worker"], old=OLD_RULES, new=UNKNOWN, registration="ppp"),
    Stage("all old again", ["-new worker", "-new web"], old=OLD_RULES, registration="ppp"),
    Stage("a new web, without a new worker", ["+new web"], old=UNKNOWN, new=UNKNOWN, registration="ppp"),
    Stage("a new worker too", ["+new worker"], old=UNKNOWN, new=RIGHT, registration="pop"),
    Stage("all new at the end", ["-old worker", "-old web"], new=RIGHT, registration="poo"),
)


class Stages:
    """Runs all stages: *seconds* of orders in each, chosen by the seed."""

    def __init__(self, parts: Parts, seconds: float, seed: int) -> None:
        self.parts = parts
        self.seconds = seconds
        self._dice = random.Random(seed)

    async def run(self) -> None:
        """Run them; raises Late."""
        for stage in STAGES:
            began = time.monotonic()
            self.parts.stages.append((began, stage.name))
            for step in stage.steps:
                await (self.parts.start if step[0] == "+" else self.parts.stop)(step[1:])
            await self._trade(stage.registration)
            quiet = time.monotonic()
            await self._end(stage)
            now = time.monotonic()
            print(
                f"  {began - self.parts.began:6.1f} s  {stage.name}: {now - quiet:.1f} s after the last order",
                flush=True,
            )

    async def _trade(self, registration: str) -> None:
        """Sell tickets and change how many there are; pause registration and open it, as it is to be in each third."""
        world, event = self.parts.wix.world, self.parts.wix.event
        began = time.monotonic()
        while (passed := time.monotonic() - began) < self.seconds:
            pause = registration[int(3 * passed / self.seconds)] == "p"
            if world.event(event).registration.paused != pause:
                (world.pause_registration if pause else world.open_registration)(event)
            ticket = self._dice.choice(self.parts.tickets)
            limit = world.tickets[ticket].limit
            try:
                if limit is not None and self._dice.random() < 0.3:
                    world.update(ticket, limit=world.tickets[ticket].sold + self._dice.randint(1, MOST))
                else:
                    world.buy(ticket, option=self._option(ticket))
            except NotForSale:
                pass
            await asyncio.sleep(ORDER_EVERY)

    def _option(self, ticket: str) -> str | None:
        prices = self.parts.wix.world.tickets[ticket].prices
        return self._dice.choice(prices).option if len(prices) > 1 else None

    async def _end(self, stage: Stage) -> None:
        deadline = time.monotonic() + WITHIN
        while missing := [*self._missing("old", stage.old), *self._missing("new", stage.new)]:
            if time.monotonic() > deadline:
                raise Late(f"{stage.name}: after {WITHIN:g} s {missing[0]}")
            await asyncio.sleep(0.05)

    def _missing(self, web: str, expected: str) -> list[str]:
        """What the viewers of a web do not see yet."""
        if not expected:
            return []
        found = []
        for viewer in self.parts.viewers:
            for ticket in self.parts.tickets if viewer.web == web else ():
                shown = viewer.last.get(ticket)
                if not self._is(ticket, shown, expected):
                    found.append(f"a viewer ({viewer.kind}) of the {web} web sees {shown}, expected: {expected}")
        return found

    def _is(self, ticket: str, shown: str | None, expected: str) -> bool:
        if shown is None:
            return False
        if expected == UNKNOWN:
            return is_unknown(shown)
        claims = self.parts.recorder.claims[ticket]
        if expected == OLD_RULES:
            return canonical(shown) == by_old_rules(claims.ticket.now)
        return canonical(shown) == claims.now
