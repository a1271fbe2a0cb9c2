import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from server.errors import RedisUnavailable
from server.model import EventId, SiteId
from server.redis.client import RedisClient, Use
from server.store import notify_requests as module
from server.store.notify_requests import (
    DAY,
    DONE_LATELY,
    FIRST_WAIT,
    HOUR,
    LASTS,
    LONGEST_WAIT,
    PARKED_AFTER,
    REMEMBERED,
    SIGN_UPS_OF_RECIPIENT,
    SIGN_UPS_OF_SENDER,
    Backlog,
    Kept,
    NotifyRequests,
    Request,
    RequestKind,
)
from tests.rig.default_keys import key
from tests.rig.notify_time_travel import elapse_for_requests
from tests.rig.redis import RedisServer
from tests.rig.stored_site import SITE_ID

PLACE = "mailman lists.example.org early-birds"
GALA, BALL = EventId("aaaaaaaa-0000-4000-8000-000000000001"), EventId("aaaaaaaa-0000-4000-8000-000000000002")
OTHER_SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
OPT_OUT, SIGN_UP = RequestKind.OPT_OUT, RequestKind.SIGN_UP
TOKEN = "gAAAA-an_encrypted_text="


@pytest.fixture
def requests(store: RedisClient) -> NotifyRequests:
    return NotifyRequests(store)


async def claimed(requests: NotifyRequests, kind: RequestKind = OPT_OUT) -> Request:
    """Claim what is due."""
    found = await requests.claim(SITE_ID, kind)
    assert found is not None
    return found


async def contents(store: RedisClient) -> list[str]:
    """The keys in which something encrypted stands."""
    found = []
    for name in await store.do("KEYS", "*"):
        kind = await store.do("TYPE", name)
        values = dict(await store.do("HGETALL", name)) if kind == "hash" else {}
        found += [str(name) for value in values.values() if TOKEN in value]
    return found


async def test_a_request_is_claimed_once_and_leaves_nothing(anywhere: RedisClient) -> None:
    """Law 18: An opt-out waits, is one worker's, and leaves no content once it is done."""
    requests, other = NotifyRequests(anywhere), NotifyRequests(anywhere)
    assert await requests.claim(SITE_ID, OPT_OUT) is None
    assert Kept.KEPT == await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")
    assert await other.claim(SITE_ID, SIGN_UP) is None
    assert await other.claim(OTHER_SITE, OPT_OUT) is None

    request = await claimed(requests)
    assert (SITE_ID, OPT_OUT, TOKEN, PLACE, 0) == (
        request.site,
        request.kind,
        request.content,
        request.about,
        request.tries,
    )
    assert await other.claim(SITE_ID, OPT_OUT) is None
    assert await requests.done(request)

    assert Backlog() == await requests.backlog(SITE_ID, OPT_OUT)
    left = [str(one) for one in await anywhere.do("KEYS", "*")] if not anywhere.clustered else []
    assert left in ([], [key(SITE_ID, "notify", "requests", "opt-out", "lately", "k1.hash")])
    assert not await requests.done(request)


async def test_requests_come_in_the_order_of_asking(requests: NotifyRequests) -> None:
    """What was asked first is done first, and the backlog tells how long it has waited."""
    for n in range(5):
        await requests.opt_out(SITE_ID, PLACE, f"{TOKEN}{n}", f"k1.{n}")
    backlog = await requests.backlog(SITE_ID, OPT_OUT)

    found = [await claimed(requests) for _ in range(5)]

    assert [f"{TOKEN}{n}" for n in range(5)] == [one.content for one in found]
    assert (5, found[0].asked_at) == (backlog.waiting, backlog.oldest)


async def test_no_request_is_claimed_twice(anywhere: RedisClient) -> None:
    """However many workers claim at the same time, each request is claimed by one."""
    workers = [NotifyRequests(anywhere) for _ in range(4)]
    for n in range(30):
        await workers[0].opt_out(SITE_ID, PLACE, TOKEN, f"k1.{n}")

    found = await asyncio.gather(*(workers[n % 4].claim(SITE_ID, OPT_OUT) for n in range(50)))

    assert sorted(f"k1.{n}" for n in range(30)) == sorted(one.id for one in found if one)


async def test_an_opt_out_that_waits_is_kept_once(store: RedisClient, requests: NotifyRequests) -> None:
    """A link that is opened again while its opt-out waits, or soon after it was done, asks the tool no second time."""
    assert Kept.KEPT == await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")
    assert Kept.AGAIN == await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")
    await requests.done(await claimed(requests))
    assert Kept.AGAIN == await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")

    await elapse_for_requests(store, SITE_ID, DONE_LATELY)

    assert Kept.KEPT == await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")


