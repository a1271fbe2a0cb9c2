"""How often tickets are read, how long leases last, and Redis's unit of time."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Every duration that the schedule and the hub keep to, in seconds.

    A read may see what a webhook told `webhook_ahead` seconds later. A site is silent when its stock has fallen
    `silent_falls` times, over `silent_after` seconds or more, and no webhook came.
    """

    lease: float = 30.0
    watch_every: float = 15.0
    watch_slow: float = 600.0
    watch_for: float = 20.0
    reconcile: float = 300.0
    list_every: float = 600.0
    read_gap: float = 0.5
    max_stale: float = 90.0
    gone_for: float = 60.0
    settle: tuple[float, float, float] = (2.0, 8.0, 30.0)
    again: float = 2.0
    webhook_ahead: float = 60.0
    silent_falls: int = 3
    silent_after: float = 300.0


def seconds(us: float) -> float:
    """Microseconds, as Redis counts here, to seconds."""
    return us / 1e6


def micros(amount: float) -> int:
    """Seconds to microseconds, as Redis counts here."""
    return math.floor(amount * 1e6)
