"""Previews, and what became of a command of notify, as text; times and durations as they are told there.

In: values of server/notify/reports.py. Out: lines. Nothing here reads a clock: *now* is in seconds since 1970.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from server.campaign import ChannelName
from server.cli import table, values
from server.notify.channels.channel import Reply, Result
from server.notify.reports import Audience, CampaignReport, Forgotten, Preview

LABEL = 9
"""Columns of what stands before a line: audience, unknown, mail."""
GAP = "    "
WHERE_TO_LOOK = (
    "It did not arrive: look in the spam folder, and for its Message-ID in the relay's log.",
    "Show its source (in Gmail: Show original). Authentication-Results has to say spf=pass, dkim=pass and dmarc=pass.",
    "DKIM-Signature: h= has to name List-Unsubscribe and List-Unsubscribe-Post, or mail programs show no button to leave.",
    "Its link to leave the list is real: if you use it, this address gets no more mails about the event.",
)
"""After a test."""


def preview_lines(found: Preview, now: float, *, claimed: str = "nothing was claimed or sent") -> Iterator[str]:
    """`notify preview`: what would be said, to how many, how long it takes, and where the message was written."""
    yield GAP.join((_heading(found), _start(found, now)))
    if found.reason:
        yield f"{label('now')}{values.printable(found.reason)}"
    yield f"{label('message')}{_message(found)}"
    yield f"{label('audience')}{_audience(found)}"
    pace = _duration(found)
    if found.files:
        yield f"{label('written')}{found.files}{GAP}{pace}{claimed}"
    else:
        yield f"{label('pace')}{pace}{claimed}"


def dry_run_lines(found: Preview, now: float) -> Iterator[str]:
    """`notify send --dry-run`."""
    until = "" if found.deadline is None else f", until {at(found.deadline, now, found.zone)}"
    yield f"would claim {_numbers(found)} now{until}. Nothing was claimed or sent."
    if found.audience is not None:
        yield f"{label('audience')}{_audience(found)}"


def test_lines(reply: Reply, message_id: str) -> Iterator[str]:
    """`notify test`: what the relay said, and where to look now."""
    if reply.result is not Result.SENT:
        what = "not known whether it was sent" if reply.result is Result.UNKNOWN else "not sent"
        parts = (f"{what}: {reply.reason or reply.code or 'no reason was given'}", reply.cure)
        yield values.printable(". ".join(part.rstrip(".") for part in parts if part) + ".")
        return
    yield f"accepted by the relay, as {message_id}. Now look at the mail that arrived:"
    for line in WHERE_TO_LOOK:
        yield f"  {line}"


def stopped_lines(report: CampaignReport) -> Iterator[str]:
    """`notify stop`."""
    name = values.printable(report.campaign.name)
    left = [f"{one.left:,} by {one.progress.channel}" for one in report.channels if one.left > 0]
    not_sent = f" Not sent: {' and '.join(left)}." if left else ""
    yield f"{name} is stopped; what is in flight still arrives.{not_sent} To have it go on: ticket-counter notify send {name}"


def over_line(report: CampaignReport) -> str:
    """`notify stop`, of a campaign that was over already."""
    states: dict[str, list[str]] = {}
    for one in report.channels:
        states.setdefault(str(one.state), []).append(str(one.progress.channel))
    told = [f"{state} by {' and '.join(names)}" if len(states) > 1 else state for state, names in states.items()]
    return f"{values.printable(report.campaign.name)} is {' and '.join(told) or 'over'} already: nothing was stopped"


def forgotten_lines(found: Forgotten, now: float) -> Iterator[str]:
    """`notify forget`."""
    yield (
        f"Deleted: {values.count(found.rows, 'row')} of campaigns, {values.count(found.requests, 'request')} on the way to a tool."
    )
    if found.kept:
        kept = [f"{values.printable(one.campaign)} (until {at(one.until, now, one.zone)})" for one in found.kept]
        yield f"Kept until they end, so that nobody is sent to twice: the rows of {', '.join(kept)}. Run this again then."
    if found.unreadable:
        yield (
            f"{values.count(found.unreadable, 'campaign')} hashed addresses by a key that NOTIFY_KEYS lacks now: its rows cannot be "
            "found, and are deleted 90 days after it."
        )
    yield "A suppression stays, if there is one: it is what keeps mails from this person."
    yield "Push subscriptions are kept without an address, so they cannot be found by one: the browser that made one ends it."
    yield "The marketing tool has its own record of the person: delete that there."


def unsuppressed_lines(lists: int) -> Iterator[str]:
    """`notify unsuppress`."""
    if not lists:
        yield "This person has left no list of NOTIFY_FILE. Who gets no mail is not subscribed, or has delivery switched off: ask the tool."
        return
    yield f"This person may get mails of {values.count(lists, 'list')} again, as long as the marketing tool says that they are subscribed."


def _heading(found: Preview) -> str:
    title = values.printable(found.title or found.event_name)
    if found.begins is None:
        return title
    zone = zone_of(found.zone)
    return f"{title}, {_local(found.begins, zone):%a} {_day(found.begins, zone)} {place_of(found.zone)}"


def _start(found: Preview, now: float) -> str:
    if found.start is None or found.deadline is None:
        return "no sale start is known"
    zone = zone_of(found.zone)
    # What is on sale for long began before the campaign that would announce it.
    known = found.started if found.started is not None or found.start <= now else found.start
    end = _local(found.deadline, zone)
    last = f"{end:%H:%M}" if end.date() == _local(found.start, zone).date() else f"{end:%a} {end:%H:%M}"
    place = "" if found.begins is not None else f" {place_of(found.zone)}"
    ends = f"nothing goes out after {last}{place}"
    if known is None:
        return f"on sale, without a start; {ends}"
    start = _local(known, zone)
    when = f"in {span(known - now)}" if known > now else f"{span(now - known)} ago"
    year = "" if start.year == _local(now, zone).year else f" {start.year}"
    verb = "sale starts" if known > now else "sale started"
    return f"{verb} {start:%a} {start.day} {start:%b}{year} {start:%H:%M} ({when}), {ends}"


def _message(found: Preview) -> str:
    names = [values.printable(name) for name in (*found.on_sale, *found.later)]
    texts = (
        f" Texts {', '.join(found.languages)}; the reader's language, else {found.language}" if found.languages else ""
    )
    if not names:
        return f"no ticket.{texts}"
    if len(names) == 1:
        return f"{names[0]}.{texts}"
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    starts = [one for one in found.starts if one is not None]
    # What began before the campaign's start, or has none, does not start together with anything.
    together = len(starts) == len(names) and min(starts) >= (found.start or 0.0)
    if together and len(set(starts)) == 1:
        return f"{listed} start together: one message.{texts}"
    if together and found.later:
        return f"{listed} start soon after each other: one message.{texts}"
    return f"one message: {', '.join(names)}.{texts}"


def _audience(found: Preview) -> str:
    about = found.audience
    if about is None:
        return f"no tool; {_numbers(found)}"
    parts = [f"{about.members:,} members", *_excluded(about)]
    return f"{values.printable(about.place)}: {', '.join(parts)}; about {_numbers(found)}"


def _excluded(about: Audience) -> Iterator[str]:
    if about.asked is not None and (about.delivery_off or about.asked):
        total = about.read - about.unusable - about.twice - about.suppressed
        of = "" if about.asked >= total else f" of the first {about.asked:,}"
        yield f"{about.delivery_off:,} with delivery off{of}"
        if about.not_in:
            yield f"{about.not_in:,} who have left{of}"
    yield f"{about.suppressed:,} suppressed here"
    if about.unusable:
        yield f"{about.unusable:,} without a usable address{_lines(about)}"
    if about.twice:
        yield f"{about.twice:,} listed twice"


def _lines(about: Audience) -> str:
    """The first lines of a file of which that is so; what stands there is not shown."""
    if not about.unusable_lines:
        return ""
    more = " and more" if about.unusable > len(about.unusable_lines) else ""
    return f" ({'line' if about.unusable == 1 else 'lines'} {', '.join(map(str, about.unusable_lines))}{more})"


def _numbers(found: Preview) -> str:
    mails = None if found.audience is None else found.audience.mails
    told = [] if mails is None else [values.count(mails, "mail")]
    if ChannelName.PUSH in found.per_second:
        told.append(values.count(found.pushes, "push", "pushes"))
    return " and ".join(told) or "no one"


def _duration(found: Preview) -> str:
    if found.audience is None or not found.audience.mails or ChannelName.MAIL not in found.per_second:
        return ""
    pace = found.per_second[ChannelName.MAIL]
    return f"at {pace:g} mails a second about {span(found.audience.mails / pace)}; "


# -- words --


def span(seconds: float) -> str:
    """How long: 45 s, 3 min 20 s, 21 min, 2 h 10 min, 2 days."""
    whole = round(max(0.0, seconds))
    if whole < values.MINUTE:
        return f"{whole} s"
    if whole < 10 * values.MINUTE:
        return _two(whole, 60, "min", "s")
    if round(whole / 60) < 60:
        return f"{round(whole / 60)} min"
    if whole < values.DAY:
        return _two(round(whole / 60), 60, "h", "min")
    return values.count(round(whole / values.DAY), "day")


def _two(number: int, size: int, large: str, small: str) -> str:
    whole, rest = divmod(number, size)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def at(moment: float, now: float, zone: str | None) -> str:
    """A time in an event's zone, which is named: 18:05 Berlin today, else with the day. A zone that is not known is UTC."""
    known = zone_of(zone)
    local, today = _local(moment, known), _local(now, known)
    if local.date() == today.date():
        return f"{local:%H:%M} {place_of(zone)}"
    return f"{local:%a} {local.day} {local:%b} {local:%H:%M} {place_of(zone)}"


def place_of(zone: str | None) -> str:
    """A zone as it is told: Berlin, or UTC."""
    return (zone or "").rpartition("/")[2].replace("_", " ") if zone and zone_of(zone) is not UTC else "UTC"


def label(text: str) -> str:
    """What stands before a line."""
    return table.pad(text, LABEL) + " "


def zone_of(name: str | None) -> tzinfo:
    """The zone of this name; UTC where it is not known."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _day(moment: float, zone: tzinfo) -> str:
    local = _local(moment, zone)
    return f"{local.day} {local:%b %Y %H:%M}"


def _local(moment: float, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(moment, UTC).astimezone(zone)
