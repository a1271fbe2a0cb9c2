import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.counter import Counter, Rules, State
from server.errors import Malformed
from server.model import Definition, Pace, Price, Sale, SaleStatus
from server.wire import canonical, counter_body
from server.wix import schema
from tests.rig.fake_reader import EVENT
from tests.rig.json_samples import JSON, MISSING, changed, paths
from tests.rig.server import TICKET

DEFINITIONS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "samples" / "definitions.json").read_text()
)
FIXED = DEFINITIONS["fixed"]


@pytest.mark.parametrize(
    ("name", "unsold", "state", "amounts", "shared"),
    [
        ("fixed", 3, State.LOW, ["25.00"], False),
        ("options", 48, State.AVAILABLE, ["20.00", "8.50", "0.00"], True),
        ("guest", 37, State.AVAILABLE, ["5.00"], True),
        ("free", 20, State.AVAILABLE, ["0.00"], False),
        ("unlimited", None, State.AVAILABLE, ["7.00"], False),
        ("unlimited_without_count", None, State.AVAILABLE, ["7.00"], False),
        ("sold_out", 0, State.SOLD_OUT, ["120.00"], False),
        ("scheduled", 50, State.SCHEDULED, ["30.00"], False),
    ],
)
def test_each_kind_of_ticket(name: str, unsold: int | None, state: State, amounts: list[str], shared: bool) -> None:
    """Each kind of ticket that Wix sells is parsed as what it is."""
    found = schema.definition(DEFINITIONS[name])

    assert (unsold, amounts, shared) == (found.unsold, [price.amount for price in found.prices], found.shared)
    assert state == Counter.of(found, None, Rules()).state


def test_definition_is_parsed_completely() -> None:
    """Every member that is shown or decides about a read is parsed from where Wix documents it."""
    found = schema.definition(FIXED)

    assert (TICKET, EVENT, "General admission") == (found.id, found.event, found.name)
    assert (True, SaleStatus.STARTED, False, Pace.LIVE) == (not found.hidden, found.status, found.sold_out, found.pace)
    assert (Price("25.00", "USD"),) == found.prices
    assert Sale("2026-01-10T09:00:00Z", "2026-06-20T18:00:00Z", "Europe/Berlin") == found.sale
    assert (1_768_035_600_000_000, 1_781_978_400_000_000) == (found.start_us, found.end_us)


def test_pricing_options() -> None:
    """A pricing option is shown with its id and its name."""
    found = schema.definition(DEFINITIONS["options"])

    assert Price("8.50", "USD", "aaaaaaaa-0002-4002-8002-000000000002", "Child") == found.prices[1]


def test_one_option_is_one_price() -> None:
    """A ticket with a single pricing option has all its stock at that price."""
    [adult, *_] = DEFINITIONS["options"]["pricingMethod"]["pricingOptions"]["optionDetails"]

    found = schema.definition(
        changed(DEFINITIONS["options"], "pricingMethod", "pricingOptions", "optionDetails", to=[adult])
    )

    assert ("20.00", False) == (found.prices[0].amount, found.shared)


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("0", "0.00"),
        ("0.00", "0.00"),
        ("0.0", "0.00"),
        ("000", "0.00"),
        ("25", "25.00"),
        ("25.0", "25.00"),
        ("25.000", "25.00"),
        ("025.50", "25.50"),
        ("100", "100.00"),
        ("0.125", "0.125"),
        ("19.990", "19.99"),
        ("99999999999999999999.99", "99999999999999999999.99"),
        (25, "25.00"),
        (8.5, "8.50"),
    ],
)
def test_amounts_have_one_form(value: Any, amount: str) -> None:
    """An amount of money has one text, however Wix writes it, to the last digit."""
    found = schema.definition(changed(FIXED, "pricingMethod", "fixedPrice", "value", to=value))

    assert [Price(amount, "USD")] == [*found.prices]


