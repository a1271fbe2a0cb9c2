"""The logs of all processes, and whether a fault explains each warning.

In: the JSON logs of every process, and the injected faults. Out: the lines of level WARNING and above, and lines that
are not JSON (such as a traceback), that no fault explains. A fault explains a line if it affects the line's process, at
that time or shortly before, and can cause this event.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.chaos.faults import FaultRecord

LOUD_LEVELS = {"warning", "error", "critical"}
GRACE_PERIOD = 15.0
"""Seconds after a fault in which its consequences may be logged: the longest time-out and back-off of a client."""
PARTS = ("web0", "web1", "worker0", "worker1")
WORKERS = PARTS[2:]

REDIS_UNAVAILABLE = frozenset({"store_unavailable", "listener_lost", "webhook_not_taken"})
WIX_FAULTS = frozenset({"wix_fault"})
STOPPED = REDIS_UNAVAILABLE | WIX_FAULTS
"""Events of a process that was stopped (SIGSTOP): when it continues, all its time-outs have expired."""
NO_PERMISSION = frozenset({"events_forbidden"})
LOST_SIGHT = frozenset({"counters_withdrawn", "worker_lost"})
"""Events that any fault may have for a consequence, in every web process."""
NO_WEBHOOKS = frozenset({"webhooks_silent"})

MACHINE = re.compile(r"WARNING Memory overcommit|vm\.overcommit|Transparent Huge Pages|TCP backlog setting|kernel has")
"""What Redis logs about the machine when it starts."""
REDIS_LINE = re.compile(
    r"^\d+:[A-Z] (?P<day>\d+) (?P<month>\w+) (?P<year>\d+) (?P<time>[\d:.]+) (?P<sign>[.\-*#]) (?P<text>.*)"
)
REDIS_ENDS = re.compile(r"Received SIGTERM|User requested shutdown|is now ready to exit|Saving the final|Calling fsync")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of level WARNING and above; *at* is seconds since 1970, or None for a line without a time."""

    part: str
    at: float | None
    event: str
    text: str


def explains(fault: FaultRecord) -> Mapping[str, frozenset[str]]:
    """The events that a fault explains, by part."""
    target = fault.target
    if target == "redis":
        return dict.fromkeys(PARTS, REDIS_UNAVAILABLE)
    if target == "wix":
        return dict.fromkeys(WORKERS, WIX_FAULTS)
    if target == "wix-events":
        return dict.fromkeys(WORKERS, WIX_FAULTS | NO_PERMISSION)
    if target in {"wix-web", "wix-webhooks"}:
        return dict.fromkeys(WORKERS, NO_WEBHOOKS)
    if target in PARTS:
        return {target: STOPPED} if "stopped" in fault.kind else {}
    part, _, other = target.partition("-")
    if other == "redis":
        return {part: REDIS_UNAVAILABLE}
    if other == "wix":
        return {part: WIX_FAULTS}
    return {}


def unexplained(lines: Iterable[Line], faults: Sequence[FaultRecord], offset: float) -> list[Line]:
    """The lines that no fault explains; *offset* is time.time() minus time.monotonic()."""
    return [line for line in lines if not _explained(line, faults, offset)]


def _explained(line: Line, faults: Sequence[FaultRecord], offset: float) -> bool:
    if line.at is None:
        return False
    at = line.at - offset
    return any(
        fault.begin - 1.0 <= at <= fault.end + GRACE_PERIOD
        and (line.event in LOST_SIGHT or line.event in explains(fault).get(line.part, ()))
        for fault in faults
    )


def lines(part: str, text: str) -> Iterator[Line]:
    """The loud lines of one process; the last line is ignored if a kill has cut it off."""
    for one in text[: text.rfind("\n") + 1].splitlines():
        if not one.strip():
            continue
        try:
            parsed = json.loads(one)
            level, event = parsed["level"], str(parsed["event"])
        except (ValueError, KeyError, TypeError):
            yield Line(part, None, "not a line of the log", one)
            continue
        if level in LOUD_LEVELS:
            at = datetime.fromisoformat(parsed["timestamp"]).timestamp() if "timestamp" in parsed else None
            yield Line(part, at, event, one)


def redis_lines(text: str) -> Iterator[Line]:
    """The loud lines of Redis, except those about the machine and about its orderly shutdown."""
    for one in text.splitlines():
        found = REDIS_LINE.match(one)
        if found is None or found["sign"] != "#":
            continue
        if not MACHINE.search(one) and not REDIS_ENDS.search(one):
            yield Line("redis", None, "redis", one)


def read(folder: Path, lives: Mapping[str, Sequence[str]]) -> list[Line]:
    """All loud lines: of the processes of each part, and of Redis."""
    found = [line for part, texts in lives.items() for text in texts for line in lines(part, text)]
    log = folder / "redis" / "log"
    return found + (list(redis_lines(log.read_text(errors="replace"))) if log.exists() else [])


def count_events(some: Iterable[Line]) -> dict[str, int]:
    """How often each event was logged."""
    return dict(Counter(line.event for line in some))
