import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.clock import parse
from sandbox.entity import OPTIONAL, entity
from sandbox.knobs import Knobs
from sandbox.model import Event, EventStatus, Price, Pricing, SaleStatus, Ticket
from tests.rig.json_samples import changed

SAMPLES: dict[str, Any] = json.loads((Path(__file__).parent.parent / "samples" / "definitions.json").read_text())

NULL = Knobs(null_unlimited="null")
KNOBS = {"unlimited": NULL}
"""Samples that need a knob; all others need the defaults."""


def sampled(json_: dict[str, Any]) -> Ticket:
    """The ticket that a sample describes."""
    method, period, sales = json_["pricingMethod"], json_["salePeriod"], json_.get("salesDetails", {})
    prices: tuple[Price, ...]
    if options := method.get("pricingOptions"):
        pricing = Pricing.OPTIONS
        prices = tuple(
            Price(**one["price"], option=one["optionId"], name=one["name"]) for one in options["optionDetails"]
        )
    else:
        pricing = Pricing.GUEST if "guestPrice" in method else Pricing.FIXED
        prices = (Price(**method[f"{pricing}Price"]),)
    return Ticket(
        id=json_["id"],
        event=json_["eventId"],
        kind="other",
        name=json_["name"],
        pricing=pricing,
        prices=prices,
        limit=json_.get("initialLimit"),
        created=parse(json_["createdDate"]),
        updated=parse(json_["updatedDate"]),
        position=1,
        status=SaleStatus(json_["saleStatus"]),
        start=parse(period["startDate"]),
        end=parse(period["endDate"]),
        description=json_["description"],
        fee=json_["feeType"],
        revision=int(json_["revision"]),
        sold=sales.get("soldCount", 96),
        reserved=sales.get("reservedCount", 1),
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_definition_has_the_members_of_wix(name: str) -> None:
    """A definition has every member of Wix's own, with its value and type, and no other."""
    sample = {key: value for key, value in SAMPLES[name].items() if key != "eventDetails"}
    fields = {"SALES_DETAILS"} if "salesDetails" in sample else set()

    # sortIndex is sent, but is not in the public types, of which the samples were made
    assert {**sample, "sortIndex": 0} == entity(sampled(sample), None, KNOBS.get(name, Knobs()), fields)


def test_details_are_added_only_if_requested() -> None:
    """Sales and event details are absent without their field; seating details always, as no seats are assigned."""
    event = Event("e", "Fair", EventStatus.UPCOMING, 0.0, 60.0, "Europe/Lisbon", 0.0, 0.0)
    ticket = sampled(SAMPLES["fixed"])
    extra = {"salesDetails", "eventDetails", "seatingDetails"}

    plain = entity(ticket, event, Knobs())
    full = entity(ticket, event, Knobs(), {"SALES_DETAILS", "EVENT_DETAILS", "SEATING_DETAILS"})

    assert set() == extra & plain.keys()
    assert {"salesDetails", "eventDetails"} == extra & full.keys()
    details = full["eventDetails"]
    assert ("Fair", "UPCOMING") == (details["title"], details["status"])
    assert {
        "dateAndTimeTbd": False,
        "startDate": "1970-01-01T00:00:00Z",
        "endDate": "1970-01-01T00:01:00Z",
        "timeZoneId": "Europe/Lisbon",
    } == details["dateAndTimeSettings"]
    assert {"base", "path"} == details["eventPageUrl"].keys()


def test_unlimited_ticket_has_no_limit() -> None:
    """Without limit the limits are absent, and unsoldCount is absent or null, as the knob says."""
    ticket = sampled(SAMPLES["unlimited"])

    absent, null = (entity(ticket, None, knobs, {"SALES_DETAILS"}) for knobs in (Knobs(), NULL))

    assert set() == {"initialLimit", "actualLimit"} & absent.keys()
    assert "unsoldCount" not in absent["salesDetails"]
    assert (None, False) == (null["salesDetails"]["unsoldCount"], null["salesDetails"]["soldOut"])


def test_holds_reduce_the_unsold_count() -> None:
    """Reserved tickets reduce unsoldCount, unless the knob says that Wix does not subtract them."""
    ticket = sampled(SAMPLES["fixed"])

    counts = [entity(ticket, None, Knobs(holds_count=on), {"SALES_DETAILS"})["salesDetails"] for on in (True, False)]

    assert [3, 4] == [count["unsoldCount"] for count in counts]
    assert [1, 1] == [count["reservedCount"] for count in counts]


@pytest.mark.parametrize("text", ["0", "0.00"])
def test_free_price_is_written_as_the_knob_says(text: Any) -> None:
    """A price of zero reads back as "0" or "0.00"."""
    method = entity(sampled(SAMPLES["free"]), None, Knobs(free_price=text))["pricingMethod"]

    assert {"value": text, "currency": "USD"} == method["fixedPrice"]
    assert method["free"]


def test_sale_without_dates() -> None:
    """Dates that are not set are absent, not null."""
    sample = json.loads(json.dumps(SAMPLES["fixed"]))
    ticket = sampled(sample)
    bare = Ticket(**{**{name: getattr(ticket, name) for name in Ticket.__slots__}, "start": None, "end": None})

    assert {"displayNotOnSale": True} == entity(bare, None, Knobs())["salePeriod"]


@pytest.mark.parametrize(("own", "limit"), [(None, 3), (2, 2), (50, 3), (0, 0)])
def test_limit_per_checkout(own: int | None, limit: int) -> None:
    """The limit per checkout is the stock, or the ticket's own limit where that is lower; 0 with places left."""
    written = entity(replace(sampled(SAMPLES["fixed"]), checkout_limit=own), None, Knobs(), {"SALES_DETAILS"})

    assert (limit, 3) == (written["limitPerCheckout"], written["salesDetails"]["unsoldCount"])


@pytest.mark.parametrize("name", OPTIONAL)
def test_optional_members_can_be_missing(name: str) -> None:
    """Each optional member is left out if the ticket says so, and no other."""
    ticket = sampled(SAMPLES["fixed"])
    whole = entity(ticket, None, Knobs())
    part = entity(replace(ticket, missing=frozenset({name})), None, Knobs())

    *way, last = name.split(".")
    assert changed(whole, *way, last) == part


def test_sort_index_is_written() -> None:
    """The place of a ticket on its event's page is in every answer."""
    assert 7 == entity(replace(sampled(SAMPLES["fixed"]), sort_index=7), None, Knobs())["sortIndex"]
