"""What a campaign offers, by what was read last of its tickets."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from server.counter import Rules
from server.model import EventId, Price, SiteId, TicketId
from server.notify.announcement import AnnouncedTicket
from server.notify.offer import Offer, Offers, offer
from server.store.definitions import Definitions
from server.wix import events, schema
from tests.rig.campaigns import campaign
from tests.rig.fake_reader import FakeReader
from tests.rig.json_samples import changed
from tests.rig.server import SITE

SAMPLE: Mapping[str, Any] = json.loads((Path(__file__).parent.parent / "samples" / "definitions.json").read_text())
TICKET, OTHER = TicketId(SAMPLE["fixed"]["id"]), TicketId("99999999-aaaa-4aaa-8aaa-000000000009")
EVENT = EventId(SAMPLE["fixed"]["eventId"])
START, BEGINS = 1_768_035_600.0, 1_781_978_400.0
OLDEST = 390.0
EVENT_JSON: dict[str, Any] = {
    "id": EVENT,
    "title": "Spring Gala",
    "slug": "spring-gala",
    "status": "UPCOMING",
    "dateAndTimeSettings": {"startDate": "2026-06-20T18:00:00Z", "timeZoneId": "Europe/Berlin"},
    "location": {"name": "Hall", "locationTbd": False},
    "eventPageUrl": {"base": "https://www.example.org", "path": "/event-details/spring-gala"},
    "registration": {"status": "OPEN_TICKETS"},
}


def ticket(**changes: Any) -> dict[str, Any]:
    """A ticket that is on sale, of which so many are left; *changes* are members of Wix's JSON."""
    return {**SAMPLE["fixed"], **changes}


def scheduled(start: str = "2026-01-10T09:30:00Z") -> dict[str, Any]:
    """Another ticket, whose sale begins later."""
    period = {"startDate": start, "displayNotOnSale": True}
    return ticket(id=OTHER, name="Balcony", saleStatus="SALE_SCHEDULED", salePeriod=period)


class Rig:
    """One site, of which is read what a test says."""

    def __init__(self, redis_url: str) -> None:
        self.reader = FakeReader(redis_url, SITE)
        self.definitions = Definitions(self.reader.store)

    async def says(self, *tickets: dict[str, Any], event: dict[str, Any] | None = None) -> None:
        """Wix was read, and answered this."""
        read = events.event(EVENT_JSON if event is None else event)
        await self.reader.read(*(schema.definition(one) for one in tickets), event=read)

    async def offers(self, *tickets: TicketId, now: float | None = None, event: EventId = EVENT) -> Offer:
        """What can be announced of these tickets, by default of both."""
        at = time.time() if now is None else now
        return await offer(self.definitions, SiteId(SITE), event, tickets or (TICKET, OTHER), now=at, oldest=OLDEST)

    async def reason(self, *tickets: dict[str, Any], event: dict[str, Any] | None = None, **asked: Any) -> str:
        """Why nothing can be bought after these were read."""
        await self.says(*tickets, event=event)
        found = await self.offers(**asked)
        assert (None, False) == (found.announcement, found.buyable)
        return found.reason


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    found = Rig(redis_url)
    async with aclosing(found.reader):
        await found.reader.schedule.add_site(SiteId(SITE), Rules(), everything=True)
        yield found


async def test_what_is_announced(rig: Rig) -> None:
    """A message says what is on sale and what will be, when and where the event is, and where tickets are bought."""
    await rig.says(scheduled(), ticket())

    found = await rig.offers()

    assert (True, "") == (found.buyable, found.reason)
    announced = found.announcement
    assert announced is not None
    assert (
        AnnouncedTicket(TICKET, "General admission", START, on_sale=True, prices=(Price("25.00", "USD"),)),
        AnnouncedTicket(OTHER, "Balcony", START + 1800, on_sale=False, prices=(Price("25.00", "USD"),)),
    ) == announced.tickets
    assert ("Spring Gala", BEGINS, "Europe/Berlin", "Hall") == (
        announced.title,
        announced.begins,
        announced.zone,
        announced.location,
    )
    assert "https://www.example.org/event-details/spring-gala" == announced.page


async def test_event_whose_date_and_place_are_open(rig: Rig) -> None:
    """A date and a place that are to be announced are not made up, and a date that cannot be read is none."""
    for dates in ({"dateAndTimeTbd": True, "startDate": "2026-06-20T18:00:00Z"}, {"startDate": "soon"}, {}):
        await rig.says(
            ticket(),
            event={**EVENT_JSON, "dateAndTimeSettings": dates, "location": {"name": "TBD", "locationTbd": True}},
        )
        announced = (await rig.offers()).announcement
        assert announced is not None
        assert (None, None, "") == (announced.begins, announced.zone, announced.location)


async def test_ticket_of_an_unlimited_number_or_without_a_start(rig: Rig) -> None:
    """A ticket without a limit is announced, and one without a start as on sale now."""
    await rig.says({**changed(ticket(limited=False), "salesDetails"), "salePeriod": {}})

    announced = (await rig.offers(now=(now := time.time()))).announcement

    assert announced is not None
    assert [(now, True)] == [(one.start, one.on_sale) for one in announced.tickets]


