"""Plans as text: a symbol and a word for each operation, and what it would change, field by field.

In: a Plan of server/sync/model.py. Out: lines. Nothing here reads a clock: *now* is in seconds since 1970.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from server.cli import table, values
from server.cli.terminal import Terminal
from server.cli.values import Meaning
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


@dataclass(frozen=True, slots=True)
class View:
    """How values are shown: on which *terminal*, by their *meaning* at the target, and when *now* is, in seconds since 1970.

    *applied_at*: when what they are compared with was applied, where that is known.
    """

    terminal: Terminal
    meaning: Meaning
    now: float
    applied_at: float | None = None

    def name(self, text: str) -> str:
        """A name on one line; on a terminal at most a quarter of its width."""
        return short_name(text, self.terminal)

    def value(self, name: str, found: Value | Missing, currency: str | None = None) -> str:
        """The value of the field of this name; on a terminal at most a quarter of its width."""
        text = self.meaning.value(name, found, currency)
        return table.cut(text, None if self.terminal.width is None else max(10, self.terminal.width // 4))


def short_name(name: str, terminal: Terminal) -> str:
    """A name on one line; on a terminal at most a quarter of its width."""
    return table.cut(values.printable(name), None if terminal.width is None else max(12, terminal.width // 4))


def plan_lines(plan: Plan, event: str, view: View) -> Iterator[str]:
    """A plan: its head, its operations and its sum; *event* as it was asked for, an id or a slug."""
    target, terminal = values.printable(plan.target), view.terminal
    yield from _head(plan, view)
    ids = terminal.short([one.ticket for one in plan.operations])
    names = max((table.columns_of(view.name(one.name)) for one in plan.operations), default=0)
    widest = max(map(len, ids.values()), default=0)
    for one in plan.operations:
        word = table.pad(f"{SYMBOLS[one.kind]} {one.kind}", WORD_WIDTH)
        before = f"{word}  {table.pad(view.name(one.name), names)}   {table.pad(ids[one.ticket], widest)}   "
        first, *more = table.hanging(before, _what(one, plan.target_event.currency, view), terminal.width)
        yield terminal.paint(word, COLOURS[one.kind]) + first[len(word) :]
        yield from more
        yield from table.lines(list(_changes(one, target, view)), terminal.width, indent=DETAIL_INDENT)
        # What adopts is in the command below the sum.
        if one.cure and one.kind is not Kind.ADOPT:
            to_do = "decide" if one.kind is Kind.CONFLICT else "to do"
            yield f"{' ' * DETAIL_INDENT}{to_do}: {cure(one.cure, target, event)}"
    if unread := plan.unread:
        were, them = ("was", "it") if unread == 1 else ("were", "them")
        yield f"{values.count(unread, 'ticket')} of the event {were} not read yet, so nothing is planned for {them}."
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
    words += ["--deactivate", str(plan.deactivate)] if plan.deactivate else []
    return f"To do it: {shlex.join(words)}"


def kinds(counts: Mapping[Kind, int]) -> str:
    """How many operations of each kind: "1 create, 2 update"."""
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in Kind if counts.get(kind))


def cure(text: str, target: str, event: str = "") -> str:
    """What a person can do; a command in it, which a plan of one ticket writes without its target and event, as it is typed.

    *event*: its id or slug; "" = not known, so that a person has to write it. A command that is whole already stays as it is.
    """
    whole = re.sub(
        r"(?<!ticket-counter )\bsync adopt (\S+)",
        lambda found: f"ticket-counter sync adopt {found[1]} --to {shlex.quote(target)}",
        values.printable(text),
    )
    return re.sub(
        r"(?<!ticket-counter )\bsync apply\b",
        lambda _: f"ticket-counter sync apply {shlex.quote(event or 'EVENT')} --to {shlex.quote(target)}",
        whole,
    )


def _head(plan: Plan, view: View) -> Iterator[str]:
    event = ", ".join(filter(None, (plan.target_event.key, plan.target_event.currency)))
    title = f"{values.printable(plan.title)} → {values.printable(plan.target)} ({values.printable(event)})"
    wix = (
        "Wix not read yet" if plan.read_at is None else f"Wix read {values.clock(plan.read_at, view.now, seconds=True)}"
    )
    there = f"{values.printable(plan.target)} read {values.clock(plan.target_read_at, view.now, seconds=True)}"
    read = f"{wix}, {there}, " + ("Wix not to the end" if plan.unread else "both to the end")
    one_line, width = f"{title}        {read}", view.terminal.width
    if width is None or table.columns_of(one_line) <= width:
        yield one_line
    else:
        yield from table.hanging("", title, width)
        yield from table.hanging("  ", read, width)


def _what(one: Operation, currency: str | None, view: View) -> str:
    """What an operation is about: for a creation its options, prices and limit, else the record and why."""
    text = values.printable(one.text or REASONS.get(one.reason, ""))
    if one.kind is Kind.CREATE:
        return ", ".join(filter(None, (_offer(one, currency, view), text)))
    if one.kind is Kind.CONFLICT or one.record is None:
        return text
    if _in_one_line(one):
        text = f"{text}; would change {' '.join(_field(one.fields[0], '', '', view)[:2])}"
    record = f"record {values.printable(one.record)}"
    return f"{record}: {text}" if text else record


def _in_one_line(one: Operation) -> bool:
    """Whether what an adoption would change is told in its own line."""
    return one.kind is Kind.ADOPT and len(one.fields) == 1 and not one.options


def _offer(one: Operation, currency: str | None, view: View) -> str:
    """The options, prices and limit of what is created: "3 options, 8.50 to 20.00 EUR, limit 60"."""
    of_options = [change for option in one.options for change in option.fields]
    prices = [str(change.wix) for change in of_options or one.fields if view.meaning.is_price(change.name, change.wix)]
    found = [values.count(len(one.options), "option")] if one.options else []
    if prices:
        span = " to ".join(dict.fromkeys((min(prices, key=float), max(prices, key=float))))
        found.append(f"{span} {currency}" if currency else span)
    found += [
        "unlimited" if change.wix is None else f"{change.name} {change.wix}"
        for change in one.fields
        if change.name in view.meaning.limits
    ]
    return ", ".join(found)


def _changes(one: Operation, target: str, view: View) -> Iterator[tuple[str, str, str]]:
    """What an operation changes, by field and by option; of a creation its own line tells enough."""
    if one.kind is Kind.CREATE or _in_one_line(one):
        return
    view = replace(view, applied_at=one.applied_at)
    for change in one.fields:
        yield _field(change, "", target, view)
    for option in one.options:
        yield from _option(option, target, view)


def _option(option: OptionChange, target: str, view: View) -> Iterator[tuple[str, str, str]]:
    name = f"option {view.name(option.name or option.id)}"
    if option.kind is Kind.UPDATE:
        for change in option.fields:
            yield _field(change, f"{name}: ", target, view)
        return
    fields = ", ".join(f"{change.name} {view.value(change.name, change.wix)}" for change in option.fields)
    yield (
        name,
        f"{SYMBOLS[option.kind]} {option.kind}",
        "removed in Wix" if option.kind is Kind.DEACTIVATE else fields,
    )


def _field(change: FieldChange, before: str, target: str, view: View) -> tuple[str, str, str]:
    """A field, its two values, and who changed it."""
    old, new = (view.value(change.name, one) for one in (change.target, change.wix))
    return f"{before}{change.name}", f"{old} → {new}", _who(change, target, view)


def _who(change: FieldChange, target: str, view: View) -> str:
    """Why a field differs: which side has changed since it was applied."""
    if change.target is NOT_KNOWN:
        return f"{target} does not say what it has"
    if change.applied is NOT_KNOWN:
        return "it is not known what was applied"
    if change.applied == change.target:
        return "changed in Wix"
    when = "" if view.applied_at is None else f" {values.clock(view.applied_at, view.now)}"
    edited = f"edited in {target}; {view.value(change.name, change.applied)} was applied{when}"
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
    counts: dict[Kind, int] = {kind: plan.count(kind) for kind in Kind if kind is not Kind.CONFLICT}
    found = [kinds(counts) or "Nothing to do"]
    if conflicts := plan.count(Kind.CONFLICT):
        found.append(
            f"{values.count(conflicts, 'conflict')} {'stays as it is' if conflicts == 1 else 'stay as they are'}"
        )
    if edits := sum(one.edits for one in plan.operations if one.kind is not Kind.CONFLICT):
        found.append(f"{values.count(edits, 'edit')} made by hand would be overwritten")
    return f"{'; '.join(found)}. Plan {plan.digest}"
