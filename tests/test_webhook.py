import asyncio
import contextlib
import gzip
import json
import re
import time
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from structlog.testing import capture_logs

from server.model import SiteId
from server.redis.client import RedisClient, Use
from server.store.refused_webhooks import Refusal, RefusedWebhooks
from server.webhook import LARGEST
from tests.rig.default_keys import key
from tests.rig.fake_reader import EVENT
from tests.rig.process import Run
from tests.rig.redis import RedisServer
from tests.rig.server import OTHER, SITE, TICKET, RunningServer, StartServer, until
from tests.rig.tcp_proxy import tcp_proxy

SAMPLES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "samples" / "webhooks.json").read_text())
UNKNOWN_SITE = "5f0e4d3c-9999-4111-8111-00000000b009"
ORDER = "wix.events.ticketing.events.OrderConfirmed"
PERSONAL = ("ada", "Example", "ada@example.com", "6a5b4c3d-7777", "2QXK-91TB")

Sign = Callable[..., bytes]


@pytest.fixture(scope="session")
def private_key() -> rsa.RSAPrivateKey:
    """The app's key, as Wix has it."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def public_key(private_key: rsa.RSAPrivateKey) -> str:
    """The app's public key, as its dashboard shows it."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return private_key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


@pytest.fixture(scope="session")
def sign(private_key: rsa.RSAPrivateKey) -> Sign:
    """Sign a sample, or an event type and a payload, as Wix does."""

    def signed(name: str, data: Any = None, *, site: str = SITE) -> bytes:
        sample = SAMPLES.get(name, {"eventType": name, "data": data})
        payload = sample["data"] if data is None else data
        envelope = {
            "data": payload if isinstance(payload, str) else json.dumps(payload),
            "instanceId": site,
            "eventType": sample["eventType"],
        }
        now = int(time.time())
        claims = {"data": json.dumps(envelope), "iat": now, "exp": now + 3600}
        return jwt.encode(claims, private_key, "RS256", headers={"kid": "fict1ona"}).encode()

    return signed


@pytest.fixture
async def running(start_server: StartServer, public_key: str) -> RunningServer:
    return await start_server(wix_public_key=public_key)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client that looks into Redis."""
    client = Redis.from_url(redis_url, decode_responses=True)
    yield client
    await client.aclose()


def webhook_count(type_: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("ticketcounter_webhooks_total", {"type": type_, "outcome": outcome}) or 0.0


async def post(running: RunningServer, body: bytes, **headers: str) -> httpx.Response:
    response = await running.http.post("/webhooks/wix", content=body, headers=headers)
    assert b"" == response.content or 405 == response.status_code
    return response


async def due_tickets(redis: Redis, site: str = SITE) -> set[str]:
    return {str(ticket) for ticket in await redis.zrange(f"tc:{{{site}}}:due", 0, -1)}


async def send_raw(running: RunningServer, *parts: bytes) -> bytes:
    """Send these bytes and read until the server closes."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for part in parts:
        writer.write(part)
    answer = b""
    with contextlib.suppress(ConnectionError):
        # A client that is cut off while it sends may see that before the answer.
        while some := await asyncio.wait_for(reader.read(65536), 10):
            answer += some
    writer.transport.abort()
    return answer


async def test_order_marks_its_tickets(running: RunningServer, redis: Redis, sign: Sign) -> None:
    """An order makes its tickets due now, and is answered 200 with an empty body."""
    before = webhook_count(ORDER, "marked")

    response = await post(running, sign("order_confirmed"))

    assert 200 == response.status_code
    assert {TICKET, OTHER} <= await due_tickets(redis)
    assert {TICKET, OTHER} == set(await redis.zrange(f"tc:{{{SITE}}}:hinted", 0, -1))
    assert "1" == await redis.hget(f"tc:{{{SITE}}}:heard", f"{ORDER}:count")
    assert before + 1 == webhook_count(ORDER, "marked")


