import json
from pathlib import Path
from typing import Any

import pytest

from server.model import EventId, TicketId
from server.sync.definition import FIELDS, MEMBERS, source
from server.sync.mapping import Rule, TargetSettings
from server.sync.mapping_file.fields_reader import LEAVABLE
from server.sync.mapping_file.kinds import kinds
from server.sync.model import Wanted
from tests.rig.sync_file import HTTP, PRETIX, faults_of, target_of

SAMPLES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "samples" / "definitions.json").read_text()
)
SHIPPED = {"pretix": PRETIX, "http": HTTP}

REST = """
[targets.main.left_out]
description = "no"
hidden = "no"
pricingMethod = "no"
initialLimit = "no"
salePeriod = "no"
sortIndex = "no"
"""


def names(rules: tuple[Rule, ...]) -> list[str]:
    return [rule.name for rule in rules]


@pytest.mark.parametrize("kind", sorted(SHIPPED))
def test_every_member_is_mapped_or_left_out(tmp_path: Path, kind: str) -> None:
    """Each member of Wix's samples is mapped by the shipped mapping, or left out with a reason, or needs no mapping."""
    found = target_of(tmp_path, SHIPPED[kind])
    used = {FIELDS[name] for rule in found.rules for name in rule.sources}
    members = {member for sample in SAMPLES.values() for member in sample}

    assert set() == members - used - set(found.left_out) - set(MEMBERS)
    assert set() == used & set(found.left_out)
    assert set(LEAVABLE) == (used | set(found.left_out)) - set(MEMBERS)
    assert all(reason.strip() for reason in (*found.left_out.values(), *MEMBERS.values()))


@pytest.mark.parametrize("kind", sorted(SHIPPED))
@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_every_sample_has_a_wanted_record(tmp_path: Path, kind: str, sample: str) -> None:
    """The shipped mappings have a value for each field of each sample of Wix, as far as it is known."""
    found = target_of(tmp_path, SHIPPED[kind])
    facts = SAMPLES[sample]
    read = source(TicketId(facts["id"]), EventId(facts["eventId"]), facts, unsold=3, read_at=1.0)

    wanted = found.wanted(read)
    assert isinstance(wanted, Wanted)
    of_event = {"event_slug", "event_registration", "event_registration_paused"}
    assert set(names(found.rules)) == {*wanted.fields, *wanted.initial, *(of_event if kind == "http" else ())}
    assert [set(names(found.options))] * len(wanted.options) == [set(one.fields) for one in wanted.options]


def test_wanted_of_the_shipped_pretix_mapping(tmp_path: Path) -> None:
    """What the shipped mapping makes of a ticket for pretix, in full."""
    facts = SAMPLES["options"]
    wanted = target_of(tmp_path, PRETIX).wanted(source(TicketId(facts["id"]), EventId(facts["eventId"]), facts))

    assert isinstance(wanted, Wanted)
    assert {
        "name": "Family day",
        "internal_name": f"Family day · wix:{facts['id']}",
        "default_price": "20.00",
        "free_price": False,
        "available_from": "2026-01-10T09:00:00Z",
        "available_from_mode": "info",
        "available_until": "2026-06-20T18:00:00Z",
        "available_until_mode": "info",
        "active": True,
        "limit": 60,
        "position": 0,
    } == wanted.fields
    assert {"description": "Fictional ticket.", "admission": True} == wanted.initial
    assert [
        {"value": "Adult", "default_price": "20.00", "position": 0},
        {"value": "Child", "default_price": "8.50", "position": 1},
        {"value": "Toddler", "default_price": "0.00", "position": 2},
    ] == [one.fields for one in wanted.options]


def test_own_tables_replace_the_shipped(tmp_path: Path) -> None:
    """`fields` and `options` of the file replace those of the kind, each by itself."""
    shipped = target_of(tmp_path, PRETIX)
    fields = f'{PRETIX}fields = {{ internal_name = "wix:{{id}}", name = {{ from = "name" }} }}\n{REST}'.replace(
        "pricingMethod", "#"
    )
    options = f'{PRETIX}[targets.main.options]\nvalue = "{{option.name}}"\n'

    found = target_of(tmp_path, fields)
    assert (["internal_name", "name"], shipped.options) == (names(found.rules), found.options)
    found = target_of(tmp_path, options)
    assert (shipped.rules, ["value"]) == (found.rules, names(found.options))


def test_what_is_left_out_is_added(tmp_path: Path) -> None:
    """`left_out` of the file adds to the shipped list; shipped rules of what it names are dropped."""
    shipped = target_of(tmp_path, PRETIX)
    found = target_of(tmp_path, f'{PRETIX}left_out = {{ description = "ours", policyText = "mine" }}\n')

    assert {**shipped.left_out, "description": "ours", "policyText": "mine"} == found.left_out
    assert [rule for rule in shipped.rules if rule.name != "description"] == list(found.rules)


