"""Plans as text: a symbol and a word for each operation, and what it would change, field by field.

In: a Plan of server/sync/model.py. Out: lines. Nothing here reads a clock: *now* is in seconds since 1970.
"""

import re
import shlex
from collections.abc import Iterator, Mapping

from server.cli import table, values
from server.cli.terminal import Terminal
from server.sync.model import NOT_KNOWN, FieldChange, Kind, Missing, Operation, OptionChange, Plan, Reason, Value

SYMBOLS = {Kind.CREATE: "+", Kind.ADOPT: "@", Kind.UPDATE: "~", Kind.CONFLICT: "!", Kind.DEACTIVATE: "-"}
COLOURS = {
    Kind.CREATE: "green",
    Kind.ADOPT: "cyan",
    Kind.UPDATE: "yellow",
    Kind.CONFLICT: "magenta",
    Kind.DEACTIVATE: "red",
}
WORD_WIDTH = max(len(kind) for kind in Kind) + 2
DETAIL_INDENT = 16

REASONS = {
    Reason.SAME_NAME: "same name, no id yet",
    Reason.TWO_RECORDS: "more than one record bears its id",
    Reason.COPIED: "bears the id of a ticket of another event",
    Reason.CURRENCY: "its currency is not that of the target's event",
    Reason.NEEDS_REPLACING: "the target cannot change a record between one price and options",
    Reason.MAPPING: "the mapping has no value for what Wix says",
    Reason.LIMIT: "more would be deactivated than max_deactivate",
    Reason.DELETED: "deleted in Wix",
    Reason.NOT_KNOWN: "it is not known what was applied",
}
"""What is said of an operation that brings no text of its own; the fields of the others speak for themselves."""


def plan_lines(plan: Plan, event: str, terminal: Terminal, now: float) -> Iterator[str]:
    """A plan: its head, its operations and its sum; *event* as it was asked for, an id or a slug."""
    target = values.printable(plan.target)
    yield from _head(plan, terminal, now)
    ids = terminal.short([one.ticket for one in plan.operations])
    names = max((table.cell_len(short_name(one.name, terminal)) for one in plan.operations), default=0)
    widest = max(map(len, ids.values()), default=0)
    for one in plan.operations:
        word = table.pad(f"{SYMBOLS[one.kind]} {one.kind}", WORD_WIDTH)
        cells = [table.pad(short_name(one.name, terminal), names + 1), table.pad(ids[one.ticket], widest + 1), ""]
        before = f"{word}  " + "  ".join(cells)
        first, *more = table.hanging(before, _what(one, plan.target_event.currency, terminal), terminal.width)
        yield terminal.paint(word, COLOURS[one.kind]) + first[len(word) :]
        yield from more
        yield from _changes(one, target, event, terminal)
    if unread := plan.unread:
        yield f"{values.count(unread, 'ticket')} of the event {_was(unread)} not read yet, so nothing is planned for {_it(unread)}."
    for note in plan.notes:
        yield values.printable(note)
    yield _rest(plan, target)
    yield _sum(plan)


def next_line(plan: Plan, event: str, *, observe: bool, site: str | None) -> str | None:
    """What to do with a plan of this event (an id or a slug, as it was asked for): the command that does it, if there is one.

    *observe*: the target is never written. *site*: the one that was asked for, if any.
    """
    if observe:
        return f'{values.printable(plan.target)} has mode = "observe": nothing is ever written to it.'
    if all(one.kind is Kind.CONFLICT for one in plan.operations):
        return None
    words = ["ticket-counter", "sync", "apply", event, "--to", plan.target, "--plan", plan.digest]
    words += ["--site", site] if site else []
    words += ["--adopt"] if plan.count(Kind.ADOPT) else []
    return f"To do it: {shlex.join(words)}"


def kinds(counts: Mapping[Kind, int]) -> str:
    """How many operations of each kind: "1 create, 2 update"."""
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in Kind if counts.get(kind))


def cure(text: str, target: str, event: str = "EVENT") -> str:
    """What a person can do; a command in it, which a plan of one ticket writes without its target and event, as it is typed."""
    whole = re.sub(
        r"\bsync adopt (\S+)",
        lambda found: f"ticket-counter sync adopt {found[1]} --to {shlex.quote(target)}",
        values.printable(text),
    )
    return re.sub(
        r"\bsync apply\b", lambda _: f"ticket-counter sync apply {shlex.quote(event)} --to {shlex.quote(target)}", whole
    )


def _head(plan: Plan, terminal: Terminal, now: float) -> Iterator[str]:
    event = ", ".join(filter(None, (plan.target_event.key, plan.target_event.currency)))
    title = f"{values.printable(plan.title)} → {values.printable(plan.target)} ({values.printable(event)})"
    wix = "Wix not read yet" if plan.read_at is None else f"Wix read {values.clock(plan.read_at, now, seconds=True)}"
    there = f"{values.printable(plan.target)} read {values.clock(plan.target_read_at, now, seconds=True)}"
    read = f"{wix}, {there}, " + ("Wix not to the end" if plan.unread else "both to the end")
    one_line = f"{title}        {read}"
    if terminal.width is None or table.cell_len(one_line) <= terminal.width:
        yield one_line
    else:
        yield from table.hanging("", title, terminal.width)
        yield from table.hanging("  ", read, terminal.width)


