"""The figures of a turn, of several turns together, and the table of docs/performance.md."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.time_to_truth.local_wix import LocalWix, Order, Query
from bench.time_to_truth.viewers import Seen
from tests.rig.percentile import percentile
from tests.rig.wix_calls import counted_calls, most_in_a_minute


@dataclass(frozen=True, slots=True)
class Figures:
    """What one turn measured.

    delays     seconds from each order to the last viewer of its ticket, without the local Wix's own time
    own        seconds of the local Wix's own time in each of these
    calls      most calls to Wix in any minute
    cpu        CPU seconds of each process while orders were placed
    """

    delays: list[float]
    own: list[float]
    calls: int
    cpu: dict[str, float]


def figures(wix: LocalWix, seen: Sequence[Seen], cpu: dict[str, float]) -> Figures:
    """The figures of a turn; raises RuntimeError if a viewer lacks an order, or a number rose."""
    viewers: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        viewers[one.ticket].append(one)
        numbers = [number for _, number in one.numbers if number is not None]
        if len(numbers) < len(one.numbers):
            raise RuntimeError("a viewer has lost its number, though the ticket was on sale")
        if any(after > before for before, after in pairwise(numbers)):
            raise RuntimeError("a viewer has seen a number rise, though tickets were only sold")
    delays, own = [], []
    for order in wix.orders:
        moments = [_moment(viewer, order) for viewer in viewers[order.ticket]]
        waited = _own_time(order, wix.queries, min(moments))
        own.append(waited)
        delays.append(max(moments) - order.at - waited)
    return Figures(delays, own, most_in_a_minute(counted_calls(wix.rig)), cpu)


def _moment(viewer: Seen, order: Order) -> float:
    """When this viewer had a number that includes the order."""
    for at, number in viewer.numbers:
        if number is not None and number <= order.left:
            return at
    raise RuntimeError(f"an order of {order.ticket} did not reach a viewer")


def _own_time(order: Order, queries: Iterable[Query], first: float) -> float:
    """Seconds of the local Wix's own time between an order and its *first* viewer: its webhooks, and the answer that showed it."""
    answer = max((one for one in queries if order.sent < one.ended < first), key=lambda one: one.ended)
    return order.sent - order.at + answer.ended - max(answer.began, order.sent)


def row(name: str, rate: float, turns: Sequence[Figures]) -> dict[str, str | float]:
    """One row of the table: several turns of one server at one rate; delays are those of all turns together."""
    delays = [1000 * delay for one in turns for delay in one.delays]
    return {
        "server": name,
        "orders per second": rate,
        "orders": len(delays),
        "median, ms": statistics.median(delays),
        "p90, ms": percentile(delays, 0.9),
        "p99, ms": percentile(delays, 0.99),
        "longest, ms": max(delays),
        "taken off, median, ms": statistics.median(1000 * own for one in turns for own in one.own),
        "most calls in a minute": max(one.calls for one in turns),
        "CPU s, worker": statistics.median(one.cpu["worker"] for one in turns),
        "CPU s, web": statistics.median(one.cpu["web"] for one in turns),
    }


def table(rows: Sequence[Mapping[str, str | float]]) -> str:
    """The rows as a table in Markdown."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "| --- |" + " ---: |" * (len(names) - 1)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 100 else f"{value:.2g}"
    return str(value)
