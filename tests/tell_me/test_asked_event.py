import asyncio
import time
from types import SimpleNamespace

import pytest

from server.errors import BadRequest, NoSiteYet, UnknownEvent, UnknownSite
from server.hub.site_lookup import SiteLookup
from server.model import Event, EventId, SiteId
from server.store.events import Events
from server.store.ticket_sites import TicketSites
from server.tell_me.asked_event import AskedEvent, AskedEvents
from tests.rig.fake_reader import EVENT
from tests.rig.server import SITE, TICKET
from tests.rig.site_lookup import lookup_of
from tests.rig.tell_me_rig import TellMe

OTHER_SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")


def events(tell_me: TellMe, *sites: SiteId, push: bool = True) -> AskedEvents:
    """The events of these sites."""
    lookup = lookup_of(*sites or [SITE])
    return AskedEvents(tell_me.store, lambda query: lookup.find(query, ""), push=push)


async def test_an_event_is_found_by_ticket_id_and_slug(tell_me: TellMe) -> None:
    """A ticket, the id and the slug of its event lead to the same event, with the counters that were asked for."""
    await tell_me.offer()
    version = await tell_me.reads.version()
    read = Event(EventId(EVENT), slug="spring-gala", facts={"title": "The gala"})
    await Events(tell_me.store).keep(SiteId(SITE), version, [EventId(EVENT)], [read])
    found = [await events(tell_me).find(query) for query in (f"ticket={TICKET}", f"event={EVENT}", "event=spring-gala")]
    by_event = AskedEvent(SiteId(SITE), EventId(EVENT), "The gala", True, True, f"event={EVENT}&site={SITE}")

    assert [f"ticket={TICKET}&site={SITE}", by_event.counters, by_event.counters] == [one.counters for one in found]
    assert [by_event, by_event] == found[1:]
    assert {by_event.query} == {one.query for one in found}
    assert (SITE, EVENT) == await events(tell_me).named(by_event.query)


async def test_how_visitors_can_be_told(tell_me: TellMe) -> None:
    """Push needs keys and notify.toml, sign-ups a tool that takes them; with neither there is nothing to ask for."""
    await tell_me.offer(sign_up=None)
    assert (True, False) == await found(tell_me)
    with pytest.raises(UnknownEvent):
        await events(tell_me, push=False).find(f"event={EVENT}")
    await tell_me.offer(push=None, sign_up=1)
    assert (False, True) == await found(tell_me)


async def found(tell_me: TellMe) -> tuple[bool, bool]:
    """Whether there is push, and whether addresses are taken."""
    asked = await events(tell_me).find(f"event={EVENT}")
    return asked.push, asked.sign_up


async def test_an_event_that_is_not_published(tell_me: TellMe) -> None:
    """Of an event that Wix leaves out of its answer, as it does drafts, it is not even said that there is one."""
    await tell_me.offer()
    version = await tell_me.reads.version()
    await Events(tell_me.store).keep(SiteId(SITE), version, [EventId(EVENT)], [])

    with pytest.raises(UnknownEvent):
        await events(tell_me).find(f"event={EVENT}")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", BadRequest),
        ("ticket=x", BadRequest),
        (f"ticket={TICKET}&ticket={EVENT}", BadRequest),
        (f"ticket={EVENT}", UnknownEvent),
        ("event=unknown", UnknownEvent),
        (f"event={TICKET}", UnknownEvent),
        (f"event={EVENT}&site={OTHER_SITE}", UnknownSite),
    ],
)
async def test_what_is_not_found(tell_me: TellMe, query: str, error: type[Exception]) -> None:
    """What names no event of ours is refused, and leaves no trace."""
    await tell_me.offer()
    keys = await tell_me.store.do("DBSIZE")

    with pytest.raises(error):
        await events(tell_me).find(query)
    assert keys == await tell_me.store.do("DBSIZE")


async def test_the_site_may_be_left_out_where_it_is_the_only_one(tell_me: TellMe) -> None:
    """With several sites an event is found at its own; without any a request comes too early."""
    await tell_me.offer()
    known = SimpleNamespace(known=frozenset({SiteId(SITE), OTHER_SITE}))
    lookup = SiteLookup(known, TicketSites(tell_me.store), time.monotonic)
    running = asyncio.create_task(lookup.run())
    several = AskedEvents(tell_me.store, lambda query: lookup.find(query, ""), push=True)

    for query in (f"event={EVENT}&site={SITE}", f"event={EVENT}", f"ticket={TICKET}"):
        assert SITE == (await several.find(query)).site
    running.cancel()
    await asyncio.wait({running})

    known.known = frozenset()
    with pytest.raises(NoSiteYet):
        await several.find(f"event={EVENT}")
