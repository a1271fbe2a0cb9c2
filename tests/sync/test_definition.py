import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.model import EventId, TicketId
from server.sync.definition import (
    CHOICES,
    FIELDS,
    MEMBERS,
    OPTION_FIELDS,
    WITHOUT_FIELD,
    YES_OR_NO,
    Source,
    amount,
    iso,
    source,
    utc,
)
from tests.rig.json_samples import JSON, MISSING, changed, paths

SAMPLES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "samples" / "definitions.json").read_text()
)
FIXED = SAMPLES["fixed"]
READ_AT = 1_800_000_000.0


def of(facts: dict[str, Any], **more: Any) -> Source:
    return source(TicketId(FIXED["id"]), EventId(FIXED["eventId"]), facts, **more)


def test_fields_of_a_definition() -> None:
    """A definition becomes fields: prices are decimal texts, times are in UTC, what Wix says of its event is among them."""
    assert {
        "id": FIXED["id"],
        "name": "General admission",
        "description": "Fictional ticket.",
        "policy_text": "",
        "hidden": False,
        "price": "25.00",
        "guest_price": None,
        "free": False,
        "currency": "USD",
        "fee_type": "FEE_ADDED_AT_CHECKOUT",
        "limit": 100,
        "sale.start": "2026-01-10T09:00:00Z",
        "sale.end": "2026-06-20T18:00:00Z",
        "sale.shown_when_closed": True,
        "sale.status": "SALE_STARTED",
        "position": 0,
        "created": "2026-01-05T08:30:00Z",
        "event.id": FIXED["eventId"],
        "event.title": "Fictional fair",
        "event.status": "UPCOMING",
        "event.page": "https://www.example.com/event-details/fictional-fair",
        "event.start": "2026-06-20T18:00:00Z",
        "event.end": "2026-06-20T22:00:00Z",
        "event.zone": "Europe/Berlin",
        "event.location": "Fictional hall",
        "unsold": 3,
        "read_at": "2027-01-15T08:00:00Z",
    } == of(FIXED, unsold=3, read_at=READ_AT).fields


def test_each_kind_of_price() -> None:
    """The price of each kind: fixed, chosen by the buyer, free, and the highest of several options."""
    assert [("25.00", None, False), ("20.00", None, False), ("5.00", "5.00", False), ("0.00", None, True)] == [
        tuple(of(SAMPLES[kind]).fields[name] for name in ("price", "guest_price", "free"))
        for kind in ("fixed", "options", "guest", "free")
    ]


def test_price_is_chosen_by_amount() -> None:
    """The highest price is the highest amount, however many digits it has."""
    options = [
        {"optionId": str(number), "name": "", "price": {"value": value, "currency": "USD"}}
        for number, value in enumerate(("9.50", "100", "99999999999999999.01", "99999999999999999.02"))
    ]
    facts = {"pricingMethod": {"pricingOptions": {"optionDetails": options}}}

    assert "99999999999999999.02" == of(facts).fields["price"]


def test_options_in_their_order() -> None:
    """Each option has its Wix id, name, price and place."""
    found = of(SAMPLES["options"])

    assert [("Adult", "20.00", 0), ("Child", "8.50", 1), ("Toddler", "0.00", 2)] == [
        (one.name, one.fields["option.price"], one.fields["option.position"]) for one in found.options
    ]
    assert [one.id for one in found.options] == [one.fields["option.id"] for one in found.options]
    assert set(OPTION_FIELDS) == set(found.options[0].fields)
    assert frozenset({"USD"}) == found.currencies


def test_several_currencies() -> None:
    """All currencies of the prices are told, also of an option that has another."""
    path = ("pricingMethod", "pricingOptions", "optionDetails", 1, "price", "currency")

    assert frozenset({"USD", "EUR"}) == of(changed(SAMPLES["options"], *path, to="EUR")).currencies


@pytest.mark.parametrize(
    ("facts", "limit"),
    [
        ({"limited": True, "initialLimit": 100, "actualLimit": 90}, 90),
        ({"limited": True, "initialLimit": 100}, 100),
        ({"limited": True, "initialLimit": 0}, 0),
        ({"limited": False}, None),
        ({"limited": True}, MISSING),
        ({}, MISSING),
        ({"limited": None}, MISSING),
        ({"limited": True, "initialLimit": True}, MISSING),
    ],
)
def test_limit(facts: dict[str, Any], limit: Any) -> None:
    """A limit is none only where Wix says so; what it does not say is not known."""
    assert limit == of(facts).fields.get("limit", MISSING)


