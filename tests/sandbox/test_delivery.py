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

from sandbox.delivery import MAX_CONCURRENT, RESENDS, TIMEOUT, Delivery
from sandbox.knobs import LiveKnobs
from tests.rig.server import until
from tests.rig.wix import ManualClock

LONG_TIMEOUT = 300.0
"""Seconds; no answer takes that long on any machine, so a webhook is sent again only because it failed."""


class Receiver:
    """Receives webhooks and answers these statuses in turn, the last one forever; 0 waits until `open` is set."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [200]
        self.received: list[tuple[str, str]] = []
        self.open = asyncio.Event()
        self.url = ""

    async def take(self, request: Request) -> Response:
        body = (await request.body()).decode()
        self.received.append((body, request.headers["content-type"]))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == 0:
            await self.open.wait()
        return Response(status_code=status or 200)

    @property
    def bodies(self) -> list[str]:
        return [body for body, _ in self.received]


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


class RecordedSleep:
    """A sleep that takes no time and records how long it would have been."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


def sign(envelope: dict[str, Any], at: float) -> str:
    return f"signed-{envelope['n']}-{at:g}"


@asynccontextmanager
async def delivery(
    *urls: str, sleep: Any = asyncio.sleep, within: float = LONG_TIMEOUT, **knobs: Any
) -> AsyncIterator[Delivery]:
    live_knobs = LiveKnobs()
    live_knobs.turn(**knobs)
    found = Delivery(sign, live_knobs, urls, clock=ManualClock(), sleep=sleep, rng=random.Random(1), within=within)
    try:
        yield found
    finally:
        await found.aclose()
        assert 0 == found.pending


def post(sender: Delivery, *numbers: int) -> None:
    for n in numbers:
        sender.post(f"type-{n}", {"n": n}, float(n))


async def test_webhook_is_a_post_of_plain_text() -> None:
    """The body is the JWT and nothing else, to each receiver, once."""
    async with listening(Receiver()) as one, listening(Receiver()) as other, delivery(one.url, other.url) as sender:
        post(sender, 7)

        await until(lambda: sender.pending == 0)

    assert [("signed-7-7", "text/plain")] == one.received == other.received


async def test_attempts_are_recorded() -> None:
    """Each attempt is recorded with its time, receiver, status and duration."""
    async with listening(Receiver(500, 200)) as receiver, delivery(receiver.url, resend_scale=0.0) as sender:
        post(sender, 1)
        await until(lambda: sender.pending == 0)

        [webhook] = sender.since()

    assert [500, 200] == [attempt.status for attempt in webhook.attempts]
    for attempt in webhook.attempts:
        assert (ManualClock()(), receiver.url) == (attempt.at, attempt.url)
        assert 0 <= attempt.ms < LONG_TIMEOUT * 1000


@pytest.mark.parametrize("status", [500, 503, 404, 301, 202, 204])
async def test_only_200_is_success(status: int) -> None:
    """After any other status than 200 the webhook is sent again, with the same body each time."""
    async with listening(Receiver(status, 200)) as receiver, delivery(receiver.url, resend_scale=0.0) as sender:
        post(sender, 1)

        await until(lambda: sender.pending == 0)

    assert ["signed-1-1", "signed-1-1"] == receiver.bodies


async def test_resend_schedule_is_wix_s() -> None:
    """After failures a webhook is sent again after 1 min, 10 min, 1 h, 2 h x 3, 4 h x 3, 8 h x 2, 12 h, then no more."""
    sleeps = RecordedSleep()
    async with listening(Receiver(500)) as receiver, delivery(receiver.url, sleep=sleeps) as sender:
        post(sender, 1)

        await until(lambda: sender.pending == 0)

    minutes = [1, 10, 60, 120, 120, 120, 240, 240, 240, 480, 480, 720]
    assert [60.0 * one for one in minutes] == sleeps.asked
    assert 47 * 3600 + 11 * 60 == sum(RESENDS)
    assert 13 == len(receiver.received)


async def test_resend_schedule_is_scaled() -> None:
    """The knob scales the schedule."""
    sleeps = RecordedSleep()
    async with (
        listening(Receiver(500, 500, 200)) as receiver,
        delivery(receiver.url, sleep=sleeps, resend_scale=0.01) as sender,
    ):
        post(sender, 1)

        await until(lambda: sender.pending == 0)

    assert [0.6, 6.0] == sleeps.asked


async def test_slow_receiver_is_a_failure() -> None:
    """No answer within 1.25 s is a failure with status 0, and the webhook is sent again."""
    async with (
        listening(Receiver(0, 200)) as receiver,
        delivery(receiver.url, within=TIMEOUT, resend_scale=0.0) as sender,
    ):
        post(sender, 1)
        await until(lambda: sender.pending == 0)

        [webhook] = sender.since()

    # On a slow machine the answer may be late once more.
    assert 0 == webhook.attempts[0].status
    assert 1250 <= webhook.attempts[0].ms
    assert [200] == [attempt.status for attempt in webhook.attempts if attempt.status]


async def test_receiver_that_does_not_listen_is_a_failure() -> None:
    """A receiver that does not listen gets the same attempts as one that fails."""
    sleeps = RecordedSleep()
    async with delivery("http://127.0.0.1:9/webhooks/wix", sleep=sleeps) as sender:
        post(sender, 1)

        await until(lambda: sender.pending == 0)

    assert 12 == len(sleeps.asked)


