"""Whether Redis is there and fit: what its client says of it, its memory and its latency.

In: REDIS_URL, or the Valkey of `serve`. Out: findings; from then on the deployment has Redis.
"""

import statistics
import time
from collections.abc import AsyncIterator

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.errors import NotStarted, RedisUnavailable, RedisUnfit
from server.redis.client import RedisClient, Use

NAME = "redis"
WITHIN = 2.0
"""Seconds that Redis has for its first answer."""
PINGS = 7
SLOW = 0.05
"""Seconds of a usual round trip from which on webhooks and pages notice it."""
MEMORY_LOW = 0.8
"""Share of `maxmemory` that may be in use before someone should be told."""

WITHOUT = "without Redis no page shows a number, and each webhook is refused until it is back"


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Reach Redis, and look at it."""
    try:
        client = deployment.client()
    except NotStarted as error:
        cure = "start `ticket-counter serve`, or set DATA_DIR or REDIS_URL as they are for the server"
        yield Finding.fault(NAME, str(error), WITHOUT, cure)
        return
    try:
        await client.wait(WITHIN)
    except (RedisUnavailable, RedisUnfit) as error:
        await client.aclose()
        # What is unfit says itself what to do.
        unreachable = "see whether Redis runs where REDIS_URL says, and whether this machine may reach it"
        cure = "" if isinstance(error, RedisUnfit) else unreachable
        yield Finding.fault(NAME, str(error), WITHOUT, cure)
        return
    deployment.redis = client
    async for finding in _fit(client, allowed=deployment.settings.allow_unsafe_redis):
        yield finding
    if not client.clustered:
        async for finding in _memory(client):
            yield finding
    yield await _latency(client)


async def _fit(client: RedisClient, *, allowed: bool) -> AsyncIterator[Finding]:
    why = "what is stored is lost at a restart, or while Redis runs: counters, history, what sync and notify remember"
    try:
        wrong = await client.check(unsafe=True)
    except RedisUnfit as error:
        yield Finding.fault(NAME, str(error), "the server does not start with it")
        return
    except RedisUnavailable as error:
        yield Finding.notice(
            NAME, f"its configuration cannot be read: {error}", "it may lose data, and no one would be told"
        )
        return
    for text in wrong:
        if allowed:
            yield Finding.notice(NAME, text, why, "this is accepted, since ALLOW_UNSAFE_REDIS is set")
        else:
            yield Finding.fault(
                NAME, text, why, "start it with our redis.conf, or accept the loss with ALLOW_UNSAFE_REDIS=1"
            )
    if not wrong:
        yield Finding.ok(NAME, "it lets us do all that is needed, keeps its data over a restart, and evicts no keys")


async def _memory(client: RedisClient) -> AsyncIterator[Finding]:
    try:
        info = await client.do("INFO", "memory")
    except RedisUnavailable:
        return
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > MEMORY_LOW * most:
        yield Finding.fault(
            NAME,
            f"{used / 1e6:.0f} of {most / 1e6:.0f} MB of its memory are in use",
            "once it is full, Redis takes no webhook and no counter any more",
            "raise `maxmemory` in redis.conf, or lower HISTORY_DAYS",
        )


async def _latency(client: RedisClient) -> Finding:
    times = []
    for _ in range(PINGS):
        began = time.perf_counter()
        await client.do("PING")
        times.append(time.perf_counter() - began)
    usual = statistics.median(times)
    if usual <= SLOW:
        return Finding.ok(NAME, f"it answers within {usual * 1000:.1f} ms")
    answer, _ = Use.INGEST.value
    return Finding.fault(
        NAME,
        f"it answers only within {usual * 1000:.0f} ms",
        f"a webhook has {answer * 1000:.0f} ms for Redis, and Wix sends one that is late again, a minute later",
        "run Redis in the same network as the server",
    )
