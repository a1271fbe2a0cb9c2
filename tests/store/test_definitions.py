from dataclasses import replace
from typing import Any

import pytest

from server.model import Event, EventId, SiteId, TicketId
from server.redis.client import RedisClient
from server.store.budget import Priority
from server.store.definitions import Definitions, StoredDefinition, StoredEvent
from server.store.events import Events
from server.store.snapshots import ReadResult
from tests.rig.default_keys import key
from tests.rig.fake_reader import definition
from tests.rig.stored_site import EVENT, SITE_ID, A, B, C, StoredSite, about

OTHER_SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
SECOND = EventId("0b5f1a2e-4444-4444-8444-00000000e002")


async def version(site: StoredSite) -> int:
    """Begin a read; answers its version."""
    found = await site.schedule.spend(SITE_ID, Priority.HINTED)
    assert isinstance(found, int)
    return found


async def keep_event(site: StoredSite, *answered: Event, asked: EventId = EVENT) -> None:
    """Store a read of an event, which answered it or not."""
    await Events(site.store).keep(SITE_ID, await version(site), [asked], answered)


def event(title: str | None = "The gala", slug: str | None = "gala") -> Event:
    return Event(EVENT, slug=slug, facts={"id": EVENT, "title": title})


@pytest.fixture
def definitions(site: StoredSite) -> Definitions:
    return Definitions(site.store)


# -- tickets --


async def test_nothing_is_known_at_first(definitions: Definitions) -> None:
    """Of a site of which nothing was read no ticket and no event is known."""
    assert await definitions.read(SITE_ID, A) is None
    assert [] == await definitions.of_event(SITE_ID, EVENT)
    assert await definitions.event(SITE_ID, EVENT) is None
    assert await definitions.find_event(SITE_ID, EVENT) is None
    assert await definitions.find_event(SITE_ID, "gala") is None
    assert await definitions.slug(SITE_ID, EVENT) is None


@pytest.mark.parametrize("unsold", [None, 0, 3])
async def test_facts_of_the_last_read(site: StoredSite, definitions: Definitions, unsold: int | None) -> None:
    """Of a ticket the facts of the last accepted read are known, what is unsold and shown, and when Redis was asked for that read."""
    facts: dict[str, Any] = {"id": A, "name": "🎫 „A“", "pricing": {"fixed": {"value": "25.00"}}, "none": None}
    before = await site.now() / 1e6
    await site.keep(await version(site), definition(A, unsold, facts=facts))

    found = await definitions.read(SITE_ID, A)

    assert found
    assert replace(found, counter={}) == StoredDefinition(A, EVENT, facts, unsold, about(before))
    assert (A, unsold, {None: "available", 0: "sold_out", 3: "low"}[unsold]) == tuple(
        found.counter[name] for name in ("ticket", "unsold", "state")
    )
    assert await definitions.read(OTHER_SITE, A) is None


async def test_deleted_ticket(site: StoredSite, definitions: Definitions) -> None:
    """Of a ticket that Wix answers 404 for it is known that it is gone, of which event it was, and the event has it no more."""
    await site.keep(await version(site), definition(A), definition(B))
    assert [A, B] == await definitions.of_event(SITE_ID, EVENT)

    await site.keep(await version(site), ReadResult.deleted(A, EVENT))

    found = await definitions.read(SITE_ID, A)
    assert found
    assert (EVENT, None, None) == (found.event, found.facts, found.unsold)
    assert [B] == await definitions.of_event(SITE_ID, EVENT)


async def test_ticket_that_was_never_there(site: StoredSite, definitions: Definitions) -> None:
    """Of a ticket that Wix never had it is known that it is gone, and of no event."""
    await site.keep(await version(site), ReadResult.never_there(A))

    found = await definitions.read(SITE_ID, A)

    assert found
    assert (None, None) == (found.event, found.facts)


async def test_left_out_of_an_answer_is_not_gone(site: StoredSite, definitions: Definitions) -> None:
    """A ticket that an answer of Wix leaves out is known as it was read last."""
    await site.keep(await version(site), definition(A))
    before = await definitions.read(SITE_ID, A)

    await site.snapshots.miss(SITE_ID, A)

    assert before == await definitions.read(SITE_ID, A)
    assert [A] == await definitions.of_event(SITE_ID, EVENT)


