import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis

from server import store
from server.campaign import ChannelName, RowState
from server.campaign import State as CampaignState
from server.counter import Rules
from server.keyring import KeyRing, new_key
from server.model import EventId, SiteId, TicketId
from server.push_subscription import PushSubscription
from server.redis.client import RedisClient, Use
from server.store.campaigns import Campaigns
from server.store.changes import Changes
from server.store.channel_servers import ChannelServers
from server.store.leases import Lease, Leases
from server.store.notify_events import NotifyEvents
from server.store.notify_requests import PARKED_AFTER, NotifyRequests, RequestKind
from server.store.outbox import Outbox
from server.store.push_subscriptions import PushSubscriptions
from server.store.refused_webhooks import Refusal, RefusedWebhooks
from server.store.schedule import Schedule
from server.store.suppressions import Suppressions
from server.store.sync_due import Due
from server.store.sync_records import FollowedEvent, Records, StoredRecord
from server.store.sync_targets import Targets
from server.store.untrusted_peers import UntrustedPeersStore
from tests.rig.campaigns import campaign
from tests.rig.default_keys import key
from tests.rig.key_table import Row, rows, unlisted
from tests.rig.notify_time_travel import elapse_for_requests
from tests.rig.redis import RedisServer
from tests.rig.server import RunningServer, StartServer, until
from tests.rig.wix import WixRig

NEVER_THERE = "99999999-aaaa-4aaa-8aaa-000000000009"
NO_DURATION = {"never": -1, "at once": -2}
UNITS = {"s": 1, "minutes": 60, "hour": 3600, "hours": 3600, "days": 86_400}
LATE = 120
"""Seconds that a test may take between the write of a key and the look at it."""
TARGET = "box-office"
LUA = Path(store.__file__).parent / "lua"


def row_of(name: str) -> Row:
    """The one row of a key or channel."""
    [found] = [row for row in rows() if row.names(name)]
    return found


def kept_as_told(expires: str, ttl: int) -> bool:
    """Whether a key with this TTL (-1: none, -2: no such key) is kept as the table says."""
    if expires in NO_DURATION:
        return ttl == NO_DURATION[expires]
    number, unit = expires.split()
    told = int(number) * UNITS[unit]
    return max(0, told - LATE) < ttl <= told


