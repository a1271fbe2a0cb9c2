from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import RedisUnavailable
from server.model import EventId, SiteId
from server.redis.client import RedisClient, Use
from server.store.schedule import Schedule
from server.store.sync_due import Due
from server.store.sync_records import FollowedEvent, Records, StoredRecord
from tests.rig.default_keys import KEYS
from tests.rig.redis import RedisServer
from tests.rig.stored_site import EVENT, SITE_ID, A, B, C, StoredSite

TARGET = "box-office"
OTHER_EVENT = EventId("0b5f1a2e-4444-4444-8444-00000000e002")
OTHER_SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
RECORD = StoredRecord(event=EVENT, name="Stalls", record="42", state="equal")
FOLLOWED = FollowedEvent(EVENT, "gala", "The gala", 1_790_000_000.5)

TEXTS = st.one_of(
    st.sampled_from(["", " ", "0", "🎫 Parkett „A“", 'a "quoted" \\ name', "line\nbreak", "\x00", "None", "é e\u0301"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)
TIMES = st.one_of(st.sampled_from([0.0, 1_790_000_000.123456, 0.1 + 0.2]), st.floats(0, 4e9))
COUNTS = st.integers(0, 10**6)
JSON = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.none(), st.integers(-(10**18), 10**18)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=10,
)
STORED_RECORDS = st.builds(
    StoredRecord,
    event=TEXTS,
    name=TEXTS,
    record=TEXTS,
    applied=st.none() | st.dictionaries(TEXTS, JSON, max_size=4),
    applied_at=TIMES,
    state=TEXTS,
    state_at=TIMES,
    text=TEXTS,
    cure=TEXTS,
    tries=COUNTS,
    attempt=COUNTS,
    unsure_at=TIMES,
    unsure_of=TEXTS,
    digest=TEXTS,
    removed=st.booleans(),
)
FOLLOWED_EVENTS = st.builds(
    FollowedEvent,
    event=st.just(EVENT),
    target_event=TEXTS,
    title=TEXTS,
    since=TIMES,
    wait_until=TIMES,
    faults=COUNTS,
    error=TEXTS,
    audit_at=TIMES,
    left_alone=COUNTS,
    notes=st.lists(TEXTS, max_size=3).map(tuple),
)
EVERYTHING = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)


@pytest.fixture
def records(store: RedisClient) -> Records:
    return Records(store)


# -- tickets --


async def test_nothing_is_remembered_at_first(records: Records) -> None:
    """Of a ticket that was never brought an empty record is remembered, and no state."""
    assert StoredRecord() == await records.read(SITE_ID, TARGET, A)
    assert {} == await records.states(SITE_ID, TARGET)
    assert {} == await records.followed(SITE_ID, TARGET)
    assert 0 == await records.deactivations(SITE_ID, TARGET, EVENT, 0.0)


@EVERYTHING
@given(STORED_RECORDS, STORED_RECORDS)
async def test_record_is_read_as_written(records: Records, first: StoredRecord, second: StoredRecord) -> None:
    """What is remembered of a ticket is read equal, whatever texts and values it has; nothing is left of what was before."""
    for record in (first, second):
        await records.write(SITE_ID, TARGET, A, record)

        assert record == await records.read(SITE_ID, TARGET, A)


async def test_state_is_that_of_the_record(anywhere: RedisClient) -> None:
    """The states of all tickets name the state and the event of each, as they were written last."""
    records = Records(anywhere)
    await records.write(SITE_ID, TARGET, A, RECORD)
    await records.write(SITE_ID, TARGET, B, replace(RECORD, state="conflict", event=OTHER_EVENT))
    await records.write(SITE_ID, TARGET, C, StoredRecord())
    await records.write(SITE_ID, TARGET, A, replace(RECORD, state="due"))

    assert {A: ("due", EVENT), B: ("conflict", OTHER_EVENT), C: ("", "")} == await records.states(SITE_ID, TARGET)
    assert {} == await records.states(SITE_ID, "till")
    assert {} == await records.states(OTHER_SITE, TARGET)
    assert StoredRecord() == await records.read(SITE_ID, "till", A)


async def test_half_an_emoji(records: Records) -> None:
    """A text that was cut inside an emoji is stored with a replacement for it, wherever it is."""
    whole = "a\N{REPLACEMENT CHARACTER}"
    await records.write(SITE_ID, TARGET, A, replace(RECORD, text="a\ud83c", applied={"name": "a\udfab"}))
    await records.follow(SITE_ID, TARGET, replace(FOLLOWED, error="a\ud83c", notes=("a\ud83c",)))

    found = await records.read(SITE_ID, TARGET, A)
    assert (whole, {"name": whole}) == (found.text, found.applied)
    event = (await records.followed(SITE_ID, TARGET))[EVENT]
    assert (whole, (whole,)) == (event.error, event.notes)


async def test_record_of_an_older_version(store: RedisClient, records: Records) -> None:
    """A record that lacks members, or has others, is read as far as it is known."""
    await store.do("HSET", KEYS.sync(SITE_ID, TARGET, "record", A), "record", "42", "text", "a", "state", "equal")

    assert StoredRecord(record="42", text="a", state="equal") == await records.read(SITE_ID, TARGET, A)


# -- events --


