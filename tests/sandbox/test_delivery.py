import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.delivery import AT_ONCE, RESENDS, WITHIN, Delivery
from sandbox.knobs import Board
from tests.rig.server import until
from tests.rig.wix import Hand

PATIENT = 300.0
"""Seconds that nobody takes to answer, on any machine: what comes again has failed, it was not late."""


class Receiver:
    """Whoever gets webhooks: answers as told, in turn, the last answer for ever; 0 is no answer until `open` is set."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [200]
        self.got: list[tuple[str, str]] = []
        self.open = asyncio.Event()
        self.url = ""

    async def take(self, request: Request) -> Response:
        body = (await request.body()).decode()
        self.got.append((body, request.headers["content-type"]))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == 0:
            await self.open.wait()
        return Response(status_code=status or 200)

    @property
    def bodies(self) -> list[str]:
        return [body for body, _ in self.got]


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[Receiver]:
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[Route("/webhooks/wix", receiver.take, methods=["POST"])]),
            log_config=None,
            timeout_graceful_shutdown=1,
        )
    )
    sock = socket.create_server(("127.0.0.1", 0))
    receiver.url = f"http://127.0.0.1:{sock.getsockname()[1]}/webhooks/wix"
    serving = asyncio.create_task(server.serve([sock]))
    await until(lambda: server.started)
    try:
        yield receiver
    finally:
        receiver.open.set()
        server.should_exit = True
        await serving
        sock.close()


class Sleeps:
    """A sleep that takes no time and remembers how long it would have been."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


def sign(envelope: dict[str, Any], at: float) -> str:
    return f"signed-{envelope['n']}-{at:g}"


@asynccontextmanager
async def delivery(
    *urls: str, sleep: Any = asyncio.sleep, within: float = PATIENT, **knobs: Any
) -> AsyncIterator[Delivery]:
    board = Board()
    board.turn(**knobs)
    found = Delivery(sign, board, urls, clock=Hand(), sleep=sleep, dice=random.Random(1), within=within)
    try:
        yield found
    finally:
        await found.aclose()
        assert 0 == found.pending


def post(way: Delivery, *numbers: int) -> None:
    for n in numbers:
        way.post(f"type-{n}", {"n": n}, float(n))


async def test_a_webhook_is_a_post_of_plain_text() -> None:
    """The body is the JWT and nothing else, to each receiver, once."""
    async with listening(Receiver()) as one, listening(Receiver()) as other, delivery(one.url, other.url) as way:
        post(way, 7)

        await until(lambda: way.pending == 0)

    assert [("signed-7-7", "text/plain")] == one.got == other.got


async def test_attempts_are_remembered() -> None:
    """Each try is noted with the moment, the receiver, the status and how long it took."""
    async with listening(Receiver(500, 200)) as receiver, delivery(receiver.url, resend_scale=0.0) as way:
        post(way, 1)
        await until(lambda: way.pending == 0)

        [webhook] = way.since()

    assert [500, 200] == [attempt.status for attempt in webhook.attempts]
    for attempt in webhook.attempts:
        assert (Hand()(), receiver.url) == (attempt.at, attempt.url)
        assert 0 <= attempt.ms < PATIENT * 1000


@pytest.mark.parametrize("status", [500, 503, 404, 301, 202, 204])
async def test_only_200_is_success(status: int) -> None:
    """Any other status than 200 brings the webhook again, the same body each time."""
    async with listening(Receiver(status, 200)) as receiver, delivery(receiver.url, resend_scale=0.0) as way:
        post(way, 1)

        await until(lambda: way.pending == 0)

    assert ["signed-1-1", "signed-1-1"] == receiver.bodies


async def test_the_resend_schedule_is_wix_s() -> None:
    """After a failure a webhook comes again after 1 min, 10 min, 1 h, 2 h x 3, 4 h x 3, 8 h x 2, 12 h, then no more."""
    sleeps = Sleeps()
    async with listening(Receiver(500)) as receiver, delivery(receiver.url, sleep=sleeps) as way:
        post(way, 1)

        await until(lambda: way.pending == 0)

    minutes = [1, 10, 60, 120, 120, 120, 240, 240, 240, 480, 480, 720]
    assert [60.0 * one for one in minutes] == sleeps.asked
    assert 47 * 3600 + 11 * 60 == sum(RESENDS)
    assert 13 == len(receiver.got)


async def test_the_schedule_is_scaled() -> None:
    """The knob makes the schedule short, in proportion."""
    sleeps = Sleeps()
    async with (
        listening(Receiver(500, 500, 200)) as receiver,
        delivery(receiver.url, sleep=sleeps, resend_scale=0.01) as way,
    ):
        post(way, 1)

        await until(lambda: way.pending == 0)

    assert [0.6, 6.0] == sleeps.asked


async def test_who_is_too_slow_has_failed() -> None:
    """No answer within 1.25 s is a failure with status 0, and the webhook comes again."""
    async with listening(Receiver(0, 200)) as receiver, delivery(receiver.url, within=WITHIN, resend_scale=0.0) as way:
        post(way, 1)
        await until(lambda: way.pending == 0)

        [webhook] = way.since()

    # On a slow machine the answer may be late once more.
    assert 0 == webhook.attempts[0].status
    assert 1250 <= webhook.attempts[0].ms
    assert [200] == [attempt.status for attempt in webhook.attempts if attempt.status]


