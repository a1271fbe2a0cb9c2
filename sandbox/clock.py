"""Times as Wix writes them: ISO 8601 in UTC, ending in Z.

Internally a time is a float, seconds since 1970. A Clock returns the current time; it is an argument everywhere, so
that tests can set it.
"""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]


def iso(at: float) -> str:
    """With milliseconds, as Wix writes created and updated dates: `2026-02-11T10:00:05.123Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def short(at: float) -> str:
    """Without milliseconds if they are zero, as Wix writes sale periods: `2026-01-10T09:00:00Z`."""
    text = iso(at)
    return text.replace(".000Z", "Z")


def parse(text: str) -> float:
    """Parse an ISO 8601 date and time with a time zone. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()
