import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis

from server import store
from server.counter import Rules
from server.model import EventId, SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store.changes import Changes
from server.store.leases import Leases
from server.store.schedule import Schedule
from server.store.sync_due import Due
from server.store.sync_records import FollowedEvent, Records, StoredRecord
from server.store.sync_targets import Targets
from tests.rig.default_keys import key
from tests.rig.key_table import Row, rows, unlisted
from tests.rig.redis import RedisServer
from tests.rig.server import RunningServer, StartServer, until
from tests.rig.wix import WixRig

NEVER_THERE = "99999999-aaaa-4aaa-8aaa-000000000009"
TWO_DAYS = 172_800
TARGET = "box-office"
LUA = Path(store.__file__).parent / "lua"


def row_of(name: str) -> Row:
    """The one row of a key or channel."""
    [found] = [row for row in rows() if row.names(name)]
    return found


def kept_as_told(expires: str, ttl: int) -> bool:
    """Whether a key with this TTL (-1: none, -2: no such key) is kept as the table says."""
    match expires:
        case "never":
            return ttl == -1
        case "at once":
            return ttl == -2
        case "2 days":
            return TWO_DAYS - 120 < ttl <= TWO_DAYS
        case "2 hours":
            return 7200 - 120 < ttl <= 7200
        case "2 minutes":
            return 0 < ttl <= 120
        case "60 s":
            return 0 < ttl <= 60
        case "30 s":
            return 0 < ttl <= 30
        case "2 s":
            return 0 < ttl <= 2
    raise AssertionError(expires)


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

    async def ttls(self, leases: Leases) -> dict[str, int]:
        """The TTL of every key, while a process holds a lease of a target and another waits for it."""
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
    """Orders, holds, viewers, listings, deletions, consumers, sync and a removal leave what the table says, for as long as it says."""
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
        published = {"tc:wake", "tc:{SITE}:live:TICKET", "tc:{SITE}:tickets:EVENT", "tc:probe:UUID"}
        await until(lambda: {row_of(one).pattern for one in heard} == published)

        before = await traffic.ttls(Leases(client))
        wix.sandbox.emitter.app_removed()

        async def removed() -> bool:
            return site not in await schedule.sites()

        await until(removed)
        after = await traffic.ttls(Leases(client))

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

    assert 39 == len(table)
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
