from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from server.model import EventId, TicketId
from server.sync.definition import Source, SourceOption
from server.sync.mapping import CONVERTERS, Mode, OnDelete, Quota, Rule, TargetSettings, filled, key_of, names_in
from server.sync.model import NOT_KNOWN, Reason, Unfit, Value, Wanted, WantedOption

TICKET = TicketId("11111111-aaaa-4aaa-8aaa-000000000001")
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=20)


def target(*rules: Rule, **more: Any) -> TargetSettings:
    settings: dict[str, Any] = {
        "name": "main",
        "kind": "pretix",
        "url": "https://tickets.example.org",
        "secret": SecretStr("hunter2hunter2"),
        "events": {"spring-gala": "ev1"},
        "rules": rules,
    }
    return TargetSettings(**{**settings, **more})


def definition(*options: SourceOption, **known: Value) -> Source:
    found = {"id": TICKET, "name": "Gala", **{name.replace("__", "."): value for name, value in known.items()}}
    return Source(TICKET, EventId("e"), "Gala", found, options, frozenset({"EUR"}))


def wanted(settings: TargetSettings, source: Source) -> Wanted:
    found = settings.wanted(source)
    assert isinstance(found, Wanted)
    return found


def unfit(settings: TargetSettings, source: Source) -> Unfit:
    found = settings.wanted(source)
    assert isinstance(found, Unfit)
    return found


def test_each_way_to_a_value() -> None:
    """A field comes from a field, a template or a constant, through a converter and a list of values."""
    settings = target(
        Rule("title", source="name"),
        Rule("internal_name", template="{name} · wix:{id}"),
        Rule("hall", constant="HALL-1"),
        Rule("active", source="hidden", convert="not"),
        Rule("mode", source="sale.shown_when_closed", values={"yes": "info", "no": "hide"}),
        Rule("kind", source="guest_price", convert="is_set", values={"yes": 1, "no": 2}),
    )

    assert Wanted(
        TICKET,
        "Gala",
        {
            "title": "Gala",
            "internal_name": f"Gala · wix:{TICKET}",
            "hall": "HALL-1",
            "active": True,
            "mode": "hide",
            "kind": 2,
        },
        currencies=frozenset({"EUR"}),
    ) == wanted(settings, definition(hidden=False, sale__shown_when_closed=False, guest_price=None))


def test_not_known_writes_nothing() -> None:
    """A field of which Wix said nothing is left out, through converters, lists and templates too; no value is a value."""
    settings = target(
        Rule("end", source="sale.end"),
        Rule("limit", source="limit"),
        Rule("free", source="guest_price", convert="is_set"),
        Rule("active", source="hidden", convert="not"),
        Rule("mode", source="sale.status", values={"SALE_ENDED": "hide"}),
        Rule("text", template="{name} until {sale.end}, {event.title}"),
        Rule("created", source="created", initial=True),
    )

    assert ({"end": None}, {}) == (
        wanted(settings, definition(sale__end=None)).fields,
        wanted(settings, definition()).fields,
    )
    assert {} == wanted(settings, definition()).initial


def test_initial_fields_stand_apart() -> None:
    """What is written only when the record is created is not among the fields that are compared."""
    found = wanted(target(Rule("a", source="name"), Rule("b", source="name", initial=True)), definition())

    assert ({"a": "Gala"}, {"b": "Gala"}) == (found.fields, found.initial)


def test_options() -> None:
    """Each option gets the fields of its own rules, which may name fields of the ticket too."""
    settings = target(options=(Rule("value", template="{name}: {option.name}"), Rule("price", source="option.price")))
    options = [
        SourceOption(f"o{number}", name, {"option.name": name, "option.price": price})
        for number, (name, price) in enumerate({"Adult": "20.00", "Child": "8.50"}.items())
    ]

    assert (
        WantedOption("o0", "Adult", {"value": "Gala: Adult", "price": "20.00"}),
        WantedOption("o1", "Child", {"value": "Gala: Child", "price": "8.50"}),
    ) == wanted(settings, definition(*options)).options


@pytest.mark.parametrize("ids", [("a", "a"), ("a", "")])
def test_options_that_cannot_be_told_apart(ids: tuple[str, str]) -> None:
    """A ticket of which an option has no id, or the id of another, is not brought to a target."""
    found = unfit(target(), definition(*(SourceOption(one, "", {}) for one in ids)))

    assert Reason.MAPPING is found.reason
    assert "cannot be told apart" in found.text


