"""What SHOW_AT_MOST hides stays hidden: two sites whose numbers differ only above it cannot be told apart from outside."""

import asyncio
import copy
import itertools
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from websockets.asyncio.client import connect

from server.counter import Rules
from server.model import Definition, TicketId, WatchedTicket
from server.wix import schema
from tests.rig.default_keys import channel
from tests.rig.fake_reader import FakeReader
from tests.rig.server import SITE, RunningServer, StartServer

SAMPLE: dict[str, Any] = json.loads((Path(__file__).parent / "samples" / "definitions.json").read_text())["fixed"]
OTHER_SITE = "5f0e4d3c-1111-4111-8111-00000000b002"
SITES = (SITE, OTHER_SITE)
RULES = Rules(low_at=3, show_at_most=5)
EACH: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
    # Stories are short already: shrinking would take minutes.
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],
}
NUMBERS = itertools.count(1)
"""Each example has a ticket of its own."""


@dataclass(frozen=True)
class Step:
    """What a read finds on the two sites: the same, except for a number that is shown on neither."""

    counts: tuple[int | None, int | None]
    name: str
    status: str
    hidden: bool

    @property
    def shows(self) -> tuple[str, int | None, str | None]:
        """The state, the number and the name that may be shown."""
        count = self.counts[0] if self.counts[0] == self.counts[1] else None
        count = count if count is not None and count <= 5 else None
        if self.hidden:
            return "gone", None, None
        if self.status == "SALE_ENDED":
            return "ended", None, self.name
        if self.status == "SALE_SCHEDULED":
            return "scheduled", count, self.name
        state = "available" if count is None or count > 3 else "low" if count else "sold_out"
        return state, count, self.name

    def found(self, ticket: str, number: int) -> Definition:
        """What Wix answers for this site, read as the worker reads it."""
        entity, count = copy.deepcopy(SAMPLE), self.counts[number]
        entity |= {"id": ticket, "name": self.name, "saleStatus": self.status, "hidden": self.hidden}
        entity["revision"] = str(count)
        entity["limitPerCheckout"] = min(50, 50 if count is None else count)
        if count is None:
            entity["limited"] = False
            del entity["initialLimit"], entity["actualLimit"]
            entity["salesDetails"] = {"soldCount": 7, "reservedCount": 0, "soldOut": False}
        else:
            entity["initialLimit"] = entity["actualLimit"] = count + 7
            entity["salesDetails"] = {
                "unsoldCount": count,
                "soldCount": 7,
                "reservedCount": count % 3,
                "soldOut": count == 0,
            }
        return schema.definition(entity)


HIDDEN = st.integers(6, 10) | st.integers(6, 10**9) | st.none()
STEP = st.builds(
    Step,
    counts=st.integers(0, 5).map(lambda count: (count, count)) | st.tuples(HIDDEN, HIDDEN),
    name=st.sampled_from(["Gala", "Gala", "Fair"]),
    status=st.sampled_from(["SALE_STARTED"] * 4 + ["SALE_SCHEDULED", "SALE_ENDED"]),
    hidden=st.sampled_from([False] * 7 + [True]),
)
STORY = st.lists(STEP, min_size=1, max_size=8)


def new_ticket() -> str:
    """A ticket that no example before this one had."""
    return f"11111111-aaaa-4aaa-8aaa-{next(NUMBERS):012}"


def steps_that_show_a_change(story: Sequence[Step]) -> list[int]:
    """The steps after which something else may be shown than before."""
    return [at for at, step in enumerate(story) if at == 0 or step.shows != story[at - 1].shows]


async def keep_on_both(reads: Sequence[FakeReader], ticket: str, step: Step) -> int:
    """Store what the step finds on both sites, under the same version."""
    version = time.time_ns() // 1000
    for number, one in enumerate(reads):
        await one.read(step.found(ticket, number), version=version)
    return version


# -- in Redis --


@settings(max_examples=60, **EACH)
@given(STORY)
async def test_hidden_numbers_do_not_show_in_redis(redis_url: str, story: list[Step]) -> None:
    """Nothing published or stored to be shown, no version and no time of it, depends on a number that is not shown."""
    ticket = new_ticket()
    seen: list[list[WatchedTicket]] = [[], []]
    versions = []
    async with AsyncExitStack() as stack:
        reads = [await stack.enter_async_context(aclosing(FakeReader(redis_url, site, RULES))) for site in SITES]
        redis: Redis = await stack.enter_async_context(Redis.from_url(redis_url, decode_responses=True))
        heard = await stack.enter_async_context(redis.pubsub())
        channels = [channel(site, ticket) for site in SITES]
        await heard.subscribe("step", *channels)
        for one in reads:
            await one.schedule.add_site(one.site, RULES, everything=True)
        for step in story:
            versions.append(await keep_on_both(reads, ticket, step))
            await redis.publish("step", "over")
            for number, one in enumerate(reads):
                known = await one.schedule.watch(one.site, [TicketId(ticket)], counters=True)
                seen[number] += known.tickets if known else ()
        messages = await published_in_steps(heard, len(story))
    ours, theirs = (messages[one] for one in channels)

    assert ours == theirs
    assert [(one.v, one.rules, one.counter) for one in seen[0]] == [(one.v, one.rules, one.counter) for one in seen[1]]
    assert [at for at, _ in ours] == steps_that_show_a_change(story)
    assert [versions[at] for at in steps_that_show_a_change(story)] == [json.loads(text)["v"] for _, text in ours]
    assert [story[at].shows for at in steps_that_show_a_change(story)] == [shown(text) for _, text in ours]


