from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest
from redis.exceptions import ResponseError

from server.counter import Rules
from server.errors import RedisUnavailable
from server.model import EventId, SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.store.changes import Batch, Change, Changes
from server.store.changes import Log as AnyLog
from server.store.schedule import Schedule
from server.store.snapshots import ReadResult, Snapshots
from tests.rig.default_keys import key
from tests.rig.fake_reader import EVENT, definition
from tests.rig.redis import SERVERS, RedisServer
from tests.rig.server import OTHER, SITE, TICKET

SITE_ID = SiteId(SITE)
A, B = TicketId(TICKET), TicketId(OTHER)


class Log:
    """A site whose tickets change, and two consumers of the same group."""

    def __init__(self, url: str, site: SiteId = SITE_ID) -> None:
        self.store = RedisClient(url, Use.WORK)
        self.site = site
        self.snapshots = Snapshots(self.store, Rules())
        self.changes = Changes(self.store, "sync", "one")
        self.twin = Changes(self.store, "sync", "two")
        self.version = 7_000

    async def aclose(self) -> None:
        await self.store.aclose()

    async def add_site(self) -> "Log":
        await Schedule(self.store).add_site(self.site, Rules(), everything=True)
        return self

    async def change(self, *names: str, ticket: TicketId = A) -> None:
        """Give a ticket these names, one after the other; an empty one deletes it."""
        for name in names:
            self.version += 1
            named = ReadResult.of(definition(ticket, 3, name=name), None, self.snapshots.rules)
            found = named if name else ReadResult.deleted(ticket, EventId(EVENT))
            await self.snapshots.keep(self.site, self.version, [found])

    async def read(self, most: int = 100) -> list[Change]:
        return [*(await self.changes.read(self.site, most)).changes]

    async def names(self) -> list[str]:
        """Read and acknowledge new changes; returns their names."""
        found = await self.read()
        await self.changes.ack(self.site, *(one.entry for one in found))
        return names(found)

    async def pending(self) -> int:
        return int((await self.store.do("XPENDING", key(self.site, "changes"), "sync"))["pending"])

    async def trim(self, left: int) -> None:
        await self.store.do("XTRIM", key(self.site, "changes"), "MAXLEN", "=", left)


def names(found: list[Change] | tuple[Change, ...]) -> list[str]:
    return [one.after["name"] if one.after else "" for one in found]


