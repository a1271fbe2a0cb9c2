import time

from server.campaign import Campaign, ChannelName, RowState, State
from server.keyring import KeyRing, Purpose
from server.model import EventId
from server.notify.erasure import erase, unsuppress
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.notify_requests import NotifyRequests, RequestKind
from server.store.outbox import Outbox
from server.store.suppressions import Suppressions
from tests.rig.campaigns import SITE, campaign

NEW, OLD = "n" * 43, "o" * 43
RING, OLD_RING = KeyRing([NEW, OLD]), KeyRing([OLD])
ADDRESS, OTHER = "reader@people.example", "other@people.example"
PLACE = "csv readers.csv"


async def sent(store: RedisClient, name: str, key: str, *, state: RowState = RowState.SENT) -> Outbox:
    """A campaign that brought a mail to both."""
    found = await Campaigns(store).open(campaign(name=name, key=key, tickets=(), deadline=time.time() + 60))
    assert found is not None
    outbox = Outbox(store, found, ChannelName.MAIL, "worker")
    assert await outbox.take()
    for address in (ADDRESS, OTHER):
        await outbox.claim(row(found, address), ())
        await outbox.mark(row(found, address), state)
    await outbox.finish(State.DONE)
    return outbox


def row(one: Campaign, address: str) -> str:
    return RING.hash(Purpose.ROW, one.name, ChannelName.MAIL, address, key=one.key)


async def test_rows_of_a_person(store: RedisClient) -> None:
    """The person's rows are no longer found, under whichever key they are hashed, and every count stays as it was."""
    outboxes = [await sent(store, "a", RING.ids[0]), await sent(store, "b", RING.ids[1], state=RowState.UNKNOWN)]
    before = [await one.progress() for one in outboxes]

    found = await erase(ADDRESS, {SITE: [PLACE]}, store, RING, now=time.time() + 90)

    assert (2, 0, (), 0) == (found.rows, found.requests, found.kept, found.unreadable)
    for one, was in zip(outboxes, before, strict=True):
        assert [False, True] == [await one.has(row(one.campaign, address)) for address in (ADDRESS, OTHER)]
        assert was == await one.progress()
    assert [row(outboxes[1].campaign, OTHER)] == await outboxes[1].unknown()
    again = await erase(ADDRESS, {SITE: [PLACE]}, store, RING, now=time.time() + 90)
    assert 0 == again.rows


async def test_rows_of_campaigns_that_may_go_on(store: RedisClient) -> None:
    """Before the deadline a row stays, and is told, so that nobody is written to twice; it does not matter for who has none."""
    outbox = await sent(store, "a", RING.ids[0])

    found = await erase(ADDRESS, {SITE: [PLACE]}, store, RING, now=time.time())
    assert (0, ["a"]) == (found.rows, [one.campaign for one in found.kept])
    assert await outbox.has(row(outbox.campaign, ADDRESS))
    assert () == (await erase("nobody@people.example", {SITE: []}, store, RING, now=time.time())).kept


async def test_key_that_is_gone(store: RedisClient) -> None:
    """Rows that are hashed by a key that is gone cannot be found, which is told."""
    await sent(store, "a", RING.ids[0])

    found = await erase(ADDRESS, {SITE: [PLACE]}, store, OLD_RING, now=time.time() + 90)
    assert (0, 1) == (found.rows, found.unreadable)


async def test_requests_and_suppression(store: RedisClient) -> None:
    """Requests on the way to a tool are deleted, also those that are hashed by an older key; the suppression stays."""
    requests, suppressions = NotifyRequests(store), Suppressions(store)
    hashes = RING.hashes(Purpose.SUPPRESSION, PLACE, ADDRESS)
    await suppressions.add(SITE, hashes, "opted out")
    await requests.opt_out(SITE, PLACE, "token", hashes[1])
    await requests.sign_up(SITE, EventId("e"), "token", RING.hashes(Purpose.SIGN_UP, ADDRESS)[0], "sender")
    await requests.sign_up(SITE, EventId("e"), "token", RING.hashes(Purpose.SIGN_UP, OTHER)[0], "sender")

    found = await erase(ADDRESS, {SITE: [PLACE]}, store, RING, now=time.time())
    assert 2 == found.requests
    assert await suppressions.has(SITE, hashes)


async def test_opt_outs_are_undone(store: RedisClient) -> None:
    """Who left two lists is suppressed at neither any more, and the tool is not told of what it has not been told yet."""
    suppressions, requests = Suppressions(store), NotifyRequests(store)
    hashes = RING.hashes(Purpose.SUPPRESSION, PLACE, ADDRESS)
    await suppressions.add(SITE, hashes, "opted out")
    await suppressions.add(SITE, OLD_RING.hashes(Purpose.SUPPRESSION, "csv others.csv", ADDRESS), "opted out")
    await requests.opt_out(SITE, PLACE, "encrypted", hashes[0])

    assert 2 == await unsuppress(ADDRESS, {SITE: [PLACE, "csv others.csv", "csv third.csv"]}, store, RING)
    assert not await suppressions.has(SITE, hashes)
    assert set() == await suppressions.key_ids(SITE)
    assert await requests.claim(SITE, RequestKind.OPT_OUT) is None
    assert 0 == await unsuppress(ADDRESS, {SITE: [PLACE]}, store, RING)
