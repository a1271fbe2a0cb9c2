"""Plans what to do about one ticket: a pure function of what it should be, what the target has, and what was applied last.

In: a Wanted in the target's own form, or Deleted, or Unfit; the records that bear its id, and those without one that have its
name. Out: one Operation, or None where the record is equal. No I/O and no clock: tests apply plans to a model of a target until
the next one is empty.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from server.sync.model import (
    NOT_KNOWN,
    Applied,
    Deleted,
    FieldChange,
    Fields,
    Kind,
    Missing,
    Operation,
    OptionChange,
    Reason,
    Record,
    RecordOption,
    Unfit,
    Value,
    Wanted,
    WantedOption,
)


@dataclass(frozen=True, slots=True)
class Found:
    """The records of the target's event that concern one ticket, oldest first: with its id, and without any id but its name."""

    bearing: tuple[Record, ...] = ()
    same_name: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the target and its settings allow.

    `changes_options`: a record may change between one price and options. `delete`: records of deleted tickets are deleted, where
    that was not tried before.
    """

    changes_options: bool = True
    delete: bool = False


def plan_ticket(
    wanted: Wanted | Deleted | Unfit, found: Found, applied: Applied | None, rules: Rules
) -> Operation | None:
    """What to do about one ticket; *applied* None = it is not known what was applied last."""
    if len(found.bearing) > 1:
        return _two_records(wanted, found.bearing)
    record = found.bearing[0] if found.bearing else None
    match wanted:
        case Deleted():
            return _deactivate(wanted, record, rules)
        case Unfit():
            return Operation(
                Kind.CONFLICT,
                wanted.ticket,
                wanted.name,
                record.key if record else None,
                wanted.reason,
                text=wanted.text,
                cure=wanted.cure,
            )
        case _ if record:
            return _update(wanted, record, applied, rules)
        case _ if found.same_name:
            return _adopt(wanted, found.same_name, rules)
        case _:
            return _create(wanted)


def differences(wanted: Fields, applied: Fields | None, has: Fields) -> tuple[FieldChange, ...]:
    """The wanted fields that the target has otherwise, or not at all."""
    return tuple(
        FieldChange(name, value, NOT_KNOWN if applied is None else applied.get(name, NOT_KNOWN), _of(has, name))
        for name, value in wanted.items()
        if not _equal(value, _of(has, name))
    )


def _create(wanted: Wanted) -> Operation:
    fields = differences({**wanted.initial, **wanted.fields}, None, {})
    options = tuple(
        OptionChange(Kind.CREATE, one.id, one.name, None, differences(one.fields, None, {})) for one in wanted.options
    )
    return Operation(Kind.CREATE, wanted.ticket, wanted.name, None, Reason.NEW, fields, options)


def _update(wanted: Wanted, record: Record, applied: Applied | None, rules: Rules) -> Operation | None:
    if _needs_replacing(wanted, record, rules):
        return Operation(
            Kind.CONFLICT,
            wanted.ticket,
            wanted.name,
            record.key,
            Reason.NEEDS_REPLACING,
            text=_KIND_CHANGED[bool(wanted.options)],
            cure=f"sync apply --replace {wanted.ticket} (takes record {record.key} off sale and makes a new one)",
        )
    if doubled := _doubled(record.options):
        return Operation(
            Kind.CONFLICT,
            wanted.ticket,
            wanted.name,
            record.key,
            Reason.TWO_RECORDS,
            text=f"its options {' and '.join(one.key for one in doubled)} bear one id",
            cure="remove the copy in the target",
        )
    fields = differences(wanted.fields, applied.fields if applied else None, record.fields)
    options = _options(wanted.options, record.options, applied)
    if not fields and not options:
        return None
    return Operation(
        Kind.UPDATE,
        wanted.ticket,
        wanted.name,
        record.key,
        _reason(fields, options),
        fields,
        options,
        applied_at=applied.at if applied else None,
    )


def _adopt(wanted: Wanted, records: Sequence[Record], rules: Rules) -> Operation:
    first, *rest = records
    if rest or _needs_replacing(wanted, first, rules):
        keys = [one.key for one in records]
        text = (
            f"records {' and '.join(keys)} have its name and no id"
            if rest
            else f"record {first.key} has its name and no id, but {_KIND_CHANGED[bool(wanted.options)]}"
        )
        return Operation(
            Kind.CONFLICT,
            wanted.ticket,
            wanted.name,
            None,
            Reason.SAME_NAME,
            others=tuple(keys),
            text=text,
            cure=(
                f"sync adopt {wanted.ticket} --record KEY (or give them other names in the target)"
                if rest
                else f"give record {first.key} another name in the target (then a new one is made)"
            ),
        )
    fields = differences(wanted.fields, None, first.fields)
    options = _options(wanted.options, first.options, None)
    return Operation(
        Kind.ADOPT,
        wanted.ticket,
        wanted.name,
        first.key,
        Reason.SAME_NAME,
        fields,
        options,
        text="same name, no id yet",
        cure=f"sync adopt {wanted.ticket} --record {first.key} (or sync apply --adopt)",
    )


def _deactivate(wanted: Deleted, record: Record | None, rules: Rules) -> Operation | None:
    if record is None or not (record.active or rules.delete):
        return None
    return Operation(Kind.DEACTIVATE, wanted.ticket, record.name, record.key, Reason.DELETED, text="deleted in Wix")


def _two_records(wanted: Wanted | Deleted | Unfit, records: Sequence[Record]) -> Operation:
    first, *rest = records
    others = tuple(one.key for one in rest)
    return Operation(
        Kind.CONFLICT,
        wanted.ticket,
        first.name,
        first.key,
        Reason.TWO_RECORDS,
        others=others,
        text=f"records {' and '.join((first.key, *others))} bear its id; {others[-1]} is younger and looks like a copy",
        cure=f"sync adopt {wanted.ticket} --record {first.key} (it keeps the id, and the others lose it)",
    )


_KIND_CHANGED = {
    True: "it has one price, the ticket has options, and the target cannot change that",
    False: "it has options, the ticket has one price, and the target cannot change that",
}


def _needs_replacing(wanted: Wanted, record: Record, rules: Rules) -> bool:
    return not rules.changes_options and bool(wanted.options) != bool(record.options)


def _options(
    wanted: Sequence[WantedOption], has: Sequence[RecordOption], applied: Applied | None
) -> tuple[OptionChange, ...]:
    """What differs in the options; one without a Wix id was made by hand, and is left alone."""
    there = {one.id: one for one in has if one.id}
    changes = []
    for one in wanted:
        option = there.pop(one.id, None)
        if option is None:
            changes.append(OptionChange(Kind.CREATE, one.id, one.name, None, differences(one.fields, None, {})))
            continue
        was: Mapping[str, Value] | None = applied.options.get(one.id) if applied else None
        fields = differences(one.fields, was, option.fields)
        if applied and was is None and not option.active and "active" not in one.fields:
            # It was taken off sale when Wix had no such option, and Wix has it again; else a person did it, and it stays so.
            fields = (*fields, FieldChange("active", True, NOT_KNOWN, False))
        if fields:
            changes.append(OptionChange(Kind.UPDATE, one.id, one.name, option.key, fields))
    changes += [
        OptionChange(Kind.DEACTIVATE, id_, _name(option), option.key) for id_, option in there.items() if option.active
    ]
    return tuple(changes)


def _doubled(options: Iterable[RecordOption]) -> list[RecordOption]:
    """Two active options with one id."""
    seen: dict[str, RecordOption] = {}
    for one in options:
        if one.id and one.active:
            if one.id in seen:
                return [seen[one.id], one]
            seen[one.id] = one
    return []


def _name(option: RecordOption) -> str:
    name = option.fields.get("value", option.fields.get("name", ""))
    return str(name or option.key)


def _reason(fields: Iterable[FieldChange], options: Iterable[OptionChange]) -> Reason:
    """Why they differ: Wix has changed since it was applied, the target was edited, or both."""
    changes = [*fields, *(change for one in options for change in one.fields)]
    kinds = {Reason.CHANGED for one in options if one.kind is not Kind.UPDATE}
    for one in changes:
        if one.applied is NOT_KNOWN:
            kinds.add(Reason.NOT_KNOWN)
            continue
        if not _equal(one.wix, one.applied):
            kinds.add(Reason.CHANGED)
        if not _equal(one.target, one.applied):
            kinds.add(Reason.EDITED)
    if {Reason.CHANGED, Reason.EDITED} <= kinds:
        return Reason.BOTH
    return next(one for one in (Reason.EDITED, Reason.CHANGED, Reason.NOT_KNOWN) if one in kinds)


def _of(fields: Fields, name: str) -> Value | Missing:
    return fields.get(name, NOT_KNOWN)


def _equal(one: Value | Missing, other: Value | Missing) -> bool:
    """Equal in value and in kind: True is not 1."""
    return type(one) is type(other) and one == other
