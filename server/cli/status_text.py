"""The status of targets, parked tickets and what an apply has done, as text.

In: values of server/sync/model.py. Out: lines. Nothing here reads a clock: *now* is in seconds since 1970.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from server.cli import table, values
from server.cli.plan_text import COLOURS, SYMBOLS, WORD_WIDTH, cure, kinds, short_name
from server.cli.terminal import Terminal
from server.sync.model import Kind, Operation, Outcome, State
from server.sync.reports import Parked, Summary, TargetStatus, Workers

DONE = frozenset({State.EQUAL, State.GONE})
"""Nothing is left to do."""

COLUMNS = ("target", "equal", "answers", "due", "oldest", "parked", "conflicts", "audit", "state")
NUMBERS = frozenset({3, 5, 6})
"""The columns that stand on their right."""

HAPPENED = {
    State.DUE: "is tried again",
    State.DIFFERS: "it is only observed",
    State.CONFLICT: "a person decides",
    State.REFUSED: "refused by the target",
    State.UNSURE: "the outcome is not known",
    State.MAPPING: "the mapping has no value for what Wix says",
    State.LIMIT: "more would be deactivated than max_deactivate",
    State.NOT_KEPT: "what was written is not what is read",
}
"""What is said of an outcome that brings no text of its own."""


FOLLOWING = {
    Workers.NONE: "no worker runs, so changes in Wix are not applied: start `ticket-counter serve` or `worker`",
    Workers.OTHER_SETTINGS: "the workers have other settings of it than SYNC_FILE has now: restart `ticket-counter serve` or `worker`",
}
"""What is said where changes are not applied, or not by these settings."""


def status_lines(found: Sequence[TargetStatus], terminal: Terminal) -> Iterator[str]:
    """`sync status`: a row for each target; a block of lines for each where the terminal is too narrow for rows."""
    rows = [COLUMNS, *map(_status, found)]
    lines = list(table.lines(rows, indent=0, right=NUMBERS))
    if terminal.width is not None and max(map(table.columns_of, lines)) > terminal.width:
        for row in rows[1:]:
            yield row[0]
            yield from table.lines(list(zip(COLUMNS[1:], row[1:], strict=True)), terminal.width, indent=2)
    else:
        yield from lines
    for one in found:
        if not one.events:
            yield f"No event is synced to {values.printable(one.name)} before its first `ticket-counter sync apply`."
        elif one.workers is not Workers.RUN:
            yield f"{values.printable(one.name)}: {FOLLOWING[one.workers]}"
        for text in one.limited:
            yield f"{values.printable(one.name)}: {values.printable(text)}"


def parked_lines(found: Sequence[Parked], terminal: Terminal, now: float) -> Iterator[str]:
    """`sync parked`: a row for each ticket that waits, and why."""
    if not found:
        yield "Nothing is parked."
        return
    ids = terminal.short([one.ticket for one in found])
    rows = [
        (
            values.printable(one.target),
            short_name(one.name, terminal),
            ids[one.ticket],
            _state(one.state),
            f"{values.clock(one.at, now)}, try {one.tries}",
            values.printable(one.text) or HAPPENED[one.state],
        )
        for one in found
    ]
    for one, row, following in zip_longest(found, _blocks(rows, terminal), found[1:]):
        yield from row
        # What helps several in a row is said once, below the last of them.
        if one.cure and (following is None or _cure(following) != _cure(one)):
            yield f"  to do: {_cure(one)}"
    conflicts = sum(one.state is State.CONFLICT for one in found)
    counts = [f"{len(found) - conflicts:,} parked"] if len(found) > conflicts else []
    counts += [values.count(conflicts, "conflict")] if conflicts else []
    yield (
        f"{', '.join(counts)}. {'It' if len(found) == 1 else 'Each'} tries again when its ticket, the mapping or the credentials change, and once a day. "
        "Now: ticket-counter sync retry"
    )


def retried(number: int) -> str:
    """The answer of `sync retry`."""
    if not number:
        return "Nothing is parked, so nothing is tried again."
    return f"{values.count(number, 'ticket')} {'is' if number == 1 else 'are'} due again: `ticket-counter sync status` shows what becomes of {'it' if number == 1 else 'them'}."


class Outcomes:
    """What became of operations, as aligned lines: it knows all *operations* before the first is done. *event*: as asked for."""

    def __init__(self, operations: Sequence[Operation], target: str, event: str, terminal: Terminal) -> None:
        self._target = target
        self._event = event
        self._terminal = terminal
        self._ids = terminal.short([one.ticket for one in operations])
        self._width = max((table.columns_of(short_name(one.name, terminal)) for one in operations), default=0)

    def lines(self, one: Outcome) -> Iterator[str]:
        """The operation where it was done, with what a person should know of it, else `!` and why not."""
        operation, done = one.operation, one.state in DONE
        word = table.pad(
            f"{SYMBOLS[operation.kind]} {operation.kind}" if done else f"! {_state(one.state)}", WORD_WIDTH
        )
        record = one.record or operation.record
        if done:
            text = "; ".join(filter(None, (f"record {record}" if record else "", one.text)))
        else:
            text = one.text or HAPPENED[one.state]
        name = table.pad(short_name(operation.name, self._terminal), self._width)
        before = f"{word}  {name}   {self._ids.get(operation.ticket, operation.ticket)}   "
        first, *more = table.hanging(before, values.printable(text), self._terminal.width)
        yield self._terminal.paint(word, COLOURS[operation.kind if done else Kind.CONFLICT]) + first[len(word) :]
        yield from more
        if not done and operation.cure:
            yield f"  to do: {cure(operation.cure, self._target, self._event)}"


def summary_lines(summary: Summary, target: str) -> Iterator[str]:
    """The last lines of `sync apply`: what was done, and what is left."""
    done, left = kinds(summary.done), len(summary.open)
    nothing = "Nothing was done" if left else "Nothing was to be done"
    yield f"{f'Done: {done}' if done else nothing}, in {values.duration(summary.seconds)}."
    if left:
        yield f"{left:,} not done: `ticket-counter sync parked` and `sync plan` say why, and what to do."
    if summary.workers is Workers.RUN:
        yield f"Further changes in Wix are applied to {values.printable(target)} as they happen, by `ticket-counter serve` or `worker`."
    else:
        yield f"{values.printable(target)}: {FOLLOWING[summary.workers]}"


def _cure(one: Parked) -> str:
    return cure(one.cure, one.target, one.event)


def _status(one: TargetStatus) -> tuple[str, ...]:
    return (
        values.printable(one.name),
        "not known" if one.equal is None else f"{one.equal:,} of {one.records:,}",
        _answers(one),
        f"{one.due:,}",
        "-" if one.oldest is None else values.duration(one.oldest),
        f"{one.parked:,}",
        f"{one.conflicts:,}",
        "not yet" if one.audit_age is None else values.ago(one.audit_age),
        _running(one),
    )


def _answers(one: TargetStatus) -> str:
    answer = values.printable(one.answer)
    if one.faults:
        times = f", {one.faults:,} times" if one.faults > 1 else ""
        return f"no: {answer}{times}" if answer else f"no{times}"
    latency = f"{one.latency_ms:.0f} ms" if one.latency_ms is not None else answer
    if latency:
        return f"yes, {latency}"
    return "not asked now" if one.workers is Workers.NONE else "not asked yet"


def _running(one: TargetStatus) -> str:
    """Whether it is written to now, and why not."""
    if one.paused is not None:
        since = "" if one.paused_for is None else f" for {values.duration(one.paused_for)}"
        return f'paused{since}: "{values.printable(one.paused)}"'
    if one.wait is not None:
        return f"waits, next try in {values.duration(one.wait)}"
    if one.mode == "observe":
        return "observe"
    return "no worker" if one.workers is Workers.NONE else "running"


def _state(state: State) -> str:
    return state.replace("_", " ")


def _blocks(rows: Sequence[Sequence[str]], terminal: Terminal) -> list[list[str]]:
    """The lines of each row, which are aligned over all rows."""
    wide = table.widths([row[:-1] for row in rows])
    return [
        list(
            table.lines(
                [[table.pad(cell, wide[place]) for place, cell in enumerate(row[:-1])] + [row[-1]]], terminal.width
            )
        )
        for row in rows
    ]