def test_unsold_is_known_or_left_out() -> None:
    """How many are left is none only for an unlimited ticket; without a read, or without a number, it is not known."""
    unlimited = SAMPLES["unlimited"]

    assert 3 == of(FIXED, unsold=3, read_at=READ_AT).fields["unsold"]
    assert 0 == of(FIXED, unsold=0, read_at=READ_AT).fields["unsold"]
    assert of(unlimited, unsold=None, read_at=READ_AT).fields["unsold"] is None
    assert "unsold" not in of(FIXED, unsold=None, read_at=READ_AT).fields
    assert not {"unsold", "read_at"} & set(of(unlimited).fields)


def test_missing_members_are_not_known() -> None:
    """A definition of which nothing is known has only what Wix leaves out as a default, and no price, limit, name or fee."""
    assert {
        "id": FIXED["id"],
        "description": "",
        "policy_text": "",
        "hidden": False,
        "position": 0,
        "sale.start": None,
        "sale.end": None,
        "sale.shown_when_closed": True,
        "sale.status": "SALE_STARTED",
        "event.id": FIXED["eventId"],
    } == of({}).fields


def test_event_says_more_of_itself() -> None:
    """What the event says of itself wins over what its ticket says of it, and adds registration and slug."""
    event = {
        "title": "New title",
        "slug": "fair",
        "registration": {"status": "CLOSED_MANUALLY", "registrationPaused": True},
    }
    found = of({**FIXED, "event": event}).fields

    assert ("New title", "fair", "CLOSED_MANUALLY", True, "UPCOMING") == tuple(
        found[f"event.{name}"] for name in ("title", "slug", "registration", "registration_paused", "status")
    )


@pytest.mark.parametrize("value", ["soon", "0001-01-01T00:00:00+01:00", "2026-13-01"])
def test_time_that_cannot_be_read(value: str) -> None:
    """A time that cannot be read is not known, which is not the same as no time."""
    found = of({"salePeriod": {"startDate": value}, "createdDate": value}).fields

    assert not {"sale.start", "created"} & set(found)
    assert found["sale.end"] is None


def test_times_in_one_form() -> None:
    """One moment is one text, whichever zone or form Wix sent it in."""
    forms = ("2027-03-01T18:00:00Z", "2027-03-01T19:00:00+01:00", "2027-03-01T18:00:00.000Z", "2027-03-01T18:00:00")

    assert {"2027-03-01T18:00:00Z"} == {utc(one) for one in forms}
    assert "2027-03-01T18:00:00.250000Z" == utc("2027-03-01T18:00:00.250Z")
    assert "2027-01-15T08:00:00Z" == iso(READ_AT)
    assert utc(None) is None
    with pytest.raises(ValueError, match="Invalid isoformat"):
        utc("soon")


def test_half_characters_are_replaced() -> None:
    """Half an emoji, which no target could take, is replaced; a whole one stays."""
    assert "a\N{REPLACEMENT CHARACTER}b" == of({"name": "a\ud83db"}).fields["name"]
    assert "🎫" == of({"name": "🎫"}).fields["name"]


@pytest.mark.parametrize(
    ("money", "text"),
    [
        ({"value": "0"}, "0.00"),
        ({"value": "0.00"}, "0.00"),
        ({"value": "8.5"}, "8.50"),
        ({"value": "007"}, "7.00"),
        ({"value": "1.2345"}, "1.2345"),
        ({"amount": "3", "value": None}, "3.00"),
    ],
)
def test_amounts(money: dict[str, Any], text: str) -> None:
    """One amount is one text with two decimals or more."""
    assert text == amount(money)


@settings(deadline=None)
@given(st.sampled_from(list(SAMPLES)), st.data(), JSON)
@example("fixed", None, None)
def test_any_member_may_be_anything(kind: str, data: Any, value: Any) -> None:
    """Whatever stands in any member, the fields are known by name, are values, and can be encoded."""
    sample = SAMPLES[kind]
    if data is not None:
        prices = {"value", "amount"}  # those are checked when a definition is read
        members = [path for path in paths(sample) if not {"pricingMethod", *prices} & set(path)]
        sample = changed(sample, *data.draw(st.sampled_from(members)), to=value)
    found = of(sample, unsold=1, read_at=READ_AT)

    assert set(found.fields) <= set(FIELDS)
    assert all(one is None or isinstance(one, str | int) for one in found.fields.values())
    assert json.dumps(found.fields, ensure_ascii=False).encode()


def test_every_member_of_the_samples_is_known() -> None:
    """Every member of Wix's samples has a field, or is listed as one that has none, or needs no mapping."""
    members = {member for sample in SAMPLES.values() for member in sample}

    assert set() == members - {*FIELDS.values(), *WITHOUT_FIELD, *MEMBERS}
    assert set() == {*CHOICES, *YES_OR_NO} - set(FIELDS)
    assert set() == WITHOUT_FIELD & {*FIELDS.values(), *MEMBERS}
    assert all(set(name) <= set(string.ascii_lowercase + "._") for name in (*FIELDS, *OPTION_FIELDS))
