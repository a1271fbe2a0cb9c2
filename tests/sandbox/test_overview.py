from sandbox import overview
from sandbox.knobs import Knobs
from sandbox.model import Tax
from sandbox.seed import seed
from sandbox.world import World
from tests.rig.wix import IDS, ManualClock, RecordingObserver


def seeded() -> tuple[World, ManualClock]:
    clock = ManualClock()
    world = World(RecordingObserver(), clock=clock, hold_seconds=lambda: 90.0)
    seed(world, IDS, clock())
    return world, clock


def test_overview_of_the_world() -> None:
    """The overview has the event, tickets, holds, orders and knobs, flat, under plain names."""
    world, _ = seeded()
    hold = world.hold(IDS.tickets["low"], 2)
    order = world.buy(IDS.tickets["options"], 3, IDS.options[1])

    shown = overview.world(world, IDS.event, Knobs(loss=0.5))

    assert ("2026-02-11T10:00:00.000Z", 0.5) == (shown["now"], shown["knobs"]["loss"])
    assert (IDS.event, "UPCOMING") == (shown["event"]["id"], shown["event"]["status"])
    expires = "2026-02-11T10:01:30.000Z"
    assert [{"id": hold.id, "ticket": IDS.tickets["low"], "quantity": 2, "expires": expires}] == shown["holds"]
    bought = {"number": order.number, "ticket": IDS.tickets["options"], "quantity": 3, "status": "PAID"}
    assert [bought] == shown["orders"]
    assert [shown["event"]] == shown["events"]
    low = next(ticket for ticket in shown["tickets"] if ticket["kind"] == "low")
    assert {
        "id": IDS.tickets["low"],
        "event": IDS.event,
        "kind": "low",
        "name": "Nearly sold out",
        "hidden": False,
        "saleStatus": "SALE_STARTED",
        "pricing": "fixed",
        "prices": [{"optionId": None, "name": None, "value": "45.00", "currency": "USD"}],
        "unsold": 1,
        "sold": 0,
        "reserved": 2,
        "limit": 3,
        "sale": {"start": "2026-02-04T10:00:00Z", "end": "2026-03-13T10:00:00Z"},
        "displayNotOnSale": True,
        "sortIndex": 6,
        "limitPerCheckout": 1,
        "missing": [],
        "page": {"state": "on_sale", "text": "1 left", "price": "45.00 USD + 1.13 USD service fee"},
    } == low


def test_overview_of_an_event() -> None:
    """An event is shown with its address, its tax, and registration as it is."""
    world, _ = seeded()
    tax = Tax("INCLUDED_IN_PRICE", "VAT", "20")
    world.update_event(IDS.event, tax=tax, page_hidden=True, missing=frozenset({"slug", "eventPageUrl"}))

    assert {
        "id": IDS.event,
        "title": "Harbour Lights Festival",
        "status": "UPCOMING",
        "start": "2026-03-13T10:00:00Z",
        "end": "2026-03-14T10:00:00Z",
        "zone": "Europe/Lisbon",
        "slug": "harbour-lights-festival",
        "page": "https://www.example.com/event-details/harbour-lights-festival",
        "hideEventDetailsPage": True,
        "tax": {"type": "INCLUDED_IN_PRICE", "name": "VAT", "rate": "20", "appliedToDonations": False},
        "registration": {
            "status": "CLOSED_MANUALLY",
            "paused": False,
            "disabled": True,
            "soldOut": False,
            "closedBecause": "registration is closed",
        },
        "missing": ["eventPageUrl", "slug"],
    } == overview.event(world.disable_registration(IDS.event))


def test_overview_of_unlimited_and_scheduled_tickets() -> None:
    """An unlimited ticket's unsold and limit are null, and a scheduled one's start is in the future."""
    world, _ = seeded()

    tickets = {one["kind"]: one for one in overview.world(world, IDS.event, Knobs())["tickets"]}

    assert (None, None) == (tickets["unlimited"]["unsold"], tickets["unlimited"]["limit"])
    assert ("SALE_SCHEDULED", "2026-02-11T10:01:00Z") == (
        tickets["scheduled"]["saleStatus"],
        tickets["scheduled"]["sale"]["start"],
    )


def test_overview_is_up_to_date() -> None:
    """The overview is never older than the clock: an expired hold is not in it."""
    world, clock = seeded()
    world.hold(IDS.tickets["low"], 2)

    clock.advance(91)

    assert [] == overview.world(world, IDS.event, Knobs())["holds"]


def test_only_the_last_orders_are_shown() -> None:
    """The newest fifty orders are shown, oldest first; a deleted event is null."""
    world, _ = seeded()
    numbers = [world.buy(IDS.tickets["unlimited"]).number for _ in range(60)]
    world.delete_event(IDS.event)

    shown = overview.world(world, IDS.event, Knobs())

    assert numbers[10:] == [order["number"] for order in shown["orders"]]
    assert shown["event"] is None