async def test_webhook_is_one_round_trip_to_redis(running: RunningServer, redis: Redis, sign: Sign) -> None:
    """Law 1: The webhook's work is one Redis round trip."""
    await post(running, sign("order_confirmed"))
    asked: list[str] = []
    async with redis.monitor() as monitor:
        await post(running, sign("order_confirmed"))
        await redis.echo("done")
        async for one in monitor.listen():
            word = one["command"].split()[0]
            if one["command"] == "ECHO done":
                break
            # The hub reads the sites and publishes its probe, perhaps on a new connection.
            if one["client_type"] != "lua" and word not in {"PUBLISH", "SMEMBERS", "HELLO", "CLIENT"}:
                asked.append(word)

    assert ["EVALSHA"] == asked


async def test_concurrent_webhooks_have_their_own_answers(running: RunningServer, redis: Redis, sign: Sign) -> None:
    """Each of many concurrent webhooks gets its own answer: marked, of an unknown site, forged, malformed."""
    good, other_site = sign("order_confirmed"), sign("order_confirmed", site=UNKNOWN_SITE)
    bodies = [good, other_site, good[:-8], sign(ORDER, "[]")] * 10
    before = [webhook_count(ORDER, "marked"), webhook_count(ORDER, "unknown_site")]

    answers = await asyncio.gather(*(post(running, body) for body in bodies))

    assert [200, 200, 401, 200] * 10 == [one.status_code for one in answers]
    assert [one + 10 for one in before] == [webhook_count(ORDER, "marked"), webhook_count(ORDER, "unknown_site")]
    assert "10" == await redis.hget(f"tc:{{{SITE}}}:heard", f"{ORDER}:count")


async def test_concurrent_webhooks_while_redis_is_frozen(
    start_server: StartServer, redis_server: Callable[..., RedisServer], public_key: str, sign: Sign
) -> None:
    """All webhooks that arrive while Redis is frozen are answered 503 before Wix gives up, and none is marked."""
    server = redis_server()
    running = await start_server(redis_url=server.url, wix_public_key=public_key)
    good = sign("order_confirmed")
    await post(running, good)
    before = webhook_count(ORDER, "marked"), webhook_count(ORDER, "unavailable")
    server.freeze()
    began = time.monotonic()

    async def later(seconds: float) -> tuple[int, float]:
        await asyncio.sleep(seconds)
        asked = time.monotonic()
        return (await post(running, good)).status_code, time.monotonic() - asked

    found = await asyncio.gather(*(later(n / 40) for n in range(40)))
    server.thaw()

    assert 1 <= time.monotonic() - began
    assert {503} == {status for status, _ in found}
    assert 1.25 > max(seconds for _, seconds in found)
    assert (before[0], before[1] + 40) == (webhook_count(ORDER, "marked"), webhook_count(ORDER, "unavailable"))
    assert await until(lambda: post_until(running, good))


async def test_event_marks_its_tickets(running: RunningServer, redis: Redis, sign: Sign) -> None:
    """A webhook that names only an event makes the tickets of that event due."""
    await redis.sadd(f"tc:{{{SITE}}}:event:{EVENT}", TICKET)

    response = await post(running, sign("event_canceled"))

    assert 200 == response.status_code
    assert TICKET in await due_tickets(redis)


async def test_untracked_order_is_ignored(start_server: StartServer, redis: Redis, public_key: str, sign: Sign) -> None:
    """If only watched tickets are tracked, an order for an unwatched one is 200 and makes nothing due."""
    running = await start_server(wix_public_key=public_key, track="watched")
    before = webhook_count(ORDER, "untracked")

    response = await post(running, sign("order_confirmed"))

    assert 200 == response.status_code
    assert set() == await due_tickets(redis)
    assert before + 1 == webhook_count(ORDER, "untracked")


