"""Actions of buyers and organisers during a run: orders, holds, cancellations, refunds, edits, for a seed.

In: a seed, a number of seconds, a world. Out: a plan of actions with their times, the same for the same arguments; and
a record of the successful ones. Which hold to cancel or order to refund is planned as a fraction of those that exist at
the time: the plan is fixed, the objects it applies to are not.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sandbox.errors import Refused
from sandbox.model import Event, EventStatus, Price, Pricing, Tax, Ticket
from sandbox.world import Item, World

T = TypeVar("T")

ACTIONS_PER_SECOND = 4.0
"""Average number of actions per second, in a Poisson process."""
MAX_DELETED = 3
"""Most tickets that are deleted in a run."""

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
    "event's tax": 0.7,
    "event's page": 0.5,
    "pause registration": 0.8,
    "disable registration": 0.6,
    "unpublish event": 0.5,
    "hide until the sale": 0.8,
    "none per checkout": 0.8,
    "cancel event": 0.1,
    "delete": 0.2,
}
UNDONE_BY = {
    "pause registration": "open registration",
    "disable registration": "open registration",
    "unpublish event": "publish event",
    "none per checkout": "some per checkout",
}
"""Actions that take tickets off sale, and the one that follows each of them: most tickets are for sale most of the time."""
UNDONE_AFTER = (2.0, 10.0)
"""Shortest and longest time until it follows, in seconds."""
OF_EVENTS = {"pause registration", "disable registration", "unpublish event"}
LAST_UNDONE_AFTER = (40.0, 60.0)
"""The same for the last event: longer than an outdated counter may be shown, so that one that ignores its event is found."""
LAST_EVENT = 2 / 3
"""From this fraction on the last of three events is chosen."""
BUYERS = {"buy", "hold", "cancel hold", "buy hold", "cancel order", "refund ticket"}
"""Actions of buyers, which change the stock; all others are those of the organiser."""
TAXES = (None, Tax("ADDED_AT_CHECKOUT", "VAT", "19"), Tax("INCLUDED_IN_PRICE", "VAT", "7", on_donations=True))


@dataclass(frozen=True, slots=True)
class Action:
    """A planned action: seconds from the start, which object (a fraction of those that exist), how many or how much."""

    at: float
    kind: str
    which: float
    amount: int


@dataclass(frozen=True, slots=True)
class CompletedAction:
    """A successful action: its begin and end (*at*) on time.monotonic()'s clock, and its ticket."""

    begin: float
    at: float
    kind: str
    ticket: str


def plan(seed: int, seconds: float) -> list[Action]:
    """All actions of a run."""
    rng = random.Random(f"trade {seed}")
    found: list[Action] = []
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    at = rng.expovariate(ACTIONS_PER_SECOND)
    while at < seconds:
        [kind] = rng.choices(kinds, weights)
        action = Action(at, kind, rng.random(), rng.choice((1, 1, 2, 3, 5)))
        found.append(action)
        if kind in UNDONE_BY:
            last = kind in OF_EVENTS and action.which >= LAST_EVENT
            undone = at + rng.uniform(*(LAST_UNDONE_AFTER if last else UNDONE_AFTER))
            # What is closed at the end stays so, which viewers must show; but the facts of a draft cannot be read.
            if undone <= seconds or kind == "unpublish event":
                found.append(replace(action, at=min(seconds, undone), kind=UNDONE_BY[kind]))
        at += rng.expovariate(ACTIONS_PER_SECOND)
    return sorted(found, key=lambda one: one.at)


