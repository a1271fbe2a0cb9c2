"""How far campaigns are, as text.

In: values of server/notify/reports.py. Out: lines. Nothing here reads a clock: *now* is in seconds since 1970.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from server.campaign import RowState, State
from server.cli import table, values
from server.cli.notify_text import GAP, at, label, span
from server.cli.terminal import Terminal
from server.notify.reports import Backlog, CampaignReport, ChannelReport, PausedServer, PlannedStart, Status
from server.store.notify_requests import RequestKind

COLUMNS = ("campaign", "channel", "state", "sent", "waiting", "failed", "skipped", "unknown", "note")
NUMBERS = frozenset({3, 4, 5, 6, 7})
"""The columns that stand on their right."""
COLOURS = {State.DONE: "green", State.SENDING: "green", State.PAUSED: "red", State.WITHDRAWN: "yellow"}
BAR = 20
"""Signs of a progress bar."""
MOST_REASONS = 8
GOES_ON = "Once that is mended it goes on by itself, within an hour."
GIVEN_UP = {
    RequestKind.OPT_OUT: " after a week: take them out of the tool by hand.",
    RequestKind.SIGN_UP: ", nobody was asked to confirm: whoever misses the messages signs up again, or is added in the tool.",
}
NO_WORKER = "no worker runs it: start `ticket-counter serve` or `worker`. One that runs may have read an older notify.toml: restart it"


# -- status --


def status_lines(found: Status, terminal: Terminal, now: float) -> Iterator[str]:
    """`notify status`: a row for each campaign and channel, then what is planned, and what stands in the way."""
    rows = [_row(one, channel, now) for one in found.campaigns for channel in one.channels]
    rows += [_record(one) for one in found.campaigns if not one.channels]
    rows += [_planned(one, now) for one in found.planned]
    if rows:
        yield from _table(rows, terminal)
    else:
        yield "No campaign is kept, and no sale start is planned."
    yield from _obstacles(found, now)


def _table(rows: Sequence[Sequence[str]], terminal: Terminal) -> Iterator[str]:
    """The rows in columns; a block of lines for each where the terminal is too narrow."""
    lines = list(table.lines([COLUMNS, *rows], right=NUMBERS))
    narrow = [table.columns_of(line) - table.columns_of(row[-1]) for line, row in zip(lines[1:], rows, strict=True)]
    if terminal.width is not None and max(narrow) + table.NARROWEST_LAST > terminal.width:
        for row in rows:
            yield row[0]
            yield from table.lines(list(zip(COLUMNS[1:], row[1:], strict=True)), terminal.width, indent=2)
        return
    yield from table.lines([COLUMNS, *rows], terminal.width, right=NUMBERS)


def _row(report: CampaignReport, channel: ChannelReport, now: float) -> tuple[str, ...]:
    counts = channel.counts
    return (
        values.printable(report.campaign.name),
        str(channel.progress.channel),
        str(channel.state),
        f"{counts.sent:,}",
        f"{waiting(channel):,}",
        f"{counts.failed:,}",
        f"{counts.skipped:,}",
        f"{counts.unknown:,}",
        _note(report, channel, now),
    )


def _record(report: CampaignReport) -> tuple[str, ...]:
    """A campaign that has no channel: its event does not stand in notify.toml any more."""
    return (values.printable(report.campaign.name), "-", "-", *["-"] * 5, "its event is not in notify.toml")


def _planned(one: PlannedStart, now: float) -> tuple[str, ...]:
    names = values.printable(", ".join(one.tickets))
    note = f"starts in {span(one.start - now)}, {at(one.start, now, one.zone)}: {names}"
    return (values.printable(one.event_name), "-", str(State.PLANNED), *["-"] * 5, note)


def waiting(channel: ChannelReport) -> int:
    """Recipients whose turn is to come; none where nothing more is sent."""
    return 0 if channel.state.over or channel.progress.ended_at is not None else channel.left


def _note(report: CampaignReport, channel: ChannelReport, now: float) -> str:
    if over(channel, report, now):
        return values.printable(channel.note)
    until = f"until {at(report.campaign.deadline, now, report.zone)}"
    seconds = channel.seconds_left(now)
    parts = [
        values.printable(channel.note).rstrip("."),
        f"about {span(seconds)} to go" if seconds is not None else "",
        until,
        "" if channel.running or channel.state is State.STOPPED else NO_WORKER,
    ]
    return ", ".join(part for part in parts if part)


def over(channel: ChannelReport, report: CampaignReport, now: float) -> bool:
    """Whether nothing more is sent by itself."""
    return channel.state.over or channel.progress.ended_at is not None or now >= report.campaign.deadline


def _obstacles(found: Status, now: float) -> Iterator[str]:
    for server in found.paused:
        yield from paused_lines(server, now)
    for backlog in found.backlogs:
        yield from _backlog(backlog, now)
    for hint in found.hints:
        yield values.printable(hint)


def paused_lines(server: PausedServer, now: float) -> Iterator[str]:
    """What a relay or push service that is paused is told of."""
    parts = [f"paused: {server.name}: {server.reason}", server.cure]
    if server.next_try is not None:
        parts.append(f"Next try in {span(server.next_try - now)}" if server.next_try > now else "It is tried now")
    yield values.printable(". ".join(part.rstrip(".") for part in parts if part) + ".")


def _backlog(one: Backlog, now: float) -> Iterator[str]:
    if one.waiting:
        oldest = "" if one.oldest is None else f", the oldest for {span(max(0.0, now - one.oldest))}"
        meanwhile = " Who opted out gets nothing meanwhile." if one.kind == RequestKind.OPT_OUT else ""
        yield f"{values.count(one.waiting, one.kind)} on the way to the tool{oldest}.{meanwhile}"
    for about, fault in (one.faults or {}).items():
        yield f"{_about(one, about)}: {_sentence(fault)} {GOES_ON}"
    if one.parked:
        yield f"{values.count(one.parked, one.kind)} given up{GIVEN_UP[RequestKind(one.kind)]}"
    for about, fault in (one.given_up or {}).items():
        yield f"{_about(one, about)}, given up: {_sentence(fault)}"


def _about(one: Backlog, about: str) -> str:
    return f"{one.kind} {'at' if one.kind == RequestKind.OPT_OUT else 'for'} {values.printable(about)}"


def _sentence(text: str) -> str:
    return f"{values.printable(text).rstrip('.')}."


# -- one campaign --


def campaign_lines(report: CampaignReport, terminal: Terminal, now: float) -> Iterator[str]:
    """`notify status CAMPAIGN`: each channel with a bar, its reasons, and what is unknown."""
    for channel in report.channels:
        name = str(channel.progress.channel)
        yield f"{label(name)}{_painted_bar(channel, terminal)}{GAP}{GAP.join(_progress(report, channel, now))}"
        note = _note(report, channel, now)
        if channel.state is not State.SENDING or channel.note or not channel.running:
            yield from table.hanging(
                label("state"), ": ".join(filter(None, (str(channel.state), note))), terminal.width
            )
        yield from _counts(channel, terminal, now)
    if not report.channels:
        yield _record(report)[-1]


def _progress(report: CampaignReport, channel: ChannelReport, now: float) -> Iterator[str]:
    about = "" if channel.state is State.DONE else "about "
    yield f"{channel.counts.ended:,} of {about}{channel.candidates:,}"
    pace = channel.pace(now)
    if pace is not None:
        limit = "" if channel.per_second is None else f" of {channel.per_second:g}/s"
        yield f"{_rounded(pace)}/s{limit}"
    if over(channel, report, now):
        return
    if (seconds := channel.seconds_left(now)) is not None:
        yield f"about {span(seconds)}"
    yield f"until {at(report.campaign.deadline, now, report.zone)}"


def bar(channel: ChannelReport) -> str:
    """How far it is, as signs: ####----."""
    part = channel.counts.ended / channel.candidates if channel.candidates else float(channel.state is State.DONE)
    done = int(part * BAR)
    return "#" * done + "-" * (BAR - done)


