"""The first event and its tickets, one of each kind that a counter must tell apart; and more tickets for tests.

In: an empty world, and the ids to use. Out: the world with these tickets, and no history of a time without them. `fill` adds
tickets of all kinds to an event, as an organiser would.
"""

from itertools import count
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


def fill(world: Catalog, event: str, number: int, currency: str = "USD") -> list[str]:
    """Create *number* more tickets of an event, of each kind in turn; answers their ids. Raises NotFound, TooManyTickets.

    No two have the same name. The kinds are those of `seed`, and with them what else definitions differ in: texts of any
    script, 1 to 5 options, one option that is free, sales that are over, and whether a ticket is shown before and after its sale.
    """
    titled = world.event(event)
    taken = {ticket.name for ticket in world.tickets_of(event)}
    numbers = (n for n in count(1) if not any(name.endswith(f" {n}") for name in taken))
    made: list[str] = []
    while len(made) < number:
        n = next(numbers)
        kind, fields = _kinds(world, n, currency)[n % KINDS_OF_FILL]
        given = {"start": titled.created - 7 * DAY, "end": titled.end, **fields, "name": f"{fields['name']} {n}"}
        made.append(world.create(event, kind=kind, **given).id)
    return made


KINDS_OF_FILL = 14
"""How many kinds `fill` makes in turn."""


def _kinds(world: Catalog, n: int, currency: str) -> list[tuple[str, dict[str, Any]]]:
    """Each kind of ticket with its fields, of which numbers follow from *n*."""
    now, minute = world.now(), world.now() - world.now() % 60
    fixed = {"pricing": Pricing.FIXED, "prices": (Price(f"{20 + n}.50", currency),), "limit": 100 + n}
    later = {"start": minute + (10 + n) * DAY / 2, "end": minute + (20 + n) * DAY}

    def options(*values: str) -> dict[str, Any]:
        prices = (Price(value, currency, world.new_id(), f"Option {place}") for place, value in enumerate(values, 1))
        return {"pricing": Pricing.OPTIONS, "prices": tuple(prices)}

    return [
        ("fixed", {**fixed, "name": "Seat"}),
        ("options", {**options("20.00", "8.50", "0"), "name": "Family", "limit": 40 + n}),
        ("guest", {**fixed, "name": "Pay what you want", "pricing": Pricing.GUEST}),
        ("free", {**fixed, "name": "Student", "prices": (Price("0", currency),), "fee": "NO_FEE"}),
        ("unlimited", {**fixed, "name": "Stream", "limit": None}),
        ("scheduled", {**fixed, **later, "name": "Late bird"}),
        ("scheduled_hidden_early", {**fixed, **later, "name": "Surprise", "shown_early": False}),
        ("hidden", {**fixed, "name": "Crew", "hidden": True}),
        ("ended", {**fixed, "name": "Early bird", "end": now - DAY - n}),
        ("ended_hidden", {**fixed, "name": "First come", "end": now - DAY - n, "shown_early": False}),
        ("one_option", {**options(f"{n}.00"), "name": "Group", "limit": None}),
        ("many_options", {**options(*(f"{n}.{place}0" for place in range(5))), "name": "Any day", "limit": 10 * n}),
        ("always", {**fixed, "name": "Open end", "start": None, "end": None}),
        ("texts", {**fixed, "name": "Soirée 🎟️ כרטיס <b>{x}", "description": "Zwei Zeilen:\n*ab* 18 & älter"}),
    ]
