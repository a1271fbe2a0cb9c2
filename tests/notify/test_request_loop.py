"""Requests are brought again and again until a tool took them, whatever breaks meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from prometheus_client import REGISTRY

from server.errors import AudienceRefused, AudienceUnavailable, RequestRefused
from server.model import SiteId
from server.notify import request_loop as module
from server.notify.request_loop import RequestLoop
from server.redis.client import RedisClient, Use
from server.store import notify_requests
from server.store.notify_requests import FIRST_WAIT, PARKED_AFTER, NotifyRequests, Request, RequestKind
from server.timed_event import TimedEvent
from tests.rig.background import background
from tests.rig.notify_time_travel import elapse_for_requests
from tests.rig.redis import RedisServer
from tests.rig.server import until

SITE, OTHER_SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b001"), SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
OPT_OUT = RequestKind.OPT_OUT
PLACE = "a list"


@pytest.fixture
def requests(store: RedisClient) -> NotifyRequests:
    return NotifyRequests(store)


class Tool:
    """Takes requests, and raises what is scripted for each try, in order."""

    def __init__(self, *script: Exception) -> None:
        self.script = list(script)
        self.taken: list[Request] = []

    async def __call__(self, request: Request) -> None:
        if self.script:
            raise self.script.pop(0)
        self.taken.append(request)


def loop_of(
    requests: NotifyRequests, bring: Callable[[Request], Awaitable[None]], *sites: SiteId, **more: Any
) -> RequestLoop:
    return RequestLoop(OPT_OUT, requests, lambda: sites or (SITE,), bring, **more)


def counted(outcome: str) -> float:
    labels = {"kind": "opt-out", "outcome": outcome}
    return REGISTRY.get_sample_value("ticketcounter_notify_requests_total", labels) or 0.0


async def test_each_request_is_brought_once(requests: NotifyRequests) -> None:
    """What waits at any known site is brought once, in the order of asking, and is done then."""
    before = counted("done")
    for n in range(3):
        await requests.opt_out(SITE, PLACE, f"content-{n}", f"k.{n}")
    await requests.opt_out(OTHER_SITE, PLACE, "content-3", "k.3")
    tool = Tool()

    assert not await loop_of(requests, tool, SITE, OTHER_SITE).bring_due()

    assert [f"content-{n}" for n in range(4)] == [one.content for one in tool.taken]
    assert 0 == (await requests.backlog(SITE, OPT_OUT)).waiting
    assert before + 4 == counted("done")


async def test_a_site_with_much_to_do_lets_others_go_on(
    requests: NotifyRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After AT_ONCE requests of a site the next one has its turn, and the loop comes back at once."""
    monkeypatch.setattr(module, "AT_ONCE", 2)
    for n in range(3):
        await requests.opt_out(SITE, PLACE, "content", f"k.{n}")
    await requests.opt_out(OTHER_SITE, PLACE, "content", "k.9")
    tool = Tool()
    loop = loop_of(requests, tool, SITE, OTHER_SITE)

    assert await loop.bring_due()
    assert [SITE, SITE, OTHER_SITE] == [one.site for one in tool.taken]
    assert not await loop.bring_due()
    assert 4 == len(tool.taken)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AudienceUnavailable("Mailman answered 503"), "Mailman answered 503"),
        (AudienceRefused("Mailman refuses our password"), "Mailman refuses our password"),
        (ZeroDivisionError("ada@example.org"), "a bug: ZeroDivisionError"),
    ],
)
async def test_what_a_tool_does_not_take_comes_again(
    requests: NotifyRequests, store: RedisClient, error: Exception, reason: str
) -> None:
    """A tool that is down or refuses is told, without what was asked, and tried again later, also after a bug of ours."""
    before = counted("failed")
    await requests.opt_out(SITE, PLACE, "content", "k.1")
    tool = Tool(error)
    loop = loop_of(requests, tool)
    await loop.bring_due()
    assert {PLACE: reason} == (await requests.backlog(SITE, OPT_OUT)).faults
    await loop.bring_due()
    assert [] == tool.taken

    await elapse_for_requests(store, SITE, FIRST_WAIT)
    await loop.bring_due()

    assert ["content"] == [one.content for one in tool.taken]
    assert {} == (await requests.backlog(SITE, OPT_OUT)).faults
    assert before + 1 == counted("failed")


async def test_a_tool_that_asks_for_time_gets_it(requests: NotifyRequests, store: RedisClient) -> None:
    """A Retry-After of the tool delays the next try."""
    await requests.opt_out(SITE, PLACE, "content", "k.1")
    tool = Tool(AudienceUnavailable("too many requests", status=429, retry_after=300.0))
    loop = loop_of(requests, tool)
    await loop.bring_due()

    await elapse_for_requests(store, SITE, 299)
    await loop.bring_due()
    assert [] == tool.taken
    await elapse_for_requests(store, SITE, 1)
    await loop.bring_due()
    assert 1 == len(tool.taken)


