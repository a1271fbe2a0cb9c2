"""Webhooks that stay away: stock falls, read after read, and none comes that tells of it.

In: what became of each read. Out: a warning with what was seen and what to look after, again while it lasts, and a line
when it is over. No number is wrong without webhooks, only later: reads by the clock find what they would have told.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from server import logs, metrics
from server.logs import RepeatedWarning
from server.model import SiteId
from server.store.schedule import Schedule
from server.store.snapshots import Kept

SAY_EVERY = 600.0
"""Seconds between two warnings for a site: it is a person who has to look, at another company's page."""
HINT = (
    "stock falls and no webhook tells of it, so numbers are found by the clock alone: check the address, the subscriptions "
    "and the public key on the app's Webhooks page (where no reservations are subscribed to, carts that are being paid for "
    "look like this as well, until the next order)"
)

log = logs.logger("silence")


class Silence:
    """What one worker has said of sites whose webhooks stay away; none are *expected* where no app is there to get any."""

    def __init__(
        self, schedule: Schedule, *, expected: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.schedule = schedule
        self._expected = expected
        self._warning = RepeatedWarning(log, "webhooks_silent", SAY_EVERY, clock=clock)

    async def learn(self, site: SiteId, kept: Iterable[Kept]) -> None:
        """A read of the site was kept, with this outcome; raises RedisUnavailable."""
        falls = sum(Kept.UNREPORTED in one for one in kept)
        metrics.untold.inc(falls)
        if not self._expected or not (falls or site in self._warning):
            return
        unreported = await self.schedule.unreported_falls(site)
        if unreported is None:
            self._warning.resolved(site, site=site)
            return
        self._warning.warn(
            site,
            site=site,
            falls=unreported.falls,
            minutes=round(unreported.seconds / 60),
            last_webhook=_moment(unreported.heard_us) if unreported.heard_us else "never",
            hint=HINT,
        )


def _moment(us: int) -> str:
    """A time of Redis's as people write it, in UTC."""
    return f"{datetime.fromtimestamp(us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