@given(st.decimals(0, 10**9, places=4), st.integers(0, 3), st.integers(0, 3))
def test_equal_amounts_are_equal_texts(amount: Any, before: int, after: int) -> None:
    """Zeros at either end of an amount do not change its text."""
    texts = {f"{amount:f}", f"{'0' * before}{amount:f}{'0' * after}"}

    assert 1 == len({schema.definition(changed(FIXED, "pricingMethod", "fixedPrice", "value", to=t)) for t in texts})


@pytest.mark.parametrize(
    "value",
    [
        *("", "free", "-1", "+1", "1e3", "1E+9999999", "NaN", "Infinity", "1_000", "1,50", "1.", ".5", " 1", "1\n"),
        *("\N{ARABIC-INDIC DIGIT THREE}", "9" * 21, "0." + "1" * 21, True, [], {}, 1e300),
    ],
)
def test_bad_amount_is_refused(value: Any) -> None:
    """An amount that is not in plain digits is refused, and reported shortened."""
    with pytest.raises(Malformed, match=f"^ticket {TICKET}: the price .* is not an amount of money$") as caught:
        schema.definition(changed(FIXED, "pricingMethod", "fixedPrice", "value", to=value))

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "money", [{"amount": "25.00"}, {"value": None, "amount": "25"}, {"value": "25", "amount": "9"}]
)
def test_older_name_of_the_price_amount(money: dict[str, Any]) -> None:
    """`value` is read first, and `amount`, its older name, if there is none."""
    found = schema.definition(changed(FIXED, "pricingMethod", "fixedPrice", to=money))

    assert [Price("25.00", "")] == [*found.prices]


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("pricingMethod",), MISSING),
        (("pricingMethod",), None),
        (("pricingMethod",), {}),
        (("pricingMethod",), {"fixedPrice": None, "guestPrice": None, "pricingOptions": {"optionDetails": None}}),
        (("pricingMethod",), {"pricingOptions": {"optionDetails": [None, "x"]}}),
    ],
)
def test_ticket_without_a_price(path: tuple[str], to: Any) -> None:
    """A ticket without a price is shown without one: its number is still true."""
    found = schema.definition(changed(FIXED, *path, to=to))

    assert ((), False, 3) == (found.prices, found.shared, found.unsold)


@pytest.mark.parametrize(
    ("path", "to", "visible"),
    [
        (("hidden",), True, False),
        (("hidden",), MISSING, True),
        (("hidden",), "true", True),
        (("eventDetails", "status"), "UPCOMING", True),
        (("eventDetails", "status"), "STARTED", True),
        (("eventDetails", "status"), "ENDED", False),
        (("eventDetails", "status"), "CANCELED", False),
        (("eventDetails", "status"), "DRAFT", False),
        (("eventDetails", "status"), MISSING, True),
        (("eventDetails", "status"), [], True),
        (("eventDetails",), MISSING, True),
        (("eventDetails",), [], True),
    ],
)
def test_visibility_of_a_ticket(path: tuple[str, ...], to: Any, visible: bool) -> None:
    """A ticket is shown unless it is hidden, or its event is over, cancelled or still a draft."""
    found = Counter.of(schema.definition(changed(FIXED, *path, to=to)), None, Rules())

    assert visible == (found.state is not State.GONE)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("SALE_SCHEDULED", SaleStatus.SCHEDULED),
        ("SALE_STARTED", SaleStatus.STARTED),
        ("SALE_ENDED", SaleStatus.ENDED),
        (MISSING, SaleStatus.STARTED),
        (None, SaleStatus.STARTED),
    ],
)
def test_sale_status(status: Any, expected: SaleStatus) -> None:
    """The sale's status is Wix's, and started if Wix leaves it out, as for a ticket without a sale period."""
    assert expected == schema.definition(changed(FIXED, "saleStatus", to=status)).status


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-10T09:00:00Z", 1_768_035_600_000_000),
        ("2026-01-10T09:00:00.123Z", 1_768_035_600_123_000),
        ("2026-01-10T10:00:00+01:00", 1_768_035_600_000_000),
        ("2026-01-10T09:00:00", 1_768_035_600_000_000),
    ],
)
def test_times_are_parsed(text: str, moment: int) -> None:
    """A time is parsed to microseconds since 1970, in UTC if it names no zone, and shown as Wix wrote it."""
    found = schema.definition(changed(FIXED, "salePeriod", "startDate", to=text))

    assert (moment, text) == (found.start_us, found.sale.start)