def short_name(name: str, terminal: Terminal) -> str:
    """A name on one line; on a terminal at most a quarter of its width."""
    return table.cut(values.printable(name), None if terminal.width is None else max(12, terminal.width // 4))


def _what(one: Operation, currency: str | None, terminal: Terminal) -> str:
    """What an operation is about: for a creation its options, prices and limit, else the record and why."""
    text = values.printable(one.text or REASONS.get(one.reason, ""))
    if one.kind is Kind.CREATE:
        return ", ".join(filter(None, (_offer(one, currency), text)))
    if one.kind is Kind.CONFLICT or one.record is None:
        return text
    record = f"record {values.printable(one.record)}"
    if one.kind is Kind.ADOPT and len(one.fields) == 1 and not one.options:
        text = f"{text}; would change {' '.join(_field(one.fields[0], '', '', terminal)[:2])}"
    return f"{record}: {text}" if text else record


def _offer(one: Operation, currency: str | None) -> str:
    """The options, prices and limit of what is created: "3 options, 8.50 to 20.00 EUR, limit 60"."""
    of_options = [change for option in one.options for change in option.fields]
    prices = [str(change.wix) for change in of_options or one.fields if values.is_price(change.name, change.wix)]
    found = [values.count(len(one.options), "option")] if one.options else []
    if prices:
        span = " to ".join(dict.fromkeys((min(prices, key=float), max(prices, key=float))))
        found.append(f"{span} {currency}" if currency else span)
    for change in one.fields:
        if values.is_number_of_tickets(change.name):
            number = values.value(change.name, change.wix)
            found.append(number if change.wix is None else f"{change.name} {number}")
    return ", ".join(found)


def _changes(one: Operation, target: str, event: str, terminal: Terminal) -> Iterator[str]:
    """The lines below an operation: its fields, its options, and what a person can do."""
    told = one.kind is Kind.CREATE or (one.kind is Kind.ADOPT and len(one.fields) == 1 and not one.options)
    rows = [] if told else [_field(change, "", target, terminal) for change in one.fields]
    for option in () if one.kind is Kind.CREATE else one.options:
        rows += _option(option, target, terminal)
    yield from table.lines(rows, terminal.width, indent=DETAIL_INDENT)
    # What adopts is in the command below the sum.
    if one.cure and one.kind is not Kind.ADOPT:
        word = "decide" if one.kind is Kind.CONFLICT else "to do"
        yield f"{' ' * DETAIL_INDENT}{word}: {cure(one.cure, target, event)}"


def _option(option: OptionChange, target: str, terminal: Terminal) -> Iterator[tuple[str, str, str]]:
    name = f"option {short_name(option.name or option.id, terminal)}"
    if option.kind is Kind.UPDATE:
        for change in option.fields:
            yield _field(change, f"{name}: ", target, terminal)
        return
    fields = ", ".join(f"{change.name} {short_value(change.name, change.wix, terminal)}" for change in option.fields)
    removed = "removed in Wix" if option.kind is Kind.DEACTIVATE else fields
    yield name, f"{SYMBOLS[option.kind]} {option.kind}", removed


def _field(change: FieldChange, before: str, target: str, terminal: Terminal) -> tuple[str, str, str]:
    """A field, its two values, and who changed it."""
    old, new = (short_value(change.name, one, terminal) for one in (change.target, change.wix))
    return f"{before}{change.name}", f"{old} → {new}", _who(change, target)


def short_value(name: str, found: Value | Missing, terminal: Terminal, currency: str | None = None) -> str:
    """The value of the field of this name; on a terminal at most a quarter of its width."""
    text = values.value(name, found, currency)
    return table.cut(text, None if terminal.width is None else max(10, terminal.width // 4))


def _who(change: FieldChange, target: str) -> str:
    """Why a field differs: which side has changed since it was applied."""
    if change.target is NOT_KNOWN:
        return f"{target} does not say what it has"
    if change.applied is NOT_KNOWN:
        return "it is not known what was applied"
    if change.applied == change.target:
        return "changed in Wix"
    edited = f"edited in {target}; {values.value(change.name, change.applied)} was applied"
    return edited if change.applied == change.wix else f"changed in Wix, and {edited}"


def _rest(plan: Plan, target: str) -> str:
    """What needs nothing, and what is not ours."""
    equal = f"{plan.equal:,} equal."
    if not plan.left_alone:
        return equal
    one = plan.left_alone == 1
    bear = "bears no id of ours and is left alone" if one else "bear no id of ours and are left alone"
    return f"{equal} {values.count(plan.left_alone, 'record')} of {target} {bear}."


def _sum(plan: Plan) -> str:
    counts = {kind: plan.count(kind) for kind in Kind if kind is not Kind.CONFLICT}
    found = [kinds(counts) or "Nothing to do"]
    if conflicts := plan.count(Kind.CONFLICT):
        found.append(
            f"{values.count(conflicts, 'conflict')} {'stays as it is' if conflicts == 1 else 'stay as they are'}"
        )
    if edits := sum(one.edits for one in plan.operations if one.kind is not Kind.CONFLICT):
        found.append(f"{values.count(edits, 'edit')} made by hand would be overwritten")
    return f"{'; '.join(found)}. Plan {plan.digest}"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _it(number: int) -> str:
    return "it" if number == 1 else "them"