async def test_nobody_there_is_a_failure() -> None:
    """A receiver that does not listen is tried again like one that fails."""
    sleeps = Sleeps()
    async with delivery("http://127.0.0.1:9/webhooks/wix", sleep=sleeps) as way:
        post(way, 1)

        await until(lambda: way.pending == 0)

    assert 12 == len(sleeps.asked)


async def test_a_failure_holds_back_nothing() -> None:
    """While one webhook waits for its next try, later ones arrive."""
    async with listening(Receiver(500, 200)) as receiver, delivery(receiver.url) as way:
        post(way, 1)
        await until(lambda: receiver.got)

        post(way, 2, 3)
        await until(lambda: len(receiver.got) == 3)

        await until(lambda: way.pending == 1)
    assert {"signed-2-2", "signed-3-3"} == set(receiver.bodies[1:])


async def test_a_slow_receiver_delays_only_itself() -> None:
    """However many webhooks wait for one receiver, another gets its own, and no more than so many are open at once."""
    async with (
        listening(Receiver(0)) as slow,
        listening(Receiver()) as quick,
        delivery(slow.url, quick.url) as way,
    ):
        post(way, *range(2 * AT_ONCE))

        await until(lambda: len(quick.got) == 2 * AT_ONCE and len(slow.got) == AT_ONCE)

        slow.statuses = [200]
        slow.open.set()
        await until(lambda: way.pending == 0)
    assert {f"signed-{n}-{n}" for n in range(2 * AT_ONCE)} == set(slow.bodies)


@pytest.mark.parametrize(("loss", "duplicates", "times"), [(0.0, 1.0, 2), (1.0, 0.0, 0), (1.0, 1.0, 0)])
async def test_what_is_lost_and_what_comes_twice(loss: float, duplicates: float, times: int) -> None:
    """A lost webhook is never sent and still remembered; a duplicate is sent twice though it was answered 200."""
    async with listening(Receiver()) as receiver, delivery(receiver.url, loss=loss, duplicates=duplicates) as way:
        post(way, 1)

        await until(lambda: way.pending == 0)

        assert [1] == [webhook.n for webhook in way.since()]
    assert ["signed-1-1"] * times == receiver.bodies


async def test_disorder_is_a_random_wait() -> None:
    """With the knob each webhook first waits for some random part of so many seconds."""
    sleeps = Sleeps()
    async with listening(Receiver()) as receiver, delivery(receiver.url, sleep=sleeps, reorder=5.0) as way:
        post(way, 1, 2, 3)

        await until(lambda: way.pending == 0)

    assert 3 == len(set(sleeps.asked))
    assert all(0 <= wait <= 5 for wait in sleeps.asked)


async def test_a_paused_delivery_only_remembers() -> None:
    """What comes while paused is kept, unsigned until it is read, and sent only by hand."""
    signed: list[int] = []

    def count(envelope: dict[str, Any], at: float) -> str:
        signed.append(envelope["n"])
        return sign(envelope, at)

    async with listening(Receiver()) as receiver:
        way = Delivery(count, Board(), [receiver.url])
        way.paused = True
        post(way, 1, 2)
        before = list(signed)

        kept = way.since(1)
        bodies = [webhook.jwt for webhook in kept] + [webhook.jwt for webhook in kept]
        way.send(kept[0])
        await until(lambda: way.pending == 0)
        await way.aclose()

    assert ([], [2]) == (before, signed)
    assert ["signed-2-2", "signed-2-2"] == bodies
    assert ["signed-2-2"] == receiver.bodies


async def test_memory_is_bounded() -> None:
    """Only the last webhooks are kept, under numbers that go on."""
    way = Delivery(sign, Board(), keep=3)

    post(way, *range(1, 6))

    assert [3, 4, 5] == [webhook.n for webhook in way.since()]
    assert [4] == [webhook.n for webhook in way.since(3, 1)]
    assert 5 == way.last


async def test_a_bug_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    """An error that is none of the network's is logged with its trace."""

    def broken(envelope: dict[str, Any], at: float) -> str:
        raise ZeroDivisionError

    way = Delivery(broken, Board(), ["http://127.0.0.1:9/"])
    post(way, 1)

    await until(lambda: way.pending == 0)

    assert "ZeroDivisionError" in caplog.text
    await way.aclose()


async def test_closing_leaves_nothing() -> None:
    """After closing nothing is on its way, however long it was to wait."""
    tasks: Callable[[], int] = lambda: len(asyncio.all_tasks())  # noqa: E731
    before = tasks()
    way = Delivery(sign, Board(), ["http://127.0.0.1:9/"])
    post(way, 1, 2)
    await until(lambda: all(webhook.attempts for webhook in way.since()))

    await way.aclose()

    assert (0, before) == (way.pending, tasks())


async def test_closing_leaves_no_connection() -> None:
    """Closing while a request closes the connections that a receiver has ended leaves none of them open."""
    receiver = Receiver(0)
    way = Delivery(sign, Board(), within=PATIENT)
    async with listening(receiver):
        before = descriptors()
        way.urls = (receiver.url,)
        post(way, *range(20))
        await until(lambda: len(receiver.got) == 20)
        receiver.open.set()
        await until(lambda: way.pending == 0)
    post(way, 20)
    for _ in range(5):
        await asyncio.sleep(0)

    await way.aclose()

    await until(lambda: descriptors() <= before, 5)


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