@pytest.mark.parametrize("period", [MISSING, None, {}, {"startDate": None, "endDate": None}, {"startDate": ""}])
def test_sale_without_beginning_or_end(period: Any) -> None:
    """A ticket may be on sale without a beginning or an end."""
    found = schema.definition(changed(FIXED, "salePeriod", to=period))

    assert (None, None, None, None) == (found.start_us, found.end_us, found.sale.start, found.sale.end)


@pytest.mark.parametrize("settings", [MISSING, None, [], {}, {"timeZoneId": None}, {"timeZoneId": 7}])
def test_event_without_a_time_zone(settings: Any) -> None:
    """If the event has no time zone, as while its date is open, none is shown."""
    assert schema.definition(changed(FIXED, "eventDetails", "dateAndTimeSettings", to=settings)).sale.zone is None


@pytest.mark.parametrize(
    ("sales", "limited", "unsold", "sold_out"),
    [
        ({"unsoldCount": 3}, True, 3, False),
        ({"unsoldCount": 0, "soldOut": True}, True, 0, True),
        ({"unsoldCount": -2}, True, 0, False),
        ({"unsoldCount": 7}, False, 7, False),
        ({"unsoldCount": None}, False, None, False),
        ({}, False, None, False),
        ({}, MISSING, None, False),
        ({"soldOut": True}, False, None, True),
        ({"soldOut": "yes"}, False, None, False),
        (MISSING, False, None, False),
    ],
)
def test_stock_is_parsed(sales: Any, limited: Any, unsold: int | None, sold_out: bool) -> None:
    """The number is Wix's, never below 0; none, or a missing one, means unlimited where the ticket is not limited."""
    found = schema.definition(changed(changed(FIXED, "salesDetails", to=sales), "limited", to=limited))

    assert (unsold, sold_out) == (found.unsold, found.sold_out)


@pytest.mark.parametrize(
    ("path", "to", "reason"),
    [
        (("id",), MISSING, "id is 'None', not a GUID"),
        (("id",), "x" * 200, f"id is '{'x' * 60}', not a GUID"),
        (("id",), "\ud800", r"id is '\ud800', not a GUID"),
        (("eventId",), 7, "eventId is '7', not a GUID"),
        (("eventId",), None, "eventId is 'None', not a GUID"),
        (("salesDetails",), MISSING, "no salesDetails; the app needs the permission to manage ticket definitions"),
        (("salesDetails",), [], "no salesDetails"),
        (("salesDetails", "unsoldCount"), MISSING, "limited, but salesDetails has no unsoldCount"),
        (("salesDetails", "unsoldCount"), None, "limited, but salesDetails has no unsoldCount"),
        (("salesDetails", "unsoldCount"), "3", "unsoldCount is str, not a number"),
        (("salesDetails", "unsoldCount"), 3.0, "unsoldCount is float, not a number"),
        (("salesDetails", "unsoldCount"), True, "unsoldCount is bool, not a number"),
        (("salePeriod", "startDate"), "soon", "'soon' is not an ISO 8601 time"),
        (("salePeriod", "endDate"), 1768035600, "'1768035600' is not an ISO 8601 time"),
        (("salePeriod", "endDate"), "2026-13-01T00:00:00Z", "is not an ISO 8601 time"),
        (("pricingMethod",), {"pricingOptions": {"optionDetails": [{}]}}, "price is NoneType, not an object"),
        (("pricingMethod", "fixedPrice"), {}, "the price 'None' is not an amount of money"),
    ],
)
def test_malformed_definition_names_the_bad_member(path: tuple[str, ...], to: Any, reason: str) -> None:
    """A definition without the members that a counter needs is refused, and names the bad member, short and in ASCII."""
    with pytest.raises(Malformed) as caught:
        schema.definition(changed(FIXED, *path, to=to))

    assert reason in str(caught.value)
    assert str(caught.value).isascii()


