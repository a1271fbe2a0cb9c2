"""Differences as text: for each ticket what Wix has, what was applied last and what the target has, field by field.

In: a Diff of server/sync/model.py. Out: lines. Nothing here reads a clock: *now* is in seconds since 1970.
"""

from collections.abc import Iterable, Iterator

from server.cli import table, values
from server.cli.plan_text import short_name, short_value
from server.cli.terminal import Terminal
from server.sync.model import NOT_KNOWN, Diff, FieldChange, Kind, TicketDiff


def diff_lines(diff: Diff, terminal: Terminal, now: float) -> Iterator[str]:
    """`sync diff`: a table for each ticket, of what Wix has, what was applied and what the target has."""
    target, currency = values.printable(diff.plan.target), diff.plan.target_event.currency
    ids = terminal.short([one.ticket for one in diff.tickets])
    for one in diff.tickets:
        yield f"{short_name(one.name, terminal)} {ids[one.ticket]}, record {values.printable(one.record)}"
        yield from _ticket_diff(one, target, currency, terminal, now)
    fields = sum(map(_differing, diff.tickets))
    without = f"{diff.without:,} have no record, or more than one, or are gone (sync plan)"
    if diff.without == 1:
        without = "1 has no record, or more than one, or is gone (sync plan)"
    differ = f"{values.count(fields, 'field')} of {values.count(len(diff.tickets), 'ticket')} {'differs' if fields == 1 else 'differ'}"
    equal = f"{values.count(diff.equal, 'ticket')} {'is' if diff.equal == 1 else 'are'} equal"
    yield "; ".join([differ if fields else "No field differs", equal, *([without] if diff.without else [])]) + "."


def _ticket_diff(one: TicketDiff, target: str, currency: str | None, terminal: Terminal, now: float) -> Iterator[str]:
    applied = "applied" if one.applied_at is None else f"applied {values.clock(one.applied_at, now)}"
    rows = [("field", "Wix", applied, target, "")]
    rows += _diff_rows(one.fields, "", target, currency, terminal)
    for option in one.options:
        name = f"option {short_name(option.name or option.id, terminal)}"
        if option.kind is Kind.UPDATE:
            rows += _diff_rows(option.fields, f"{name}: ", target, currency, terminal)
        elif option.kind is Kind.CREATE:
            rows.append((name, "there", "", "not there", "new in Wix"))
        else:
            rows.append((name, "not there", "", "there", "removed in Wix"))
    yield from table.lines(rows, terminal.width, indent=2)


def _diff_rows(
    changes: Iterable[FieldChange], before: str, target: str, currency: str | None, terminal: Terminal
) -> Iterator[tuple[str, str, str, str, str]]:
    for change in changes:
        sides = (change.wix, change.applied, change.target)
        wix, applied, there = (short_value(change.name, side, terminal, currency) for side in sides)
        yield f"{before}{change.name}", wix, applied, there, _newer(change, target)


def _newer(change: FieldChange, target: str) -> str:
    if change.applied is NOT_KNOWN:
        return "our record was rebuilt; Wix wins at the next apply"
    if change.target is NOT_KNOWN:
        return f"{target} does not say what it has"
    if change.applied == change.target:
        return "newer in Wix"
    return f"edited in {target}" if change.applied == change.wix else f"newer in Wix, and edited in {target}"


def _differing(one: TicketDiff) -> int:
    return len(one.fields) + sum(len(option.fields) if option.kind is Kind.UPDATE else 1 for option in one.options)
