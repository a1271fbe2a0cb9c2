"""Reads the mapping of one target: the rules of its fields and options, and what is left out; each member of Wix's JSON is one of these.

In: the target's table, as tomllib reads it, and the shipped mapping of its kind. Out: TargetSettings with its rules; what is wrong is
added to the Faults.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.sync.definition import FIELDS, MEMBERS, OPTION_FIELDS, WITHOUT_FIELD
from server.sync.mapping import Quota, Rule, TargetSettings
from server.sync.mapping_file.kinds import TargetKind
from server.sync.mapping_file.rule_reader import RuleReader
from server.toml_file.faults import Faults, did_you_mean, quoted

LEAVABLE = frozenset({*FIELDS.values(), *WITHOUT_FIELD}) - set(MEMBERS)
"""Members of Wix's JSON that every mapping either uses or leaves out."""


def with_mapping(target: TargetSettings, table: Mapping[str, Any], kind: TargetKind, faults: Faults) -> TargetSettings:
    """The target with its rules, by its table and its kind."""
    path, before = ("targets", target.name), len(faults)
    without = _left_out(table.get("left_out", {}), faults, (*path, "left_out"))
    rules = _rules(target.name, table, kind, faults, key="fields", without=without)
    options = _rules(target.name, table, kind, faults, key="options", without=without)
    if len(faults) > before:
        return target
    used = {member for rule in (*rules, *options) for member in _members(rule)}
    if target.quota is Quota.UNSOLD:
        used.add("salesDetails")
    every = {**{name: why for name, why in kind.left_out.items() if name not in used}, **without}
    for member in without:
        if member in used:
            faults.add(f"{member} is mapped, and left out: remove one", *path, "left_out", member)
    for member in sorted(LEAVABLE - used - set(every)):
        text = f'{member} is neither mapped nor left out: map it, or add it to left_out = {{ {member} = "why" }}'
        faults.add(text, *path, "fields")
    for name in sorted(kind.id_in - {rule.name for rule in rules}):
        text = f'{name} is missing: it holds wix:{{id}}, by which sync finds the record: "{{name}} · wix:{{id}}"'
        faults.add(text, *path, "fields")
    return replace(target, rules=rules, options=options, left_out=every)


def _rules(
    target: str, table: Mapping[str, Any], kind: TargetKind, faults: Faults, *, key: str, without: Mapping[str, str]
) -> tuple[Rule, ...]:
    """The rules of the file; or the shipped ones, less what is left out; or both, where the kind adds fields."""
    reader = RuleReader(kind, faults, ("targets", target, key), of_options=key == "options")
    given = reader.rules(table[key]) if key in table else ()
    if key in table and not kind.adds_fields:
        return given
    names = {rule.name for rule in given}
    renamed = {rule.source for rule in given if _renames(rule)}
    shipped = (rule for rule in reader.rules(getattr(kind, key)) if not _members(rule) & set(without))
    return (*(rule for rule in shipped if rule.name not in names and rule.source not in renamed), *given)


def _renames(rule: Rule) -> bool:
    """Whether it only gives a field another name."""
    return rule.source is not None and not rule.convert and not rule.values


def _left_out(table: Any, faults: Faults, path: tuple[str, ...]) -> dict[str, str]:
    """The members of Wix's JSON that are left out, with the reason of each."""
    if not isinstance(table, dict):
        faults.add('left_out is a table such as { policyText = "why" }', *path)
        return {}
    found = {}
    for name, reason in table.items():
        if name not in LEAVABLE | set(MEMBERS):
            cure = f"Did you mean {FIELDS[name]}?" if name in FIELDS else did_you_mean(name, LEAVABLE)
            faults.add(f"left_out: Wix has no {quoted(name)}. {cure}", *path, name)
        elif not isinstance(reason, str) or not reason.strip():
            faults.add(f"left_out: {name} needs the reason why it is left out", *path, name)
        else:
            found[name] = reason
    return found


def _members(rule: Rule) -> set[str]:
    """The members of Wix's JSON that the rule uses."""
    both: dict[str, str] = {**FIELDS, **OPTION_FIELDS}
    return {both[name] for name in rule.sources}
