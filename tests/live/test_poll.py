import asyncio

import pytest

from server.counter import Rules
from server.errors import UnknownEvent
from server.hub.hub import Hub
from server.hub.topics import EventTopic
from server.live import poll
from server.live.admission import Admitted
from server.live.poll import polled
from server.model import EventId, EventName, SiteId, TicketId
from server.wire import Close, event_list
from tests.rig.counter_text import counter_text
from tests.rig.default_keys import KEYS
from tests.rig.hub_rig import changed, tickets_of
from tests.rig.server import OTHER, SITE, TICKET, until

SITE_ID = SiteId(SITE)
EVENT = EventId("0b5f1a2e-4444-4444-8444-00000000e001")
BY_TICKET = Admitted(SITE_ID, (TicketId(TICKET),), "")
BY_EVENT = Admitted(SITE_ID, EventName(EVENT), "")


def event_topic(hub: Hub) -> EventTopic:
    """The topic of the event."""
    topic = hub.topics[KEYS.event_channel(SITE, EVENT)]
    assert isinstance(topic, EventTopic)
    return topic


async def test_ends_with_what_is_verified() -> None:
    """A poll ends when all of its topics are verified, those of an event too, which it learns meanwhile."""
    hub = Hub(KEYS, Rules())
    polling = asyncio.create_task(polled(hub, BY_EVENT, lambda topics: all(one.verified for one in topics)))
    await until(lambda: len(hub) == 1)

    assert event_topic(hub).take(event_list(EVENT, [TicketId(TICKET), TicketId(OTHER)]))
    hub.update(event_topic(hub))
    running = asyncio.create_task(hub.run())
    await changed(hub, TICKET, 1, 3)
    await asyncio.sleep(0.1)
    assert not polling.done()
    await changed(hub, OTHER, 1, 3)
    found = await polling

    assert [TICKET, OTHER] == tickets_of(found.topics)
    assert [event_list(EVENT, [TicketId(TICKET), TicketId(OTHER)]), counter_text(1, 3), counter_text(1, 3, OTHER)] == [
        one.shown for one in found.topics
    ]
    assert (False, 0) == (found.without_list, len(hub))
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.parametrize(("admitted", "without_list"), [(BY_TICKET, False), (BY_EVENT, True)])
async def test_ends_in_time(monkeypatch: pytest.MonkeyPatch, admitted: Admitted, without_list: bool) -> None:
    """A poll of what is not read ends in time, and is gone from the hub."""
    monkeypatch.setattr(poll, "FIRST_READ_WITHIN", 0.05)
    hub = Hub(KEYS, Rules())

    found = await polled(hub, admitted, lambda topics: all(one.verified for one in topics))

    assert (False, without_list, 0) == (found.ended, found.without_list, len(hub))


async def test_ends_when_sent_away() -> None:
    """A poll that the hub sends away ends at once, and says why."""
    hub = Hub(KEYS, Rules())
    by_event, by_ticket = (
        asyncio.create_task(polled(hub, admitted, lambda topics: all(one.verified for one in topics)))
        for admitted in (BY_EVENT, BY_TICKET)
    )
    await until(lambda: len(hub) == 2)
    refusal = UnknownEvent("no such event")

    hub.refuse(event_topic(hub), refusal)
    assert refusal is (await by_event).refusal

    await hub.close_all(0, 1, 0.0)
    assert Close.RESTART is (await by_ticket).code
