"""Runs the checks, one after the other: what one has found is shown before the next begins.

In: the settings. Out: findings, as they are found. A check that takes too long, or that an error of ours ends, is a finding itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing

from server.doctor import (
    advice,
    files,
    notify,
    page,
    page_seen,
    process,
    proxies,
    public_address,
    redis,
    required,
    sync,
    webhooks,
    wix,
    worker,
)
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.errors import TicketCounterError
from server.settings import Settings

Check = Callable[[Deployment], AsyncIterator[Finding]]

CHECKS: Mapping[str, tuple[Check, ...]] = {
    "settings": (required.check, advice.check),
    "redis": (redis.check,),
    "wix": (wix.check,),
    "webhooks": (webhooks.check,),
    "worker": (worker.check,),
    "address": (public_address.check,),
    "proxies": (proxies.check,),
    "process": (process.check,),
    "sync": (sync.check,),
    "notify": (notify.check,),
}
"""All checks by the name that their findings have, in their order: a later one uses what an earlier one has found."""
OFFLINE: Mapping[str, tuple[Check, ...]] = {
    "settings": (required.check, advice.check),
    "files": (files.check,),
}
"""Those of `ticket-counter check`, which ask no one outside of this process."""
WITHIN = 60.0
"""Seconds that one check may take: it asks others over the network, and a person waits."""


def with_page(url: str, *, sandbox: bool) -> Mapping[str, tuple[Check, ...]]:
    """All checks, and then that of a page of the site; *sandbox*: the browser keeps its own."""
    return {**CHECKS, page_seen.NAME: (lambda _: page.check(url, sandbox=sandbox),)}


async def run(
    settings: Settings, *, checks: Mapping[str, tuple[Check, ...]] = CHECKS, within: float = WITHIN
) -> AsyncIterator[Finding]:
    """All findings of all checks, as they are found."""
    async with aclosing(Deployment(settings)) as deployment:
        for name, several in checks.items():
            for check in several:
                async for finding in _within(name, check(deployment), within):
                    yield finding


async def _within(name: str, findings: AsyncIterator[Finding], seconds: float) -> AsyncIterator[Finding]:
    """The findings of one check, until its time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(end):
                found = await anext(findings, None)
        except TimeoutError:
            yield Finding.fault(
                name, f"the check did not end within {seconds:g} s", "what it asks answers too slowly, or not at all"
            )
            return
        except TicketCounterError as error:
            yield Finding.fault(name, str(error))
            return
        except Exception as error:  # noqa: BLE001 - a bug in one check must not hide what the others find
            what = f"this check itself failed: {type(error).__name__}: {error}"
            yield Finding.fault(name, what, "what it looks at is not known", "report it: it is a bug")
            return
        if found is None:
            return
        yield found
