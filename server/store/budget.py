"""Wix's rate limit of a site, and how urgent a call must be to use the rest of it.

The tokens are kept in Redis: lua/budget.lua. `Schedule.claim` and `Schedule.spend` take them.
"""

from dataclasses import dataclass
from enum import StrEnum

LONGEST_PAUSE = 300.0
"""Seconds: a Retry-After beyond this would blind the site's pages for longer than a person would wait."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Wix's limit as a token bucket: never over `capacity` + 60 × `refill` = 200 calls in any minute.

    Source: Wix, "Rate limits": 200 requests a minute for each app instance.
    """

    capacity: int = 20
    refill: float = 3.0
    first_reads: int = 30

    @property
    def watching(self) -> float:
        """Calls a second that reads which only keep watched tickets fresh may take: half, however much is watched."""
        return self.refill / 2


class Priority(StrEnum):
    """How urgent a Wix call is; each leaves some of the budget to those before it."""

    HINTED = "hinted"
    WATCHED = "watched"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may start before so many seconds; *foreign* = because the site's rules are not those of who asked."""

    seconds: float
    other_rules: bool = False
