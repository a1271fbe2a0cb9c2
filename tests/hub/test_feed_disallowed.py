"""What the feed does with counters that our rules do not allow, or that no process of ours wrote."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.counter import Rules
from server.hub.topics import TicketTopic
from server.model import TicketId
from server.wire import unknown
from tests.hub.test_disallowed import counted
from tests.rig.counter_text import counter_text
from tests.rig.default_keys import key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.hub_rig import FakeViewer, HubRig, shows
from tests.rig.server import SITE, TICKET, until

UNKNOWN = unknown(TicketId(TICKET))
THEIRS = Rules(low_at=20)
HIDDEN = 15
"""A number of tickets of which their rules make `low`, and ours `available`."""
FUTURE = 9_000_000_000_000_000


class Stranger:
    """Somebody who may write to our Redis, and a ticket that is shown."""

    def __init__(self, rig: HubRig, viewer: FakeViewer, topic: TicketTopic) -> None:
        self.rig = rig
        self.viewer = viewer
        self.topic = topic

    async def publish(self, text: str) -> None:
        """Publish any text as the counter of the ticket."""
        await self.rig.store.do("PUBLISH", self.topic.channel, text)

    async def store(self, v: int, text: str, *more: Any) -> None:
        """Store any text as its counter, with this version."""
        await self.rig.store.do("HSET", key(SITE, "ticket", TICKET), "v", v, "counter", text, *more)

    async def marked(self) -> bool:
        """Whether the ticket was marked since it was shown."""
        return await self.rig.store.do("ZSCORE", key(SITE, "hinted"), TICKET) is not None

    @property
    def texts(self) -> list[str]:
        """All that the viewer was sent."""
        return [text for write in self.viewer.writes for text in write]


@pytest.fixture
async def stranger(redis_url: str) -> AsyncIterator[Stranger]:
    async with HubRig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        await shows(viewer, unsold=3)
        yield Stranger(rig, viewer, audience.tickets[0])


async def test_published_counter_is_not_shown(stranger: Stranger) -> None:
    """Law 13: What is published and our rules do not make is not shown, and what is stored stays on the screen."""
    before, [shown] = counted("published"), stranger.texts
    for text in (
        counter_text(FUTURE, HIDDEN, rules=THEIRS),
        "{}",
        "x" * 100_000,
        UNKNOWN,
        counter_text(FUTURE, 3) + " ",
    ):
        await stranger.publish(text)
    await until(lambda: counted("published") == before + 5)
    await stranger.rig.reads.read(definition(TICKET, 2))
    await shows(stranger.viewer, unsold=2)

    assert [shown, stranger.topic.counter] == stranger.texts


async def test_publishing_much_causes_few_reads(stranger: Stranger) -> None:
    """Law 13: However much a stranger publishes, each ticket is read from Redis once a second for it."""
    answered, reads = stranger.rig.schedule.watch, []

    async def counting(*of: Any, **more: Any) -> Any:
        if more.get("counters"):
            reads.append(of)
        return await answered(*of, **more)

    stranger.rig.schedule.watch = counting  # type: ignore[method-assign]
    before = counted("published")
    began = stranger.rig.hub.now()
    for _ in range(300):
        await stranger.publish(counter_text(FUTURE, HIDDEN, rules=THEIRS))
    await until(lambda: counted("published") == before + 300)

    assert 1 <= len(reads) <= 2 + (stranger.rig.hub.now() - began)


async def test_stored_counter_is_not_shown(stranger: Stranger) -> None:
    """Law 13: If a newer counter is stored that our rules do not make, viewers see `unknown`, and the ticket is read again."""
    before = counted("stored")
    with capture_logs() as logs:
        await stranger.store(FUTURE, counter_text(FUTURE, HIDDEN, rules=THEIRS))
        await shows(stranger.viewer, state="unknown", unsold=None)
        await until(stranger.marked)

    assert UNKNOWN == stranger.texts[-1]
    assert not stranger.topic.verified
    assert before < counted("stored")
    assert [SITE] == [one["site"] for one in logs if one["event"] == "counter_disallowed"]

    # The worker that reads it again writes what our rules make.
    await stranger.rig.reads.read(definition(TICKET, 4))
    await shows(stranger.viewer, unsold=4)
    await until(lambda: {} == stranger.rig.feed.rereads._marked)
    assert all(f'"unsold":{HIDDEN}' not in text for text in stranger.texts)


@pytest.mark.parametrize(
    "text",
    [
        counter_text(FUTURE, HIDDEN, rules=THEIRS),
        counter_text(FUTURE - 1, 3),
        counter_text(FUTURE, 3, "22222222-aaaa-4aaa-8aaa-000000000002"),
        "x",
    ],
)
async def test_new_viewer_of_a_stored_counter(redis_url: str, text: str) -> None:
    """Law 13: A first viewer of a ticket sees `unknown` in place of what our rules do not make, and it is read again at once."""
    async with HubRig(redis_url, round_every=60.0) as rig:
        await rig.reads.read(definition(TICKET, 3))
        await rig.store.do("HSET", key(SITE, "ticket", TICKET), "v", FUTURE, "counter", text)
        viewer, audience = rig.watch()
        stranger = Stranger(rig, viewer, audience.tickets[0])
        await until(stranger.marked)
        await shows(viewer, state="unknown")
        assert [UNKNOWN] == stranger.texts

        await rig.reads.read(definition(TICKET, 3))

        await shows(viewer, unsold=3)


async def test_counter_is_shown_again_once_it_is_stored_again(stranger: Stranger) -> None:
    """Law 13: If what a stranger stored is replaced by what was there before, viewers see that again."""
    v, text = stranger.topic.v, str(stranger.topic.counter)
    await stranger.store(FUTURE, "{}")
    await shows(stranger.viewer, state="unknown")

    await stranger.store(v, text)

    await shows(stranger.viewer, unsold=3)


async def test_polled_counter_is_not_shown(redis_url: str) -> None:
    """Law 13: Without a link the counters are polled, and those that our rules do not make are not shown either."""
    async with HubRig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        await shows(viewer, unsold=3)
        stranger = Stranger(rig, viewer, audience.tickets[0])
        rig.feed.subscriptions.connected = lambda _: False  # type: ignore[assignment]

        await stranger.store(FUTURE, counter_text(FUTURE, HIDDEN, rules=THEIRS))
        await shows(viewer, state="unknown")
        await until(stranger.marked)
        await rig.reads.read(definition(TICKET, 5))

        await shows(viewer, unsold=5)


async def test_forged_version_is_healed_while_orders_go_on(stranger: Stranger) -> None:
    """Law 13: A counter with a version of the future, which our rules allow, hides true ones for two rounds at most."""
    await stranger.publish(counter_text(FUTURE, 9))
    await shows(stranger.viewer, unsold=9)

    async def orders_go_on() -> None:
        for unsold in range(8, 0, -1):
            await stranger.rig.reads.read(definition(TICKET, unsold))
            await asyncio.sleep(0.05)

    selling = asyncio.create_task(orders_go_on())
    await until(lambda: stranger.topic.v < FUTURE)
    assert not selling.done()
    await selling

    await shows(stranger.viewer, unsold=1)


async def test_rules_that_change_are_seen_before_the_next_round(redis_url: str) -> None:
    """Law 13: A counter of a process with other rules turns to `unknown` as soon as it is published, without any round."""
    async with HubRig(redis_url, round_every=60.0) as rig, aclosing(FakeReader(redis_url, SITE, THEIRS)) as other:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        await shows(viewer, unsold=3)

        await other.schedule.add_site(other.site, THEIRS, everything=False)
        await other.read(definition(TICKET, HIDDEN))

        await shows(viewer, state="unknown")
        assert not audience.tickets[0].same_rules


async def test_forged_version_of_a_withdrawn_counter_is_healed(stranger: Stranger) -> None:
    """Law 13: A version of the future does not hide a true counter for longer because it is not shown itself."""
    await stranger.publish(counter_text(FUTURE, 9))
    await until(lambda: stranger.topic.v == FUTURE)
    stranger.topic.fresh_until = 0.0
    stranger.rig.hub.update(stranger.topic)
    await shows(stranger.viewer, state="unknown")

    await shows(stranger.viewer, unsold=3)
