import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.model import Definition, Event, EventId, EventName, EventStatus, Hint, TicketId
from server.redis.client import RedisClient, Use
from server.store.claims import Listing
from server.store.events import Events
from server.store.shown import Shown, ShownTickets
from server.store.snapshots import Cause, ReadResult
from tests.rig.background import background
from tests.rig.default_keys import KEYS, key
from tests.rig.fake_reader import EVENT as EVENT_TEXT
from tests.rig.fake_reader import definition
from tests.rig.server import until
from tests.rig.stored_site import EVENT, SITE_ID, A, B, C, StoredSite

NAME = EventName(EVENT)
UNKNOWN = EventName("99999999-4444-4444-8444-00000000e009")
LIST_EVERY = 600.0


def placed(ticket: TicketId, place: int, **more: Any) -> Definition:
    """A ticket at this place of its event's page."""
    return definition(ticket, position=f"{place:010} 2027-01-01T00:00:00Z", **more)


def listed(*tickets: TicketId) -> str:
    """The list of these tickets as it is stored."""
    return json.dumps({"event": EVENT_TEXT, "tickets": tickets}, separators=(",", ":"))


def shown(site: StoredSite) -> Shown:
    """The lists of the site's Redis."""
    return Shown(site.store, site.schedule.timing)


async def list_of(site: StoredSite, name: str = NAME) -> str | None:
    """The list of one event."""
    found = await shown(site).watch(site.site, [EventName(name)])
    assert found is not None
    return found.lists[0]


async def read_event(site: StoredSite, version: int, **facts: object) -> None:
    """Keep an event with these facts."""
    slug = facts.get("slug")
    event = Event(EVENT, slug=str(slug) if slug else None, facts={"id": EVENT, **facts})
    await Events(site.store).keep(site.site, version, [EVENT], [event])


async def test_tickets_are_in_the_order_of_the_page(site: StoredSite) -> None:
    """The list has the tickets by their place, those of one place by their ids, whatever was read first."""
    await site.keep(1, placed(C, 1), placed(A, 2))
    assert listed(C, A) == await list_of(site)

    await site.keep(2, placed(B, 1))
    assert listed(B, C, A) == await list_of(site)

    await site.keep(3, placed(A, 0))
    assert listed(A, B, C) == await list_of(site)


async def test_only_shown_tickets_are_listed(site: StoredSite) -> None:
    """A hidden ticket, a deleted one, and one that was never there are not in the list, which may be empty."""
    await site.keep(1, placed(A, 1, hidden=True), ReadResult.never_there(C))
    assert listed() == await list_of(site)

    await site.keep(2, placed(A, 1), placed(B, 2))
    assert listed(A, B) == await list_of(site)

    await site.keep(3, placed(A, 1, hidden=True))
    assert listed(B) == await list_of(site)

    await site.keep(4, ReadResult.deleted(B, EVENT))
    assert listed() == await list_of(site)


async def test_event_without_any_ticket_is_unknown(site: StoredSite) -> None:
    """When the last ticket of an event is deleted, as with the event itself, it has no list any more."""
    await site.keep(1, placed(A, 1), placed(B, 2))

    await site.keep(2, ReadResult.deleted(A, EVENT), ReadResult.deleted(B, EVENT))

    assert None is await list_of(site)


async def test_lost_list_is_written_again(site: StoredSite) -> None:
    """A list that Redis lost is written by the next read of any ticket of it; one that another program wrote, by the next listing."""
    await site.keep(1, placed(A, 1), placed(B, 2))
    await site.store.do("DEL", key(SITE_ID, "shown", EVENT))

    await site.keep(2, placed(B, 2))
    assert listed(A, B) == await list_of(site)

    await site.store.do("SET", key(SITE_ID, "shown", EVENT), listed(C))
    await site.keep(3, placed(B, 2))
    assert listed(C) == await list_of(site)
    listing = ReadResult.of(placed(B, 2), None, site.snapshots.rules)
    await site.snapshots.keep(SITE_ID, 4, [listing], Cause.LISTING)
    assert listed(A, B) == await list_of(site)


@pytest.mark.parametrize("status", [EventStatus.CANCELED, EventStatus.ENDED])
async def test_event_that_is_over_has_no_tickets(site: StoredSite, status: EventStatus) -> None:
    """An event that is cancelled or has ended has an empty list: nothing is said of its tickets."""
    await site.keep(1, placed(A, 1))
    await site.keep(2, placed(A, 1, event_details=Event(EVENT, status=status)))

    assert listed() == await list_of(site)


async def test_draft_is_as_an_unknown_event(site: StoredSite) -> None:
    """An event that is not published has no list, as one that there is not; a published one has it again."""
    draft = Event(EVENT, status=EventStatus.DRAFT)
    await site.keep(1, placed(A, 1, event_details=draft))
    assert ShownTickets(True, (None, None)) == await shown(site).watch(SITE_ID, [NAME, UNKNOWN])

    await site.keep(2, placed(A, 1))
    assert listed(A) == await list_of(site)

    await site.keep(3, placed(A, 1, event_details=draft))
    assert None is await list_of(site)


