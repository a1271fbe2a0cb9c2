"""What buyers and organisers do while a run lasts: orders, holds, cancellations, refunds, edits, by a seed.

In: a seed, a number of seconds, a world. Out: acts with their moments, the same for the same arguments; and a record of
those that the world took, by ticket. Which hold is cancelled or which order refunded is a fraction of those that are
there then: the plan is fixed, what it meets is not.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sandbox.errors import Refused
from sandbox.model import Price, Pricing, Ticket
from sandbox.world import Item, World

T = TypeVar("T")

A_SECOND = 4.0
"""Acts a second, on average, by chance as buyers come."""
MOST_DELETED = 3
"""Tickets that an organiser takes away for good in a run."""

WEIGHTS = {
    "buy": 46,
    "hold": 18,
    "cancel hold": 6,
    "buy hold": 6,
    "cancel order": 8,
    "refund ticket": 6,
    "limit": 3,
    "price": 2,
    "name": 2,
    "hide or show": 1.5,
    "sale starts later": 1,
    "event's title": 0.3,
    "delete": 0.2,
}
EDITS = {"limit", "price", "name", "hide or show", "sale starts later", "event's title", "delete"}
"""What an organiser does: the rest moves stock."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act: seconds from the start, which of what is there (a fraction), how many or how much."""

    at: float
    kind: str
    which: float
    amount: int


@dataclass(frozen=True, slots=True)
class Deal:
    """One act that the world took: its begin and when it was done, on time.monotonic()'s clock, and of which ticket."""

    begin: float
    at: float
    kind: str
    ticket: str


def plan(seed: int, seconds: float) -> list[Act]:
    """All acts of a run."""
    dice = random.Random(f"trade {seed}")
    found: list[Act] = []
    at = dice.expovariate(A_SECOND)
    while at < seconds:
        [kind] = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
        found.append(Act(at, kind, dice.random(), dice.choice((1, 1, 2, 3, 5))))
        at += dice.expovariate(A_SECOND)
    return found


class Trade:
    """The buyers and the organiser. *tickets* are those that are sold; *done* is told after each act."""

    def __init__(self, world: World, tickets: Sequence[str], done: Callable[[], None]) -> None:
        self.deals: list[Deal] = []
        self.refused = 0
        self._world = world
        self._tickets = list(tickets)
        self._done = done
        self._deleted = 0
        self._deeds: dict[str, Callable[[Act], str | None]] = {
            "buy": self._buy,
            "hold": self._hold,
            "cancel hold": self._cancel_hold,
            "buy hold": self._buy_hold,
            "cancel order": self._cancel_order,
            "refund ticket": self._refund,
            "limit": self._limit,
            "price": self._price,
            "name": self._name,
            "hide or show": self._hide,
            "sale starts later": self._later,
            "event's title": self._title,
            "delete": self._delete,
        }

    async def run(self, acts: Sequence[Act], began: float) -> None:
        """Do all of them, each at its time from *began*."""
        for act in acts:
            await asyncio.sleep(max(0.0, began + act.at - time.monotonic()))
            self.do(act)

    def do(self, act: Act) -> None:
        """Do one; what the world refuses (nothing left, nothing held) is counted."""
        begin = time.monotonic()
        try:
            ticket = self._deeds[act.kind](act)
        except Refused:
            ticket = None
        self._done()
        if ticket is None:
            self.refused += 1
        else:
            self.deals.append(Deal(begin, time.monotonic(), act.kind, ticket))

    # -- buyers --

    def _buy(self, act: Act) -> str:
        ticket = self._ticket(act)
        self._world.buy(ticket.id, act.amount, *_option(ticket, act))
        return ticket.id

    def _hold(self, act: Act) -> str:
        ticket = self._ticket(act)
        self._world.reserve([Item(ticket.id, act.amount, *_option(ticket, act))])
        return ticket.id

    def _cancel_hold(self, act: Act) -> str | None:
        if (hold := _one(list(self._world.holds.values()), act)) is None:
            return None
        self._world.cancel_hold(hold.id)
        return hold.lines[0].ticket

    def _buy_hold(self, act: Act) -> str | None:
        if (hold := _one(list(self._world.holds.values()), act)) is None:
            return None
        self._world.buy_hold(hold.id)
        return hold.lines[0].ticket

    def _cancel_order(self, act: Act) -> str | None:
        if (order := _one(list(self._world.orders.values()), act)) is None:
            return None
        self._world.cancel_order(order.number)
        return order.lines[0].ticket

    def _refund(self, act: Act) -> str | None:
        paid = [order for order in self._world.orders.values() if any(not one.canceled for one in order.issued)]
        if (order := _one(paid, act)) is None:
            return None
        admission = next(one for one in order.issued if not one.canceled)
        self._world.cancel_ticket(order.number, admission.number)
        return admission.ticket

    # -- the organiser --

    def _limit(self, act: Act) -> str:
        ticket = self._ticket(act)
        sold = ticket.sold + ticket.reserved
        self._world.update(ticket.id, limit=sold + 12 * act.amount if ticket.left == 0 else sold + act.amount)
        return ticket.id

    def _price(self, act: Act) -> str:
        ticket = self._ticket(act)
        first, *others = ticket.prices
        changed = replace(first, value=f"{10 + act.which * 50:.2f}")
        self._world.update(ticket.id, prices=(changed, *others))
        return ticket.id

    def _name(self, act: Act) -> str:
        ticket = self._ticket(act)
        self._world.update(ticket.id, name=f"Stand {round(act.which * 1000)}, day {act.amount}")
        return ticket.id

    def _hide(self, act: Act) -> str:
        ticket = self._ticket(act)
        hidden = _one([one for one in self._world.tickets.values() if one.hidden], act)
        if hidden is not None and act.amount > 1:
            ticket = hidden
        self._world.update(ticket.id, hidden=not ticket.hidden)
        return ticket.id

    def _later(self, act: Act) -> str:
        ticket = self._ticket(act)
        self._world.update(ticket.id, start=self._world.now() + 2 + 3 * act.amount)
        return ticket.id

    def _title(self, act: Act) -> str:
        ticket = self._ticket(act)
        self._world.update_event(ticket.event, title=f"Harbour Lights {round(act.which * 1000)}")
        return ticket.id

    def _delete(self, act: Act) -> str | None:
        if self._deleted == MOST_DELETED:
            return None
        self._deleted += 1
        ticket = self._ticket(act)
        self._world.delete(ticket.id)
        return ticket.id

    def _ticket(self, act: Act) -> Ticket:
        return self._world.ticket(self._tickets[int(act.which * len(self._tickets))])


def _option(ticket: Ticket, act: Act) -> tuple[str | None]:
    """The price to buy at, where there are several."""
    if ticket.pricing is not Pricing.OPTIONS:
        return (None,)
    prices: tuple[Price, ...] = ticket.prices
    return (prices[act.amount % len(prices)].option,)


def _one(things: Sequence[T], act: Act) -> T | None:
    return things[int(act.which * len(things))] if things else None
