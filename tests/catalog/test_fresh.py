from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.catalog import fresh
from server.catalog.fresh import FreshSite
from server.catalog.payment import ByPace
from server.counter import Rules, State
from server.errors import WixUnavailable
from server.model import SiteId
from server.store.budget import Budget
from server.wix.client import Wix
from server.wix.credentials import App
from tests.rig.fake_wix import Reply, running
from tests.rig.server import SITE, TICKET
from tests.rig.wix import IDS, WixRig
from tests.rig.worker_rig import answer


@pytest.fixture
async def client(wix: WixRig) -> AsyncIterator[Wix]:
    """A client of the sandbox."""
    async with aclosing(Wix(App(IDS.app, IDS.app_secret), wix.url)) as found:
        yield found


async def read(client: Wix) -> FreshSite:
    return await fresh.read(client, SiteId(SITE), Rules(), ByPace())


async def test_events_with_their_tickets(wix: WixRig, client: Wix) -> None:
    """A read of Wix gives each event with its slug, and each ticket with what visitors would see and what is left."""
    found = await read(client)

    [event] = found.events
    own = wix.world.events[wix.event]
    assert (wix.event, own.title, own.slug, ()) == (event.event, event.title, event.slug, found.notes)
    by_id = {str(one.ticket): one for one in event.tickets}
    assert set(wix.tickets.values()) == set(by_id)
    assert (State.LOW, 3) == (by_id[wix.tickets["low"]].state, by_id[wix.tickets["low"]].unsold)
    assert "hidden in Wix" == by_id[wix.tickets["hidden"]].why_gone
    assert by_id[wix.tickets["unlimited"]].unsold is None


async def test_nothing_is_called_more_than_needed(wix: WixRig, client: Wix) -> None:
    """A site with up to a hundred tickets costs a token and two calls."""
    await read(client)

    assert 3 == len(wix.calls())


async def test_events_that_may_not_be_read(wix: WixRig, client: Wix) -> None:
    """Without the permission Read Events tickets are listed all the same, and it is said what is missing and why."""
    wix.knobs.turn(read_events=False)

    found = await read(client)

    assert [None] == [one.slug for one in found.events]
    assert len(wix.tickets) == len(found.events[0].tickets)
    [note] = found.notes
    assert note.startswith("events could not be read, so slugs are not known: Wix answered 403 to events")


async def test_fault_of_wix(wix: WixRig, client: Wix) -> None:
    """A fault of Wix is the error of the read."""
    wix.knobs.turn(outage="500")

    with pytest.raises(WixUnavailable):
        await read(client)


async def test_pages_and_what_cannot_be_read() -> None:
    """All pages are read, a ticket that two of them have counts once, and unreadable ones are counted."""
    async with running() as wix, aclosing(Wix(App("app", "secret"), wix.url)) as client:
        last = answer(TICKET)
        last["ticketDefinitions"].append({"id": "99999999-aaaa-4aaa-8aaa-000000000009"})
        wix.reply("/query", Reply(content=answer(TICKET, next="more")), Reply(content=last))

        found = await read(client)

        assert 2 == len(wix.requests_to("/ticket-definitions/query"))
    assert [TICKET] == [one.ticket for event in found.events for one in event.tickets]
    assert (f"tickets of site {SITE} whose answer from Wix could not be read: 1",) == found.notes


async def test_pages_without_end() -> None:
    """An answer that always names a next page ends the read at a limit, which is said."""
    async with running() as wix, aclosing(Wix(App("app", "secret"), wix.url)) as client:
        wix.reply("/query", Reply(content=answer(TICKET, next="more")))

        found = await fresh.read(client, SiteId(SITE), Rules(), ByPace(Budget(capacity=1000)))

        assert fresh.MOST_PAGES == len(wix.requests_to("/ticket-definitions/query"))
    assert (f"site {SITE} has more than 10,000 tickets: the others are not listed",) == found.notes
