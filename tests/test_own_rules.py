"""Law 13 from end to end: settings change while everything runs, and a stranger publishes and stores whatever it likes.

Three web processes with different rules share a Redis. The site's rules, which are those of the worker that was started last,
change again and again. Every byte that a viewer gets by JSON, by server-sent events and by WebSocket is kept.
"""

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from server.counter import Counter, Rules, State
from server.model import Price, TicketId
from server.wire import counter_body, with_v
from tests.rig.background import background
from tests.rig.counter_text import counter_text
from tests.rig.default_keys import channel, key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.server import SITE, RunningServer, StartServer, until

RULES = (Rules(3, 1_000), Rules(1_000, 3_000_000), Rules(2_000_000, None))
"""Each web process has one of these, and so has the worker that was started last."""
SMALL = 2
"""A number that all of them show, as the same counter."""
NUMBERS = st.integers(0, 999) | st.integers(1_100_000, 2_900_000) | st.integers(11_000_000, 99_000_000)
"""Below 1,000, and two kinds of large numbers that are found in any text: the first rules hide both, the second the last."""
TICKETS = itertools.count(1)
"""Each example has a ticket of its own."""
CLOCKS = re.compile(rb'"(?:v|beat)":[0-9]+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{24}|(?<=date: ).*')
"""What contains digits of its own: versions and times, ids, ETags."""


FORMS: dict[str, Callable[[str, int], str]] = {
    "a counter": lambda text, _: text,
    "scheduled": lambda text, _: text.replace('"state":"available"', '"state":"scheduled"'),
    "another member": lambda text, number: f'{text[:-1]},"left":{number}}}',
    "another member inside": lambda text, number: text.replace('"zone":', f'"left":{number},"zone":'),
    "twice": lambda text, number: text.replace('"unsold":', f'"unsold":{number},"unsold":'),
    "a text": lambda text, number: re.sub('"unsold":[^,]*', f'"unsold":"{number}"', text),
    "a fraction": lambda text, number: re.sub('"unsold":[^,]*', f'"unsold":{number}.0', text),
    "in another place": lambda text, number: text.replace('"shared":false', f'"shared":{number}'),
    "blanks": lambda text, _: json.dumps(json.loads(text)),
    "no counter": lambda _, number: f"{number} left",
    "in a list": lambda text, number: f"[{text},{number}]",
    "more after it": lambda text, number: f"{text}{number}",
}
"""What a stranger makes of the text of a counter."""


@dataclass(frozen=True)
class Step:
    """What happens: with which rules and number, and of a stranger's text its form, its state and how new it is."""

    what: str
    rules: Rules
    number: int
    form: str = "a counter"
    state: State | None = None
    newer: int | None = 0

    def text(self, ticket: str) -> str:
        """What a stranger writes: a counter by these rules, or with any state, in this form."""
        v = 1 if self.newer is None else time.time_ns() // 1000 + self.newer
        if self.state is None:
            text = counter_text(v, self.number, ticket, self.rules)
        else:
            prices = (Price("1.00", "USD"),)
            text = with_v(
                v, counter_body(Counter(TicketId(ticket), None, self.state, self.number, prices, name="Gala"))
            )
        return FORMS[self.form](text, self.number)


STEPS = st.lists(
    st.builds(
        Step,
        what=st.sampled_from(["settings", "read", "publish", "publish", "store", "forge", "wait"]),
        rules=st.sampled_from(RULES),
        number=NUMBERS,
        form=st.just("a counter") | st.sampled_from(list(FORMS)),
        state=st.none() | st.sampled_from(State),
        newer=st.sampled_from([0, 0, 10**12, None]),
    ),
    min_size=1,
    max_size=15,
)
HIDDEN = 11_223_344
EVERY_FORM = [Step(what, RULES[0], HIDDEN, form) for what in ("publish", "store", "forge") for form in FORMS]
EVERY_STATE = [Step("publish", RULES[2], HIDDEN, state=state) for state in State]


