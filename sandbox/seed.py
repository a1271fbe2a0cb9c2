"""The first event and its tickets, one of each kind that a counter must tell apart; and more tickets for load tests.

In: an empty world, and the ids to use. Out: the world with these tickets, and no history of a time without them.
"""

from typing import Any

from sandbox.catalog import MAX_TICKETS, Catalog
from sandbox.model import Price, Pricing
from sandbox.site import Ids

DAY = 86_400.0
UNTIL_LATE_BIRD = 60.0
"""Seconds from the seed to the start of the scheduled sale."""

TITLE = "Harbour Lights Festival"
ZONE = "Europe/Lisbon"


def _fixed(value: str) -> dict[str, Any]:
    return {"pricing": Pricing.FIXED, "prices": (Price(value, "USD"),)}


def seed(world: Catalog, ids: Ids, at: float) -> None:
    """Create the first event; its sale dates are relative to the time *at*."""
    minute = at - at % 60
    world.create_event(TITLE, minute + 30 * DAY, minute + 31 * DAY, ZONE, id_=ids.event)
    adult, child, toddler = ids.options
    options = (
        Price("20.00", "USD", adult, "Adult"),
        Price("8.50", "USD", child, "Child"),
        Price("0", "USD", toddler, "Toddler"),
    )
    tickets: dict[str, dict[str, Any]] = {
        "fixed": {"name": "General admission", **_fixed("25.00"), "limit": 120},
        "options": {"name": "Family day", "pricing": Pricing.OPTIONS, "prices": options, "limit": 40},
        "guest": {"name": "Pay what you want", **_fixed("5.00"), "pricing": Pricing.GUEST, "limit": 60},
        "free": {"name": "Student pass", **_fixed("0"), "fee": "NO_FEE", "limit": 15},
        "unlimited": {"name": "Online stream", **_fixed("9.00"), "limit": None},
        "scheduled": {"name": "Late bird", **_fixed("30.00"), "limit": 20, "start": at + UNTIL_LATE_BIRD},
        "low": {"name": "Nearly sold out", **_fixed("45.00"), "limit": 3},
        "hidden": {"name": "Crew only", **_fixed("25.00"), "limit": 10, "hidden": True},
    }
    for kind, fields in tickets.items():
        given = {"start": minute - 7 * DAY, "end": minute + 30 * DAY, **fields}
        world.create(ids.event, id_=ids.tickets[kind], kind=kind, **given)
    world.reset_history()


def plain(world: Catalog, number: int, *, limit: int | None = 1000) -> list[str]:
    """Create *number* more tickets with one price each, 100 per event, and return their ids."""
    now = world.now()
    made: list[str] = []
    while len(made) < number:
        event = world.create_event(f"Side stage {len(world.events)}", now + 30 * DAY, now + 31 * DAY, ZONE)
        for _ in range(min(MAX_TICKETS, number - len(made))):
            name = f"Side stage ticket {len(made) + 1}"
            made.append(world.create(event.id, kind="plain", name=name, limit=limit, **_fixed("10.00")).id)
    world.reset_history()
    return made