class Traffic:
    """A site on a server with a worker, its viewer, and what Wix and the viewer do."""

    def __init__(self, running: RunningServer, wix: WixRig, redis: Redis) -> None:
        self.running = running
        self.wix = wix
        self.redis = redis
        self.sold, self.held, self.deleted = (wix.tickets[name] for name in ("fixed", "low", "free"))

    async def shows(self, ticket: str, state: str) -> None:
        """View all tickets until one of them is in this state."""
        path = self.running.counters(self.sold, self.held, self.deleted, NEVER_THERE, site=self.wix.site)

        async def shown() -> bool:
            counters = (await self.running.http.get(path)).json()["counters"]
            return (ticket, state) in [(one["ticket"], one["state"]) for one in counters]

        await until(shown)

    async def passes(self) -> None:
        """Tickets are viewed, by id and by event, bought, held and deleted, their event is renamed, and webhooks report it."""
        await self.shows(self.sold, "available")
        await self.running.http.get("/v1/counters", params={"event": self.wix.event, "site": self.wix.site})
        await until(lambda: self.redis.exists(key(self.wix.site, "shown_watched")))
        await until(lambda: self.redis.exists(key(self.wix.site, "events_watched")))
        self.wix.world.update_event(self.wix.world.ticket(self.sold).event, title="Another title")
        await until(lambda: self.redis.exists(key(self.wix.site, "events_hinted")))
        await self.shows(NEVER_THERE, "gone")
        self.wix.world.buy(self.sold)
        self.wix.world.hold(self.held)
        self.wix.world.delete(self.deleted)
        await self.shows(self.deleted, "gone")
        await until(lambda: self.redis.exists(key(self.wix.site, "holds")))

    async def syncs(self, client: RedisClient) -> None:
        """What sync does with two tickets: one is due, the other is brought to a target, is remembered and was taken off sale."""
        site, sold, held = SiteId(self.wix.site), TicketId(self.sold), TicketId(self.held)
        event = EventId(self.wix.event)
        await Due(client).mark(site, TARGET, [sold, held])
        assert await Due(client).claim(site, TARGET, sold)
        records = Records(client)
        await records.write(site, TARGET, sold, StoredRecord(event=event, state="equal"))
        await records.follow(site, TARGET, FollowedEvent(event, "gala", "The gala", 1.0))
        await records.deactivated(site, TARGET, event, sold, 1.0)
        await Targets(client).answered(TARGET, 1.0, 0.5)
        await Targets(client).pay(TARGET, 300)
        assert await Targets(client).lost(TARGET, [TARGET], 1.0)

    async def asks(self, client: RedisClient) -> None:
        """What visitors ask of notify: one opt-out was given up, one is done, one waits, and so does a sign-up."""
        site, requests = SiteId(self.wix.site), NotifyRequests(client)
        await requests.opt_out(site, "a list", "encrypted", "parked")
        await elapse_for_requests(client, site, PARKED_AFTER)
        given_up = await requests.claim(site, RequestKind.OPT_OUT)
        assert given_up
        assert await requests.failed(given_up, "no such list")
        await requests.opt_out(site, "another list", "encrypted", "done")
        done = await requests.claim(site, RequestKind.OPT_OUT)
        assert done
        assert await requests.done(done)
        await requests.opt_out(site, "a list", "encrypted", "waits")
        waits = await requests.claim(site, RequestKind.OPT_OUT)
        assert waits
        assert not await requests.failed(waits, "it is down")
        await requests.sign_up(site, EventId(self.wix.event), "encrypted", "recipient", "sender")

    async def subscribes(self, client: RedisClient) -> None:
        """What browsers ask of notify: one subscription counts, another one waits for its first push."""
        site, event = SiteId(self.wix.site), EventId(self.wix.event)
        subscriptions = PushSubscriptions(client, KeyRing([new_key()]))
        for name in ("counts", "waits"):
            one = PushSubscription(f"https://fcm.googleapis.com/{name}", "p256dh", "auth", "0a1b2c3d")
            await subscriptions.subscribe(site, event, one, "en", "192.0.2.1")
            if name == "counts":
                [stored] = await subscriptions.claim_first(site, 1)
                assert await subscriptions.confirm(subscriptions.token(stored))

    async def notifies(self, client: RedisClient) -> Outbox:
        """What notify does with one ticket: rows are claimed, wait, are sent, skipped and unknown, and a relay fails."""
        site, event = SiteId(self.wix.site), EventId(self.wix.event)
        events = NotifyEvents(client)
        await events.switched_on(site, event)
        await events.set(site, event, push=True, title="Gala")
        opened = await Campaigns(client).open(campaign(site=site, event=event, tickets=(TicketId(self.sold),)))
        assert opened is not None
        outbox = Outbox(client, opened, ChannelName.MAIL, "one")
        await outbox.take()
        for row in "abcd":
            await outbox.claim(row, [])
        for row, state in zip("abc", (RowState.SENT, RowState.UNKNOWN, RowState.WAITING), strict=True):
            await outbox.mark(row, state, "reason", next_try=1.0)
        await outbox.note(CampaignState.SENDING, total=4)
        await Suppressions(client).add(site, ["k.a"], "opted out")
        servers = ChannelServers(client)
        await servers.pay("mail", 25)
        await servers.failed("mail", "535", "set the password", pause_now=True)
        return outbox

    async def ttls(self, leases: Leases, outbox: Outbox) -> dict[str, int]:
        """The TTL of every key, while a process holds a lease of a target, another waits for it, one runs a campaign, and one brings a date."""
        await outbox.take()
        names = [leases.keys.notify(self.wix.site, name, self.wix.event) for name in ("date_lease", "date_lease_queue")]
        await Lease(leases.redis, names, "one").try_take()
        for _ in range(2):
            await leases.lease(TARGET).take()
        return {str(name): int(await self.redis.ttl(name)) for name in await self.redis.keys("tc:*")}

    def case_of(self, name: str) -> str:
        """The exception to the rule that the table makes for a ticket."""
        special = {self.deleted: "deleted", NEVER_THERE: "never there"}
        return special.get(name.rpartition(":")[2], "")


@asynccontextmanager
async def channels(redis: Redis) -> AsyncIterator[set[str]]:
    """Every channel on which something is published meanwhile."""
    heard: set[str] = set()
    async with redis.pubsub() as pubsub:
        await pubsub.psubscribe("tc:*")

        async def listen() -> None:
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    heard.add(message["channel"])

        listening = asyncio.create_task(listen())
        yield heard
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, decode_responses=True) as found:
        yield found