class Workload:
    """The buyers and the organiser. *tickets* are those for sale; *done* is called after each action."""

    def __init__(self, world: World, tickets: Sequence[str], done: Callable[[], None]) -> None:
        self.actions: list[CompletedAction] = []
        self.refused = 0
        self._world = world
        self._tickets = list(tickets)
        self._done = done
        self._events = list(world.events)
        self._deleted = 0
        self._handlers: dict[str, Callable[[Action], str | None]] = {
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
            "event's tax": self._tax,
            "event's page": self._page,
            "pause registration": lambda action: self._of_event(action, world.pause_registration),
            "disable registration": lambda action: self._of_event(action, world.disable_registration),
            "open registration": lambda action: self._of_event(action, world.open_registration),
            "unpublish event": self._unpublish,
            "publish event": lambda action: self._of_event(action, world.publish_event),
            "hide until the sale": self._hide_until_sale,
            "none per checkout": lambda action: self._per_checkout(action, 0),
            "some per checkout": lambda action: self._per_checkout(action, None),
            "cancel event": self._cancel_event,
            "delete": self._delete,
        }

    async def run(self, actions: Sequence[Action], began: float) -> None:
        """Perform all actions, each at its time after *began*."""
        for action in actions:
            await asyncio.sleep(max(0.0, began + action.at - time.monotonic()))
            self.perform(action)

    def perform(self, action: Action) -> None:
        """Perform one action; those that fail (none left, nothing held) are counted."""
        begin = time.monotonic()
        try:
            ticket = self._handlers[action.kind](action)
        except Refused:
            ticket = None
        self._done()
        if ticket is None:
            self.refused += 1
        else:
            self.actions.append(CompletedAction(begin, time.monotonic(), action.kind, ticket))

    # -- buyers --

    def _buy(self, action: Action) -> str:
        ticket = self._ticket(action)
        self._world.buy(ticket.id, action.amount, *_option(ticket, action))
        return ticket.id

    def _hold(self, action: Action) -> str:
        ticket = self._ticket(action)
        self._world.reserve([Item(ticket.id, action.amount, *_option(ticket, action))])
        return ticket.id

    def _cancel_hold(self, action: Action) -> str | None:
        if (hold := _one(list(self._world.holds.values()), action)) is None:
            return None
        self._world.cancel_hold(hold.id)
        return hold.lines[0].ticket

    def _buy_hold(self, action: Action) -> str | None:
        if (hold := _one(list(self._world.holds.values()), action)) is None:
            return None
        self._world.buy_hold(hold.id)
        return hold.lines[0].ticket

    def _cancel_order(self, action: Action) -> str | None:
        if (order := _one(list(self._world.orders.values()), action)) is None:
            return None
        self._world.cancel_order(order.number)
        return order.lines[0].ticket

    def _refund(self, action: Action) -> str | None:
        paid = [order for order in self._world.orders.values() if any(not one.canceled for one in order.issued)]
        if (order := _one(paid, action)) is None:
            return None
        admission = next(one for one in order.issued if not one.canceled)
        self._world.cancel_ticket(order.number, admission.number)
        return admission.ticket

    # -- the organiser --

    def _limit(self, action: Action) -> str:
        ticket = self._ticket(action)
        sold = ticket.sold + ticket.reserved
        self._world.update(ticket.id, limit=sold + 12 * action.amount if ticket.left == 0 else sold + action.amount)
        return ticket.id

    def _price(self, action: Action) -> str:
        ticket = self._ticket(action)
        first, *others = ticket.prices
        changed = replace(first, value=f"{10 + action.which * 50:.2f}")
        self._world.update(ticket.id, prices=(changed, *others))
        return ticket.id

    def _name(self, action: Action) -> str:
        ticket = self._ticket(action)
        self._world.update(ticket.id, name=f"Stand {round(action.which * 1000)}, day {action.amount}")
        return ticket.id

    def _hide(self, action: Action) -> str:
        ticket = self._ticket(action)
        hidden = _one([one for one in self._world.tickets.values() if one.hidden], action)
        if hidden is not None and action.amount > 1:
            ticket = hidden
        self._world.update(ticket.id, hidden=not ticket.hidden)
        return ticket.id

    def _later(self, action: Action) -> str:
        ticket = self._ticket(action)
        self._world.update(ticket.id, start=self._world.now() + 2 + 3 * action.amount)
        return ticket.id

    def _title(self, action: Action) -> str:
        ticket = self._ticket(action)
        self._world.update_event(ticket.event, title=f"Harbour Lights {round(action.which * 1000)}")
        return ticket.id

    def _tax(self, action: Action) -> str | None:
        event, ticket = self._event(action)
        self._world.update_event(event.id, tax=TAXES[action.amount % len(TAXES)])
        return ticket

    def _page(self, action: Action) -> str | None:
        event, ticket = self._event(action)
        if action.amount == 1:
            self._world.update_event(event.id, page_hidden=not event.page_hidden)
        else:
            self._world.update_event(event.id, slug=f"{event.id[:8]}-{round(action.which * 1000)}")
        return ticket

    def _of_event(self, action: Action, change: Callable[[str], Event]) -> str | None:
        event, ticket = self._event(action)
        change(event.id)
        return ticket

    def _unpublish(self, action: Action) -> str | None:
        event, _ = self._event(action)
        # What was canceled is not published again.
        return None if event.status is EventStatus.CANCELED else self._of_event(action, self._world.unpublish_event)

    def _hide_until_sale(self, action: Action) -> str:
        ticket = self._ticket(action)
        self._world.update(ticket.id, shown_early=False, start=self._world.now() + 2 + action.amount)
        return ticket.id

    def _per_checkout(self, action: Action, most: int | None) -> str:
        ticket = self._ticket(action)
        self._world.update(ticket.id, checkout_limit=most)
        return ticket.id

    def _cancel_event(self, _: Action) -> str | None:
        """Cancel the last event; once, since that is for good."""
        event = self._world.event(self._events[-1])
        if event.status in {EventStatus.CANCELED, EventStatus.DRAFT}:
            return None
        self._world.cancel_event(event.id)
        return self._ticket_of(event)

    def _delete(self, action: Action) -> str | None:
        if self._deleted == MAX_DELETED:
            return None
        self._deleted += 1
        ticket = self._ticket(action)
        self._world.delete(ticket.id)
        return ticket.id

    def _event(self, action: Action) -> tuple[Event, str | None]:
        """An event, and a ticket of it."""
        event = self._world.event(self._events[int(action.which * len(self._events))])
        return event, self._ticket_of(event)

    def _ticket_of(self, event: Event) -> str | None:
        return next((ticket.id for ticket in self._world.tickets_of(event.id)), None)

    def _ticket(self, action: Action) -> Ticket:
        return self._world.ticket(self._tickets[int(action.which * len(self._tickets))])


def _option(ticket: Ticket, action: Action) -> tuple[str | None]:
    """The pricing option to buy, if there are several."""
    if ticket.pricing is not Pricing.OPTIONS:
        return (None,)
    prices: tuple[Price, ...] = ticket.prices
    return (prices[action.amount % len(prices)].option,)


def _one(things: Sequence[T], action: Action) -> T | None:
    return things[int(action.which * len(things))] if things else None