async def test_failed_webhook_does_not_delay_others() -> None:
    """While one webhook waits for its next attempt, later ones are sent."""
    async with listening(Receiver(500, 200)) as receiver, delivery(receiver.url) as sender:
        post(sender, 1)
        await until(lambda: receiver.received)

        post(sender, 2, 3)
        await until(lambda: len(receiver.received) == 3)

        await until(lambda: sender.pending == 1)
    assert {"signed-2-2", "signed-3-3"} == set(receiver.bodies[1:])


async def test_slow_receiver_does_not_delay_others() -> None:
    """However many webhooks wait for one receiver, another gets its own, and concurrent requests are limited."""
    async with (
        listening(Receiver(0)) as slow,
        listening(Receiver()) as quick,
        delivery(slow.url, quick.url) as sender,
    ):
        post(sender, *range(2 * MAX_CONCURRENT))

        await until(lambda: len(quick.received) == 2 * MAX_CONCURRENT and len(slow.received) == MAX_CONCURRENT)

        slow.statuses = [200]
        slow.open.set()
        await until(lambda: sender.pending == 0)
    assert {f"signed-{n}-{n}" for n in range(2 * MAX_CONCURRENT)} == set(slow.bodies)


@pytest.mark.parametrize(("loss", "duplicates", "times"), [(0.0, 1.0, 2), (1.0, 0.0, 0), (1.0, 1.0, 0)])
async def test_lost_and_duplicated_webhooks(loss: float, duplicates: float, times: int) -> None:
    """A lost webhook is recorded but never sent; a duplicate is sent twice although it was answered 200."""
    async with listening(Receiver()) as receiver, delivery(receiver.url, loss=loss, duplicates=duplicates) as sender:
        post(sender, 1)

        await until(lambda: sender.pending == 0)

        assert [1] == [webhook.n for webhook in sender.since()]
    assert ["signed-1-1"] * times == receiver.bodies


async def test_webhooks_are_reordered_by_random_waits() -> None:
    """With the knob each webhook first waits for a random part of so many seconds."""
    sleeps = RecordedSleep()
    async with listening(Receiver()) as receiver, delivery(receiver.url, sleep=sleeps, reorder=5.0) as sender:
        post(sender, 1, 2, 3)

        await until(lambda: sender.pending == 0)

    assert 3 == len(set(sleeps.asked))
    assert all(0 <= wait <= 5 for wait in sleeps.asked)


async def test_paused_delivery_only_records() -> None:
    """While paused, webhooks are kept, unsigned until they are read, and sent only on request."""
    signed: list[int] = []

    def count(envelope: dict[str, Any], at: float) -> str:
        signed.append(envelope["n"])
        return sign(envelope, at)

    async with listening(Receiver()) as receiver:
        sender = Delivery(count, LiveKnobs(), [receiver.url])
        sender.paused = True
        post(sender, 1, 2)
        before = list(signed)

        kept = sender.since(1)
        bodies = [webhook.jwt for webhook in kept] + [webhook.jwt for webhook in kept]
        sender.send(kept[0])
        await until(lambda: sender.pending == 0)
        await sender.aclose()

    assert ([], [2]) == (before, signed)
    assert ["signed-2-2", "signed-2-2"] == bodies
    assert ["signed-2-2"] == receiver.bodies


async def test_number_of_webhooks_kept_is_limited() -> None:
    """Only the last webhooks are kept, and numbers go on."""
    sender = Delivery(sign, LiveKnobs(), keep=3)

    post(sender, *range(1, 6))

    assert [3, 4, 5] == [webhook.n for webhook in sender.since()]
    assert [4] == [webhook.n for webhook in sender.since(3, 1)]
    assert 5 == sender.last


async def test_internal_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An error that is not the network's is logged with its traceback."""

    def broken(envelope: dict[str, Any], at: float) -> str:
        raise ZeroDivisionError

    sender = Delivery(broken, LiveKnobs(), ["http://127.0.0.1:9/"])
    post(sender, 1)

    await until(lambda: sender.pending == 0)

    assert "ZeroDivisionError" in caplog.text
    await sender.aclose()


async def test_closing_leaves_no_task() -> None:
    """After closing nothing is being sent, however long it had to wait."""
    tasks: Callable[[], int] = lambda: len(asyncio.all_tasks())  # noqa: E731
    before = tasks()
    sender = Delivery(sign, LiveKnobs(), ["http://127.0.0.1:9/"])
    post(sender, 1, 2)
    await until(lambda: all(webhook.attempts for webhook in sender.since()))

    await sender.aclose()

    assert (0, before) == (sender.pending, tasks())


async def test_closing_leaves_no_connection() -> None:
    """Closing while a request closes the connections that a receiver has ended leaves none of them open."""
    receiver = Receiver(0)
    sender = Delivery(sign, LiveKnobs(), within=LONG_TIMEOUT)
    async with listening(receiver):
        before = descriptors()
        sender.urls = (receiver.url,)
        post(sender, *range(20))
        await until(lambda: len(receiver.received) == 20)
        receiver.open.set()
        await until(lambda: sender.pending == 0)
    post(sender, 20)
    for _ in range(5):
        await asyncio.sleep(0)

    await sender.aclose()

    await until(lambda: descriptors() <= before, 5)


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