@pytest.mark.parametrize("track", ["all", "watched"])
async def test_keys_are_as_the_table_says(
    start_server: StartServer, wix: WixRig, redis: Redis, redis_url: str, track: str
) -> None:
    """Orders, holds, viewers, listings, deletions, consumers, sync, notify and a removal leave what the table says, for as long as it says."""
    site = SiteId(wix.site)
    async with aclosing(RedisClient(redis_url, Use.WORK)) as client, channels(redis) as heard:
        schedule = Schedule(client)
        await schedule.add_site(site, Rules(), everything=track == "all")
        running = await start_server(worker=True, **{**wix.settings(), "wix_sites": "", "track": track})
        wix.send_to(running.url)
        traffic = Traffic(running, wix, redis)
        await traffic.passes()
        changes = Changes(client, "sync", "one")
        for change in (await changes.read(site)).changes:
            await changes.park(site, change, "the test is no consumer")
        await traffic.syncs(client)
        outbox = await traffic.notifies(client)
        await traffic.asks(client)
        await traffic.subscribes(client)
        await RefusedWebhooks(client).write(Refusal.OTHER_KEY)
        await UntrustedPeersStore(client).add(["10.0.0.1"])
        published = {"tc:wake", "tc:{SITE}:live:TICKET", "tc:{SITE}:tickets:EVENT", "tc:probe:UUID"}
        await until(lambda: {row_of(one).pattern for one in heard} == published)

        before = await traffic.ttls(Leases(client), outbox)
        wix.sandbox.emitter.app_removed()

        async def removed() -> bool:
            return site not in await schedule.sites()

        await until(removed)
        after = await traffic.ttls(Leases(client), outbox)

    rule = "" if track == "all" else "watched"
    found = {name: row_of(name) for name in before}
    told = {name: row.expires.get(traffic.case_of(name) or rule, row.expires[""]) for name, row in found.items()}
    assert [] == [(name, ttl, told[name]) for name, ttl in before.items() if not kept_as_told(told[name], ttl)]
    assert {row.pattern for row in rows() if row.type != "channel"} == {row.pattern for row in found.values()}

    del before["tc:sites"]
    told = {name: row_of(name).expires["removed"] for name in before}
    # One that was never there may go earlier.
    never = key(site, "ticket", NEVER_THERE)
    kept = {name: after.get(name, -2) for name in before if name != never or after.get(name, -2) > 60}
    assert [] == [(name, ttl, told[name]) for name, ttl in kept.items() if not kept_as_told(told[name], ttl)]
    assert after.keys() <= before.keys()


async def test_probes_of_a_cluster(clustered: RedisClient) -> None:
    """The channels on which a process of a cluster publishes to itself are in the table."""
    async with clustered.listener(5.0) as listener:
        await until(lambda: len(listener.probes) == 3)

        assert {"tc:{TAG}:probe:UUID"} == {row_of(one).pattern for one in listener.probes}


def test_each_row_is_one() -> None:
    """No key or channel can belong to two rows, and each row says who writes it: files that there are."""
    table = rows()
    files = [one for row in table for one in row.written_by if one.endswith(".lua")]

    assert 76 == len(table)
    assert table == [row_of(row.pattern) for row in table]
    assert [] == [row.pattern for row in table if not row.written_by]
    assert [] == [one for one in files if not (LUA / one).exists()]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (("SET", "tc:{S}:other", "value"), "tc:{S}:other is not in the table"),
        (("SET", "tc:{S}:ticket", "value"), "tc:{S}:ticket is not in the table"),
        (("SET", "tc:{S}:site", "value"), "tc:{S}:site is a string, and a hash in the table"),
        (("HSET", "tc:{S}:site", "rules", "abc", "colour", "red"), "tc:{S}:site has the field colour, which is not"),
        (("XADD", "tc:{S}:history", "*", "v", "1", "buyer", "x"), "tc:{S}:history has the field buyer, which is not"),
    ],
)
async def test_another_key_is_found(
    redis: Redis, redis_shared: RedisServer, command: tuple[str, ...], fault: str
) -> None:
    """A key without a row, of another type or with another field fails the test that leaves it."""
    await redis.execute_command(*command)  # type: ignore[no-untyped-call] # the library's

    [found] = unlisted(redis_shared.port)

    assert found.startswith(fault)
    await redis.flushall()


async def test_a_missing_row_is_found(redis: Redis, redis_url: str, redis_shared: RedisServer) -> None:
    """A row that is missing from the table fails every test that writes its key."""
    async with aclosing(RedisClient(redis_url, Use.WORK)) as client:
        await Schedule(client).add_site(SiteId("S"), Rules(), everything=True)
        names = {str(one) for one in await redis.keys()}

    assert {"tc:sites", "tc:{S}:site", "tc:{S}:due"} == names
    for name in names:
        without = [row for row in rows() if not row.names(name)]
        assert [f"{name} is not in the table of server/store/__init__.py"] == unlisted(redis_shared.port, without)