@pytest.mark.parametrize(
    ("quota", "known", "limit"),
    [
        (Quota.LIMIT, {"limit": 100, "unsold": 3}, 100),
        (Quota.UNSOLD, {"limit": 100, "unsold": 3}, 3),
        (Quota.UNSOLD, {"limit": 100, "unsold": 0}, 0),
        (Quota.UNSOLD, {"limit": None, "unsold": None}, None),
        (Quota.UNSOLD, {"limit": 100}, NOT_KNOWN),
        (Quota.LIMIT, {"unsold": 3}, NOT_KNOWN),
    ],
)
def test_quota(quota: Quota, known: dict[str, Value], limit: Any) -> None:
    """With quota = "unsold" what is mapped from the limit gets what is left; what is not known is left out."""
    found = wanted(target(Rule("size", source="limit"), quota=quota), definition(**known))

    assert limit == found.fields.get("size", NOT_KNOWN)


def test_value_that_is_not_listed() -> None:
    """A value that `values` does not have parks the ticket, and the text names field, value, source and cure."""
    settings = target(Rule("mode", source="sale.status", values={"SALE_STARTED": "on"}))

    found = unfit(settings, definition(sale__status="SALE_PAUSED"))

    assert (TICKET, "Gala", Reason.MAPPING) == (found.ticket, found.name, found.reason)
    assert 'mode: `values` has nothing for "SALE_PAUSED", which is what sale.status is' == found.text
    assert "change mode in [targets.main.fields] of the mapping file, or the ticket in Wix" == found.cure


def test_value_that_cannot_be_converted() -> None:
    """A value that a converter does not take parks the ticket, for an option too; a long one is cut."""
    settings = target(
        Rule("row", source="name", convert="number"), options=(Rule("p", source="option.name", convert="number"),)
    )
    option = SourceOption("o", "x", {"option.name": "x" * 100})

    assert 'row: `number` takes a whole number, and name is "Gala"' == unfit(settings, definition()).text
    found = unfit(replace(settings, rules=()), definition(option))
    assert f'p: `number` takes a whole number, and option.name is "{"x" * 39}…"' == found.text
    assert "[targets.main.options]" in found.cure


@pytest.mark.parametrize(
    ("name", "value", "converted"),
    [
        ("is_set", None, False),
        ("is_set", "", False),
        ("is_set", "5.00", True),
        ("is_set", 0, True),
        ("is_set", False, True),
        ("not", True, False),
        ("not", False, True),
        ("text", None, None),
        ("text", True, "yes"),
        ("text", False, "no"),
        ("text", 12, "12"),
        ("text", "a", "a"),
        ("number", None, None),
        ("number", "12", 12),
        ("number", "12.00", 12),
        ("number", "-3", -3),
        ("number", 7, 7),
        ("decimal", None, None),
        ("decimal", "8.5", "8.50"),
        ("decimal", 12, "12.00"),
        ("decimal", "-0.5", "-0.50"),
        ("decimal", "1.2345", "1.2345"),
        ("time", None, None),
        ("time", "2027-03-01T19:00:00+01:00", "2027-03-01T18:00:00Z"),
    ],
)
def test_converters(name: str, value: Value, converted: Value) -> None:
    """Each converter gives the value in its form."""
    found = CONVERTERS[name](value)

    assert (converted, type(converted)) == (found, type(found))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("not", value) for value in (None, "yes", 0)),
        *(("number", value) for value in ("", "12.50", "1e3", "x", True, "1" * 30)),
        *(("decimal", value) for value in ("", "1e3", "12.", "NaN", True, "9" * 30)),
        *(("time", value) for value in ("", "soon", True)),
    ],
)
def test_converters_refuse(name: str, value: Value) -> None:
    """What a converter does not take is refused, with what it takes."""
    if (name, value) == ("time", ""):
        assert CONVERTERS[name](value) is None
        return
    with pytest.raises(ValueError, match=f"`{name}` takes"):
        CONVERTERS[name](value)


@given(st.sampled_from(sorted(CONVERTERS)), VALUES)
def test_converters_are_stable(name: str, value: Value) -> None:
    """A converted value, converted again, stays as it is; but for `not` and `is_set`, whose answer is yes or no."""
    try:
        once = CONVERTERS[name](value)
    except ValueError:
        return

    assert isinstance(once, bool) if name in {"not", "is_set"} else once == CONVERTERS[name](once)