async def test_a_dead_workers_claim_ends(store: RedisClient, requests: NotifyRequests) -> None:
    """A request of a worker that died is another's after LASTS seconds, and what the first one says of it then changes nothing."""
    await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")
    dead = await claimed(requests)
    await elapse_for_requests(store, SITE_ID, LASTS - 1)
    assert await requests.claim(SITE_ID, OPT_OUT) is None
    await elapse_for_requests(store, SITE_ID, 1)

    alive = await claimed(requests)

    assert not await requests.done(dead)
    assert not await requests.failed(dead, "it was too late")
    assert 1 == (await requests.backlog(SITE_ID, OPT_OUT)).waiting
    assert await requests.done(alive)


async def test_tries_are_further_and_further_apart(store: RedisClient, requests: NotifyRequests) -> None:
    """After each failure a request waits twice as long, at most LONGEST_WAIT, and its reason is told until one is done."""
    await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")
    wait = FIRST_WAIT
    for tries in range(12):
        request = await claimed(requests)
        assert tries == request.tries
        assert not await requests.failed(request, "Mailman answered 503")
        await elapse_for_requests(store, SITE_ID, wait - 1)
        assert await requests.claim(SITE_ID, OPT_OUT) is None
        await elapse_for_requests(store, SITE_ID, 1)
        wait = min(2 * wait, LONGEST_WAIT)
    backlog = await requests.backlog(SITE_ID, OPT_OUT)
    assert (1, {PLACE: "Mailman answered 503"}) == (backlog.waiting, backlog.faults)
    assert wait == LONGEST_WAIT

    await requests.done(await claimed(requests))

    assert Backlog() == await requests.backlog(SITE_ID, OPT_OUT)


async def test_a_tool_says_how_long_to_wait(store: RedisClient, requests: NotifyRequests) -> None:
    """A longer wait that the tool asked for is kept, up to LONGEST_WAIT."""
    for number, (asked, waits) in enumerate([(60.0, 60.0), (10 * HOUR, LONGEST_WAIT), (0.5, FIRST_WAIT)]):
        await requests.opt_out(SITE_ID, PLACE, TOKEN, f"k1.{number}")
        await requests.failed(await claimed(requests), "429", asked)
        await elapse_for_requests(store, SITE_ID, waits - 1)
        assert await requests.claim(SITE_ID, OPT_OUT) is None
        await elapse_for_requests(store, SITE_ID, 1)
        await requests.done(await claimed(requests))


async def test_what_cannot_be_done_in_a_week_is_parked_without_its_content(
    store: RedisClient, requests: NotifyRequests
) -> None:
    """Law 18: What no tool took in a week is given up and counted for 90 days; what was encrypted is deleted."""
    await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")
    await elapse_for_requests(store, SITE_ID, PARKED_AFTER - 10)
    assert not await requests.failed(await claimed(requests), "no such list")
    assert [key(SITE_ID, "notify", "requests", "opt-out")] == await contents(store)
    await elapse_for_requests(store, SITE_ID, 10)

    assert await requests.failed(await claimed(requests), "no such list")

    assert Backlog(0, None, 1, {}, {PLACE: "no such list"}) == await requests.backlog(SITE_ID, OPT_OUT)
    assert [] == await contents(store)
    assert await requests.claim(SITE_ID, OPT_OUT) is None
    await elapse_for_requests(store, SITE_ID, REMEMBERED)
    assert [] == await store.do("KEYS", "*")


async def test_parked_request_is_kept_when_it_is_asked_again(store: RedisClient, requests: NotifyRequests) -> None:
    """Who opts out again after a parked opt-out is heard again."""
    await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")
    await elapse_for_requests(store, SITE_ID, PARKED_AFTER)
    await requests.failed(await claimed(requests), "no such list")

    assert Kept.KEPT == await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")

    backlog = await requests.backlog(SITE_ID, OPT_OUT)
    assert (1, 0) == (backlog.waiting, backlog.parked)


async def test_a_recipient_signs_up_once_a_day(store: RedisClient, requests: NotifyRequests) -> None:
    """An address is brought to the tool once a day for an event, and for few events: nobody is asked again and again by strangers."""
    assert Kept.KEPT == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.ada", "k1.home")
    assert Kept.AGAIN == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.ada", "k1.home")
    await requests.done(await claimed(requests, SIGN_UP))
    assert Kept.AGAIN == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.ada", "k1.cafe")
    answers = [await requests.sign_up(SITE_ID, EventId(f"event-{n}"), TOKEN, "k1.ada", f"k1.{n}") for n in range(5)]
    assert SIGN_UPS_OF_RECIPIENT - 1 == answers.count(Kept.KEPT)
    assert Kept.KEPT == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.bob", "k1.home")

    await elapse_for_requests(store, SITE_ID, DAY)

    assert Kept.KEPT == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.ada", "k1.home")


