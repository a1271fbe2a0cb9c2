"""Reads all events and tickets of a site from Wix, for a command.

In: a site. Out: its events with their tickets, or WixUnavailable, WixRefused, NotThere. Nothing is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.catalog import listed
from server.catalog.listed import ListedEvent, ListedTicket
from server.catalog.payment import Payment
from server.counter import Counter, Rules
from server.errors import NotThere, WixForbidden, WixRefused
from server.model import Definition, Event, EventId, SiteId
from server.wix.client import PAGE, Wix

MOST_PAGES = 100
"""Pages of a site at most, so that no answer of Wix can make a command run for ever."""


@dataclass(frozen=True, slots=True)
class FreshSite:
    """The *events* of a site; *notes* say what could not be read."""

    events: tuple[ListedEvent, ...]
    notes: tuple[str, ...] = ()


async def read(wix: Wix, site: SiteId, rules: Rules, payment: Payment) -> FreshSite:
    """Read all of a site: a call for each hundred tickets, and one for each hundred events."""
    notes: list[str] = []
    definitions = await _definitions(wix, site, payment, notes)
    ids = sorted({one.event for one in definitions})
    events: dict[EventId, Event] = {}
    try:
        for at in range(0, len(ids), PAGE):
            some = ids[at : at + PAGE]
            events |= {one.id: one for one in await _events(wix, site, some, payment)}
    except (WixForbidden, WixRefused, NotThere) as error:
        notes.append(f"events could not be read, so slugs are not known: {error}; {error.hint}")
    found: dict[EventId, list[tuple[ListedTicket, Mapping[str, Any]]]] = {}
    for one in definitions:
        own = events.get(one.event)
        counter = Counter.of(one, own, rules)
        ticket = listed.ticket(one.id, one.facts, own.facts if own else None, counter.state, one.unsold)
        found.setdefault(one.event, []).append((ticket, one.facts))
    return FreshSite(
        tuple(listed.event(site, id_, _facts(events.get(id_)), tickets) for id_, tickets in found.items()), tuple(notes)
    )


async def _definitions(wix: Wix, site: SiteId, payment: Payment, notes: list[str]) -> Sequence[Definition]:
    found: list[Definition] = []
    unreadable = 0
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        at = cursor
        page = await payment.call(site, lambda pay, at=at: wix.page(site, at, pay))  # type: ignore[misc]
        found += page.definitions
        unreadable += len(page.unreadable)
        cursor = page.next_cursor
        if cursor is None:
            break
    else:
        notes.append(f"site {site} has more than {MOST_PAGES * PAGE:,} tickets: the others are not listed")
    if unreadable:
        notes.append(f"tickets of site {site} whose answer from Wix could not be read: {unreadable}")
    return list({one.id: one for one in found}.values())


async def _events(wix: Wix, site: SiteId, ids: Sequence[EventId], payment: Payment) -> Sequence[Event]:
    return await payment.call(site, lambda pay: wix.events(site, ids, pay))


def _facts(event: Event | None) -> Mapping[str, Any] | None:
    return event.facts if event else None
