"""The budget of requests to a target, which all processes share.

In: a request that is about to be sent. Out: the moment when it may be: `pay` returns then.
"""

import asyncio

from server.store.sync_targets import Targets
from server.sync.mapping import TargetSettings
from server.sync.targets import KINDS
from server.sync.targets.target import Target


class Budget:
    """The budget of one target: `requests_per_minute` of its settings."""

    def __init__(self, settings: TargetSettings, targets: Targets) -> None:
        self.settings = settings
        self.targets = targets

    async def pay(self) -> None:
        """Wait until one more request may be sent. Raises RedisUnavailable."""
        wait = await self.targets.pay(self.settings.name, self.settings.requests_per_minute)
        if wait > 0:
            await asyncio.sleep(wait)


def open_target(settings: TargetSettings, targets: Targets) -> Target:
    """The target of these settings, whose requests are paid for."""
    return KINDS[settings.kind](settings, Budget(settings, targets).pay)
