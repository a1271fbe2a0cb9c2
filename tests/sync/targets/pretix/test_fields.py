"""Values in pretix's form: what is written and what is read are equal."""

from typing import Any

import pytest

from server.model import TicketId
from server.sync.mapping import Rule
from server.sync.model import Fields, Reason, TargetEvent, Unfit, Value, Wanted, WantedOption
from server.sync.targets.pretix.fields import (
    Languages,
    any_text,
    fit,
    marked,
    names_in,
    price,
    read,
    shortened,
    text_in,
    unknown,
    unmarked,
    written,
)

ID = TicketId("11111111-2222-4333-8444-555555555555")
LANGUAGES = Languages.of([Rule("name", "name", language="de")], [Rule("value", "option.name", language="fr")])
EUR = TargetEvent("ev1", "Gala", "EUR")


def ticket(
    currencies: frozenset[str] = frozenset({"EUR"}), options: tuple[WantedOption, ...] = (), **fields: Any
) -> Wanted:
    """A ticket with only these fields."""
    return Wanted(ID, "Seat", fields, {}, options, currencies)


def fitted(one: Wanted, event: TargetEvent = EUR) -> Fields:
    """Its fields in pretix's form."""
    found = fit(one, event, LANGUAGES)
    assert isinstance(found, Wanted), found
    return found.fields


def unfit(one: Wanted, event: TargetEvent = EUR) -> Unfit:
    """Why it has none."""
    found = fit(one, event, LANGUAGES)
    assert isinstance(found, Unfit), found
    return found


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("default_price", "18.5", "18.50"),
        ("default_price", "0", "0.00"),
        ("default_price", "1e2", "100.00"),
        ("default_price", "18.500", "18.50"),
        ("original_price", None, None),
        ("available_from", "2027-03-01T18:00:00+02:00", "2027-03-01T16:00:00Z"),
        ("available_from", "2027-03-01T18:00:00.000Z", "2027-03-01T18:00:00Z"),
        ("available_until", "", None),
        ("available_until", None, None),
        ("description", None, ""),
        ("name", " a\0b ", " ab "),
        ("checkin_text", " a\0b ", "ab"),
        ("position", -3, -3),
        ("position", 3_000_000_000, 2_147_483_647),
        ("limit", None, None),
        ("limit", -1, 0),
        ("limit", 3_000_000_000, 2_147_483_647),
        ("free_price", True, True),
        ("category", 7, 7),
    ],
)
def test_one_form_of_each_value(name: str, value: Value, shown: Value) -> None:
    """A value has the form in which pretix answers it, so a plan compares equal with equal."""
    fields: dict[str, Any] = {name: value}

    assert {name: shown} == fitted(ticket(**fields))


@pytest.mark.parametrize(
    ("json", "fields"),
    [
        ({"name": {"de": "Platz", "en": "Seat"}}, {"name": "Platz"}),
        ({"name": {"en": "Seat"}, "description": None}, {"name": "", "description": ""}),
        ({"description": {}}, {"description": ""}),
        ({"description": {"en": ""}}, {"description": ""}),
        ({"internal_name": None, "checkin_text": ""}, {"internal_name": "", "checkin_text": ""}),
        ({"default_price": "5.00", "original_price": None}, {"default_price": "5.00", "original_price": None}),
        ({"available_from": "2027-03-01T18:00:00+02:00"}, {"available_from": "2027-03-01T16:00:00Z"}),
        ({"meta_data": {"a": "b"}, "variations": [], "addons": [], "id": 7, "picture": None}, {}),
        ({"active": True, "position": 0, "category": None}, {"active": True, "position": 0, "category": None}),
    ],
)
def test_what_pretix_answers(json: dict[str, Any], fields: Fields) -> None:
    """What pretix answers is read in the same form; what is no single value is none of the fields."""
    assert fields == read(json, LANGUAGES.items)


def test_languages() -> None:
    """Each text has the language of its rule, and where it has none that of the target, which is English if it does not say."""
    assert {"name": "de", "description": "it"} == Languages.of([Rule("name", "name", language="de")], [], "it").items
    assert ({"name": "de", "description": "en"}, {"value": "fr", "description": "en"}) == (
        LANGUAGES.items,
        LANGUAGES.options,
    )
    assert ("Platz", "") == (text_in({"de": "Platz"}, "de"), text_in({"de": "Platz"}, "en"))
    assert ("Platz", "Platz", "") == (any_text({"de": "Platz"}, "en"), any_text("Platz", "en"), any_text(None, "en"))


def test_other_languages_are_sent_again() -> None:
    """A text is written with all languages that pretix has of it, since it replaces them all; other values as they are."""
    has = {"name": {"de": "Platz", "en": "Seat"}, "description": None}

    assert {"de": "Loge", "en": "Seat"} == written("name", "Loge", has, LANGUAGES.items)
    assert {"en": "Rows"} == written("description", "Rows", has, LANGUAGES.items)
    assert "5.00" == written("default_price", "5.00", has, LANGUAGES.items)


