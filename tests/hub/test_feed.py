import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs

from server import metrics, wire
from server.counter import Rules
from server.hub import feed
from server.hub.feed import POLL_EVERY
from server.hub.topics import TicketTopic, Topic, TopicState
from server.model import Hint, SiteId, TicketId, WatchedSite
from server.store.timing import Timing
from tests.rig.cluster import Cluster
from tests.rig.counter_text import counter_text
from tests.rig.default_keys import channel, key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.hub_rig import SITE_ID, FakeViewer, HubRig, shows
from tests.rig.redis import RedisServer
from tests.rig.redis_monitor import monitored
from tests.rig.server import OTHER, SITE, TICKET, until
from tests.rig.tcp_proxy import tcp_proxy


async def test_subscription_is_confirmed_before_the_snapshot_is_read(redis_url: str) -> None:
    """Law 6: The subscription is confirmed before the snapshot is read, so no change is lost between the two."""
    async with HubRig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        [topic] = audience.tickets
        assert topic.state is TopicState.OPENING

        await until(lambda: topic.state is TopicState.OPEN)

        assert topic in rig.confirmed
        await shows(viewer, unsold=3)


async def test_one_subscription_per_topic(redis_url: str) -> None:
    """However many viewers watch a ticket, this process is subscribed to it once."""
    async with HubRig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewers = [rig.watch()[0] for _ in range(5)]

        await rig.reads.read(definition(TICKET, 2))

        for viewer in viewers:
            await shows(viewer, unsold=2)
        [_, count] = await rig.store.do("PUBSUB", "NUMSUB", channel(SITE, TICKET))
        assert 1 == count


async def test_many_viewers_cost_redis_one_subscription_and_one_read_per_ticket(redis_url: str) -> None:
    """However many viewers join, before a topic is open or after, Redis has one subscription and read per ticket."""
    async with HubRig(redis_url, round_every=60) as rig, monitored(redis_url) as commands:
        await rig.reads.read(definition(TICKET, 3), definition(OTHER, 48))

        def storm() -> list[list[FakeViewer]]:
            return [[rig.watch(*some)[0] for _ in range(500)] for some in ((TICKET,), (TICKET, OTHER), (OTHER,))]

        early = storm()
        await until(lambda: [{(3,)}, {(3, 48)}, {(48,)}] == [_numbers_shown(some) for some in early])
        late = storm()

        assert [{(3,)}, {(3, 48)}, {(48,)}] == [_numbers_shown(some) for some in late]
        for ticket in (TICKET, OTHER):
            assert (1, 1) == (await commands.subscribed(channel(SITE, ticket)), await commands.read(ticket))


def _numbers_shown(viewers: list[FakeViewer]) -> set[tuple[int | None, ...]]:
    """The different sequences of numbers that these viewers got: one, if all got the same."""
    return {tuple(sorted(viewer.unsolds, key=str)) for viewer in viewers}


def counter_with(topic: TicketTopic, v: int, *, unsold: int) -> str:
    """The topic's counter with this version and this number; it had three unsold."""
    body = str(topic.counter).split(",", 1)[1].replace('"unsold":3', f'"unsold":{unsold}')
    return wire.with_v(v, body)


async def store_silently(rig: HubRig, v: int, counter: str, *more: str | int) -> None:
    """Store this counter of the ticket in Redis without publishing it."""
    await rig.store.do("HSET", key(SITE, "ticket", TICKET), "v", v, "counter", counter, *more)


async def test_older_counter_is_dropped(redis_url: str) -> None:
    """Law 2: A counter with an older version than the one shown is not shown, whenever it arrives."""
    async with HubRig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        [topic] = audience.tickets
        await shows(viewer, unsold=3)

        old = counter_with(topic, topic.v - 1, unsold=9)
        await rig.store.do("PUBLISH", topic.channel, old)
        await rig.reads.read(definition(TICKET, 2))
        await shows(viewer, unsold=2)

        assert 9 not in viewer.unsolds


async def test_stale_number_is_withdrawn_and_shown_again(redis_url: str) -> None:
    """Law 8: A number not verified for MAX_STALE is withdrawn from all viewers until it is verified again."""
    async with HubRig(redis_url, Timing(max_stale=0.5)) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        [topic] = audience.tickets
        await shows(viewer, unsold=3)

        await shows(viewer, state="unknown", unsold=None, prices=[])
        late, _ = rig.watch()
        assert "unknown" == late.last["state"]

        # Verified again without any change: nothing is published, so only a round notices.
        await rig.reads.read(definition(TICKET, 3))
        await shows(viewer, unsold=3)
        assert topic.verified