def _painted_bar(channel: ChannelReport, terminal: Terminal) -> str:
    colour = COLOURS.get(channel.state)
    return terminal.paint(bar(channel), colour) if colour else bar(channel)


def _counts(channel: ChannelReport, terminal: Terminal, now: float) -> Iterator[str]:
    counts, by_state = channel.counts, _reasons(channel)
    parts = []
    for state, number in ((RowState.FAILED, counts.failed), (RowState.SKIPPED, counts.skipped)):
        if number:
            told = ", ".join(f"{values.printable(reason)} {count:,}" for reason, count in by_state[state] if reason)
            parts.append((str(state), f"{number:,}{f': {told}' if told else ''}"))
    if left := waiting(channel):
        parts.append(("waiting", _waiting(channel, left, by_state[RowState.WAITING], now)))
    if counts.unknown:
        parts.append(("unknown", _unknown(channel)))
    for name, text in parts:
        yield from table.hanging(label(name), text, terminal.width)


def _reasons(channel: ChannelReport) -> Mapping[RowState, list[tuple[str, int]]]:
    """What is counted of each state, the most frequent first; the rest of many is one."""
    found: defaultdict[RowState, list[tuple[str, int]]] = defaultdict(list)
    for (state, reason), number in sorted(channel.progress.reasons.items(), key=lambda one: (-one[1], one[0])):
        found[state].append((reason, number))
    for state, reasons in found.items():
        if len(reasons) > MOST_REASONS:
            rest = sum(number for _, number in reasons[MOST_REASONS:])
            found[state] = [*reasons[:MOST_REASONS], ("others", rest)]
    return found


def _waiting(channel: ChannelReport, left: int, reasons: Sequence[tuple[str, int]], now: float) -> str:
    put_off, sending = channel.counts.waiting, channel.counts.claimed
    told = [f"{left - put_off - sending:,} their turn"] if left > put_off + sending else []
    told += [f"{sending:,} being sent"] if sending else []
    if put_off:
        why = ", ".join(f"{values.printable(reason)} {number:,}" for reason, number in reasons if reason)
        told.append(f"{put_off:,} put off{f' ({why})' if why else ''}")
        if (next_try := channel.progress.next_try) is not None:
            told.append(f"next try in {span(next_try - now)}" if next_try > now else "tried again now")
    return f"{left:,}: {', '.join(told)}"


def _unknown(channel: ChannelReport) -> str:
    text = f"{channel.counts.unknown:,}: handed over, no answer, not sent again."
    if channel.message_ids:
        more = channel.counts.unknown - len(channel.message_ids)
        text += f" In the relay's log: {', '.join(channel.message_ids)}{f' and {more:,} more' if more > 0 else ''}"
    return text


def _rounded(pace: float) -> str:
    return f"{pace:.0f}" if pace >= 10 else f"{pace:.1f}"
