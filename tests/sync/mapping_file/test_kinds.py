from pathlib import Path
from typing import Any

import pytest

from server.model import TicketId
from server.sync.definition import FIELDS, OPTION_FIELDS
from server.sync.mapping_file.kinds import kinds
from server.sync.mapping_file.rule_reader import RuleReader
from server.sync.model import TargetEvent, Wanted
from server.sync.targets import KINDS
from server.sync.targets.pretix.fields import NOT_MAPPED
from server.toml_file.faults import Faults
from tests.rig.sync_file import HTTP, PRETIX, target_of

SHIPPED = sorted(kinds())


class Csv:
    """A target with its own mapping, as one that is added by others."""

    OWN_SETTINGS = frozenset({"folder", "separator"})
    DEFAULTS = """
    id_in = ["label"]
    [settings]
    folder = "tickets"
    [reserved]
    key = "it is the Wix id"
    [reserved_options]
    key = "it is the option's Wix id"
    [fields]
    label = "wix:{id}"
    [options]
    label = { from = "option.name" }
    [left_out]
    policyText = "too long"
    """


def test_kind_of_a_class() -> None:
    """A class brings its mapping and its further settings along, and needs no file."""
    found = kinds({"csv": Csv})["csv"]

    assert ("csv", None, False) == (found.name, found.secret, found.adds_fields)
    assert (frozenset({"label"}), {"folder": "tickets"}) == (found.id_in, found.settings)
    assert frozenset({"separator"}) == found.optional
    assert ({"key": "it is the Wix id"}, {"key": "it is the option's Wix id"}) == (
        found.reserved,
        found.reserved_options,
    )
    assert ({"label": "wix:{id}"}, {"label": {"from": "option.name"}}, {"policyText": "too long"}) == (
        found.fields,
        found.options,
        found.left_out,
    )


def test_shipped_kinds() -> None:
    """Every TOML file beside the targets is a kind, and every class that is shipped has one."""
    folder = Path(kinds.__code__.co_filename).parents[1] / "targets"

    assert ["http", "pretix"] == SHIPPED == sorted(path.stem for path in folder.glob("*.toml"))
    assert set(KINDS) == set(SHIPPED)
    assert [("token_env", False), ("secret_env", True)] == [
        (kinds()[name].secret, kinds()[name].adds_fields) for name in ("pretix", "http")
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_rules_can_be_read(name: str) -> None:
    """Each rule that is shipped is right."""
    kind = kinds()[name]
    faults = Faults("f", {})
    for of_options, table in ((False, kind.fields), (True, kind.options)):
        rules: Any = RuleReader(kind, faults, ("x", "y"), of_options=of_options).rules(table)
        assert list(table) == [rule.name for rule in rules]

    assert [] == faults.texts()


def test_http_sends_every_field() -> None:
    """The JSON of signed HTTP has every field of a definition but the id, and every field of an option but its id."""
    kind = kinds()["http"]

    assert set(FIELDS) - {"id"} == {rule["from"] for rule in kind.fields.values()}
    assert set(OPTION_FIELDS) - {"option.id"} == {rule["from"] for rule in kind.options.values()}


async def test_classes_take_the_shipped_mappings(tmp_path: Path) -> None:
    """The class of each kind takes a target that has nothing but the shipped mapping."""

    async def pay() -> None: ...

    for text in (PRETIX, HTTP):
        settings = target_of(tmp_path, text)
        target = KINDS[settings.kind](settings, pay)
        wanted = Wanted(TicketId("t"), "Gala", {"internal_name": "wix:t", "active": True})
        assert isinstance(target.fit(wanted, TargetEvent("ev1", "Gala", "EUR")), Wanted)
        await target.aclose()


def test_fields_that_targets_refuse_are_reserved() -> None:
    """A field that a target could not write is refused when the file is read, and not with each ticket."""
    pretix, http = kinds()["pretix"], kinds()["http"]

    assert set(NOT_MAPPED) <= set(pretix.reserved)
    assert [] == [
        why for one in (pretix, http) for why in (*one.reserved.values(), *one.reserved_options.values()) if not why
    ]
    assert set() == {name for one in (pretix, http) for name in one.fields if name in one.reserved}


def test_example_of_a_variable() -> None:
    """The example of a variable's name is made from the target's name and what its secret is."""
    assert ("PRETIX_MAIN_TOKEN", "BOX_2_SECRET") == (
        kinds()["pretix"].variable("pretix-main"),
        kinds()["http"].variable("box-2"),
    )