@pytest.fixture(params=SERVERS)
async def log(redis_server: Callable[..., RedisServer], request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    """The change log of a site, on each kind of server: they count a group's read entries differently."""
    async with aclosing(Log(redis_server(request.param).url)) as found:
        yield await found.add_site()


async def test_entry_has_facts_before_and_after(log: Log) -> None:
    """An entry says which ticket changed, in which read, and its facts before and after."""
    await log.change("Stalls", "Balcony", "")

    new, renamed, deleted = await log.read()

    stalls, balcony = ({"id": A, "name": name} for name in ("Stalls", "Balcony"))
    assert (A, EventId(EVENT), 7_001) == (new.ticket, new.event, new.v)
    assert (None, stalls) == (new.before, new.after)
    assert (stalls, balcony) == (renamed.before, renamed.after)
    assert (balcony, None, 7_003) == (deleted.before, deleted.after, deleted.v)


async def test_deletion_of_an_unknown_event(log: Log) -> None:
    """The entry of a deletion may lack the ticket's event."""
    await log.change("Stalls")
    await log.snapshots.keep(SITE_ID, 7_009, [ReadResult.deleted(A, None)])

    assert [EventId(EVENT), None] == [one.event for one in await log.read()]


async def test_new_group_reads_from_the_beginning(log: Log) -> None:
    """A missing group is created at 0, so changes from before its first read are read too."""
    await log.change("first", "second")

    assert ["first", "second"] == await log.names()
    assert [] == await log.names()


async def test_site_without_changes(log: Log) -> None:
    """A site without any change has nothing to read, reclaim or acknowledge, and nothing fails."""
    assert Batch(()) == await log.changes.read(SITE_ID)
    assert Batch(()) == await log.changes.reclaim(SITE_ID, 0)
    await log.changes.ack(SITE_ID)

    await log.change("first")

    assert ["first"] == await log.names()


async def test_read_returns_at_most_the_count_asked_for(log: Log) -> None:
    """A reader takes no more than it asks for; the rest is there for the next read."""
    await log.change("first", "second", "third")

    assert ["first", "second"] == names(await log.read(2))
    assert ["third"] == names((await log.twin.read(SITE_ID)).changes)


async def test_each_group_reads_every_change(log: Log) -> None:
    """Each group gets every change; readers of one group share them."""
    await log.change("first")
    other = Changes(log.store, "notify", "one")

    assert ["first"] == names(await log.read())
    assert () == (await log.twin.read(SITE_ID)).changes
    assert ["first"] == names((await other.read(SITE_ID)).changes)


async def test_read_changes_stay_pending_until_acknowledged(log: Log) -> None:
    """Law 12: A change that was read stays pending until it is acknowledged."""
    await log.change("first", "second")
    first, second = await log.read()
    assert 2 == await log.pending()

    await log.changes.ack(SITE_ID, first.entry)
    assert 1 == await log.pending()
    await log.changes.ack(SITE_ID, second.entry)
    assert 0 == await log.pending()
    await log.changes.ack(SITE_ID, second.entry)


async def test_unacknowledged_changes_are_reclaimed(log: Log) -> None:
    """Law 12: A change that a reader did not acknowledge is taken over by another once it has been idle for long."""
    await log.change("first", "second")
    first, _ = await log.read()
    await log.changes.ack(SITE_ID, first.entry)

    assert Batch(()) == await log.twin.reclaim(SITE_ID, 60)
    await _idle(log, 61)

    again = await log.twin.reclaim(SITE_ID, 60)
    assert (["second"], 0) == (names(again.changes), again.lost)
    assert Batch(()) == await log.changes.reclaim(SITE_ID, 60)


async def test_trimmed_pending_changes_are_counted_as_lost(log: Log) -> None:
    """A change that was trimmed before it was acknowledged cannot be taken over, and is counted as lost."""
    await log.change("first", "second", "third")
    await log.read()
    await log.trim(1)

    again = await log.twin.reclaim(SITE_ID, 0)

    assert (["third"], 2) == (names(again.changes), again.lost)
    assert 0 == (await log.twin.reclaim(SITE_ID, 0)).lost


async def test_parked_change_is_kept_with_its_reason(log: Log) -> None:
    """A change that cannot be processed is set aside with its reason, and is no longer pending."""
    await log.change("first")
    [first] = await log.read()

    await log.changes.park(SITE_ID, first, "the target refuses it")

    assert {first.entry: f"{A} the target refuses it"} == await log.store.do("HGETALL", key(SITE, "sync", "parked"))
    assert 0 == await log.pending()


# -- the history, by the same means --


async def test_history_is_read_as_the_changes_are(log: Log) -> None:
    """Any log is read by a group in the order of its entries, each once, with all the fields of an entry."""
    await log.change("first", "second")
    history = AnyLog(log.store, "history", "sync", "one")

    assert [TICKET, TICKET] == [fields["ticket"] for _, fields in await history.entries(SITE_ID)]
    assert [] == await history.entries(SITE_ID)
    await log.change("third")
    [(_, third)] = await history.entries(SITE_ID)

    assert {"ticket", "v", "unsold", "held", "cause", "counter"} == set(third)
    assert ["first", "second", "third"] == await log.names()


async def test_history_of_a_dead_reader_is_taken_over(log: Log) -> None:
    """Law 12: What a reader took of any log and did not acknowledge is taken over once it has been idle, and only then."""
    await log.change("first", "second")
    dead, other = (AnyLog(log.store, "history", "sync", name) for name in ("one", "two"))
    first, second = await dead.entries(SITE_ID)
    await dead.ack(SITE_ID, first[0])

    assert ([], 0) == await other.take_over(SITE_ID, 60)
    assert ([second], 0) == await other.take_over(SITE_ID, 0)
    await other.ack(SITE_ID, second[0])

    assert ([], 0) == await other.take_over(SITE_ID, 0)
    assert [] == await dead.entries(SITE_ID)


async def test_reader_of_the_same_name_takes_over(log: Log) -> None:
    """Law 12: A process that died is followed by one of the same name, which takes its entries over too."""
    await log.change("first", "second")
    dead, next_one = (AnyLog(log.store, "history", "sync", "worker") for _ in range(2))
    taken = await dead.entries(SITE_ID)

    assert [] == await next_one.entries(SITE_ID)
    assert ([taken[0]], 0) == await next_one.take_over(SITE_ID, 0, 1)
    assert (taken, 0) == await next_one.take_over(SITE_ID, 0)


async def test_acknowledging_nothing_costs_nothing(redis_server: Callable[..., RedisServer]) -> None:
    """To acknowledge no entry needs no Redis."""
    server = redis_server()
    async with aclosing(Log(server.url)) as log:
        server.kill()

        await AnyLog(log.store, "history", "sync", "one").ack(SITE_ID)


# -- missed changes --


async def test_new_group_has_missed_changes(log: Log) -> None:
    """A new group counts as having missed changes until it has compared everything."""
    assert await log.changes.missed(SITE_ID)
    assert await log.changes.missed(SITE_ID)

    await log.changes.caught_up(SITE_ID)

    assert not await log.changes.missed(SITE_ID)
    await log.change("first")
    assert not await log.changes.missed(SITE_ID)
    assert ["first"] == await log.names()
    assert not await log.changes.missed(SITE_ID)


async def test_groups_miss_changes_independently(log: Log) -> None:
    """What one group has read or missed does not affect another."""
    await log.change("first")
    await log.names()
    other = Changes(log.store, "notify", "one")

    assert await other.missed(SITE_ID)
    assert not await log.changes.missed(SITE_ID)


async def test_trimming_read_changes_misses_nothing(log: Log) -> None:
    """When only read changes are trimmed, the group has missed nothing."""
    await log.change("first", "second", "third")
    await log.names()

    await log.trim(1)

    assert not await log.changes.missed(SITE_ID)


async def test_trimming_unread_changes_is_reported_as_missed(log: Log) -> None:
    """When unread changes are trimmed, the group has missed changes until it has compared everything."""
    await log.change("first")
    await log.names()
    await log.change(*(f"unread-{n}" for n in range(100)))
    assert not await log.changes.missed(SITE_ID)

    await log.trim(50)

    assert await log.changes.missed(SITE_ID)
    await log.changes.caught_up(SITE_ID)
    assert not await log.changes.missed(SITE_ID)
    assert [f"unread-{n}" for n in range(50, 100)] == await log.names()
    assert not await log.changes.missed(SITE_ID)
    await log.change("last")
    assert ["last"] == await log.names()
    assert not await log.changes.missed(SITE_ID)


async def test_caught_up_does_not_move_the_group(log: Log) -> None:
    """After comparing everything a group continues where it was: nothing is skipped, nothing read twice."""
    await log.change("first", "second", "third")
    await log.read(1)

    await log.changes.caught_up(SITE_ID)

    assert ["second", "third"] == names(await log.read())
    assert 3 == await log.pending()


async def test_destroyed_group_is_recreated(log: Log) -> None:
    """A group that was destroyed is created again at 0, and has missed changes."""
    await log.change("first", "second")
    await log.names()
    await log.changes.caught_up(SITE_ID)
    assert not await log.changes.missed(SITE_ID)

    await log.store.do("XGROUP", "DESTROY", key(SITE, "changes"), "sync")

    assert await log.changes.missed(SITE_ID)
    assert ["first", "second"] == await log.names()


@pytest.mark.parametrize("call", ["read", "reclaim", "missed", "caught_up"])
async def test_any_call_recreates_the_group_after_data_loss(log: Log, call: str) -> None:
    """After Redis lost its data any call creates the group again, and later changes are read."""
    await log.change("first")
    await log.names()
    await log.store.do("FLUSHALL")
    await log.add_site()

    match call:
        case "read":
            assert [] == await log.names()
        case "reclaim":
            assert Batch(()) == await log.changes.reclaim(SITE_ID, 0)
        case "missed":
            assert await log.changes.missed(SITE_ID)
        case _:
            await log.changes.caught_up(SITE_ID)

    await log.change("second")
    assert ["second"] == await log.names()


async def test_two_readers_create_the_group_once(log: Log) -> None:
    """When two readers find no group one creates it, and the other does not fail."""
    await log.changes._create(SITE_ID)
    await log.twin._create(SITE_ID)

    assert [] == await log.names()


async def test_wrong_key_type_raises(log: Log) -> None:
    """An error that is not about a missing group is a bug, and is raised."""
    await log.store.do("SET", key(SITE, "changes"), "text")

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await log.read()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await log.changes._create(SITE_ID)


async def test_unavailable_redis_raises_and_may_be_retried(redis_server: Callable[..., RedisServer]) -> None:
    """Without Redis a read fails, and may be retried."""
    server = redis_server()
    async with aclosing(Log(server.url)) as log:
        server.kill()

        with pytest.raises(RedisUnavailable):
            await log.read()


async def test_changes_on_a_cluster(cluster_url: str) -> None:
    """On a cluster each site's log is read, taken over, parked and watched for losses on its own node."""
    for n in range(20):
        async with aclosing(Log(cluster_url, SiteId(f"5f0e4d3c-1111-4111-8111-{n:012x}"))) as log:
            await log.add_site()
            await log.change("first", "second", "third")

            first, second, third = await log.read()

            await log.changes.park(log.site, first, "broken")
            await log.changes.ack(log.site, second.entry)
            assert (third,) == (await log.twin.reclaim(log.site, 0)).changes
            assert not await log.changes.missed(log.site)
            await log.change(*"abcdef")
            await log.trim(2)
            assert await log.changes.missed(log.site)
            await log.changes.caught_up(log.site)
            assert ["e", "f"] == await log.names()


async def _idle(log: Log, seconds: float) -> None:
    """Make what reader one has taken look as many seconds old."""
    entries = await log.store.do("XRANGE", key(SITE, "changes"), "-", "+")
    ids = [entry for entry, _ in entries]
    options = ("IDLE", int(seconds * 1000), "JUSTID")
    await log.store.do("XCLAIM", key(SITE, "changes"), "sync", "one", 0, *ids, *options)
