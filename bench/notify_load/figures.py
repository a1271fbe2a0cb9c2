"""The figures of all turns of one layout: one row each, with the ratio to the turns without notify.toml, and the table.

A figure is the median of its rounds, but for delays: those of all rounds are put together. Ratios are of these; in brackets are the
lowest and the highest ratio within a round, since other load on the machine affects a whole round.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.notify_load.campaign import State
from bench.notify_load.turn import LAYOUTS, RATE, Turn
from bench.results import number
from tests.rig.percentile import percentile

Turns = Mapping[State, Sequence[Turn]]
"""One turn a round, of each state."""
Measure = Callable[[Turn], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its values by state, and for each state its ratios to the turn without notify.toml, a round each.

    `served`: how visitors and webhooks are served, in contrast to what that costs.
    """

    layout: str
    name: str
    values: Mapping[State, float]
    ratios: Mapping[State, Sequence[float]]
    less_is_better: bool = True
    served: bool = True

    @property
    def slower(self) -> bool:
        """Whether visitors were served worse during a campaign: in every round, by more than a tenth."""
        if not self.served:
            return False
        ratios = self.ratios[State.CAMPAIGN]
        return min(ratios) > 1.1 if self.less_is_better else max(ratios) < 0.9

    def cells(self) -> list[str]:
        """The row of the table."""
        compared = (State.IDLE, State.CAMPAIGN)
        return [
            self.layout,
            self.name,
            *(number(self.values[state]) for state in State),
            *(self._ratio(state) for state in compared),
        ]

    def _ratio(self, state: State) -> str:
        base, ratios = self.values[State.WITHOUT], self.ratios[state]
        if not base or not ratios:
            return "–"
        return f"{self.values[state] / base:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


HEADINGS = (
    "",
    "",
    "without notify.toml",
    "with it, no campaign",
    "while one runs",
    "ratio with it",
    "ratio while one runs",
)


def rows(layout: str, turns: Turns) -> list[Row]:
    """All rows of one layout."""
    processes = (*LAYOUTS[layout], "valkey")
    return [
        _delay(layout, turns, "ms from an order to the last viewer, median", statistics.median),
        _delay(layout, turns, "ms from an order to the last viewer, p99", lambda delays: percentile(delays, 0.99)),
        _row(
            layout, turns, f"ms until a webhook is answered, {RATE:.0f} a second, median", lambda one: one.intake["p50"]
        ),
        _row(layout, turns, f"ms until a webhook is answered, {RATE:.0f} a second, p99", lambda one: one.intake["p99"]),
        _row(layout, turns, "webhooks a second, at most", lambda one: one.intake["most"], less_is_better=False),
        *(_row(layout, turns, f"{name}: share of a core", _cores(name), served=False) for name in processes),
        *(_row(layout, turns, f"{name}: MB of private memory", _memory(name), served=False) for name in processes),
    ]


def mail_cost(layout: str, turns: Turns) -> dict[str, float]:
    """By process, the CPU milliseconds of one mail: what a campaign used more than notify.toml alone, by mails."""
    found = {}
    for name in (*LAYOUTS[layout], "valkey"):
        pairs = zip(turns[State.CAMPAIGN], turns[State.IDLE], strict=True)
        costs = [(busy.cores[name] - idle.cores[name]) / busy.mails for busy, idle in pairs]
        found[name] = 1000 * statistics.median(costs)
    return found


def table(several: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "| --- | --- |" + " ---: |" * (len(HEADINGS) - 2)]
    return "\n".join([*lines, *("| " + " | ".join(row.cells()) + " |" for row in several)])


def _cores(name: str) -> Measure:
    return lambda one: one.cores[name]


def _memory(name: str) -> Measure:
    return lambda one: one.memory[name] / 1e6


def _row(
    layout: str, turns: Turns, name: str, measure: Measure, *, less_is_better: bool = True, served: bool = True
) -> Row:
    found = {state: [measure(one) for one in several] for state, several in turns.items()}
    values = {state: statistics.median(several) for state, several in found.items()}
    return Row(layout, name, values, _ratios(found), less_is_better, served)


def _delay(layout: str, turns: Turns, name: str, of: Callable[[list[float]], float]) -> Row:
    """The same of delays in ms, those of all rounds together."""
    found = {state: [1000 * of(one.delays) for one in several] for state, several in turns.items()}
    together = {state: [delay for one in several for delay in one.delays] for state, several in turns.items()}
    return Row(layout, name, {state: 1000 * of(delays) for state, delays in together.items()}, _ratios(found))


def _ratios(found: Mapping[State, Sequence[float]]) -> dict[State, list[float]]:
    bases = found[State.WITHOUT]
    return {
        state: [value / base for value, base in zip(several, bases, strict=True) if base]
        for state, several in found.items()
    }