async def test_event_without_a_page(rig: Rig) -> None:
    """Of an event whose page is hidden the link leads to the site; without any address nothing can be announced."""
    hidden = {**EVENT_JSON, "eventDisplaySettings": {"hideEventDetailsPage": True}}
    await rig.says(ticket(), event=hidden)
    announced = (await rig.offers()).announcement
    assert announced is not None
    assert "https://www.example.org" == announced.page

    details = {name: value for name, value in SAMPLE["fixed"]["eventDetails"].items() if name != "eventPageUrl"}
    nowhere = {name: value for name, value in EVENT_JSON.items() if name != "eventPageUrl"}
    assert "the event has no page" == await rig.reason(ticket(eventDetails=details), event=nowhere)


async def test_why_nothing_can_be_bought(rig: Rig) -> None:
    """Sold out, closed, ended, scheduled, hidden, cancelled and deleted tickets cannot be bought, and it is said why."""
    sold_out = ticket(salesDetails={"unsoldCount": 0, "soldOut": True})
    assert "sold out" == await rig.reason(sold_out, scheduled())
    closed = {**EVENT_JSON, "registration": {"status": "OPEN_TICKETS", "registrationPaused": True}}
    assert "registration is closed" == await rig.reason(ticket(), event=closed)
    assert "the sale has ended" == await rig.reason(ticket(saleStatus="SALE_ENDED"), ticket(id=OTHER, hidden=True))
    assert "not on sale yet" == await rig.reason(ticket(hidden=True), scheduled())
    for status, reason in (
        ("CANCELED", "the event is cancelled"),
        ("ENDED", "the event has ended"),
        ("DRAFT", "the event is not published"),
    ):
        event = {**EVENT_JSON, "status": status}
        assert reason == await rig.reason(ticket(), ticket(id=OTHER, hidden=True), event=event)
    assert "hidden or deleted" == await rig.reason(ticket(hidden=True), ticket(id=OTHER, hidden=True))
    await rig.reader.delete(TICKET)
    await rig.reader.delete(OTHER)
    assert "hidden or deleted" == (await rig.offers()).reason
    assert "hidden or deleted" == (await rig.offers(TicketId("88888888-aaaa-4aaa-8aaa-000000000008"))).reason


async def test_one_ticket_is_enough(rig: Rig) -> None:
    """While one of the tickets can be bought the others are left out; free again, sold-out tickets are announced again."""
    sold_out = {"unsoldCount": 0, "soldOut": True}
    await rig.says(ticket(), ticket(id=OTHER, salesDetails=sold_out))
    announced = (await rig.offers()).announcement
    assert announced is not None
    assert [TICKET] == [one.id for one in announced.tickets]

    assert "sold out" == await rig.reason(ticket(salesDetails=sold_out))
    await rig.says(ticket())
    assert (await rig.offers()).buyable


async def test_what_was_not_read_lately_cannot_be_bought(rig: Rig) -> None:
    """A ticket that was not read for too long counts as not on sale, whatever was read then."""
    await rig.says(ticket(), ticket(id=OTHER, salesDetails={"unsoldCount": 0, "soldOut": True}))

    assert (await rig.offers(now=time.time() + OLDEST - 5)).buyable
    found = await rig.offers(now=time.time() + OLDEST + 5)
    assert (False, "not read lately") == (found.buyable, found.reason)


async def test_tickets_of_another_event(rig: Rig) -> None:
    """A ticket that has moved to another event is not announced for this one."""
    await rig.says(ticket())

    assert not (await rig.offers(event=EventId("0b5f1a2e-4444-4444-8444-00000000e002"))).buyable


async def test_tickets_of_a_campaign_are_read_often(rig: Rig) -> None:
    """Whoever asks what a campaign offers has its tickets read as if a visitor saw them."""
    await rig.says(ticket())
    offers = Offers(rig.definitions, rig.reader.schedule, time.time, oldest=OLDEST)

    found = await offers(campaign(site=SiteId(SITE), event=EVENT, tickets=(TICKET, OTHER)))

    assert found.buyable
    watched = await rig.reader.store.do("ZRANGE", rig.definitions.keys.key(SITE, "watched"), 0, -1)
    assert {TICKET, OTHER} == set(watched)


async def test_facts_of_another_version(rig: Rig) -> None:
    """Facts and counters that cannot be read are no offer, and no error."""
    await rig.says(ticket())
    name = rig.definitions.keys.key(SITE, "ticket", TICKET)
    facts = json.loads(await rig.reader.store.do("HGET", name, "facts"))
    await rig.reader.store.do("HSET", name, "facts", json.dumps({**facts, "eventId": 7}))
    assert "hidden or deleted" == (await rig.offers()).reason

    await rig.reader.store.do("HSET", name, "facts", json.dumps(facts), "counter", '{"state":"other"}')
    assert "hidden or deleted" == (await rig.offers()).reason
