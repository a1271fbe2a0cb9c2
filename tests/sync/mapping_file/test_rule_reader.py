from typing import Any

import pytest

from server.sync.definition import CHOICES
from server.sync.mapping import CONVERTERS, Rule
from server.sync.mapping_file.kinds import kinds
from server.sync.mapping_file.rule_reader import RuleReader
from server.toml_file.faults import Faults

PATH = ("targets", "main", "fields")


def read(table: Any, *, of_options: bool = False) -> tuple[tuple[Rule, ...], list[str]]:
    faults = Faults("f", {})
    path = (*PATH[:-1], "options") if of_options else PATH
    rules = RuleReader(kinds()["pretix"], faults, path, of_options=of_options).rules(table)
    return rules, [text.removeprefix("f:1: ") for text in faults.texts()]


def test_rules() -> None:
    """A rule is a template, or says from which field, template or constant the value is, and how it is changed."""
    table = {
        "a": "{name}",
        "b": {"from": "name", "language": "de-formal"},
        "c": {"template": "{id}", "when": "create"},
        "d": {"value": 12},
        "e": {"from": "guest_price", "as": "is_set", "values": {"yes": "a", "no": False}},
    }

    assert (
        (
            Rule("a", template="{name}"),
            Rule("b", source="name", language="de-formal"),
            Rule("c", template="{id}", initial=True),
            Rule("d", constant=12),
            Rule("e", source="guest_price", convert="is_set", values={"yes": "a", "no": False}),
        ),
        [],
    ) == read(table)


def test_rules_of_options() -> None:
    """A rule of an option may use the option's fields and the ticket's, and needs no Wix id in its name."""
    table = {"value": "{name} {option.name}", "default_price": {"from": "option.price"}, "internal_name": "x"}

    rules, faults = read(table, of_options=True)
    assert (list(table), []) == ([rule.name for rule in rules], faults)


CONVERTER_NAMES = ", ".join(sorted(CONVERTERS))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"from": "prise"}, 'f: a definition has no "prise". Did you mean price?'),
        ({"from": "policyText"}, 'f: a definition has no "policyText". Did you mean policy_text?'),
        ({"from": 3}, "f: a definition has no 3."),
        ({"from": ["name"]}, "f: a definition has no"),
        (
            {"from": "option.price"},
            "f: option.price is a field of each option: it belongs into [targets.main.options]",
        ),
        ("{nme}", 'f: a definition has no "nme". Did you mean name?'),
        ("{}", 'f: a definition has no "".'),
        ("{option.name}", "f: option.name is a field of each option"),
        ("{name", "f: a brace is not closed or not opened; a brace itself is written {{ or }}"),
        ("{name!r}", "f: only the name of a field stands between braces"),
        ({"template": 3}, "f: a template is a text"),
        ({"from": "name", "value_s": {}}, 'f: a rule has no "value_s". Did you mean values?'),
        ({"from": "name", "as": "txt"}, 'f: there is no converter "txt". Did you mean text?'),
        ({"from": "name", "as": "xyz"}, f'f: there is no converter "xyz". There are {CONVERTER_NAMES}.'),
        ({"from": "name", "as": ["text"]}, "f: there is no converter"),
        ({"from": "name", "as": "not"}, "f: `not` takes yes or no, which name is not"),
        ({}, "f: it needs one of from, template and value, and has none"),
        ({"from": "name", "value": 1}, "f: it needs one of from, template and value, and has from and value"),
        ({"value": 1, "as": "text"}, "f: as can only stand beside `from`"),
        ({"template": "x", "values": {"a": 1}}, "f: values can only stand beside `from`"),
        ({"value": 1.5}, "f: a value is a text, a whole number, true or false; a price and a time are texts"),
        ({"value": [1]}, "f: a value is a text"),
        (True, 'f: it needs where the value is from, such as { from = "name" }; a constant is { value = … }'),
        ({"from": "name", "values": {}}, 'f: values is a table such as { yes = "info", no = "hide" }'),
        ({"from": "name", "values": "x"}, "f: values is a table such as"),
        ({"from": "name", "values": {"a": 1.5}}, "f: a value is a text"),
        ({"from": "hidden", "values": {"yes": 1}}, "f: values has nothing for no"),
        ({"from": "price", "as": "is_set", "values": {"no": 1}}, "f: values has nothing for yes"),
        (
            {"from": "hidden", "values": {"yes": 1, "no": 2, "true": 3}},
            'f: values: "true" never occurs. There are no, yes.',
        ),
        (
            {"from": "sale.status", "values": {"SALE_STARTED": 1, "SALE_ENDED": 2, "SALE_SCHEDULD": 3}},
            'f: values: "SALE_SCHEDULD" never occurs. Did you mean SALE_SCHEDULED?',
        ),
        (
            {"from": "sale.status", "values": {"SALE_STARTED": 1}},
            "f: values has nothing for SALE_SCHEDULED, SALE_ENDED",
        ),
        ({"from": "name", "language": "English"}, 'f: "English" is not a language such as en or de-formal'),
        ({"from": "name", "language": 1}, "f: 1 is not a language"),
        ({"from": "name", "when": "always"}, 'f: when is "always"; it can only be "create", or be left out'),
    ],
)
def test_faults_of_a_rule(rule: Any, says: str) -> None:
    """A rule that is wrong is told with its name and the cure, and is none."""
    rules, faults = read({"f": rule})

    assert () == rules
    assert [] != [text for text in faults if text.startswith(says)], faults


