"""An event of the sandbox with one ticket, brought into any combination of docs/states.md by what organisers and buyers do.

`offer = Offer(wix.world, "Seat")` is on sale and has few left; `offer.bring({**ON_SALE, "left": "0"})` buys the rest. Besides
the columns of the table a combination has three members that decide only the counter's `fees` and `buy`: fee, tax and page.
"""

from typing import Any

from sandbox.model import EventStatus, Price, Pricing, Tax
from sandbox.world import World
from tests.rig import canonical_counter
from tests.rig.state_table import NUMBERS, Combination

HOUR = 3600.0
DAY = 24 * HOUR
OPENING = 4_107_609_000.0
"""When scheduled sales begin: 2100-03-01T18:30:00Z."""

ON_SALE: Combination = {
    "event": "UPCOMING",
    "registration": "OPEN_TICKETS",
    "ticket": "shown",
    "sale": "SALE_STARTED",
    "off sale": "shown",
    "left": "low",
    "fee": "FEE_ADDED_AT_CHECKOUT",
    "tax": "none",
    "page": "shown",
}
"""Few are left for sale: here a wrong claim does the most harm."""

OF_EVENTS = ("event", "registration", "tax", "page")


class Offer:
    """One event and its ticket. If it is the *only* one, registration closes when it is sold out; else there is another."""

    def __init__(self, world: World, name: str, *, only: bool = False) -> None:
        self.world = world
        self.name = name
        self.now = dict(ON_SALE)
        fields: dict[str, Any] = {"pricing": Pricing.FIXED, "prices": (Price("25.00", "USD"),), "fee": ON_SALE["fee"]}
        now = world.now()
        self.event = world.create_event(name, now + DAY, now + 2 * DAY).id
        self.ticket = world.create(self.event, name=name, limit=NUMBERS["low"], **fields).id
        if not only:
            world.create(self.event, name="Another", limit=None, **fields)

    def bring(self, to: Combination) -> None:
        """Bring it into this combination: one change of the event for each of its values, and one of the ticket."""
        was, self.now = self.now, dict(to)
        new = {name: value for name, value in to.items() if was[name] != value}
        for name in OF_EVENTS:
            if name in new:
                getattr(self, f"_{name}")(new.pop(name), was[name])
        if new.keys() == {"left"} and (sold := self._to_sell(was["left"], new["left"])):
            self.world.buy(self.ticket, sold)
        elif new:
            self.world.update(self.ticket, **self._fields(to))

    def counter(self) -> canonical_counter.CanonicalCounter:
        """What a counter must say now, by what Wix has."""
        world = self.world
        return canonical_counter.of_ticket(world.tickets[self.ticket], world.events[self.event], self.ticket)

    # -- the event --

    def _event(self, to: str, was: str) -> None:
        world, id_, now = self.world, self.event, self.world.now()
        if was == "DRAFT":
            world.publish_event(id_)
        elif was != "UPCOMING":
            world.update_event(id_, status=EventStatus.UPCOMING, start=now + DAY, end=now + 2 * DAY)
        match to:
            case "UPCOMING":
                pass
            case "STARTED":
                world.update_event(id_, start=now)
                world.tick()
            case "ENDED":
                world.update_event(id_, start=now - HOUR, end=now)
                world.tick()
            case "CANCELED":
                world.cancel_event(id_)
            case "DRAFT":
                world.unpublish_event(id_)
            case _:
                raise AssertionError(f"nothing makes an event {to}")

    def _registration(self, to: str, was: str) -> None:
        world, id_ = self.world, self.event
        if was == "missing":
            world.update_event(id_, missing=frozenset())
        if to == "missing":  # and whatever it is, nobody can know it
            world.update_event(id_, missing=frozenset({"registration"}))
            return
        status = None if to in {"OPEN_TICKETS", "paused", "disabled"} else to
        world.set_registration(id_, paused=to == "paused", disabled=to == "disabled", override=status)

    def _tax(self, to: str, _: str) -> None:
        self.world.update_event(self.event, tax=None if to == "none" else Tax(to, "VAT", "20"))

    def _page(self, to: str, _: str) -> None:
        self.world.update_event(self.event, page_hidden={"shown": False, "hidden": True}[to])

    # -- the ticket --

    def _fields(self, to: Combination) -> dict[str, Any]:
        """The fields of a ticket in this combination, whatever they were."""
        number, sale = NUMBERS[to["left"]], to["sale"]
        missing = {"sale": "saleStatus", "off sale": "salePeriod.displayNotOnSale"}
        return {
            "hidden": {"shown": False, "hidden": True}[to["ticket"]],
            "start": OPENING if sale == "SALE_SCHEDULED" else None,
            "end": {"SALE_SCHEDULED": None, "SALE_STARTED": None, "SALE_ENDED": self.world.now(), "missing": None}[
                sale
            ],
            # One that is missing is unset, as in an event made before there was this choice.
            "shown_early": {"shown": True, "not shown": False, "missing": False}[to["off sale"]],
            "limit": None if number is None else self.world.ticket(self.ticket).sold + number,
            "checkout_limit": 0 if to["left"] == "limit 0" else None,
            "fee": to["fee"],
            "missing": frozenset(member for name, member in missing.items() if to[name] == "missing"),
        }

    def _to_sell(self, was: str, to: str) -> int:
        """How many a buyer has to buy; 0 where buying does not lead there, or cannot be done."""
        on_sale = all(self.now[name] == ON_SALE[name] for name in ("event", "registration", "ticket", "sale"))
        left, number = self.world.ticket(self.ticket).left, NUMBERS[to]
        if left is None or number is None or not on_sale or "limit 0" in {was, to}:
            return 0
        return max(0, left - number)