async def test_gone_and_ended_are_not_withdrawn(redis_url: str) -> None:
    """Law 8: The states gone and ended are not withdrawn: they do not become false with time."""
    async with HubRig(redis_url, Timing(max_stale=0.2)) as rig:
        await rig.reads.read(definition(TICKET, 3))
        await rig.reads.read(definition(OTHER, 3))
        await rig.reads.delete(TICKET)
        viewer, audience = rig.watch(TICKET, OTHER)
        topic, other = audience.tickets

        await until(lambda: '"state":"unknown"' in (other.shown or ""))

        assert '"state":"gone"' in str(topic.shown)
        await until(lambda: any('"gone"' in text for write in viewer.writes for text in write))


async def test_lost_message_is_found_in_two_rounds(redis_url: str) -> None:
    """A change whose message was lost is shown once the stored version differed in two rounds."""
    async with HubRig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        [topic] = audience.tickets
        await shows(viewer, unsold=3)

        await store_silently(rig, topic.v + 5, counter_with(topic, topic.v + 5, unsold=1))

        await shows(viewer, unsold=1)


async def test_older_counter_of_a_restored_redis_is_accepted(redis_url: str) -> None:
    """An older counter of a Redis that lost its latest writes is accepted after two rounds: there is no newer one."""
    async with HubRig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        [topic] = audience.tickets
        await shows(viewer, unsold=3)

        await store_silently(rig, topic.v - 5, counter_with(topic, topic.v - 5, unsold=4))

        await shows(viewer, unsold=4)