async def test_at_most_a_hundred_tickets_are_listed(site: StoredSite) -> None:
    """The list of a large event has its first hundred tickets."""
    tickets = [TicketId(f"{number:08}-aaaa-4aaa-8aaa-000000000001") for number in range(130)]
    for start in (50, 0):
        await site.keep(100 - start, *(placed(one, n) for n, one in enumerate(tickets) if start <= n < start + 80))

    assert listed(*tickets[:100]) == await list_of(site)


async def test_older_read_changes_no_list(site: StoredSite) -> None:
    """A read that began earlier than the stored one moves no ticket."""
    await site.keep(9, placed(A, 1), placed(B, 2))
    await site.keep(5, placed(B, 0, hidden=True))

    assert listed(A, B) == await list_of(site)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((A, B, C)), st.sampled_from((0, 1, 2, None))), min_size=1, max_size=8))
async def test_list_is_of_the_newest_reads(site: StoredSite, reads: list[tuple[TicketId, int | None]]) -> None:
    """In whatever order tickets are moved, hidden and shown, the list has those shown by the newest read of each, in order."""
    await site.store.do("DEL", *(key(SITE_ID, "ticket", one) for one in (A, B, C)), key(SITE_ID, "event", EVENT))
    newest: dict[TicketId, int] = {}
    for version, (ticket, place) in enumerate(reads, 1):
        await site.keep(version, placed(ticket, place or 0, hidden=place is None))
        newest.pop(ticket, None)
        if place is not None:
            newest[ticket] = place

    assert listed(*sorted(newest, key=lambda one: (newest[one], one))) == await list_of(site)


@asynccontextmanager
async def published(site: StoredSite, *names: str) -> AsyncIterator[list[tuple[str, str]]]:
    """What is published meanwhile to the channels of these events: names and texts."""
    heard: list[tuple[str, str]] = []
    confirmed = 0
    async with site.store.listener() as listener:

        async def receive() -> None:
            nonlocal confirmed
            while True:
                found = await listener.receive(1.0)
                if found and found.text is None:
                    confirmed += 1
                elif found and found.text is not None:
                    heard.append((found.channel.rpartition(":")[2], found.text))

        await listener.subscribe(*(KEYS.event_channel(SITE_ID, name) for name in names))
        async with background(receive()):
            await until(lambda: confirmed == len(names))
            yield heard


async def test_only_a_change_is_published(site: StoredSite) -> None:
    """A list is published when it has changed, to the channels of the event and of its slug, and not again."""
    await read_event(site, 1, slug="gala")
    async with published(site, EVENT, "gala") as heard:
        await site.keep(2, placed(A, 1), placed(B, 2))
        await site.keep(3, placed(A, 1, unsold=9), placed(B, 2))
        await site.keep(4, placed(A, 3), placed(B, 2))
        await until(lambda: len(heard) >= 4)

    assert [(name, listed(*order)) for order in ((A, B), (B, A)) for name in (EVENT, "gala")] == heard


async def test_published_in_a_cluster(cluster_url: str) -> None:
    """In a cluster the list is published in the slot of its site."""
    site = StoredSite(cluster_url)
    await site.add_listed_site()
    async with published(site, EVENT) as heard:
        await site.keep(2, placed(A, 1))
        await until(lambda: heard)
    await site.aclose()

    assert [(EVENT, listed(A))] == heard


async def test_slug_names_its_event(site: StoredSite) -> None:
    """The list of an event is found by its slug; by an old slug no more."""
    await site.keep(1, placed(A, 1))
    await read_event(site, 2, slug="gala")
    assert listed(A) == await list_of(site, "gala")

    await read_event(site, 3, slug="gala-2027")
    assert [None, listed(A), listed(A)] == [await list_of(site, name) for name in ("gala", "gala-2027", NAME)]


async def test_change_of_a_slug_is_published(site: StoredSite) -> None:
    """Those who ask by a slug are told when it comes and when it goes."""
    async with published(site, "gala", "ball") as heard:
        await read_event(site, 1, slug="gala")
        await read_event(site, 2, slug="ball")
        await until(lambda: len(heard) >= 3)

    assert [("gala", ""), ("gala", ""), ("ball", "")] == heard


async def test_unknown_site_has_no_lists(site: StoredSite) -> None:
    """For a site that is not known nothing is answered or written."""
    await site.schedule.remove_site(SITE_ID)
    before = await site.keys()

    assert None is await shown(site).watch(SITE_ID, [NAME])
    assert before == await site.keys()


async def test_unknown_event_leaves_no_key(site: StoredSite) -> None:
    """A request for events that are not known writes nothing."""
    before = await site.keys()

    found = await shown(site).watch(SITE_ID, [UNKNOWN, EventName("invented"), EventName("")])

    assert ShownTickets(True, (None, None, None)) == found
    assert before == await site.keys()