@pytest.mark.parametrize(
    ("one", "event", "says"),
    [
        (ticket(frozenset({"USD"})), EUR, "in USD, and the event ev1 of pretix is in EUR"),
        (ticket(frozenset({"EUR", "USD"})), EUR, "several currencies: EUR, USD"),
        (ticket(default_price="1.005"), EUR, "default_price: 1.005 has more decimals than EUR"),
        (ticket(frozenset({"JPY"}), default_price="500.50"), TargetEvent("ev1", "", "JPY"), "more decimals than JPY"),
        (
            ticket(frozenset({"KWD"}), (WantedOption("1", "", {"default_price": "1.125"}),)),
            TargetEvent("ev1", "", "KWD"),
            "more decimals than KWD has in pretix",
        ),
    ],
)
def test_currencies(one: Wanted, event: TargetEvent, says: str) -> None:
    """Another currency, several, and more decimals than pretix has of it are conflicts that say what to do."""
    found = unfit(one, event)

    assert Reason.CURRENCY is found.reason
    assert says in found.text
    assert found.cure


def test_prices_without_decimals() -> None:
    """A price of a currency without decimals fits, in the form in which pretix answers it."""
    assert {"default_price": "500.00"} == fitted(
        ticket(frozenset({"JPY"}), default_price="500.00"), TargetEvent("ev1", "", "JPY")
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"default_price": "free"}, "default_price: 'free' is no price"),
        ({"default_price": "Infinity"}, "default_price: Infinity is no price"),
        ({"available_from": "tomorrow"}, "available_from: "),
        ({"internal_name": "Seat"}, f"internal_name does not hold wix:{ID}"),
    ],
)
def test_what_no_item_has(fields: dict[str, Any], says: str) -> None:
    """A value that pretix's field cannot have is told."""
    found = unfit(ticket(**fields))

    assert Reason.MAPPING is found.reason
    assert found.text.startswith(says)


def rules(*names: str) -> list[Rule]:
    return [Rule(name, "name") for name in names]


def test_unknown_fields() -> None:
    """All fields of a mapping that pretix does not have, or lets nobody write, are told with their table, and with one that is like it."""
    told = {"name": {}, "default_price": {}, "require_bundling": {"read_only": True}, "picture": {}}
    variations = {"child": {"children": {"value": {}, "id": {"read_only": True}}}}
    names = names_in({"actions": {"POST": {**told, "variations": variations}}})

    assert (frozenset({"name", "default_price", "limit"}), frozenset({"value"})) == names
    assert () == unknown(rules("name", "default_price", "limit"), rules("value"), names)
    assert (
        "geheim in [fields]",
        "defualt_price in [fields] (did you mean default_price?)",
        "require_bundling in [fields]",
        "variations in [fields]",
        "limit in [options]",
        "Value in [options] (did you mean value?)",
    ) == unknown(
        rules("name", "geheim", "defualt_price", "require_bundling", "variations"), rules("limit", "Value"), names
    )


def test_fields_that_are_not_known() -> None:
    """Where pretix does not tell its fields, only those are unknown that no mapping can write."""
    assert names_in({}) is None
    assert names_in({"actions": {"POST": {"name": {}}}}) is None
    assert ("meta_data in [fields]",) == unknown(rules("geheim", "meta_data", "limit"), rules("value"), None)


def test_options_and_initial_fields() -> None:
    """Options and what is written only once are brought into the same form; a variation has no place below 0."""
    one = Wanted(
        ID, "Seat", {}, {"default_price": "1"}, (WantedOption("1", "Adult", {"default_price": "2", "position": -1}),)
    )

    found = fit(one, EUR, LANGUAGES)

    assert isinstance(found, Wanted)
    assert {"default_price": "1.00"} == found.initial
    assert {"default_price": "2.00", "position": 0} == found.options[0].fields


@pytest.mark.parametrize(
    ("internal_name", "shown"),
    [
        (f"Seat · wix:{ID}", f"Seat · wix:{ID}"),
        (f"{'n' * 300} · wix:{ID}", f"{'n' * 212} · wix:{ID}"),
        (f"wix:{ID}", f"wix:{ID}"),
        (f"wix:{ID} {'n' * 300}", f"wix:{ID} {'n' * 214}"),
        (f"{'n' * 300}wix:{ID}{'m' * 300}", f"wix:{ID}{'m' * 215}"),
        (f"  Seat · wix:{ID}  ", f"Seat · wix:{ID}"),
    ],
)
def test_internal_names_are_cut(internal_name: str, shown: str) -> None:
    """An internal name has at most 255 characters, and always the whole id."""
    assert shown == shortened(internal_name, ID)
    assert 255 >= len(shown)


def test_marks() -> None:
    """The id is added to an internal name and taken from it, with what stands between, and nothing else of it."""
    assert f"Seat · wix:{ID}" == marked("Seat", ID)
    assert 255 == len(marked("n" * 300, ID))
    assert ("Seat", "Seat", "", "Seat (hall)") == (
        unmarked(f"Seat · wix:{ID}", ID),
        unmarked("Seat", ID),
        unmarked(f"wix:{ID}", ID),
        unmarked(f"Seat · wix:{ID} (hall)", ID),
    )
    assert f"Seat · wix:{ID}" == unmarked(f"Seat · wix:{ID}", "")


@pytest.mark.parametrize(("value", "shown"), [("0", "0.00"), ("1E+2", "100.00"), ("-1", "-1.00"), ("0.125", "0.125")])
def test_prices(value: str, shown: str) -> None:
    """A price is written without an exponent and with two decimals or more."""
    assert shown == price(value)
