"""Times as Wix writes them: ISO 8601 in UTC, ending in Z.

Inside, a moment is a float, seconds since 1970; a Clock gives the present one and is an argument everywhere, so that
a test can move time.
"""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]


def iso(at: float) -> str:
    """To the millisecond, as created and updated dates are written: `2026-02-11T10:00:05.123Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def short(at: float) -> str:
    """Without milliseconds where there are none, as sale periods are written: `2026-01-10T09:00:00Z`."""
    text = iso(at)
    return text.replace(".000Z", "Z")


def parse(text: str) -> float:
    """Read an ISO date and time with its zone. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()