async def test_a_sender_is_bounded(store: RedisClient, requests: NotifyRequests) -> None:
    """From one client's address come SIGN_UPS_OF_SENDER sign-ups an hour at most, whatever they say; others are not concerned."""
    asks = [await requests.sign_up(SITE_ID, GALA, TOKEN, f"k1.{n}", "k1.bad") for n in range(3 * SIGN_UPS_OF_SENDER)]
    assert SIGN_UPS_OF_SENDER == asks.count(Kept.KEPT)
    assert asks.count(Kept.CROWDED) == 2 * SIGN_UPS_OF_SENDER
    assert Kept.KEPT == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.ada", "k1.home")

    await elapse_for_requests(store, SITE_ID, HOUR)

    assert Kept.KEPT == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.bob", "k1.bad")


async def test_a_site_is_bounded(requests: NotifyRequests, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more requests of a site wait than there may be; those of the other kind and of other sites have their own bound."""
    monkeypatch.setattr(module, "MOST_WAITING", {"opt-out": 2, "sign-up": 3})
    signed = [await requests.sign_up(SITE_ID, GALA, TOKEN, f"k1.{n}", f"k1.{n}") for n in range(5)]
    left = [await requests.opt_out(SITE_ID, PLACE, TOKEN, f"k1.{n}") for n in range(5)]

    assert [Kept.KEPT] * 3 + [Kept.FULL] * 2 == signed
    assert [Kept.KEPT] * 2 + [Kept.FULL] * 3 == left
    assert Kept.KEPT == await requests.opt_out(OTHER_SITE, PLACE, TOKEN, "k1.1")


async def test_a_refused_sign_up_may_be_asked_again(requests: NotifyRequests, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign-up that was not kept, since too many waited, does not count as the day's."""
    monkeypatch.setattr(module, "MOST_WAITING", {"opt-out": 1, "sign-up": 1})
    await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.bob", "k1.a")
    assert Kept.FULL == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.ada", "k1.b")
    await requests.done(await claimed(requests, SIGN_UP))

    assert Kept.KEPT == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.ada", "k1.b")


async def test_a_person_is_forgotten(store: RedisClient, requests: NotifyRequests) -> None:
    """Law 18: What waits of a person, is parked or remembered for a day is deleted; what is of others stays."""
    await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.ada", "k1.x")
    await requests.sign_up(SITE_ID, BALL, TOKEN, "k1.ada", "k1.x")
    await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.bob", "k1.x")
    await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.parked")
    await elapse_for_requests(store, SITE_ID, PARKED_AFTER)
    await requests.failed(await claimed(requests), "no such list")

    assert 2 == await requests.forget(SITE_ID, SIGN_UP, ["k1.ada", "k0.ada"])
    assert 1 == await requests.forget(SITE_ID, OPT_OUT, ["k1.parked"])

    assert 1 == (await requests.backlog(SITE_ID, SIGN_UP)).waiting
    assert 0 == (await requests.backlog(SITE_ID, OPT_OUT)).parked
    assert f"{GALA}:k1.bob" == (await claimed(requests, SIGN_UP)).id
    assert Kept.KEPT == await requests.sign_up(SITE_ID, GALA, TOKEN, "k1.ada", "k1.x")


async def test_an_id_without_a_row_is_passed_over(store: RedisClient, requests: NotifyRequests) -> None:
    """An id that is due without a row, as after a loss of data, is dropped, and the next request is claimed."""
    await store.do("ZADD", key(SITE_ID, "notify", "requests", "opt-out", "due"), 1, "k1.lost")
    await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")

    assert "k1.hash" == (await claimed(requests)).id
    assert 1 == await store.do("ZCARD", key(SITE_ID, "notify", "requests", "opt-out", "due"))


async def test_a_reason_of_any_text_is_kept(requests: NotifyRequests) -> None:
    """A reason with half a surrogate pair, as a tool may cut one, is kept as text."""
    await requests.opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")

    await requests.failed(await claimed(requests), "the list \ud83d is gone")

    assert {PLACE: "the list \ufffd is gone"} == (await requests.backlog(SITE_ID, OPT_OUT)).faults


async def test_requests_without_redis(redis_server: Callable[..., RedisServer]) -> None:
    """Without Redis nothing counts as kept."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        server.kill()
        with pytest.raises(RedisUnavailable):
            await NotifyRequests(store).opt_out(SITE_ID, PLACE, TOKEN, "k1.hash")