@pytest.mark.parametrize(
    ("template", "names", "text"),
    [
        ("{name} · wix:{id}", ("name", "id"), f"Gala · wix:{TICKET}"),
        ("{{name}} {name}", ("name",), "{name} Gala"),
        ("plain", (), "plain"),
        ("", (), ""),
        ("{sale.end}.", ("sale.end",), "."),
        ("{hidden}", ("hidden",), "yes"),
        ("{description}", ("description",), "{id} {{"),
    ],
)
def test_templates(template: str, names: tuple[str, ...], text: str) -> None:
    """A template has names of fields between braces; a field without a value is empty, and braces in a value stay."""
    known: dict[str, Value] = {"name": "Gala", "id": TICKET, "sale.end": None, "hidden": True, "description": "{id} {{"}

    assert (names, text) == (names_in(template), filled(template, known))


@pytest.mark.parametrize(
    "template", ["{name", "name}", "{name!r}", "{name:>9}", "{", "}", "{{{name}}", "{a{b}}", "{:}}"]
)
def test_templates_that_cannot_be_read(template: str) -> None:
    """A template with a single brace, or with more than a name between braces, is refused with the way to write a brace."""
    with pytest.raises(ValueError, match=r"a brace itself is written \{\{ or \}\}"):
        names_in(template)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_fills_a_template(text: str, name: str) -> None:
    """Any text, with its braces doubled, comes out of a template as it is, and so does any value."""
    template = text.replace("{", "{{").replace("}", "}}") + "{name}"

    assert text + name == filled(template, {"name": name})


@pytest.mark.parametrize(("value", "key"), [(True, "yes"), (False, "no"), (None, "none"), (3, "3"), ("A", "A")])
def test_keys_of_values(value: Value, key: str) -> None:
    """In `values` yes and no stand for true and false, none for no value, and all else for itself."""
    assert key == key_of(value)
    assert "found" == Rule("f", source="s", values={key: "found"}).value({"s": value})


OTHERS: dict[str, Any] = {
    "name": "other",
    "kind": "http",
    "url": "https://other.example",
    "secret": SecretStr("another"),
    "events": {"spring-gala": "ev2"},
    "rules": (Rule("a", source="id"),),
    "options": (Rule("a", source="option.id"),),
    "left_out": {"policyText": "why"},
    "mode": Mode.OBSERVE,
    "quota": Quota.UNSOLD,
    "on_delete": OnDelete.DELETE,
    "max_deactivate": 4,
    "requests_per_minute": 30,
    "allow_http": True,
    "allow_private": True,
    "secret_env": "OTHER_TOKEN",
    "own": {"organizer": "other"},
}


def test_digest_changes_with_everything() -> None:
    """The digest changes with each setting and with the secret, is the same for the same, and shows no secret."""
    first = target(Rule("a", source="name"))
    digests = {first.digest, *(replace(first, **{name: value}).digest for name, value in OTHERS.items())}

    assert {one.name for one in fields(TargetSettings)} == set(OTHERS)
    assert len(OTHERS) + 1 == len(digests)
    assert first.digest == target(Rule("a", source="name")).digest
    assert [] == [one for one in (*digests, repr(first)) if "hunter2" in one]


def test_digest_of_each_part_of_a_rule() -> None:
    """The digest changes with each part of a rule, so that parked tickets are tried again."""
    rule = Rule("a", source="name")
    changes: dict[str, Any] = {
        "name": "b",
        "source": "id",
        "template": "{id}",
        "constant": 1,
        "convert": "text",
        "values": {"a": 1},
        "language": "en",
        "initial": True,
    }

    assert {one.name for one in fields(Rule)} == set(changes)
    assert len(changes) + 1 == len(
        {target(rule).digest, *(target(replace(rule, **{name: to})).digest for name, to in changes.items())}
    )


def test_sources_of_a_rule() -> None:
    """A rule tells which fields of a definition it needs."""
    assert [("name",), ("name", "id"), ()] == [
        rule.sources for rule in (Rule("a", source="name"), Rule("a", template="{name}{id}"), Rule("a", constant=1))
    ]


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://tickets.example.org", "tickets.example.org"),
        ("https://Tickets.example.org/", "tickets.example.org"),
        ("http://127.0.0.1:8345/shop/", "127.0.0.1_8345_shop"),
    ],
)
def test_targets_on_one_server_share_its_leases(url: str, server: str) -> None:
    """The address names the leases, however it is written: two organizers of one pretix take turns."""
    assert server == target(url=url).server