class Wires:
    """Every byte that one web process sends to its viewers of a ticket."""

    def __init__(self, running: RunningServer, rules: Rules, ticket: str) -> None:
        self.running = running
        self.rules = rules
        self.path = f"/v1/counters?ticket={ticket}&site={SITE}"
        self.sent: dict[str, list[bytes]] = {"json": [], "sse": [], "ws": []}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """A viewer of each kind, as long as the block."""
        async with (
            connect(f"{self.running.ws}{self.path}", compression=None) as socket,
            self.running.http.stream("GET", self.path, headers={"Accept": "text/event-stream"}) as events,
            background(self._frames(socket), self._events(events), self._polls()),
        ):
            yield

    async def _frames(self, socket: Any) -> None:
        async for text in socket:
            self.sent["ws"].append(text.encode())

    async def _events(self, events: httpx.Response) -> None:
        async for part in events.aiter_bytes():
            self.sent["sse"].append(part)

    async def _polls(self) -> None:
        while True:
            await self.poll()
            await asyncio.sleep(0.02)

    async def poll(self) -> None:
        """Ask for JSON, and keep the answer with its head."""
        answer = await self.running.http.get(self.path)
        head = b"\n".join(name + b": " + value for name, value in answer.headers.raw)
        self.sent["json"].append(head + b"\n\n" + answer.content)

    def hidden(self, numbers: Sequence[int]) -> list[tuple[str, int]]:
        """Which of these numbers its rules hide, and are yet on a wire."""
        most = self.rules.show_at_most
        found = []
        for wire, parts in self.sent.items():
            bytes_ = CLOCKS.sub(b"", b"\n".join(parts))
            found += [(wire, one) for one in numbers if most is not None and one > most and b"%d" % one in bytes_]
        return found

    def wrong(self) -> list[dict[str, Any]]:
        """The counters on any wire that its rules do not make."""
        texts = re.findall(rb'\{"v":.*?"buy":(?:null|"[^"]*")\}', b"\n".join(itertools.chain(*self.sent.values())))
        counters = [json.loads(text) for text in set(texts)]
        return [one for one in counters if not self._may_say(one["state"], one["unsold"])]

    def _may_say(self, state: str, unsold: int | None) -> bool:
        most = 10**12 if self.rules.show_at_most is None else self.rules.show_at_most
        low = min(self.rules.low_at, most)
        match state:
            case "available":
                return unsold is None or low < unsold <= most
            case "low":
                return unsold is not None and 1 <= unsold <= low
            case "sold_out":
                return unsold == 0
            case "scheduled":
                return unsold is None or 0 <= unsold <= most
        return unsold is None

    def shows(self, number: int) -> bool:
        """Whether each kind of viewer got this number last."""
        return all(b'"unsold":%d,' % number in _last_counter(parts) for parts in self.sent.values())


def _last_counter(parts: Sequence[bytes]) -> bytes:
    """The last part of a wire that is no heartbeat: nothing follows one where the number stays as it is."""
    return next((one for one in reversed(parts) if b'"unsold":' in one), b"")


class Company:
    """The worker that was started last, and the stranger, on one ticket."""

    def __init__(self, redis: Redis, readers: dict[Rules, FakeReader], ticket: str) -> None:
        self.redis = redis
        self.readers = readers
        self.ticket = ticket
        self.rules = RULES[0]

    async def restart_worker(self, rules: Rules) -> None:
        """The rules of the site become these."""
        self.rules = rules
        await self.readers[rules].schedule.add_site(self.readers[rules].site, rules, everything=False)

    async def read(self, unsold: int) -> None:
        """The worker reads this number from Wix."""
        await self.readers[self.rules].read(definition(self.ticket, unsold), version=time.time_ns() // 1000)

    async def do(self, step: Step) -> None:
        """Make one step."""
        text = step.text(self.ticket)
        snapshot = key(SITE, "ticket", self.ticket)
        match step.what:
            case "settings":
                await self.restart_worker(step.rules)
            case "read":
                await self.read(step.number)
            case "publish":
                await self.redis.publish(channel(SITE, self.ticket), text)
            case "store":
                await self.redis.hset(snapshot, "counter", text)
            case "forge":
                found = re.match(r'\{"v":(\d+)', text)
                v = found[1] if found else "1"
                # As one of ours would look that was read just now.
                now = time.time_ns() // 1000
                await self.redis.hset(
                    snapshot,
                    mapping={"v": v, "counter": text, "rules": step.rules.hash, "read_at": now, "pace": "live"},
                )
                await self.redis.publish(channel(SITE, self.ticket), text)
            case "wait":
                await asyncio.sleep(0.12)


@pytest.fixture
def servers() -> list[RunningServer]:
    """The web processes of all examples, once they have been started."""
    return []


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    # Stories are short already: shrinking would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@example(EVERY_STATE)
@example(EVERY_FORM)
@given(STEPS)
async def test_nobody_shows_what_own_rules_hide(
    start_server: StartServer, redis_url: str, servers: list[RunningServer], steps: list[Step]
) -> None:
    """Law 13: No byte of a hidden number is on any wire, whoever published or stored it and whatever settings change."""
    for rules in RULES[len(servers) :]:
        given_rules = {"low_at": rules.low_at, "show_at_most": rules.show_at_most}
        servers.append(await start_server(max_connections_per_address=1000, **given_rules))
        servers[-1].web.feed._round_every = 0.1
    ticket = f"11111111-aaaa-4aaa-8aaa-{next(TICKETS):012}"
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(redis_url, decode_responses=True))
        readers = {one: await stack.enter_async_context(aclosing(FakeReader(redis_url, SITE, one))) for one in RULES}
        company = Company(redis, readers, ticket)
        await company.restart_worker(RULES[0])
        await company.read(SMALL)
        wires = [Wires(running, rules, ticket) for running, rules in zip(servers, RULES, strict=True)]
        for one in wires:
            await stack.enter_async_context(one.open())
        for step in steps:
            await company.do(step)

        # Whatever happened, each of them shows the truth once a worker with its rules has read it.
        for one in wires:
            await redis.hdel(key(SITE, "ticket", ticket), "version")
            await company.restart_worker(one.rules)
            await company.read(SMALL)
            await until(partial(one.shows, SMALL))

    numbers = [step.number for step in steps]
    assert [[], [], []] == [one.hidden([number for number in numbers if number > 999]) for one in wires]
    assert [[], [], []] == [one.wrong() for one in wires]
