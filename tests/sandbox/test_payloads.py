import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sandbox import payloads
from sandbox.clock import parse
from sandbox.knobs import Knobs
from sandbox.model import (
    Event,
    EventStatus,
    Hold,
    HoldStatus,
    IssuedTicket,
    Line,
    Order,
    OrderStatus,
    Price,
    Pricing,
    Ticket,
)

FOLDER = Path(__file__).parent.parent / "samples"
SAMPLES: dict[str, Any] = {
    **json.loads((FOLDER / "events.json").read_text()),
    **json.loads((FOLDER / "webhooks.json").read_text()),
}
KNOBS = Knobs()


def sample(name: str) -> dict[str, Any]:
    """The innermost JSON of one of Wix's webhooks."""
    return dict(SAMPLES[name]["data"])


def lines(json_: dict[str, Any]) -> tuple[Line, ...]:
    return tuple(
        Line(
            "line",
            item["id"],
            json_["eventId"],
            item["name"],
            item["quantity"],
            Price(item["price"]["value"], item["price"]["currency"]),
            item["fees"][0]["type"],
        )
        for item in json_["invoice"]["items"]
    )


def order(json_: dict[str, Any], lines_: tuple[Line, ...], hold: str = "") -> Order:
    """The order that a sample describes."""
    return Order(
        number=json_["orderNumber"],
        event=json_["eventId"],
        hold=json_.get("reservationId", hold),
        lines=lines_,
        contact=json_["contactId"],
        visitor="visitor",
        created=parse(json_["created"]),
        updated=parse(json_["updated"]),
        status=OrderStatus(json_["status"]),
        issued=tuple(
            IssuedTicket(
                one["ticketNumber"],
                one["ticketDefinitionId"],
                one["ticketName"],
                Price(one["price"]["value"], one["price"]["currency"]),
                one["canceled"],
            )
            for one in json_.get("tickets", ())
        ),
    )


CONFIRMED = sample("order_confirmed")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("order_initiated", payloads.order_initiated),
        ("order_confirmed", payloads.order_confirmed),
        ("order_updated_canceled", payloads.order_updated),
    ],
)
def test_order_payload_has_the_members_of_wix(name: str, write: Any) -> None:
    """An order payload has each member of Wix's own, with fees and totals to the cent, and no other."""
    json_ = sample(name)

    assert json_ == write(order(json_, lines(CONFIRMED)), parse(json_["timestamp"]), KNOBS)


def test_fee_is_added_included_or_absent() -> None:
    """The buyer's total and the organiser's revenue depend on the kind of fee; without one none is listed."""
    [line, _] = lines(CONFIRMED)

    def invoice(fee: str) -> tuple[str, str, int]:
        told = payloads.order_initiated(order(CONFIRMED, (replace(line, fee=fee),)), 0.0, KNOBS)["invoice"]
        return told["grandTotal"]["value"], told["revenue"]["value"], len(told["fees"])

    assert ("51.25", "50.00", 1) == invoice("FEE_ADDED_AT_CHECKOUT")
    assert ("50.00", "48.75", 1) == invoice("FEE_INCLUDED")
    assert ("50.00", "50.00", 0) == invoice("NO_FEE")


def test_knobs_hide_the_tickets_of_an_order() -> None:
    """Orders may list no tickets, and invoice lines may have their own ids."""
    knobs = Knobs(order_tickets=False, line_ids="own")

    told = payloads.order_confirmed(order(CONFIRMED, lines(CONFIRMED)), 0.0, knobs)

    assert ([], ["line", "line"]) == (told["tickets"], [item["id"] for item in told["invoice"]["items"]])


def hold(json_: dict[str, Any]) -> Hold:
    [line] = json_["tickets"]
    return Hold(
        id=json_["id"],
        lines=(
            Line(
                line["ticketLineItemId"],
                line["ticketDefinitionId"],
                line["eventId"],
                line["ticketName"],
                line["quantity"],
                Price(**line["price"]),
                "NO_FEE",
            ),
        ),
        created=parse(json_["createdDate"]),
        updated=parse(json_["updatedDate"]),
        expires=parse("2026-02-11T10:18:30.000Z"),
        visitor=json_["visitorId"],
        status=HoldStatus(json_["status"]),
        revision=int(json_["revision"]),
    )


PENDING = sample("ticket_reservation_created")["createdEvent"]["entity"]


@pytest.mark.parametrize(
    "entity", [PENDING, sample("ticket_reservation_updated")["updatedEvent"]["currentEntity"]], ids=["new", "confirmed"]
)
def test_reservation_payload_has_the_members_of_wix(entity: dict[str, Any]) -> None:
    """A reservation has each member of Wix's, and expires only while it is pending."""
    assert entity == payloads.reservation(hold(entity))


def test_deprecated_reservation_payload_has_counts() -> None:
    """The deprecated event has the numbers sold and held; a deleted ticket has none."""
    json_ = sample("reservation_created_legacy")
    id_ = json_["counts"][0]["ticketDefinitionId"]
    ticket = Ticket(id_, "e", "", "", Pricing.FIXED, (Price("1", "USD"),), 100, 0.0, 0.0, 1, sold=94, reserved=2)
    at = parse(json_["timestamp"])

    assert json_ == payloads.old_reservation(hold(PENDING), {id_: ticket}, at)
    assert {**json_, "counts": []} == payloads.old_reservation(hold(PENDING), {}, at)


def test_sums_are_exact() -> None:
    """Money is decimal: three times 0.10 is 0.30."""
    line = Line("", "", "", "", 3, Price("0.10", "USD"), "NO_FEE")

    assert Decimal("0.30") == payloads._total(line)


EVENT = Event("e", "Fair", EventStatus.UPCOMING, 0.0, 60.0, "UTC", 0.0, 0.0, slug="fair")


def test_published_payload() -> None:
    """The payload of a published event has its title, its dates, its page and its status."""
    told = payloads.event_published(EVENT, 1.0)

    assert ("1970-01-01T00:00:01.000Z", "e", "Fair", "UPCOMING") == tuple(
        told[name] for name in ("timestamp", "eventId", "title", "status")
    )
    assert ("UTC", "/event-details/fair") == (told["dateAndTimeSettings"]["timeZoneId"], told["eventPageUrl"]["path"])


@pytest.mark.parametrize(("name", "titled"), [("event_canceled", True), ("event_ended", False)])
def test_payloads_of_event_changes_are_those_of_wix(name: str, *, titled: bool) -> None:
    """The payload of a canceled event has the title, that of an ended one has not."""
    body = sample(name)["actionEvent"]["body"]
    event = replace(EVENT, id=body["eventId"], title=body.get("title", "Fair"))

    told = payloads.event_action(event, parse(body["timestamp"]), titled=titled)

    assert {key: value for key, value in body.items() if key != "userId"} == told


def test_modified_fields_are_the_values_before() -> None:
    """A changed value is listed under its dotted path as it was, a new one as null; update dates are no change."""
    before = {"a": 1, "b": {"c": "x", "d": 2}, "updatedDate": "then", "gone": True}
    after = {"a": 1, "b": {"c": "y", "d": 2}, "updatedDate": "now", "new": 5}

    assert {"b.c": "x", "gone": True, "new": None} == payloads.modified(before, after)
