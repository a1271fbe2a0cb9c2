"""How often tickets are read, how long leases last, and Redis's unit of time, the microsecond."""

import math
from dataclasses import dataclass

DAY = 86_400
TWO_DAYS = 2 * DAY
"""Seconds: for so long a ticket stays tracked after it was watched, and what is not tracked is kept."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The durations of the schedule, in seconds."""

    lease: float = 30.0  # a claim ends by itself
    watch_every: float = 15.0  # between two reads of a watched ticket
    watch_slow: float = 600.0  # the same, where its sale has ended or it was deleted
    watch_for: float = 20.0  # a ticket stays watched after its viewers were last reported
    reconcile: float = 300.0  # between two reads of any other tracked ticket
    list_every: float = 600.0  # between two listings of a site
    read_gap: float = (
        0.5  # between two reads of a ticket; between two lots of a site, so that hints gather (lua/gap.lua)
    )
    max_stale: float = 90.0  # a number that cannot be verified for so long is withdrawn
    gone_for: float = 60.0  # the negative cache holds a ticket
    settle: tuple[float, float, float] = (
        2.0,
        8.0,
        30.0,
    )  # after a hint it is read so much later again: Wix's reads may lag
    again: float = 2.0  # until the next read of a ticket that was missing from an answer
    webhook_ahead: float = 60.0  # a read may see so late what a webhook reported
    silent_falls: int = 3  # a site is silent when its stock fell so often,
    silent_after: float = 300.0  # over so long a time, and no webhook came

    @property
    def calls_within(self) -> float:
        """Seconds within which all calls of a claim end, from when it was asked for: the process may have been suspended since.

        Less than the lease, since the budget counts the claim only until then.
        """
        return 0.8 * self.lease


def seconds(us: float) -> float:
    """Microseconds to seconds."""
    return us / 1e6


def micros(amount: float) -> int:
    """Seconds to whole microseconds."""
    return math.floor(amount * 1e6)