async def test_watched_is_not_read(site: StoredSite, definitions: Definitions) -> None:
    """A ticket that is watched, hinted at or due, and was never read, is not known: it is not gone."""
    await site.watch(A)
    await site.mark(A, event=EVENT)

    assert await definitions.read(SITE_ID, A) is None


@pytest.mark.parametrize("pace", ["live", "slow"])
async def test_unreadable_is_not_gone(store: RedisClient, pace: str) -> None:
    """A ticket that is not deleted, and of which no facts are stored, is not known."""
    await store.do("HSET", key(SITE_ID, "ticket", A), "pace", pace, "facts", "", "event", EVENT)

    assert await Definitions(store).read(SITE_ID, A) is None


# -- events --


async def test_event_by_id_or_slug(site: StoredSite, definitions: Definitions) -> None:
    """An event is found by its id, in any case, and by its slug, with its title; by those of no other."""
    await keep_event(site, event())
    gala = StoredEvent(EVENT, "The gala", left_out=False)

    for name in (EVENT, EVENT.upper(), "gala"):
        assert gala == await definitions.find_event(SITE_ID, name)
    for name in (SECOND, "Gala", "", "fair"):
        assert await definitions.find_event(SITE_ID, name) is None
    assert await definitions.find_event(OTHER_SITE, "gala") is None
    assert "gala" == await definitions.slug(SITE_ID, EVENT)


async def test_renamed_event(site: StoredSite, definitions: Definitions) -> None:
    """An event that got another slug is found by that one, and not by the one before."""
    await keep_event(site, event())
    await keep_event(site, event("The fair", "fair"))

    assert await definitions.find_event(SITE_ID, "gala") is None
    assert StoredEvent(EVENT, "The fair", left_out=False) == await definitions.find_event(SITE_ID, "fair")
    assert "fair" == await definitions.slug(SITE_ID, EVENT)


@pytest.mark.parametrize("title", [None, ""])
async def test_event_without_title_or_slug(site: StoredSite, definitions: Definitions, title: str | None) -> None:
    """An event needs neither a title nor a slug."""
    await keep_event(site, event(title, None))

    assert StoredEvent(EVENT, "", left_out=False) == await definitions.event(SITE_ID, EVENT)
    assert await definitions.slug(SITE_ID, EVENT) is None


async def test_event_of_which_only_a_ticket_is_known(site: StoredSite, definitions: Definitions) -> None:
    """An event that the app may not read is known by its tickets."""
    await site.keep(await version(site), definition(A))

    assert StoredEvent(EVENT, "", left_out=False) == await definitions.find_event(SITE_ID, EVENT)


async def test_event_that_is_left_out(site: StoredSite, definitions: Definitions) -> None:
    """An event that Wix's last answer left out is known as it was read before, and as left out until it is answered again."""
    await keep_event(site, event())
    await keep_event(site)
    assert StoredEvent(EVENT, "The gala", left_out=True) == await definitions.event(SITE_ID, EVENT)

    await keep_event(site, event())

    assert StoredEvent(EVENT, "The gala", left_out=False) == await definitions.event(SITE_ID, EVENT)


async def test_event_that_wix_never_answered(site: StoredSite, definitions: Definitions) -> None:
    """An event that each answer left out is known, as left out."""
    await keep_event(site, asked=SECOND)

    assert StoredEvent(SECOND, "", left_out=True) == await definitions.event(SITE_ID, SECOND)


async def test_tickets_in_order(site: StoredSite, definitions: Definitions) -> None:
    """The tickets of an event are named in one order, however they were read."""
    await site.keep(await version(site), definition(C), definition(A), definition(B))

    assert [TicketId(one) for one in (A, B, C)] == await definitions.of_event(SITE_ID, EVENT)


async def test_on_a_cluster(clustered: RedisClient) -> None:
    """On a cluster tickets and events of each site are read from its own node."""
    for n in range(6):
        site = SiteId(f"5f0e4d3c-1111-4111-8111-{n:012x}")
        name = {"name": f"of {n}"}
        await clustered.do(
            "HSET", key(site, "ticket", A), "pace", "live", "facts", f'{{"name":"of {n}"}}', "read_at", 5e6
        )
        await clustered.do("SADD", key(site, "event", EVENT), A)
        await clustered.do("HSET", key(site, "slugs"), "gala", EVENT)
        definitions = Definitions(clustered)

        assert StoredDefinition(A, None, name, None, 5.0) == await definitions.read(site, A)
        assert StoredEvent(EVENT, "", left_out=False) == await definitions.find_event(site, "gala")
