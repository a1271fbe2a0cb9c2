"""Wix's rate limit: how many calls a site may make, and which calls may take the last of them.

The tokens are kept in Redis (lua/budget.lua); `Schedule.claim` and `Schedule.spend` take them.
"""

from dataclasses import dataclass
from enum import StrEnum

LONGEST_PAUSE = 300.0
"""Seconds: with a longer Retry-After, the site's pages would show no numbers for longer than a person would wait."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Wix's limit as a token bucket, with `refill` in calls a second: at most capacity + 60 × refill = 200 in any minute.

    `no_gap_from`: a fresh hint is read without a gap (lua/gap.lua) while so many calls might begin at once. 18 leaves most
    of the burst to a rush: hints have no gap for three calls of it, and after that for one call in each third of a second.
    `first_reads`: how many tickets without a snapshot viewers may have read in any minute.
    Source: Wix, "Rate limits": 200 requests a minute for each app instance.
    """

    capacity: int = 20
    refill: float = 3.0
    no_gap_from: int = 18
    first_reads: int = 30

    @property
    def watching(self) -> float:
        """Calls a second for reads that only keep watched tickets fresh: half, however many are watched."""
        return self.refill / 2


class Priority(StrEnum):
    """How urgent a call is; each priority leaves some tokens to those above it."""

    HINTED = "hinted"
    WATCHED = "watched"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Wait:
    """No call may begin for so many seconds; `other_rules` is true where the site's rules are not the worker's."""

    seconds: float
    other_rules: bool = False
