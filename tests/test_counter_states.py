"""docs/states.md: each combination of what Wix can say of an event and a ticket, and what a counter says."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from server.counter import Counter, Rules
from server.model import Event
from server.wix import events, schema
from tests.rig.json_samples import changed
from tests.rig.state_table import NUMBERS, Combination, expected, table
from tests.rig.worker_rig import SAMPLE

EVENT = SAMPLE["eventId"]

VALUES: dict[str, tuple[str, ...]] = {
    "event": ("UPCOMING", "STARTED", "ENDED", "CANCELED", "DRAFT", "missing"),
    "registration": (
        "OPEN_TICKETS", "CLOSED_AUTOMATICALLY", "CLOSED_MANUALLY", "OPEN_RSVP", "OPEN_RSVP_WAITLIST_ONLY", "OPEN_EXTERNAL",
        "SCHEDULED_RSVP", "UNKNOWN_REGISTRATION_STATUS", "A_NEW_STATUS", "missing", "paused", "disabled", "not read",
    ),
    "ticket": ("shown", "hidden"),
    "sale": ("SALE_SCHEDULED", "SALE_STARTED", "SALE_ENDED", "missing"),
    "off sale": ("shown", "not shown", "missing"),
    "left": tuple(NUMBERS),
}  # fmt: skip


def combinations() -> Iterator[Combination]:
    for values in itertools.product(*VALUES.values()):
        yield dict(zip(VALUES, values, strict=True))


def as_wix_says(combination: Combination) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The JSON of the ticket and of the event; None for an event that was not read."""
    ticket = changed(SAMPLE, "hidden", to=combination["ticket"] == "hidden")
    ticket = {**ticket, "salePeriod": {}, "limited": True, "saleStatus": combination["sale"]}
    if combination["sale"] == "missing":
        del ticket["saleStatus"]
    if combination["off sale"] != "missing":
        ticket["salePeriod"] = {"displayNotOnSale": combination["off sale"] == "shown"}
    left = NUMBERS[combination["left"]]
    ticket |= {"salesDetails": {"unsoldCount": left}, "limited": left is not None, "limitPerCheckout": 20}
    if combination["left"] == "limit 0":
        ticket["limitPerCheckout"] = 0
    ticket["eventDetails"] = {"status": combination["event"]}
    if combination["registration"] == "not read":
        return ticket, None
    registration: dict[str, Any] = {"status": combination["registration"]}
    if combination["registration"] in {"paused", "disabled"}:
        switch = f"registration{combination['registration'].capitalize()}"
        registration = {"status": "OPEN_TICKETS", switch: True}
    event = {"id": EVENT, "status": combination["event"], "registration": registration}
    if combination["registration"] == "missing":
        del event["registration"]
    return ticket, event


def test_every_combination_is_in_the_table() -> None:
    """What may be said of a ticket is what docs/states.md says, for each of all combinations."""
    rows = table()
    used = set()
    for combination in combinations():
        ticket, event = as_wix_says(combination)
        read: Event | None = None if event is None else events.event(event)
        counter = Counter.of(schema.definition(ticket), read, Rules())

        assert expected(combination) == (counter.state, counter.unsold), combination
        used.add(counter.state)
    assert {row["state"] for row in rows} == used


@pytest.mark.parametrize("status", ["CANCELED", "ENDED", "DRAFT"])
def test_event_is_over_if_either_says_so(status: str) -> None:
    """A ticket and its event are read at different times: what one of them says is over is not offered."""
    ticket, event = as_wix_says(
        dict(zip(VALUES, ("UPCOMING", "OPEN_TICKETS", "shown", "SALE_STARTED", "shown", "many"), strict=True))
    )
    assert event
    by_event = Counter.of(schema.definition(ticket), events.event({**event, "status": status}), Rules())
    by_ticket = Counter.of(
        schema.definition({**ticket, "eventDetails": {"status": status}}), events.event(event), Rules()
    )

    assert ("gone", "gone") == (by_event.state, by_ticket.state)


def test_closed_counter_has_no_price() -> None:
    """Nothing can be bought while registration is closed, so neither a number nor a price is shown."""
    combination = dict(zip(VALUES, ("UPCOMING", "paused", "shown", "SALE_STARTED", "shown", "low"), strict=True))
    ticket, event = as_wix_says(combination)
    counter = Counter.of(schema.definition(ticket), events.event(event), Rules())

    assert ("closed", None, (), None) == (counter.state, counter.unsold, counter.prices, counter.fees)
    assert SAMPLE["name"] == counter.name


PAID = ("25.00", False)


@pytest.mark.parametrize(
    ("fee", "tax", "amount", "chosen", "fees"),
    [
        ("FEE_INCLUDED", None, *PAID, "included"),
        ("FEE_ADDED_AT_CHECKOUT", None, *PAID, "added"),
        ("NO_FEE", None, *PAID, "none"),
        (None, None, *PAID, "none"),
        ("FEE_ADDED_AT_CHECKOUT", "ADDED_AT_CHECKOUT", "0", False, "none"),
        ("NO_FEE", "ADDED_AT_CHECKOUT", *PAID, "added"),
        ("FEE_INCLUDED", "ADDED_AT_CHECKOUT", *PAID, "added"),
        ("NO_FEE", "INCLUDED_IN_PRICE", *PAID, "included"),
        ("NO_FEE", "ADDED_AT_CHECKOUT", "5.00", True, "none"),
        ("NO_FEE", "donations too", "5.00", True, "added"),
        ("FEE_ADDED_AT_CHECKOUT", "ADDED_AT_CHECKOUT", "5.00", True, "added"),
    ],
)
def test_fees_of_a_ticket(fee: str | None, tax: str | None, amount: str, chosen: bool, fees: str) -> None:
    """A free ticket has no fees; a price that the buyer chooses has tax only where the organiser says so."""
    price = {"value": amount, "currency": "USD"}
    method = {"guestPrice": price} if chosen else {"fixedPrice": price}
    settings = {
        "type": "ADDED_AT_CHECKOUT" if tax == "donations too" else tax,
        "appliedToDonations": tax == "donations too",
    }
    event = {"id": EVENT, "registration": {"status": "OPEN_TICKETS", "tickets": {"taxSettings": settings}}}
    ticket = schema.definition({**SAMPLE, "pricingMethod": method, "feeType": fee})

    assert fees == Counter.of(ticket, events.event(event), Rules()).fees
