import asyncio
from collections.abc import AsyncIterator

import pytest

from server.errors import RedisUnavailable
from server.hub.rereads import Rereads
from server.hub.topics import TicketTopic, TopicState
from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.schedule import Schedule
from tests.rig.default_keys import key
from tests.rig.reread_rig import RereadRig
from tests.rig.server import OTHER, SITE, TICKET

SITE_ID = SiteId(SITE)


class Rig(RereadRig):
    """The rereads of a process."""

    async def marked(self, *topics: TicketTopic) -> set[str]:
        """Ask for these topics; returns the tickets that this marked."""
        return await self.marked_by(self.rereads.ask, topics)


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    async with Rig.on(redis_url) as found:
        yield found


async def test_ticket_is_marked_once_a_minute(rig: Rig) -> None:
    """A ticket is marked once a minute, however many rounds find it; one that was shown meanwhile is marked at once."""
    assert set() == await rig.marked()
    assert {TICKET} == await rig.marked(rig.topic)
    rig.clock.advance(30)
    assert {OTHER} == await rig.marked(rig.topic, rig.other)
    rig.clock.advance(30)
    assert {TICKET} == await rig.marked(rig.topic, rig.other)

    rig.rereads.discard(rig.topic)
    rig.rereads.discard(rig.topic)

    assert {TICKET} == await rig.marked(rig.topic, rig.other)


async def test_failed_mark_is_made_in_the_next_round(rig: Rig) -> None:
    """A mark that Redis did not take is made in the next round."""
    unavailable = Rereads(Schedule(RedisClient("redis://127.0.0.1:9/0", Use.INGEST)), rig.clock)
    with pytest.raises(RedisUnavailable):
        await unavailable.ask(SITE_ID, [rig.topic])
    unavailable.schedule = rig.schedule

    await unavailable.ask(SITE_ID, [rig.topic])

    assert [TICKET] == await rig.store.do("ZRANGE", key(SITE, "hinted"), 0, -1)


async def test_topic_closed_while_it_is_marked_is_forgotten(rig: Rig) -> None:
    """A topic that is closed while its mark is being written leaves nothing in memory."""
    marking = asyncio.create_task(rig.rereads.ask(SITE_ID, [rig.topic]))
    await asyncio.sleep(0)
    rig.rereads.discard(rig.topic)
    await marking

    assert {TICKET} == await rig.marked(rig.topic)


async def test_closed_topic_is_not_marked(rig: Rig) -> None:
    """A topic that was closed since it was found is not marked, and leaves nothing in memory."""
    rig.topic.state = TopicState.CLOSED

    assert {OTHER} == await rig.marked(rig.topic, rig.other)
    assert [rig.other] == list(rig.rereads._marked)
