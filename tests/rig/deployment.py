"""The product as it is deployed: web and worker processes around one Redis, and what is stored there.

`deployment = Deployment(command, redis_url, wix.settings())` starts nothing: `await deployment.web()` and
`deployment.worker()` start one process each; these end with the test.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from tests.rig.default_keys import key
from tests.rig.process import Command, Run
from tests.rig.wix import WixRig


class Deployment:
    """Processes that share a Redis and a Wix; *more* are settings by their names in the environment."""

    def __init__(self, run: Run, redis_url: str, settings: Mapping[str, str], **more: str) -> None:
        self.settings = {**{name.upper(): value for name, value in settings.items()}, "REDIS_URL": redis_url, **more}
        self.redis_url = redis_url
        self.processes: list[Command] = []
        self._run = run

    def worker(self, **more: str) -> Command:
        """Start one more worker."""
        return self.start("worker", **more)

    async def web(self, **more: str) -> str:
        """Start one more web process; answers its address once it listens."""
        return await self.start("web", **more).url()

    def watch(self, *tickets: str) -> Command:
        """Start one `watch --json` of these tickets."""
        return self.start("watch", "--json", *tickets)

    def start(self, *words: str, **more: str) -> Command:
        """Start one more process, and do not wait for it."""
        found = self._run(*words, **{**self.settings, **more})
        self.processes.append(found)
        return found

    @property
    def log(self) -> str:
        """All that the processes have printed."""
        return "".join(one.err + one.out for one in self.processes)

    @property
    def ended(self) -> list[Command]:
        """The processes that have ended."""
        return [one for one in self.processes if one.process.poll() is not None]

    async def stored(self, site: str, tickets: Sequence[str], field: str = "unsold") -> list[str | None]:
        """One field of each ticket's snapshot, as text; None where there is none."""
        async with Redis.from_url(self.redis_url, decode_responses=True) as redis:
            pipeline = redis.pipeline(transaction=False)
            for ticket in tickets:
                pipeline.hget(key(site, "ticket", ticket), field)
            return list(await pipeline.execute())

    async def right(self, wix: WixRig, tickets: Sequence[str]) -> bool:
        """Whether the snapshots of these tickets have the numbers of Wix, and their counters too."""
        left = [wix.world.tickets[ticket].left for ticket in tickets]
        read = await self.stored(wix.site, tickets)
        shown = await self.stored(wix.site, tickets, "counter")
        return [str(one) for one in left] == read and left == [_unsold(text) for text in shown]


def _unsold(counter: str | None) -> Any:
    return json.loads(counter)["unsold"] if counter else None