def test_what_is_mapped_is_not_left_out(tmp_path: Path) -> None:
    """What the file maps is no longer among what the kind leaves out."""
    found = target_of(tmp_path, f'{HTTP}fields = {{ x = {{ from = "position" }} }}\n')
    assert "x" in names(found.rules)

    text = f"{PRETIX}quota = 'unsold'\n"
    assert {"salesDetails"} == set(target_of(tmp_path, PRETIX).left_out) - set(target_of(tmp_path, text).left_out)


def test_fields_of_http_rename_or_add(tmp_path: Path) -> None:
    """For signed HTTP a field of the file gives another name to a shipped one, replaces it, or adds one."""

    def found(fields: str, key: str = "fields") -> list[str]:
        target: TargetSettings = target_of(tmp_path, f"{HTTP}{key} = {{ {fields} }}\n")
        return names(target.options if key == "options" else target.rules)

    shipped = names(target_of(tmp_path, HTTP).rules)
    others = [name for name in shipped if name != "name"]
    assert [*others, "title"] == found('title = { from = "name" }')
    assert [*shipped, "hall"] == found('hall = { value = "HALL-1" }')
    assert [*shipped, "donation"] == found('donation = { from = "guest_price", as = "is_set" }')
    assert [*shipped, "shown"] == found('shown = { from = "hidden", values = { yes = 0, no = 1 } }')
    assert [*others, "name"] == found('name = "{name} ({price})"')
    assert ["price", "currency", "position", "label"] == found('label = { from = "option.name" }', "options")


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            f'{PRETIX}fields = {{ internal_name = "{{name}} wix:{{id}}" }}\n{REST}'.replace("hidden", "#").replace(
                "sortIndex", "#"
            ),
            [
                '8: hidden is neither mapped nor left out: map it, or add it to left_out = { hidden = "why" }',
                '8: sortIndex is neither mapped nor left out: map it, or add it to left_out = { sortIndex = "why" }',
            ],
        ),
        (
            f'{PRETIX}fields = {{ internal_name = "{{name}} wix:{{id}}", x = {{ from = "policy_text" }} }}\n{REST}policyText = "no"',
            ["17: policyText is mapped, and left out: remove one"],
        ),
        (
            f'{PRETIX}quota = "unsold"\nleft_out.salesDetails = "no"',
            ["9: salesDetails is mapped, and left out: remove one"],
        ),
        (
            f'{PRETIX}fields = {{ name = {{ from = "name" }} }}\n{REST}',
            ['8: internal_name is missing: it holds wix:{id}, by which sync finds the record: "{name} · wix:{id}"'],
        ),
        (f"{PRETIX}left_out = 3", ['8: left_out is a table such as { policyText = "why" }']),
        (f'{PRETIX}left_out.policyTxt = "no"', ['8: left_out: Wix has no "policyTxt". Did you mean policyText?']),
        (f'{PRETIX}left_out.policy_text = "no"', ['8: left_out: Wix has no "policy_text". Did you mean policyText?']),
        (f'{PRETIX}left_out.policyText = " "', ["8: left_out: policyText needs the reason why it is left out"]),
        (f"{PRETIX}left_out.policyText = 3", ["8: left_out: policyText needs the reason why it is left out"]),
        (f"{PRETIX}fields = 3", ["8: fields is a table: [targets.main.fields]"]),
        (
            f'{PRETIX}fields.name = {{ from = "nam" }}\noptions.value = {{ from = "option.nam" }}',
            [
                '8: name: a definition has no "nam". Did you mean name?',
                '9: value: a definition has no "option.nam". Did you mean option.name?',
            ],
        ),
    ],
)
def test_faults_of_a_mapping(tmp_path: Path, text: str, faults: list[str]) -> None:
    """A mapping that uses a member and leaves it out, or does neither, or is wrong in itself, is told with line and cure."""
    assert faults == faults_of(tmp_path, text)


def test_left_out_that_needs_no_mapping(tmp_path: Path) -> None:
    """A member that needs no mapping may be left out all the same."""
    assert "revision" in target_of(tmp_path, f'{PRETIX}left_out.revision = "no use"').left_out


def test_leavable_members() -> None:
    """What a mapping must use or leave out are all members that we know, less those that need no mapping."""
    assert {"limitPerCheckout", "extendedFields", "salesDetails", "seatingDetails"} <= LEAVABLE
    assert set() == LEAVABLE & set(MEMBERS)
    assert set() == {name for kind in kinds().values() for name in kind.left_out} - LEAVABLE