async def test_older_counter_of_a_restored_redis_may_be_stale(redis_url: str) -> None:
    """Law 8: When Redis lost its latest writes, a number is as old as the read that is still stored."""
    async with HubRig(redis_url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        [topic] = audience.tickets
        await shows(viewer, unsold=3)

        hour_ago = int(await rig.store.do("HGET", key(SITE, "ticket", TICKET), "read_at")) - 3_600_000_000
        older = topic.v - 5
        await store_silently(rig, older, counter_with(topic, older, unsold=4), "read_at", hour_ago)
        await until(lambda: topic.v == older)
        await shows(viewer, state="unknown")

        assert 4 not in viewer.unsolds


async def test_message_that_overtakes_a_read_is_kept(redis_url: str) -> None:
    """Law 2: However often a message arrives before the answer of an earlier read, no older counter is shown again."""
    async with HubRig(redis_url) as rig:
        left = 99
        await rig.reads.read(definition(TICKET, left))
        viewer, audience = rig.watch()
        [topic] = audience.tickets
        await shows(viewer, unsold=left)
        answered = rig.schedule.watch

        async def overtaken(*of: Any, **more: Any) -> WatchedSite | None:
            nonlocal left
            known = await answered(*of, **more)
            if left > 90:
                left, before = left - 1, topic.v
                await rig.reads.read(definition(TICKET, left))
                await until(lambda: topic.v > before)
            return known

        rig.schedule.watch = overtaken  # type: ignore[method-assign]
        await shows(viewer, unsold=90)

        assert viewer.unsolds == list(range(99, 89, -1))


async def test_confirmation_during_a_read_causes_another_read(redis_url: str) -> None:
    """Law 6: A change between a read and a new subscription is read right after the subscription is confirmed."""
    async with HubRig(redis_url, round_every=60.0) as rig:
        await rig.reads.read(definition(TICKET, 3))
        answered, asked, gate = rig.schedule.watch, asyncio.Event(), asyncio.Event()

        async def slow(*of: Any, **more: Any) -> WatchedSite | None:
            known = await answered(*of, **more)
            asked.set()
            await gate.wait()
            return known

        rig.schedule.watch = slow  # type: ignore[method-assign]
        viewer, audience = rig.watch()
        [topic] = audience.tickets
        await asked.wait()
        newer = 9_000_000_000_000_000
        await store_silently(rig, newer, counter_text(newer, 1))
        rig.confirmed.clear()
        await rig.listening.do("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: topic in rig.confirmed)
        gate.set()

        await until(lambda: viewer.last.get("unsold") == 1, 10)


async def test_topic_closed_during_a_round_is_forgotten(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that is closed between two parts of a round leaves nothing in memory."""
    monkeypatch.setattr(feed, "READ_AT_ONCE", 1)
    async with HubRig(redis_url, linger=0.0) as rig:
        await rig.reads.read(definition(TICKET, 3), definition(OTHER, 3))
        rig.feed.other_rules.rules_hash = "theirs"
        viewer, audience = rig.watch(TICKET)
        rig.watch(OTHER)
        [topic] = audience.tickets
        await until(lambda: topic.state is TopicState.OPEN)
        answered = rig.schedule.watch

        async def then_it_closes(
            site: SiteId, tickets: Sequence[TicketId], *, counters: bool = False
        ) -> WatchedSite | None:
            known = await answered(site, tickets, counters=counters)
            if not counters and topic.ticket not in tickets and topic.channel in rig.hub.topics:
                rig.hub.leave(audience, viewer)
                rig.hub.close_idle()
            return known

        rig.schedule.watch = then_it_closes  # type: ignore[method-assign]
        await until(lambda: topic.channel not in rig.hub.topics)
        await asyncio.sleep(0.3)

        assert topic not in rig.feed.rereads._marked


async def test_unavailable_site_is_read_again_twice_a_second(redis_server: Callable[..., RedisServer]) -> None:
    """While Redis refuses commands, reads are repeated at one rate, however many topics open and close meanwhile."""
    server = redis_server()
    async with HubRig(server.url, round_every=60.0) as rig:
        read, times = rig.feed._read_wanted, 0

        async def counted(site: SiteId, topics: list[Topic]) -> None:
            nonlocal times
            times += 1
            await read(site, topics)

        rig.feed._read_wanted = counted  # type: ignore[method-assign]
        server.ask("CONFIG", "SET", "maxmemory", "1")
        for n in range(100):
            rig.watch(f"33333333-aaaa-4aaa-8aaa-{n:012}")
            await asyncio.sleep(0.005)
        await until(lambda: set(rig.hub.topics.values()) <= set(rig.confirmed))
        await asyncio.sleep(1)

        times = 0
        await asyncio.sleep(2)

        assert 1 <= times <= 6


async def test_counter_of_other_rules_is_not_shown(redis_url: str) -> None:
    """A counter made by other rules than this process has is shown as unknown, and its ticket is marked."""
    async with HubRig(redis_url) as rig:
        viewer, _ = rig.watch()
        await shows(viewer, state="unknown")
        await rig.schedule.add_site(SITE_ID, Rules(low_at=99), everything=False)
        other = FakeReader(redis_url, SITE, Rules(low_at=99))
        await other.read(definition(TICKET, 50))
        await other.aclose()
        fresh, _ = rig.watch()

        await until(lambda: _score(rig, "hinted"))
        await shows(fresh, state="unknown", unsold=None)


async def test_site_with_other_rules_is_logged_once(redis_url: str) -> None:
    """A watched site with other rules than this process has is logged once, until it has the same rules again."""
    async with HubRig(redis_url) as rig:
        with capture_logs() as logs:
            viewer, _ = rig.watch()
            await shows(viewer, state="unknown")
            await rig.schedule.add_site(SITE_ID, Rules(low_at=99), everything=False)
            other = FakeReader(redis_url, SITE, Rules(low_at=99))
            await other.read(definition(TICKET, 50))
            await until(lambda: rig.feed.other_rules._since is not None)
            await until(lambda: _score(rig, "hinted"))
            rounds = await _watched_at(rig)
            await until(lambda: _rounds_passed(rig, rounds, 3))
        await other.aclose()
        assert [SITE] == [one["site"] for one in logs if one["event"] == "rules_differ"]

        await rig.schedule.add_site(SITE_ID, Rules(), everything=False)
        await rig.reads.read(definition(TICKET, 3))

        await shows(viewer, unsold=3)
        await until(lambda: rig.feed.other_rules._since is None)
        assert {} == rig.feed.rereads._marked


async def test_silent_site_is_reported_while_watched(redis_url: str) -> None:
    """A site whose stock falls without webhooks is reported while it is watched here, until a webhook arrives."""
    async with HubRig(redis_url, Timing(silent_after=0.0)) as rig:
        viewer, audience = rig.watch()
        for unsold in (9, 8, 7, 6):
            assert rig.feed.site_status.webhooks_heard
            await rig.reads.read(definition(TICKET, unsold))
            await shows(viewer, unsold=unsold)

        await until(lambda: not rig.feed.site_status.webhooks_heard)
        await until(lambda: 1 == metrics.silent_sites._value.get())
        rig.hub.leave(audience, viewer)
        audience.tickets[0].linger_until = 0.0
        await until(lambda: rig.feed.site_status.webhooks_heard)
        assert 0 == metrics.silent_sites._value.get()

        rig.watch()
        await until(lambda: not rig.feed.site_status.webhooks_heard)
        await rig.schedule.mark(SITE_ID, Hint("order"), "order")
        await until(lambda: rig.feed.site_status.webhooks_heard)


async def test_reconnect_reads_every_topic_again(redis_server: Callable[..., RedisServer]) -> None:
    """Law 6: After a lost connection every channel is confirmed on a new one, and every topic is read again."""
    server = redis_server()
    async with HubRig(server.url, round_every=60.0) as rig:
        await rig.reads.read(definition(TICKET, 3), definition(OTHER, 3))
        viewer, audience = rig.watch(TICKET, OTHER)
        topics = audience.tickets
        await until(lambda: all(topic.verified for topic in topics))

        await rig.store.do("CLIENT", "KILL", "TYPE", "pubsub")
        # What is published while there is no subscriber is lost.
        await rig.reads.read(definition(TICKET, 2), definition(OTHER, 1))

        await until(lambda: {2, 1} <= {json.loads(topic.shown or "{}").get("unsold") for topic in topics})
        await until(lambda: 1 in viewer.unsolds)


async def test_restart_of_redis(redis_server: Callable[..., RedisServer]) -> None:
    """Law 6: After a restart of Redis its channels are subscribed to again, and changes made meanwhile are shown."""
    server = redis_server()
    async with HubRig(server.url) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, _ = rig.watch()
        await shows(viewer, unsold=3)

        server.kill()
        await until(lambda: not rig.feed.healthy)
        server.start()
        await rig.reads.store.wait(10)
        await rig.reads.read(definition(TICKET, 2))

        await shows(viewer, unsold=2)
        await until(lambda: rig.feed.healthy)


async def test_frozen_redis_is_noticed(redis_server: Callable[..., RedisServer]) -> None:
    """The feed's own probe notices within some seconds that nothing arrives on the link any more."""
    server = redis_server()
    async with HubRig(server.url) as rig:
        viewer, _ = rig.watch()
        await shows(viewer, state="unknown")

        server.freeze()
        await until(lambda: not rig.feed.healthy, 8)
        server.thaw()

        await until(lambda: rig.feed.healthy)
        await rig.reads.read(definition(TICKET, 3))
        await shows(viewer, unsold=3)


async def test_topic_lingers_then_closes(redis_url: str) -> None:
    """A topic stays open for a while after its last viewer left, unless a new one joins; then its subscription ends."""
    async with HubRig(redis_url, linger=0.3) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch()
        await shows(viewer, unsold=3)
        rig.hub.leave(audience, viewer)

        again, audience = rig.watch()
        assert 3 == again.last["unsold"]
        rig.hub.leave(audience, again)

        async def unsubscribed() -> bool:
            return bool((await rig.store.do("PUBSUB", "NUMSUB", channel(SITE, TICKET)))[1] == 0)

        await until(unsubscribed)
        assert {} == rig.hub.topics


async def _watched_at(rig: HubRig) -> float:
    return float(await rig.store.do("ZSCORE", key(SITE, "watched"), TICKET) or 0)


async def _rounds_passed(rig: HubRig, before: float, rounds: int) -> bool:
    """Whether so many more rounds of 0.1 s have passed since."""
    return await _watched_at(rig) > before + rounds * 100_000


async def _score(rig: HubRig, name: str) -> str | None:
    found: str | None = await rig.store.do("ZSCORE", key(SITE, name), TICKET)
    return found


async def test_redis_unavailable_for_one_site(redis_server: Callable[..., RedisServer]) -> None:
    """Law 8: While Redis answers nothing for one site, only its numbers are withdrawn; other sites' topics open."""
    server = redis_server()
    unavailable_site = SiteId("00000000-1111-4111-8111-00000000b002")
    async with (
        HubRig(server.url, Timing(max_stale=1.5)) as rig,
        aclosing(FakeReader(server.url, unavailable_site)) as other_reads,
    ):
        await rig.schedule.add_site(unavailable_site, Rules(), everything=False)
        await rig.reads.read(definition(TICKET, 3))
        await other_reads.read(definition(TICKET, 5))
        viewer, audience = rig.watch()
        other_viewer = FakeViewer()
        rig.hub.join(other_viewer, unavailable_site, (TicketId(TICKET),))
        await shows(viewer, unsold=3)
        await shows(other_viewer, unsold=5)

        # Only this site's keys stay readable, as if the node of the other site were unavailable.
        server.ask("ACL", "SETUSER", "default", "resetkeys", f"~tc:{{{SITE}}}:*", "~tc:sites")

        read = rig.hub.now()

        async def withdrawn() -> bool:
            nonlocal read
            if rig.hub.now() > read + 0.5:
                # Verified again without any change: nothing is published, so only a round notices.
                await rig.reads.read(definition(TICKET, 3))
                read = rig.hub.now()
            return {"state": "unknown"}.items() <= other_viewer.last.items()

        with capture_logs() as logs:
            await until(withdrawn)
            await rig.reads.read(definition(OTHER, 48))
            fresh, _ = rig.watch(OTHER)
            rig.hub.join(FakeViewer(), unavailable_site, (TicketId(OTHER),))
            await shows(fresh, unsold=48)
        assert audience.tickets[0].verified
        assert [3] == viewer.unsolds
        assert [unavailable_site] == [one["site"] for one in logs if one["event"] == "store_unavailable"]

        server.ask("ACL", "SETUSER", "default", "allkeys")
        await other_reads.read(definition(TICKET, 4))
        await shows(other_viewer, unsold=4)


async def test_link_cut_while_topics_open(redis_server: Callable[..., RedisServer]) -> None:
    """Law 6: A link that is cut while topics are being opened costs a new link, but no channel and no process."""
    server = redis_server()
    tickets = [f"33333333-aaaa-4aaa-8aaa-{number:012}" for number in range(60)]
    async with HubRig(server.url) as rig:
        viewers = []
        for turn in range(4):
            some = tickets[15 * turn : 15 * turn + 15]
            viewers += [rig.watch(ticket)[0] for ticket in some[:8]]
            await rig.store.do("CLIENT", "KILL", "TYPE", "pubsub")
            viewers += [rig.watch(ticket)[0] for ticket in some[8:]]
            await until(lambda: rig.feed.healthy)

        await rig.reads.read(*(definition(ticket, 3) for ticket in tickets))

        for viewer in viewers:
            await shows(viewer, unsold=3)


async def test_topics_are_polled_without_a_link(redis_shared: RedisServer, redis_url: str) -> None:
    """Law 6: While there is no link, watched topics are polled each second, and no number becomes stale."""
    async with (
        tcp_proxy("127.0.0.1", redis_shared.port) as proxy,
        HubRig(redis_url, through=f"redis://127.0.0.1:{proxy.port}/0", round_every=60.0) as rig,
    ):
        await rig.reads.read(definition(TICKET, 9))
        viewer, audience = rig.watch()
        await shows(viewer, unsold=9)
        await proxy.refuse()
        await until(lambda: not rig.feed.subscriptions.connected(audience.tickets[0]))

        for unsold in (8, 7):
            began = rig.hub.now()
            await rig.reads.read(definition(TICKET, unsold))
            await shows(viewer, unsold=unsold)
            assert 2 * POLL_EVERY > rig.hub.now() - began

        await proxy.heal()
        await until(lambda: rig.feed.subscriptions.connected(audience.tickets[0]))
        await rig.reads.read(definition(TICKET, 6))
        await shows(viewer, unsold=6)


async def test_many_sites_on_a_hanging_node(breakable: Cluster) -> None:
    """However many sites are on a cluster node that hangs, the other sites' topics open and change at once."""
    breakable.flush()
    hangs = next(master for master in breakable.masters if master is not breakable.owner(key(SITE, "site")))
    sites = [SiteId(f"{number:08}-1111-4111-8111-00000000b001") for number in range(600)]
    hanging_sites = [site for site in sites if breakable.owner(key(site, "site")) is hangs][:100]
    async with HubRig(breakable.url) as rig:
        for site in hanging_sites:
            await rig.schedule.add_site(site, Rules(), everything=False)
        await rig.reads.read(definition(TICKET, 9), definition(OTHER, 9))
        viewer, _ = rig.watch()
        await shows(viewer, unsold=9)
        for site in hanging_sites:
            rig.hub.join(FakeViewer(), site, (TicketId(TICKET),))
        await until(lambda: all(topic.state is TopicState.OPEN for topic in rig.hub.topics.values()))
        hangs.freeze()
        try:
            took = []
            for unsold in range(8, 0, -1):
                # The hanging node gets requests all the time, also for new viewers.
                rig.hub.join(FakeViewer(), hanging_sites[unsold], (TicketId(OTHER),))
                began = rig.hub.now()
                await rig.reads.read(definition(TICKET, unsold))
                await shows(viewer, unsold=unsold)
                took.append(rig.hub.now() - began)
            began = rig.hub.now()
            fresh, _ = rig.watch(OTHER)
            await shows(fresh, unsold=9)
            opened = rig.hub.now() - began
        finally:
            hangs.thaw()

        assert 1.0 > max(took)
        assert 1.5 > opened
        await until(lambda: not rig.feed.by_site._unavailable)