async def test_forged_webhook_is_401(running: RunningServer, redis: Redis, sign: Sign) -> None:
    """A webhook that Wix did not sign is 401 without a reason, and nothing is written."""
    good = sign("order_confirmed")
    head, claims, signature = good.split(b".")
    foreign = rsa.generate_private_key(65537, 2048)
    bodies = {
        "empty": b"",
        "nonsense": b"nonsense",
        "dots": b"a.b.c",
        "binary": b"\xff\xfe",
        "json": b"{}",
        "gzip": gzip.compress(good),
        "tampered": b".".join((head, claims[:-8] + b"AAAAAAAA", signature)),
        "another key": jwt.encode({"data": "{}"}, foreign, "RS256").encode(),
        "no algorithm": jwt.encode({"data": "{}"}, "", "none").encode(),
        "another algorithm": b".".join((jwt.utils.base64url_encode(b'{"alg":"HS256"}'), claims, signature)),
    }
    keys = set(await redis.keys())

    for what, body in bodies.items():
        before = webhook_count("none", "forged")
        headers = {"Content-Encoding": "gzip"} if what == "gzip" else {}

        response = await post(running, body, **headers)

        assert (what, 401) == (what, response.status_code)
        assert before + 1 == webhook_count("none", "forged")
    assert keys == set(await redis.keys())