async def test_complete_after_a_listing_of_which_all_is_stored(redis_url: str) -> None:
    """A site is complete once a listing has ended of which each ticket was stored, and stays so."""
    site = await StoredSite(redis_url).add_site()
    assert ShownTickets(False, (None,)) == await shown(site).watch(SITE_ID, [NAME])

    await site.schedule.listing_done(await site.listing(), complete=False)
    assert ShownTickets(False, (None,)) == await shown(site).watch(SITE_ID, [NAME])

    for complete in (True, False):
        await site.list_now()
        await site.schedule.listing_done(await site.listing(), complete=complete)
        assert ShownTickets(True, (None,)) == await shown(site).watch(SITE_ID, [NAME])
    await site.aclose()


# -- where only watched tickets are tracked --


async def listing_due(site: StoredSite) -> float | None:
    """Seconds until the listing is due; None where it is not."""
    at = await site.store.do("ZSCORE", key(SITE_ID, "due"), "*")
    return None if at is None else (float(at) - await site.now()) / 1e6


async def test_unknown_event_costs_a_listing_a_lease(watched: StoredSite) -> None:
    """An event that is not known has the site listed: once in a lease, however often it is asked for."""
    for _ in range(3):
        assert None is await list_of(watched)
    listing = await watched.claim()
    assert isinstance(listing, Listing)
    await watched.schedule.listing_done(listing)

    for number in range(20):
        await list_of(watched, f"invented-{number}")

    wait = await listing_due(watched)
    assert wait is not None
    assert 25 < wait <= 30


async def test_known_event_is_listed_as_seldom_as_elsewhere(watched: StoredSite) -> None:
    """A list that is watched has the site listed every LIST_EVERY, as where every ticket is tracked."""
    await list_of(watched)
    await watched.keep(1, placed(A, 1))
    await watched.schedule.listing_done(await watched.listing())
    assert None is await listing_due(watched)

    await list_of(watched)

    wait = await listing_due(watched)
    assert wait is not None
    assert LIST_EVERY - 5 < wait <= LIST_EVERY


async def test_no_listing_where_every_ticket_is_tracked(site: StoredSite) -> None:
    """Where every ticket is tracked, no request makes a listing due."""
    before = await listing_due(site)
    await list_of(site)

    assert before is not None
    after = await listing_due(site)
    assert after is not None
    assert before - 1 < after <= before


async def test_new_ticket_of_a_watched_list_is_tracked(watched: StoredSite) -> None:
    """A webhook of a ticket counts if the list of its event was watched within a day, though the ticket is new."""
    await watched.keep(1, placed(A, 1))
    hint = Hint("definition_created", (B,), EVENT)
    assert 0 == await watched.schedule.mark(SITE_ID, hint)

    await list_of(watched)
    assert 1 == await watched.schedule.mark(SITE_ID, hint)
    assert 0 == await watched.schedule.mark(SITE_ID, Hint("definition_created", (C,), EventId(UNKNOWN)))

    await watched.passes(86_400 + 30)
    assert 0 == await watched.schedule.mark(SITE_ID, Hint("definition_created", (C,), EVENT))


async def test_change_of_a_watched_event_has_all_its_tickets_read(watched: StoredSite) -> None:
    """When the facts of an event change whose list is watched, all its tickets are read again, not only watched ones."""
    await watched.keep(1, placed(A, 1), placed(B, 2, hidden=True))
    await read_event(watched, 2, status="UPCOMING")
    assert {} == await watched.scores()

    await list_of(watched)
    await read_event(watched, 3, status="DRAFT")

    assert {A, B} == {*await watched.scores()}


async def test_watching_ends(watched: StoredSite) -> None:
    """What was watched is forgotten a day later."""
    await watched.keep(1, placed(A, 1))
    await list_of(watched)
    await watched.passes(86_400 + 30)

    await shown(watched).watch(SITE_ID, [])

    assert {} == await watched.scores("shown_watched")


async def test_list_expires_with_its_tickets(watched: StoredSite, redis_url: str) -> None:
    """Where only watched tickets are tracked, the list is kept for two days after the last read; elsewhere it stays."""
    await watched.keep(1, placed(A, 1))
    assert 172_700 < await watched.ttl("shown", EVENT) <= 172_800

    everything = StoredSite(redis_url)
    await everything.add_site()
    await everything.keep(2, placed(A, 1))
    assert -1 == await everything.ttl("shown", EVENT)
    await everything.aclose()


async def test_another_client_may_ask(site: StoredSite, redis_url: str) -> None:
    """Any process can ask for the lists."""
    await site.keep(1, placed(A, 1))
    other = RedisClient(redis_url, Use.INGEST)

    assert ShownTickets(True, (listed(A),)) == await Shown(other).watch(SITE_ID, [NAME])
    await other.aclose()