async def test_a_tool_that_never_answers(requests: NotifyRequests) -> None:
    """A request whose tool does not answer in time is given up for now, before another worker may claim it."""
    assert module.BRING_WITHIN < notify_requests.LASTS
    await requests.opt_out(SITE, PLACE, "content", "k.1")

    async def never(_: Request) -> None:
        await asyncio.sleep(60)

    await loop_of(requests, never, within=0.01).bring_due()

    assert {PLACE: "no answer within 0 s"} == (await requests.backlog(SITE, OPT_OUT)).faults


async def test_after_a_week_it_is_given_up(requests: NotifyRequests, store: RedisClient) -> None:
    """A request that no tool took in a week is parked, and counted as that."""
    before = counted("parked")
    await requests.opt_out(SITE, PLACE, "content", "k.1")
    await elapse_for_requests(store, SITE, PARKED_AFTER)

    await loop_of(requests, Tool(AudienceRefused("no such list"))).bring_due()

    backlog = await requests.backlog(SITE, OPT_OUT)
    assert (0, 1) == (backlog.waiting, backlog.parked)
    assert before + 1 == counted("parked")


async def test_what_a_tool_never_takes_is_given_up_at_once(requests: NotifyRequests, store: RedisClient) -> None:
    """Law 18: What a tool will never take is parked with its reason, and its content deleted; what is done later leaves the reason."""
    before = counted("parked")
    await requests.opt_out(SITE, PLACE, "content", "k.1")
    await requests.opt_out(SITE, PLACE, "content-another", "k.2")
    tool = Tool(RequestRefused("no usable address"))

    await loop_of(requests, tool).bring_due()

    backlog = await requests.backlog(SITE, OPT_OUT)
    assert (0, 1, {}, {PLACE: "no usable address"}) == (
        backlog.waiting,
        backlog.parked,
        backlog.faults,
        backlog.given_up,
    )
    assert ["content-another"] == [one.content for one in tool.taken]
    assert {} == dict(await store.do("HGETALL", requests.keys.key(SITE, "notify", "requests", OPT_OUT)))
    assert before + 1 == counted("parked")


async def test_a_bug_stops_nothing_and_names_nobody(
    requests: NotifyRequests, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 18: A bug at one request stops neither the loop nor the others, and its log line has its type and place, and no address."""
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    await requests.opt_out(SITE, PLACE, "content-1", "k.1")
    tool = Tool(ValueError("ada@example.org is no address"))
    stopping = TimedEvent()

    async with background(loop_of(requests, tool).run(stopping)):
        await until(lambda: not tool.script)
        await requests.opt_out(SITE, PLACE, "content-2", "k.2")
        await until(lambda: tool.taken)
        stopping.set()

    assert ["content-2"] == [one.content for one in tool.taken]
    logged = "".join(capsys.readouterr())
    assert "ValueError" in logged
    assert "test_request_loop.py:" in logged
    assert "ada@" not in logged


async def test_the_loop_survives_a_bug_of_its_own(requests: NotifyRequests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong between two requests, the loop goes on."""
    monkeypatch.setattr("server.rounds.AFTER_BUG", 0.01)
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    await requests.opt_out(SITE, PLACE, "content", "k.1")
    tool, stopping = Tool(), TimedEvent()
    bugs = [ZeroDivisionError()]

    def sites() -> list[SiteId]:
        if bugs:
            raise bugs.pop()
        return [SITE]

    async with background(RequestLoop(OPT_OUT, requests, sites, tool).run(stopping)):
        await until(lambda: tool.taken)
        stopping.set()


async def test_the_loop_survives_a_loss_of_redis(
    redis_server: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is away nothing is brought; once it is back the loop goes on by itself."""
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        requests, tool, stopping = NotifyRequests(store), Tool(), TimedEvent()
        loop = loop_of(requests, tool)
        async with background(loop.run(stopping)):
            server.kill()
            await until(lambda: "requests" in loop._unavailable)
            server.start()
            await until(lambda: "requests" not in loop._unavailable)
            await requests.opt_out(SITE, PLACE, "content", "k.1")
            await until(lambda: tool.taken)
            stopping.set()


async def test_a_stop_brings_no_further_one(requests: NotifyRequests) -> None:
    """At a stop the request in hand is brought, and the others wait for another worker."""
    for n in range(3):
        await requests.opt_out(SITE, PLACE, "content", f"k.{n}")
    stopping = TimedEvent()
    taken = []

    async def bring(request: Request) -> None:
        stopping.set()
        taken.append(request)

    await loop_of(requests, bring).run(stopping)

    assert 1 == len(taken)
    assert 2 == (await requests.backlog(SITE, OPT_OUT)).waiting