@pytest.mark.parametrize("json_", [None, [], "text", 7])
def test_definition_that_is_no_object_is_refused(json_: Any) -> None:
    """A definition that is no object is refused by name."""
    with pytest.raises(Malformed, match=r"^ticketDefinition is \w+, not an object$"):
        schema.definition(json_)


def test_ids_are_lower_case() -> None:
    """Ids are equal in upper and lower case."""
    found = schema.definition({**FIXED, "id": TICKET.upper(), "eventId": EVENT.upper()})

    assert (TICKET, EVENT) == (found.id, found.event)


def test_facts_exclude_sales_and_edit_times() -> None:
    """Facts are the definition without what changes with sales and with every edit."""
    facts = schema.definition({**FIXED, "seatingDetails": {"places": []}}).facts

    gone = {"salesDetails", "limitPerCheckout", "revision", "updatedDate"}
    assert {name: value for name, value in FIXED.items() if name not in gone} == facts


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 50))
def test_sales_are_no_facts(unsold: int, sold: int, most: int) -> None:
    """However many are sold, the facts stay the same text, so that sync and notify do nothing."""
    sales = {"unsoldCount": unsold, "soldCount": sold, "reservedCount": 100 - sold, "soldOut": unsold == 0}
    moved = {"salesDetails": sales, "limitPerCheckout": most, "revision": str(sold), "updatedDate": str(unsold)}

    assert canonical(schema.definition(FIXED).facts) == canonical(schema.definition({**FIXED, **moved}).facts)


@given(st.integers(21, 10**6), st.integers(0, 10**6), st.integers(1, 50))
def test_numbers_above_the_threshold_are_redacted(unsold: int, sold: int, most: int) -> None:
    """Nothing in Wix's answer that reveals a number above SHOW_AT_MOST gets into the counter."""
    sales = {"unsoldCount": unsold, "soldCount": sold, "reservedCount": sold // 2, "soldOut": False}
    moved = {"salesDetails": sales, "limitPerCheckout": most, "revision": str(sold), "actualLimit": unsold + sold}
    rules = Rules(low_at=10, show_at_most=20)

    bodies = {
        counter_body(Counter.of(schema.definition({**FIXED, **one}), None, rules))
        for one in (moved, {"salesDetails": {"unsoldCount": 21}})
    }

    assert 1 == len(bodies)


@given(st.sampled_from(sorted(DEFINITIONS)), st.data())
def test_any_definition_is_parsed_or_malformed(name: str, data: st.DataObject) -> None:
    """Whatever replaces a member, a definition is parsed or refused as malformed, and can be serialised."""
    sample = DEFINITIONS[name]
    path = data.draw(st.sampled_from(paths(sample)))
    found: Definition | None = None
    with contextlib.suppress(Malformed):
        found = schema.definition(changed(sample, *path, to=data.draw(JSON)))

    if found is not None:
        text = "{" + counter_body(Counter.of(found, None, Rules()))
        assert text.encode()
        assert canonical(found.facts).encode()
        counter = json.loads(text)
        texts = [counter["name"], *counter["sale"].values(), *(one for p in counter["prices"] for one in p.values())]
        assert all(one is None or isinstance(one, str) for one in texts)


def test_position_sorts_as_the_page() -> None:
    """Tickets sort by `sortIndex`, which may be negative and counts as 0 where it is missing, then by age."""
    old, new = "2026-01-05T08:30:00.000Z", "2026-02-05T08:30:00.000Z"
    places = [(-(2**31), new), (-1, new), (None, old), (0, new), (1, old), (10, old), (2**31 - 1, old)]
    positions = []
    for index, created in places:
        one = {**FIXED, "createdDate": created}
        one.pop("sortIndex", None)
        positions.append(schema.definition(one if index is None else {**one, "sortIndex": index}).position)

    assert sorted(positions) == positions
    assert len(places) == len(set(positions))
