from typing import Any

import pytest

from sandbox import validation
from sandbox.clock import parse
from sandbox.errors import Invalid
from sandbox.model import Price, Pricing

EVENT = "0b5f1a2e-4444-4444-8444-00000000e001"
MONEY = {"value": "25.00", "currency": "USD"}
WHOLE: dict[str, Any] = {
    "eventId": EVENT,
    "name": "Seat",
    "feeType": "FEE_INCLUDED",
    "pricingMethod": {"fixedPrice": MONEY},
}


def new_id() -> str:
    return EVENT


def read(json: Any, *, whole: bool = False, exact: bool = False) -> dict[str, Any]:
    return validation.ticket_fields(json, new_id, complete=whole, keep_seconds=exact)


def test_smallest_valid_definition() -> None:
    """Event, name, fee and price are enough; other members are not set."""
    expected = {"name": "Seat", "fee": "FEE_INCLUDED", "pricing": Pricing.FIXED, "prices": (Price("25.00", "USD"),)}

    assert expected == read(WHOLE, whole=True)


@pytest.mark.parametrize("member", ["eventId", "name", "feeType", "pricingMethod"])
def test_missing_required_member_is_named(member: str) -> None:
    """A new definition without a required member is refused with its name; an update may leave it out."""
    sent = {name: value for name, value in WHOLE.items() if name != member}

    with pytest.raises(Invalid) as caught:
        read(sent, whole=True)

    assert (f"ticketDefinition.{member}", "REQUIRED_FIELD") == (caught.value.field, caught.value.rule)
    assert read(sent)


def test_every_writable_member() -> None:
    """Each member that a client may write reaches its field; read-only and unknown ones reach none."""
    sent = {
        "description": "About",
        "policyText": "No dogs",
        "hidden": True,
        "initialLimit": 12,
        "extendedFields": {"namespaces": {"@a/b": {"c": 1}}},
        "saleStatus": "SALE_ENDED",
        "limited": False,
        "salesDetails": {"unsoldCount": 7},
        "nobodyKnows": 1,
    }

    assert {
        "description": "About",
        "policy": "No dogs",
        "hidden": True,
        "limit": 12,
        "extended": {"namespaces": {"@a/b": {"c": 1}}},
    } == read(sent)


def test_null_removes_the_limit() -> None:
    """A limit of null is no limit."""
    assert {"limit": None} == read({"initialLimit": None})


def test_options_get_ids() -> None:
    """An option without an id gets one; an option with an id keeps it, in lower case."""
    details = [{"name": "Adult", "price": MONEY}, {"optionId": EVENT.upper(), "name": "Child", "price": MONEY}]

    fields = read({"pricingMethod": {"pricingOptions": {"optionDetails": details}}})

    assert Pricing.OPTIONS == fields["pricing"]
    assert (Price("25.00", "USD", EVENT, "Adult"), Price("25.00", "USD", EVENT, "Child")) == fields["prices"]


def test_sale_dates_are_rounded_down_to_the_minute() -> None:
    """Wix knows no seconds of sale periods; the control API does."""
    sent = {"salePeriod": {"startDate": "2026-01-10T09:00:59.900Z", "displayNotOnSale": False}}
    moment = parse("2026-01-10T09:00:00Z")

    assert {"start": moment, "end": None, "shown_early": False} == read(sent)
    assert moment + 59.9 == read(sent, exact=True)["start"]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ([], ""),
        (None, ""),
        ({"name": ""}, ".name"),
        ({"name": "n" * 31}, ".name"),
        ({"name": 7}, ".name"),
        ({"description": "d" * 501}, ".description"),
        ({"policyText": "p" * 1001}, ".policyText"),
        ({"hidden": "no"}, ".hidden"),
        ({"initialLimit": -1}, ".initialLimit"),
        ({"initialLimit": 2**31}, ".initialLimit"),
        ({"initialLimit": 1.5}, ".initialLimit"),
        ({"initialLimit": True}, ".initialLimit"),
        ({"feeType": "FREE"}, ".feeType"),
        ({"feeType": ["NO_FEE"]}, ".feeType"),
        ({"pricingMethod": {}}, ".pricingMethod"),
        ({"pricingMethod": {"fixedPrice": MONEY, "guestPrice": MONEY}}, ".pricingMethod"),
        ({"pricingMethod": {"fixedPrice": {**MONEY, "value": 25}}}, ".pricingMethod.fixedPrice.value"),
        ({"pricingMethod": {"fixedPrice": {**MONEY, "value": "-1"}}}, ".pricingMethod.fixedPrice.value"),
        ({"pricingMethod": {"guestPrice": {**MONEY, "value": "NaN"}}}, ".pricingMethod.guestPrice.value"),
        ({"pricingMethod": {"guestPrice": {**MONEY, "value": "x"}}}, ".pricingMethod.guestPrice.value"),
        ({"pricingMethod": {"fixedPrice": {**MONEY, "currency": "usd"}}}, ".pricingMethod.fixedPrice.currency"),
        ({"pricingMethod": {"pricingOptions": {}}}, ".pricingMethod.pricingOptions.optionDetails"),
        (
            {"pricingMethod": {"pricingOptions": {"optionDetails": [{"name": "", "price": MONEY}]}}},
            ".pricingMethod.pricingOptions.optionDetails[0].name",
        ),
        (
            {"pricingMethod": {"pricingOptions": {"optionDetails": [{"optionId": "1", "name": "A", "price": MONEY}]}}},
            ".pricingMethod.pricingOptions.optionDetails[0].optionId",
        ),
        ({"salePeriod": {"startDate": "tomorrow"}}, ".salePeriod.startDate"),
        ({"salePeriod": {"endDate": 7}}, ".salePeriod.endDate"),
        ({"salePeriod": {"displayNotOnSale": 1}}, ".salePeriod.displayNotOnSale"),
        ({"extendedFields": []}, ".extendedFields"),
    ],
)
def test_invalid_member_is_named(sent: Any, field: str) -> None:
    """A member that Wix would not accept is refused with its path."""
    with pytest.raises(Invalid) as caught:
        read(sent)

    assert f"ticketDefinition{field}" == caught.value.field


@pytest.mark.parametrize("value", ["", "x", 7, None, EVENT + "0"])
def test_invalid_guid_is_refused(value: Any) -> None:
    """A value that is no GUID is refused."""
    with pytest.raises(Invalid):
        validation.guid(value, "id")


def test_members_for_testers() -> None:
    """What only the control API sets is parsed, and only what is sent."""
    assert {} == validation.tester_fields({"name": "Seat"})
    assert {"sort_index": -1, "checkout_limit": 0, "missing": frozenset({"sortIndex"})} == validation.tester_fields(
        {"sortIndex": -1, "limitPerCheckout": 0, "missing": ["sortIndex", "sortIndex"]}
    )
    assert {"checkout_limit": None} == validation.tester_fields({"limitPerCheckout": None})


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"sortIndex": "1"}, "sortIndex"),
        ({"sortIndex": None}, "sortIndex"),
        ({"limitPerCheckout": 51}, "limitPerCheckout"),
        ({"limitPerCheckout": True}, "limitPerCheckout"),
        ({"missing": ["name"]}, "missing"),
        ({"missing": [["sortIndex"]]}, "missing"),
        ({"missing": "sortIndex"}, "missing"),
    ],
)
def test_invalid_member_for_testers_is_named(sent: Any, field: str) -> None:
    """A wrong value is refused with its path."""
    with pytest.raises(Invalid) as caught:
        validation.tester_fields(sent)

    assert f"ticketDefinition.{field}" == caught.value.field
