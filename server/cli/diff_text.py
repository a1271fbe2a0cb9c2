"""Differences as text: for each ticket what Wix has, what was applied last and what the target has, field by field.

In: a Diff of server/sync/model.py. Out: lines.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from server.cli import table, values
from server.cli.plan_text import View
from server.sync.model import NOT_KNOWN, FieldChange, Kind
from server.sync.reports import Diff, TicketDiff

Row = tuple[str, str, str, str, str]


def diff_lines(diff: Diff, view: View) -> Iterator[str]:
    """`sync diff`: a table for each ticket, and the sum."""
    tables = _Tables(values.printable(diff.plan.target), diff.plan.target_event.currency, view)
    ids = view.terminal.short([one.ticket for one in diff.tickets])
    for one in diff.tickets:
        yield f"{view.name(one.name)} {ids[one.ticket]}, record {values.printable(one.record)}"
        yield from table.lines(list(tables.rows(one)), view.terminal.width, indent=2)
    yield _sum(diff)


@dataclass(frozen=True, slots=True)
class _Tables:
    """What the tables of one comparison share."""

    target: str
    currency: str | None
    view: View

    def rows(self, one: TicketDiff) -> Iterator[Row]:
        """The table of one ticket."""
        applied = "applied" if one.applied_at is None else f"applied {values.clock(one.applied_at, self.view.now)}"
        yield "field", "Wix", applied, self.target, ""
        yield from self._fields(one.fields, "")
        for option in one.options:
            name = f"option {self.view.name(option.name or option.id)}"
            if option.kind is Kind.UPDATE:
                yield from self._fields(option.fields, f"{name}: ")
            elif option.kind is Kind.CREATE:
                yield name, "there", "", "not there", "new in Wix"
            else:
                yield name, "not there", "", "there", "removed in Wix"

    def _fields(self, changes: Iterable[FieldChange], before: str) -> Iterator[Row]:
        for change in changes:
            sides = (change.wix, change.applied, change.target)
            wix, applied, there = (self.view.value(change.name, side, self.currency) for side in sides)
            yield f"{before}{change.name}", wix, applied, there, self._newer(change)

    def _newer(self, change: FieldChange) -> str:
        """Which side has changed since it was applied."""
        if change.applied is NOT_KNOWN:
            return "our record was rebuilt; Wix wins at the next apply"
        if change.target is NOT_KNOWN:
            return f"{self.target} does not say what it has"
        if change.applied == change.target:
            return "newer in Wix"
        edited = f"edited in {self.target}"
        return edited if change.applied == change.wix else f"newer in Wix, and {edited}"


def _sum(diff: Diff) -> str:
    fields = sum(
        len(one.fields) + sum(len(option.fields) if option.kind is Kind.UPDATE else 1 for option in one.options)
        for one in diff.tickets
    )
    differ = f"{values.count(fields, 'field')} of {values.count(len(diff.tickets), 'ticket')} {'differs' if fields == 1 else 'differ'}"
    found = [differ if fields else "No field differs"]
    found.append(f"{values.count(diff.equal, 'ticket')} {'is' if diff.equal == 1 else 'are'} equal")
    if diff.without == 1:
        found.append("1 has no record, or more than one, or is gone (sync plan)")
    elif diff.without:
        found.append(f"{diff.without:,} have no record, or more than one, or are gone (sync plan)")
    return f"{'; '.join(found)}."