@pytest.mark.parametrize(
    "rule", [{"from": "name"}, {"value": "wix:{id}"}, "{name}", "wix:{name}", "wix: {id}", "wix:{{id}}", "{name} {id}"]
)
def test_name_without_the_id(rule: Any) -> None:
    """The field by which sync finds a record must hold wix:{id}."""
    rules, faults = read({"internal_name": rule})

    assert () == rules
    assert ["internal_name: it must be a text that holds wix:{id}"] == [text.partition(", such")[0] for text in faults]


@pytest.mark.parametrize("rule", ["wix:{id}", "{name} · wix:{id}", {"template": "wix:{id}", "when": "create"}])
def test_name_with_the_id(rule: Any) -> None:
    """The field by which sync finds a record may hold anything else beside wix:{id}."""
    assert [] == read({"internal_name": rule})[1]


def test_several_faults_of_a_rule() -> None:
    """All faults of all rules are told at once; one that is in the braces of the name is told once."""
    _, faults = read({"a": {"from": "x.y", "as": "z"}, "internal_name": "wix:{id"})

    assert ["a: a definition has no", "a: there is no converter", "internal_name: a brace"] == [
        " ".join(text.split()[: 5 if text.startswith("a") else 3]) for text in faults
    ]


@pytest.mark.parametrize(("name", "of_options"), [("meta_data", False), ("variations", False), ("meta_data", True)])
def test_field_of_the_id(name: str, of_options: bool) -> None:
    """A field that sync itself writes cannot be mapped."""
    rules, faults = read({name: {"from": "id"}}, of_options=of_options)

    assert () == rules
    assert [(name, " it cannot be mapped")] == [tuple(text.split(":")[:2]) for text in faults]


def test_values_that_may_be_anything() -> None:
    """`values` of a text that may be anything needs no certain keys; that of a text with known ones needs all."""
    every = {key: key.lower() for key in CHOICES["fee_type"]}

    assert [] == read({"a": {"from": "name", "values": {"Gala": "G"}}})[1]
    assert [] == read({"a": {"from": "fee_type", "values": every}})[1]
    assert [] == read({"a": {"from": "fee_type", "as": "text", "values": every}})[1]


@pytest.mark.parametrize("table", ["x", ["x"], 3])
def test_table_that_is_none(table: Any) -> None:
    """What is no table is told with how a table is written."""
    assert ((), ["fields is a table: [targets.main.fields]"]) == read(table)
