"""Values of fields, times and durations as text for people; times are in the local time of this machine.

What a ticketing system or a person wrote comes out on one line: characters that could move the cursor, change colours, end the line
or reverse what follows are shown as blanks.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from server.sync.mapping import TargetSettings
from server.sync.model import Missing, Value

_MONEY = re.compile(r"-?\d+\.\d{2,}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z")
_JOINERS = "\u200c\u200d"
"""Characters without a form of their own that emoji, Persian and Indian scripts need: the only invisible ones that are kept."""
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def printable(text: str) -> str:
    """The text on one line, without characters that control a terminal."""
    return "".join(sign if sign.isprintable() or sign in _JOINERS else " " for sign in text)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the fields of a target mean, by their names there: *prices*, and *limits*, which without a value are unlimited."""

    prices: frozenset[str] = frozenset()
    limits: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: TargetSettings) -> "Meaning":
        """By the fields of Wix that the mapping of this target takes."""
        rules = (*settings.rules, *settings.options)
        return cls(
            frozenset(one.name for one in rules if one.source in {"price", "option.price", "guest_price"}),
            frozenset(one.name for one in rules if one.source in {"limit", "unsold"}),
        )

    def is_price(self, name: str, found: object) -> bool:
        """Whether this is a price, and a number: a mapping may make something else of it."""
        return name in self.prices and isinstance(found, str) and _MONEY.fullmatch(found) is not None

    def value(self, name: str, found: Value | Missing, currency: str | None = None) -> str:
        """The value of the field of this name; a price gets the currency, where one is given."""
        if isinstance(found, Missing):
            return "not known"
        if found is None:
            return "unlimited" if name in self.limits else "none"
        if isinstance(found, bool):
            return "yes" if found else "no"
        if isinstance(found, int):
            return str(found)
        if _TIME.fullmatch(found):
            return moment(found)
        if currency and self.is_price(name, found):
            return f"{found} {currency}"
        text = printable(found)
        # With quotation marks what is empty, or has blanks at its ends, can be seen.
        return text if text.strip() == text and text else f'"{text}"'


def moment(text: str) -> str:
    """A time of ISO 8601, such as "2027-03-01T18:00:00Z", in local time: 2027-03-01 19:00."""
    local = datetime.fromisoformat(text).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")


def clock(at: float, now: float, *, seconds: bool = False) -> str:
    """When it was: 10:04 (or 10:04:31) today, Fri within a week, else 2026-11-03; both times in seconds since 1970."""
    local, today = (datetime.fromtimestamp(one, UTC).astimezone() for one in (at, now))
    time = local.strftime("%H:%M:%S" if seconds else "%H:%M")
    if local.date() == today.date():
        return time
    day = local.strftime("%a") if 0 < (today.date() - local.date()).days < 7 else local.strftime("%Y-%m-%d")
    return f"{day} {time}" if seconds else day


def ago(seconds: float) -> str:
    """How long ago: "just now", "12 min ago"."""
    return "just now" if seconds < 10 else f"{duration(seconds)} ago"


def duration(seconds: float) -> str:
    """How long: 1.4 s, 48 s, 21 min, 3 h, 2 days."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < DAY:
        return f"{seconds / HOUR:.0f} h"
    return count(round(seconds / DAY), "day")


def count(number: int, word: str, words: str | None = None) -> str:
    """A number with its word: 1 record, 2 records."""
    return f"{number:,} {word if number == 1 else words or f'{word}s'}"