async def test_forged_webhooks_are_logged_once_a_minute(
    running: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forged webhooks are logged once a minute, however many arrive; the metric counts every one."""
    before = webhook_count("none", "forged")

    for body in (b"nonsense", b"a.b.c") * 10:
        assert 401 == (await post(running, body)).status_code

    assert before + 20 == webhook_count("none", "forged")
    lines = [line for line in capsys.readouterr().out.splitlines() if "webhook_forged" in line]
    assert 2 == len(lines) == len({line.partition("reason")[2] for line in lines})


async def test_another_apps_key_is_told_with_its_cure(
    running: RunningServer,
    capsys: pytest.CaptureFixture[str],
    redis_url: str,
    private_key: rsa.RSAPrivateKey,
    sign: Sign,
) -> None:
    """Webhooks signed with another app's key, or of another time, are logged with the cure once a minute, and remembered for `doctor`."""
    before = webhook_count("none", "other_key"), webhook_count("none", "wrong_time")
    stranger = rsa.generate_private_key(65537, 2048)
    envelope = json.dumps({"eventType": ORDER, "instanceId": SITE, "data": "{}"})
    other = jwt.encode({"data": envelope}, stranger, "RS256").encode()
    expired = jwt.encode({"data": envelope, "exp": int(time.time()) - 3600}, private_key, "RS256").encode()

    async with contextlib.aclosing(RedisClient(redis_url, Use.WORK)) as client:
        for body in (other, other):
            assert 401 == (await post(running, body)).status_code
        first = await RefusedWebhooks(client).read()
        assert 401 == (await post(running, expired)).status_code
        last = await RefusedWebhooks(client).read()

    lines = [line for line in capsys.readouterr().out.splitlines() if "webhook_refused" in line]
    assert 2 == len(lines)
    assert "WIX_PUBLIC_KEY is not the key of the app that sent this" in lines[0]
    assert "this machine's clock" in lines[1]
    assert (before[0] + 2, before[1] + 1) == (webhook_count("none", "other_key"), webhook_count("none", "wrong_time"))
    assert first is not None
    assert last is not None
    assert (Refusal.OTHER_KEY, Refusal.WRONG_TIME) == (first.refusal, last.refusal)


async def test_another_key_after_a_verified_webhook(
    running: RunningServer, capsys: pytest.CaptureFixture[str], sign: Sign
) -> None:
    """Once a webhook was verified the key is right: one with another signature comes from another app, or from nobody of Wix."""
    assert 200 == (await post(running, sign("order_confirmed"))).status_code

    assert 401 == (await post(running, sign("order_confirmed")[:-20] + b"A" * 20)).status_code

    [line] = [line for line in capsys.readouterr().out.splitlines() if "webhook_refused" in line]
    assert "so WIX_PUBLIC_KEY is right" in line


async def test_refused_webhook_while_redis_is_frozen(
    start_server: StartServer, redis_server: Callable[..., RedisServer], public_key: str, sign: Sign
) -> None:
    """A webhook that is refused is answered before Wix gives up, also where Redis does not take the note for `doctor`."""
    server = redis_server()
    running = await start_server(redis_url=server.url, wix_public_key=public_key)
    await post(running, b"nonsense")
    server.freeze()
    began = time.monotonic()

    response = await post(running, sign("order_confirmed")[:-20] + b"A" * 20)
    seconds = time.monotonic() - began
    server.thaw()

    assert 401 == response.status_code
    assert 1.25 > seconds


async def test_white_space_around_the_token(running: RunningServer, sign: Sign) -> None:
    """A line break after the token does no harm."""
    assert 200 == (await post(running, b"\n" + sign("order_confirmed") + b"\r\n")).status_code


async def test_without_public_key_every_webhook_is_401(
    start_server: StartServer, sign: Sign, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without WIX_PUBLIC_KEY nothing can be verified, so every webhook is 401, and the log says once a minute what is missing."""
    running = await start_server()

    for _ in range(2):
        assert 401 == (await post(running, sign("order_confirmed"))).status_code

    [line] = [line for line in capsys.readouterr().out.splitlines() if "webhook_refused" in line]
    assert "set WIX_PUBLIC_KEY" in line


async def test_malformed_webhook_is_200(running: RunningServer, sign: Sign) -> None:
    """A webhook that Wix signed but that cannot be read is 200: Wix would only repeat it for two days."""
    for data in ("[]", '"text"', "{", "[" * 100_000, "null"):
        before = webhook_count("none", "malformed")

        response = await post(running, sign(ORDER, data))

        assert (data, 200) == (data, response.status_code)
        assert before + 1 == webhook_count("none", "malformed")


async def test_webhook_of_an_unknown_type(running: RunningServer, redis: Redis, sign: Sign) -> None:
    """A webhook of a type that is not used is 200, and its type becomes no label of the metric."""
    before = webhook_count("unknown", "ignored"), set(await redis.keys())

    response = await post(running, sign("wix.stores.v1.product_changed", {"entityId": TICKET}))

    assert 200 == response.status_code
    assert (before[0] + 1, before[1]) == (webhook_count("unknown", "ignored"), set(await redis.keys()))
    assert 0.0 == webhook_count("wix.stores.v1.product_changed", "ignored")


async def test_webhook_of_an_unknown_site(
    running: RunningServer, redis: Redis, sign: Sign, capsys: pytest.CaptureFixture[str]
) -> None:
    """Law 9: An order of a site that is not known is 200 and leaves no key; the log has its id with the cure, once."""
    before = webhook_count(ORDER, "unknown_site"), set(await redis.keys())

    response = await post(running, sign("order_confirmed", site=UNKNOWN_SITE))
    await post(running, sign("order_confirmed", site=UNKNOWN_SITE))

    assert 200 == response.status_code
    assert (before[0] + 2, before[1]) == (webhook_count(ORDER, "unknown_site"), set(await redis.keys()))
    [line] = [one for one in capsys.readouterr().out.splitlines() if "webhook_of_unknown_site" in one]
    assert UNKNOWN_SITE in line
    assert "WIX_SITES" in line


async def test_first_webhook_of_a_site_is_logged(
    running: RunningServer, sign: Sign, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first webhook of each known site is a line in the log, and no other one is."""
    for name, site in (
        ("order_confirmed", UNKNOWN_SITE),
        *[("order_confirmed", SITE)] * 2,
        ("ticket_definition_updated", SITE),
    ):
        await post(running, sign(name, site=site))
    await post(running, sign("app_installed", site=UNKNOWN_SITE))
    await post(running, sign("order_confirmed", site=UNKNOWN_SITE))

    lines = [line for line in capsys.readouterr().out.splitlines() if "first_webhook" in line]
    assert [SITE, UNKNOWN_SITE] == [site for line in lines for site in (SITE, UNKNOWN_SITE) if f"site={site}" in line]
    assert all(f"type={ORDER}" in line for line in lines)


async def test_app_installed_and_removed(running: RunningServer, redis: Redis, sign: Sign) -> None:
    """A site that installs the app becomes known, and all its tickets are read; one that removes it is forgotten."""
    installed = await post(running, sign("app_installed", site=UNKNOWN_SITE))
    known = await running.web.schedule.sites()
    assert "installed" == await redis.hget(key(UNKNOWN_SITE, "site"), "origin")
    wanted = await due_tickets(redis, UNKNOWN_SITE)
    removed = await post(running, sign("app_removed", site=UNKNOWN_SITE))

    assert (200, 200) == (installed.status_code, removed.status_code)
    assert {SITE, UNKNOWN_SITE} == known
    assert {"*"} == wanted
    assert {SiteId(SITE)} == await running.web.schedule.sites()
    assert set() == await due_tickets(redis, UNKNOWN_SITE)
    assert 200 == (await post(running, sign("order_confirmed", site=UNKNOWN_SITE))).status_code
    assert set() == await due_tickets(redis, UNKNOWN_SITE)


async def test_other_methods_are_refused(running: RunningServer) -> None:
    """Only POST is accepted."""
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        assert (method, 405) == (method, (await running.http.request(method, "/webhooks/wix")).status_code)


async def test_too_large_webhook_is_413(running: RunningServer) -> None:
    """More than a megabyte is 413, whether with its length, in chunks, or with a wrong length."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    head = b"POST /webhooks/wix HTTP/1.1\r\nHost: x\r\n"
    before = webhook_count("none", "too_large")

    at_once = await running.http.post("/webhooks/wix", content=b"x" * (LARGEST + 1))
    chunked = await running.http.post("/webhooks/wix", content=chunks())
    allowed = await running.http.post("/webhooks/wix", content=b"x" * LARGEST)
    endless = await send_raw(
        running, head + b"Transfer-Encoding: chunked\r\n\r\n", *[b"100000\r\n" + b"x" * 2**20 + b"\r\n"] * 12
    )
    running.web.webhook_endpoint.read_within = 0.2
    claimed = await send_raw(running, head + b"Content-Length: 9999999999\r\n\r\n", b"x" * (LARGEST + 1))
    too_short = await send_raw(running, head + b"Content-Length: 5\r\n\r\n", b"x" * 100)

    assert (413, 413, 401) == (at_once.status_code, chunked.status_code, allowed.status_code)
    assert "close" == at_once.headers["connection"]
    assert claimed.startswith(b"HTTP/1.1 413 ")
    assert endless.startswith(b"HTTP/1.1 413 ") or not endless
    # The bytes after the first five are no request: the server answers them, not the webhook.
    assert too_short.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 400 "))
    assert before + 4 == webhook_count("none", "too_large")


async def test_memory_for_incomplete_bodies_is_limited(running: RunningServer, sign: Sign) -> None:
    """Incomplete bodies take limited memory: over the limit another one is asked to come back, a complete one is not."""
    endpoint = running.web.webhook_endpoint
    endpoint._most_buffered = 5000
    before = webhook_count("none", "crowded")
    head = b"POST /webhooks/wix HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n"
    host, port = running.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + b"x" * 4000)
    await until(lambda: endpoint._buffered == 4000)

    begun = await send_raw(running, head + b"x" * 2000)
    whole = await post(running, sign("order_confirmed"))
    writer.transport.abort()
    await until(lambda: endpoint._buffered == 0)

    assert begun.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in begun
    assert 200 == whole.status_code
    assert before + 1 == webhook_count("none", "crowded")


async def test_endless_body_is_cut_off(running: RunningServer) -> None:
    """A client that sends without end is cut off after ten times the limit, long before the time-out."""
    running.web.webhook_endpoint.read_within = 60
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    hearing = asyncio.ensure_future(reader.read(1))
    sent = 0

    writer.write(b"POST /webhooks/wix HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while not hearing.done() and sent < 100 * LARGEST:
            writer.write(b"%x\r\n%b\r\n" % (LARGEST, b"x" * LARGEST))
            sent += LARGEST
            await writer.drain()
    writer.transport.abort()
    await asyncio.gather(hearing, return_exceptions=True)

    assert sent < 30 * LARGEST


async def test_slow_body_is_408(running: RunningServer) -> None:
    """A body that does not arrive is answered 408, and the connection is closed."""
    running.web.webhook_endpoint.read_within = 0.1
    before = webhook_count("none", "slow")

    answer = await send_raw(running, b"POST /webhooks/wix HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert before + 1 == webhook_count("none", "slow")


async def test_body_that_arrives_byte_by_byte_is_408(running: RunningServer) -> None:
    """A body that arrives byte by byte has no more time than one that does not arrive at all."""
    running.web.webhook_endpoint.read_within = 0.3
    before = webhook_count("none", "slow")
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    began = time.monotonic()

    writer.write(b"POST /webhooks/wix HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    hearing = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
    while not (await asyncio.wait({hearing}, timeout=0.02))[0]:
        assert time.monotonic() < began + 5
        writer.write(b"1\r\nx\r\n")
    writer.transport.abort()

    assert hearing.result().startswith(b"HTTP/1.1 408 ")
    assert before + 1 == webhook_count("none", "slow")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip"])
async def test_compressed_webhook_is_not_unpacked(running: RunningServer, sign: Sign, coding: str) -> None:
    """A body is never decompressed, whatever its Content-Encoding: only its bytes as received may be signed by Wix."""
    good = sign("order_confirmed")

    packed = await post(running, zlib.compress(good), **{"Content-Encoding": coding})
    plain = await post(running, good, **{"Content-Encoding": coding})

    assert (401, 200) == (packed.status_code, plain.status_code)


async def test_client_that_disconnects_is_counted(running: RunningServer) -> None:
    """A client that disconnects in the middle of its body is counted, and harms nothing."""
    before = webhook_count("none", "left")
    host, port = running.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /webhooks/wix HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
    await writer.drain()
    writer.transport.abort()

    await until(lambda: webhook_count("none", "left") == before + 1)


async def test_webhook_while_redis_is_dead_or_frozen(
    start_server: StartServer, redis_server: Callable[..., RedisServer], public_key: str, sign: Sign
) -> None:
    """While Redis is dead or frozen the answer is 503 well before Wix gives up, and 200 again after."""
    server = redis_server()
    running = await start_server(redis_url=server.url, wix_public_key=public_key)
    good = sign("order_confirmed")
    found = [(await post(running, good)).status_code]
    server.freeze()
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        response = await post(running, good)
        seconds.append(time.monotonic() - began)
        found.append(response.status_code)
    server.thaw()
    found.append((await until(lambda: post_until(running, good))).status_code)
    server.kill()
    began = time.monotonic()
    response = await post(running, good)
    seconds.append(time.monotonic() - began)
    found.append(response.status_code)
    server.start()
    found.append((await until(lambda: post_until(running, good))).status_code)

    assert [200, 503, 503, 503, 200, 503, 200] == found
    assert "1" == response.headers["retry-after"]
    assert max(seconds) < 1.25


async def test_webhook_while_redis_is_slow(
    start_server: StartServer, redis_server: Callable[..., RedisServer], public_key: str, sign: Sign
) -> None:
    """However many answers of a slow Redis a webhook needs, its own answer is sent before Wix gives up."""
    server = redis_server()
    async with tcp_proxy("127.0.0.1", server.port) as proxy:
        running = await start_server(redis_url=f"redis://127.0.0.1:{proxy.port}/0", wix_public_key=public_key)
        known = await running.web.schedule.sites()
        proxy.delay = 0.15
        began = time.monotonic()

        response = await post(running, sign("app_removed"))

        seconds = time.monotonic() - began
        proxy.delay = 0.0
        assert await until(lambda: post_until(running, sign("app_removed")))
    assert {SITE} == known
    assert (503, "1") == (response.status_code, response.headers["retry-after"])
    assert seconds < 1.25


async def test_webhook_while_redis_is_out_of_memory(
    start_server: StartServer, redis_server: Callable[..., RedisServer], public_key: str, sign: Sign
) -> None:
    """While Redis is out of memory the answer is 503, so that Wix sends the webhook again."""
    server = redis_server()
    running = await start_server(redis_url=server.url, wix_public_key=public_key)
    server.ask("CONFIG", "SET", "maxmemory", "1mb")
    before = webhook_count(ORDER, "unavailable")

    full = await post(running, sign("order_confirmed"))
    server.ask("CONFIG", "SET", "maxmemory", "0")
    after = await post(running, sign("order_confirmed"))

    assert (503, 200) == (full.status_code, after.status_code)
    assert before + 1 == webhook_count(ORDER, "unavailable")


async def test_outage_of_redis_is_two_log_lines(
    start_server: StartServer, redis_server: Callable[..., RedisServer], public_key: str, sign: Sign
) -> None:
    """Webhooks that Redis does not take are one warning, with a cure, and one line with their number when it takes them again."""
    server = redis_server()
    running = await start_server(redis_url=server.url, wix_public_key=public_key)
    server.ask("CONFIG", "SET", "maxmemory", "1mb")
    before = webhook_count(ORDER, "unavailable")

    with capture_logs() as said:
        for _ in range(5):
            await post(running, sign("order_confirmed"))
        server.ask("CONFIG", "SET", "maxmemory", "0")
        for _ in range(2):
            await post(running, sign("order_confirmed"))

    lost, again = (one for one in said if one["event"] in {"webhook_not_taken", "webhooks_taken_again"})
    assert ("webhook_not_taken", "warning", SITE) == (lost["event"], lost["log_level"], lost["site"])
    assert lost["hint"].startswith("nothing is lost: Wix sends it again for two days.")
    assert ("webhooks_taken_again", "info", 5) == (again["event"], again["log_level"], again["times"])
    assert before + 5 == webhook_count(ORDER, "unavailable")


async def test_no_personal_data_is_logged_or_stored(
    redis_url: str, redis: Redis, command: Run, public_key: str, sign: Sign
) -> None:
    """No name and no address of an order is printed or stored, even at DEBUG, whatever happens to it."""
    web = command("web", REDIS_URL=redis_url, WIX_PUBLIC_KEY=public_key, LOG_LEVEL="DEBUG", LOG_FORM="json")
    await web.says('"address"')
    url = next(json.loads(line)["address"] for line in web.err.splitlines() if '"address"' in line)
    bodies = (
        sign("order_confirmed"),
        sign("order_initiated"),
        sign("order_confirmed", site=UNKNOWN_SITE),
        sign("order_confirmed")[:-4],
        json.dumps(SAMPLES["order_confirmed"]).encode(),
        sign(ORDER, json.dumps(SAMPLES["order_confirmed"]["data"])[:-1]),
    )
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for body in bodies:
            await client.post("/webhooks/wix", content=body)
    await web.says("webhook_malformed")
    await web.stop()
    stored = await redis_content(redis)

    assert TICKET in web.err
    seen = web.err + web.out + stored
    # As words of their own: a random id may hold the letters of a short name.
    assert [] == [word for word in PERSONAL if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", seen)]
    assert [] == [part for part in (body.decode()[100:160] for body in bodies) if part in seen]


async def redis_content(client: Redis) -> str:
    """Everything that Redis holds, as text."""
    found = []
    for name in await client.keys():
        match await client.type(name):
            case "zset":
                found.append(str(await client.zrange(name, 0, -1)))
            case "hash":
                found.append(str(await client.hgetall(name)))
            case "set":
                found.append(str(await client.smembers(name)))
            case other:
                found.append(f"{name!s} {other!s}")
    return "\n".join(found)


async def post_until(running: RunningServer, body: bytes) -> httpx.Response | None:
    response = await post(running, body)
    return response if response.status_code == 200 else None
