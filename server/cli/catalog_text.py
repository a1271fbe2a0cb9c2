"""Events and tickets as text and as JSON. Names are as somebody typed them: each sign of them that cannot be printed becomes a blank."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from server.catalog.catalog import Catalog
from server.catalog.listed import ListedEvent, ListedTicket
from server.cli import table, values
from server.counter import State
from server.model import SiteId

FORMAT = 1
"""Raised when a member changes its meaning or goes; new ones may come without."""
NO_TICKETS = "There are no tickets yet: create them in Wix, under Events, and they show here within seconds."


def ticket_lines(events: Sequence[ListedEvent], sites: Collection[SiteId]) -> Iterator[str]:
    """Each event as a line, and below it a line for each of its tickets."""
    rows = {one: [_ticket_row(ticket) for ticket in one.tickets] for one in events}
    # One width for all events, so that columns do not jump.
    lines = iter([*table.lines([row for some in rows.values() for row in some], indent=2)])
    for place, one in enumerate(events):
        if place:
            yield ""
        yield _heading(one, sites)
        for _ in rows[one]:
            yield next(lines)


def event_lines(events: Sequence[ListedEvent], sites: Collection[SiteId]) -> Iterator[str]:
    """A line for each event."""
    rows = [
        (
            _start(one),
            str(one.status or "").lower(),
            values.count(len(one.tickets), "ticket"),
            one.event,
            values.printable(one.slug or "-"),
            values.printable(one.title) + (f" (site {one.site})" if len(sites) > 1 else ""),
        )
        for one in events
    ]
    yield from table.lines(rows)


def ticket_json(found: Catalog, events: Sequence[ListedEvent]) -> str:
    """`tickets --json`, on one line; only ASCII, so that no name can control a terminal."""
    return _json(found, [{**_event(one), "tickets": [_ticket(ticket) for ticket in one.tickets]} for one in events])


def event_json(found: Catalog) -> str:
    """`events --json`, as above."""
    return _json(found, [{**_event(one), "tickets": len(one.tickets)} for one in found.events])


def left(one: ListedTicket) -> str:
    """How many are left, in words."""
    return "unlimited" if one.unsold is None else f"{one.unsold:,} left"


def _ticket_row(one: ListedTicket) -> tuple[str, ...]:
    state = f"not shown: {one.why_gone}" if one.state is State.GONE else str(one.state)
    return (one.ticket, state, left(one), values.printable(one.name))


def _heading(one: ListedEvent, sites: Collection[SiteId]) -> str:
    about = [one.slug, str(one.status or "").lower(), _start(one), f"site {one.site}" if len(sites) > 1 else ""]
    return f"{values.printable(one.title) or one.event} ({', '.join(values.printable(part) for part in about if part)})"


def _start(one: ListedEvent) -> str:
    try:
        return values.moment(one.start) if one.start else ""
    except ValueError:
        return ""


def _json(found: Catalog, events: Sequence[dict[str, Any]]) -> str:
    return json.dumps(
        {
            "format": FORMAT,
            "read_from": sorted(found.read_from),
            "notes": list(found.notes),
            "sites": list(found.sites),
            "events": events,
        }
    )


def _event(one: ListedEvent) -> dict[str, Any]:
    return {
        "site": one.site,
        "event": one.event,
        "slug": one.slug,
        "title": one.title,
        "status": one.status,
        "start": one.start,
    }


def _ticket(one: ListedTicket) -> dict[str, Any]:
    return {
        "ticket": one.ticket,
        "name": one.name,
        "state": one.state,
        "why_gone": one.why_gone or None,
        "unsold": one.unsold,
    }