async def published_in_steps(heard: PubSub, steps: int) -> dict[str, list[tuple[int, str]]]:
    """What each channel published, and in which step."""
    messages: dict[str, list[tuple[int, str]]] = {}
    step = 0
    async for message in heard.listen():
        if message["type"] != "message":
            continue
        if message["channel"] == "step":
            step += 1
            if step == steps:
                break
        else:
            messages.setdefault(message["channel"], []).append((step, message["data"]))
    return messages


def shown(text: str) -> tuple[str, int | None, str | None]:
    """The state, the number and the name that a counter shows."""
    counter = json.loads(text)
    return counter["state"], counter["unsold"], counter["name"]


# -- over HTTP and WebSocket --


class SiteViewer:
    """A client that reads one site in every way there is, and keeps every byte except the date."""

    def __init__(self, running: RunningServer, site: str, ticket: str) -> None:
        self.running = running
        self.query = f"?ticket={ticket}&site={site}"
        self.frames: list[str] = []
        self.events: list[str] = []
        self.answers: list[Any] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        url = f"{self.running.ws}/v1/counters{self.query}"
        self._socket = await self._stack.enter_async_context(connect(url, compression=None))
        path = f"/v1/counters/stream{self.query}"
        stream = await self._stack.enter_async_context(self.running.http.stream("GET", path))
        self._lines = stream.aiter_lines()
        self.answers.append((stream.status_code, _without_date(stream)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def read_until(self, version: int) -> None:
        """Read everything up to this version, over the WebSocket and over the stream.

        A change at the moment in which a viewer joins may be sent twice, whatever it is.
        """
        wanted = f'{{"v":{version},'
        while not self.frames or wanted not in self.frames[-1]:
            text = str(await asyncio.wait_for(self._socket.recv(), 5))
            self.frames += [] if '"beat"' in text or text in self.frames[-1:] else [text]
        while not self.events or wanted not in self.events[-1]:
            line = await asyncio.wait_for(anext(self._lines), 5)
            self.events += [line] if line.startswith('data: {"v"') and line not in self.events[-1:] else []

    async def poll(self) -> None:
        """Request the counters, and again with the ETag of the answer."""
        for etag in ("", '"x"'):
            answer = await self.running.http.get(f"/v1/counters{self.query}", headers={"If-None-Match": etag})
            self.answers.append((answer.status_code, answer.content, _without_date(answer)))
            again = {"If-None-Match": answer.headers.get("etag", "")}
            answer = await self.running.http.get(f"/v1/counters{self.query}", headers=again)
            self.answers.append((answer.status_code, answer.content, _without_date(answer)))


def _without_date(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in response.headers.raw if name != b"date"]


@settings(max_examples=12, **EACH)
@given(STORY)
async def test_hidden_numbers_do_not_show_on_the_wire(
    start_server: StartServer, servers: list[RunningServer], story: list[Step]
) -> None:
    """No frame, event, body, header, ETag or status depends on a number that is not shown."""
    if not servers:
        more = {"low_at": RULES.low_at, "show_at_most": RULES.show_at_most, "max_connections_per_address": 1000}
        servers.append(await start_server(wix_sites=",".join(SITES), **more))
    [running] = servers
    ticket = new_ticket()
    async with AsyncExitStack() as stack:
        url = running.web.settings.redis()
        reads = [await stack.enter_async_context(aclosing(FakeReader(url, site, RULES))) for site in SITES]
        both: list[SiteViewer] = []
        for at, step in enumerate(story):
            version = await keep_on_both(reads, ticket, step)
            both = both or [await stack.enter_async_context(SiteViewer(running, site, ticket)) for site in SITES]
            for one in both:
                if at in steps_that_show_a_change(story):
                    await one.read_until(version)
                await one.poll()
        # Anything that should not have been sent would arrive before this.
        last = await keep_on_both(reads, ticket, Step((1, 1), "the end", "SALE_STARTED", hidden=False))
        for one in both:
            await one.read_until(last)
    ours, theirs = both

    assert ours.frames == theirs.frames
    assert ours.events == theirs.events
    assert ours.answers == theirs.answers
    assert [*(story[at].shows for at in steps_that_show_a_change(story)), ("low", 1, "the end")] == [
        shown(text) for text in ours.frames
    ]


@pytest.fixture
def servers() -> list[RunningServer]:
    """The one server of all examples, once it has been started."""
    return []
