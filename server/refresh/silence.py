"""Silent sites: their stock falls, read after read, and no webhook reports it.

In: what became of each read. Out: a warning that says what was seen and what to check, repeated while it lasts, and a line
when it is over. Without webhooks no number is wrong, only late: periodic reads find what webhooks would have reported.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from server import logs, metrics
from server.logs import RepeatedWarning
from server.model import SiteId
from server.store.schedule import Schedule
from server.store.snapshots import Kept

WARN_EVERY = 600.0
"""Seconds between two warnings for a site: a person has to check the app's pages at Wix, which takes a while."""
HINT = (
    "stock falls and no webhook reports it, so numbers are found by periodic reads only: check the address, the subscriptions "
    "and the public key on the app's Webhooks page (without a subscription to reservations, carts that are being paid for "
    "look the same until the next order)"
)

log = logs.logger("silence")


class SilentSites:
    """The warnings of one worker about silent sites; without an app no webhooks are *expected*, so there are none."""

    def __init__(
        self, schedule: Schedule, *, expected: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.schedule = schedule
        self._expected = expected
        self._warning = RepeatedWarning(log, "webhooks_silent", WARN_EVERY, clock=clock)

    async def observe(self, site: SiteId, kept: Iterable[Kept]) -> None:
        """Take what became of a read of the site, and warn if the site is silent; raises RedisUnavailable."""
        falls = sum(Kept.UNREPORTED in one for one in kept)
        metrics.unreported_falls.inc(falls)
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
            last_webhook=_utc(unreported.heard_us) if unreported.heard_us else "never",
            hint=HINT,
        )


def _utc(us: int) -> str:
    """A time of Redis's clock as ISO 8601."""
    return f"{datetime.fromtimestamp(us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
