"""Our house as it runs: web and worker as processes of their own around one Redis, and a look at what it keeps.

`House(command, redis_url, wix.settings())` starts nothing by itself: `await house.web()` and `house.worker()` do, as
often as they are called; they end with the test, as every `command` does.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from server.store.keys import key
from tests.rig.process import Command, Run
from tests.rig.wix import WixRig

MINUTE = 60.0


class Deployment:
    """Processes that share a Redis and a Wix; *more* are settings by their names in the environment."""

    def __init__(self, run: Run, redis_url: str, settings: Mapping[str, str], **more: str) -> None:
        self.settings = {**{name.upper(): value for name, value in settings.items()}, "REDIS_URL": redis_url, **more}
        self.redis_url = redis_url
        self.processes: list[Command] = []
        self._run = run

    def worker(self, **more: str) -> Command:
        """Start one more reader of Wix."""
        return self._start("worker", **more)

    async def web(self, **more: str) -> str:
        """Start one more web process; answers its address once it listens."""
        return await self._start("web", **more).url()

    def _start(self, what: str, **more: str) -> Command:
        found = self._run(what, **{**self.settings, **more})
        self.processes.append(found)
        return found

    @property
    def log(self) -> str:
        """All that all of them have printed."""
        return "".join(one.err + one.out for one in self.processes)

    @property
    def ended(self) -> list[Command]:
        """Those of them that run no more."""
        return [one for one in self.processes if one.process.poll() is not None]

    async def kept(self, site: str, tickets: Sequence[str], field: str = "unsold") -> list[str | None]:
        """One field of what is kept of each ticket, as text; None where nothing is."""
        async with Redis.from_url(self.redis_url, decode_responses=True) as redis:
            pipeline = redis.pipeline(transaction=False)
            for ticket in tickets:
                pipeline.hget(key(site, "ticket", ticket), field)
            return list(await pipeline.execute())

    async def right(self, wix: WixRig, tickets: Sequence[str]) -> bool:
        """Whether what is kept of these tickets is what Wix has, in the counter that is shown too."""
        left = [wix.world.tickets[ticket].left for ticket in tickets]
        read = await self.kept(wix.site, tickets)
        shown = await self.kept(wix.site, tickets, "counter")
        return [str(one) for one in left] == read and left == [_unsold(text) for text in shown]


def _unsold(counter: str | None) -> Any:
    return json.loads(counter)["unsold"] if counter else None
