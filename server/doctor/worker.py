"""Whether a worker runs, and how far it lags behind what is due.

In: what workers say of themselves, the schedule in Redis. Out: findings. A ticket that is due is read at once, so that one which has
been due for long has a worker that cannot read.
"""

from collections.abc import AsyncIterator
from importlib.metadata import version

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.errors import RedisUnavailable
from server.redis.client import RedisClient
from server.store.keys import Keys
from server.store.worker_status import ALIVE_FOR, WorkerStatus

NAME = "worker"
LAG = 10.0
"""Seconds for which a ticket may have been due: a burst of hints is read within a few."""


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Find the ticket that has been due for longest."""
    if (schedule := deployment.schedule) is None or deployment.redis is None:
        return
    now, behind = await deployment.now(), 0.0
    sites = await deployment.stored_sites()
    if not sites:
        yield Finding.fault(
            NAME,
            "no worker has added a site to this Redis yet",
            "nothing is read from Wix",
            "start `ticket-counter serve`, or `ticket-counter worker`, with this REDIS_URL and REDIS_PREFIX",
        )
        return
    for site in sites:
        behind = max(behind, await _lag(deployment.redis, schedule.keys, site, now))
        rules = await schedule.rules(site)
        if rules is not None and rules != deployment.settings.rules.hash:
            yield Finding.fault(
                NAME,
                f"the counters of site {site} are made by other rules than LOW_AT and SHOW_AT_MOST say here",
                "web processes with other rules than the worker show no numbers",
                "give every process the same LOW_AT and SHOW_AT_MOST, and restart it",
            )
    said = await WorkerStatus(deployment.redis).read()
    if said is None:
        yield Finding.fault(
            NAME,
            f"no worker is alive: none has said anything for {ALIVE_FOR} s",
            "nothing is read from Wix, and each number is withdrawn MAX_STALE seconds after its last read",
            "start `ticket-counter worker`, or `serve`, which has one",
        )
    elif said.silent_wix:
        yield Finding.fault(
            NAME,
            "Wix fails for a site whenever the worker asks"
            if said.silent_wix == 1
            else f"Wix fails for {said.silent_wix} sites whenever the worker asks",
            "numbers are withdrawn MAX_STALE seconds after their last read",
            "see what is found about wix above, and `wix_fault` in the log of the worker",
        )
    elif behind > LAG:
        yield Finding.fault(
            NAME,
            f"a ticket has been due for {behind:.0f} s, and was not read",
            "numbers are withdrawn MAX_STALE seconds after their last read",
            "see in the log of the worker what it cannot read (`wix_fault`)",
        )
    else:
        yield Finding.ok(NAME, "a worker is alive, and reads what is due within a few seconds")
    if said is not None and said.version not in {"", version("ticket-counter")}:
        ours = version("ticket-counter")
        yield Finding.notice(
            NAME,
            f"the worker has version {said.version}, and this is {ours}",
            "",
            "restart it with the version that is installed",
        )


async def _lag(redis: RedisClient, keys: Keys, site: str, now: float) -> float:
    """Seconds for which the first of a site has been due; 0 while the site is paused, or none is due."""
    try:
        first = await redis.do("ZRANGE", keys.key(site, "due"), 0, 0, "WITHSCORES")
        paused = await redis.do("HGET", keys.key(site, "reads"), "paused_until")
    except RedisUnavailable:
        return 0.0
    if not first:
        return 0.0
    pair = first[0] if isinstance(first[0], (list, tuple)) else first
    at = max(float(pair[1]), float(paused or 0)) / 1e6
    return max(0.0, now - at)