@EVERYTHING
@given(FOLLOWED_EVENTS, FOLLOWED_EVENTS)
async def test_event_is_read_as_written(records: Records, first: FollowedEvent, second: FollowedEvent) -> None:
    """What is remembered of a followed event is read equal, whatever texts it has; nothing is left of what was before."""
    for event in (first, second):
        await records.follow(SITE_ID, TARGET, event)

        assert {EVENT: event} == await records.followed(SITE_ID, TARGET)


async def test_events_are_followed_at_each_target_by_itself(anywhere: RedisClient) -> None:
    """An event is followed at one target, of one site, and at no other."""
    records = Records(anywhere)
    other = replace(FOLLOWED, event=OTHER_EVENT)
    await records.follow(SITE_ID, TARGET, FOLLOWED)
    await records.follow(SITE_ID, TARGET, other)
    await records.follow(SITE_ID, "till", other)

    assert {EVENT: FOLLOWED, OTHER_EVENT: other} == await records.followed(SITE_ID, TARGET)
    assert {OTHER_EVENT: other} == await records.followed(SITE_ID, "till")
    assert {} == await records.followed(OTHER_SITE, TARGET)


async def test_two_processes_change_an_event_at_the_same_time(records: Records) -> None:
    """Each changes what it knows of, and undoes nothing of the other's; a change of one that is not followed makes it not followed."""
    await records.follow(SITE_ID, TARGET, FOLLOWED)
    await records.change_event(SITE_ID, TARGET, EVENT, faults=2, error="403")
    await records.change_event(SITE_ID, TARGET, EVENT, audit_at=5.5)
    await records.change_event(SITE_ID, TARGET, OTHER_EVENT, faults=1)

    changed = replace(FOLLOWED, faults=2, error="403", audit_at=5.5)
    assert {EVENT: changed} == await records.followed(SITE_ID, TARGET)


async def test_event_of_another_version(store: RedisClient, records: Records) -> None:
    """An event that another version wrote, with members that are not known here, is read as far as it is known."""
    await store.do("SADD", KEYS.sync(SITE_ID, TARGET, "events"), EVENT)
    key = KEYS.sync(SITE_ID, TARGET, "event", EVENT)
    await store.do("HSET", key, "target_event", '"gala"', "title", '"The gala"', "since", "1.5", "colour", '"red"')
    found = await records.followed(SITE_ID, TARGET)
    await store.do("HDEL", key, "colour")

    assert {EVENT: FollowedEvent(EVENT, "gala", "The gala", 1.5)} == found


# -- deactivations --


async def test_deactivations_are_counted(anywhere: RedisClient) -> None:
    """The deactivations of an event since a time are counted, each ticket once, with its last one."""
    records = Records(anywhere)
    for at, ticket in ((10.5, A), (20.25, B), (30.0, C), (40.0, A)):
        await records.deactivated(SITE_ID, TARGET, EVENT, ticket, at)
    await records.deactivated(SITE_ID, TARGET, OTHER_EVENT, A, 40.0)
    await records.deactivated(SITE_ID, "till", EVENT, A, 40.0)

    counts = [await records.deactivations(SITE_ID, TARGET, EVENT, since) for since in (0.0, 20.25, 20.5, 41.0)]
    assert [3, 3, 2, 0] == counts
    assert 7100 < await anywhere.do("TTL", KEYS.sync(SITE_ID, TARGET, "deactivated", EVENT)) <= 7200


# -- all of it --


async def test_memory_outlives_the_app(site: StoredSite) -> None:
    """A site from which the app is removed leaves its records and what is due as they are, and marks nothing; so does its return."""
    records, due = Records(site.store), Due(site.store)
    await site.knows(A, B)
    await records.write(SITE_ID, TARGET, A, RECORD)
    await records.follow(SITE_ID, TARGET, FOLLOWED)
    await due.mark(SITE_ID, TARGET, [B])
    assert await due.claim(SITE_ID, TARGET)
    await due.mark(SITE_ID, TARGET, [A])
    names = [one for one in await site.keys() if ":sync:" in one]
    before = [await site.store.do("DUMP", name) for name in names if not name.endswith("events")]

    await Schedule(site.store).remove_site(SITE_ID)
    assert names == [one for one in await site.keys() if ":sync:" in one]
    await site.add_site()

    assert names == [one for one in await site.keys() if ":sync:" in one]
    assert [-1] * 6 == [await site.store.do("TTL", name) for name in names]
    assert before == [await site.store.do("DUMP", name) for name in names if not name.endswith("events")]
    assert {EVENT: FOLLOWED} == await records.followed(SITE_ID, TARGET)


async def test_deployments_are_apart(redis_url: str, records: Records) -> None:
    """What a deployment remembers is not known to one with another prefix."""
    await records.write(SITE_ID, TARGET, A, RECORD)
    await records.follow(SITE_ID, TARGET, FOLLOWED)
    async with aclosing(RedisClient(redis_url, Use.WORK, "shop")) as shop:
        assert StoredRecord() == await Records(shop).read(SITE_ID, TARGET, A)
        assert {} == await Records(shop).states(SITE_ID, TARGET)
        assert {} == await Records(shop).followed(SITE_ID, TARGET)


async def test_without_redis(redis_server: Callable[..., RedisServer]) -> None:
    """Without Redis nothing is read or written, and the caller is told."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        server.kill()

        with pytest.raises(RedisUnavailable):
            await Records(store).write(SITE_ID, TARGET, A, RECORD)
        with pytest.raises(RedisUnavailable):
            await Records(store).read(SITE_ID, TARGET, A)
