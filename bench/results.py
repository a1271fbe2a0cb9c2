"""The results: every figure with its unit and ratio, stored as JSON and printed as a table.

In: rounds of figures by server. Out: text, and a file from which bench/report.py writes docs/performance.md. An
existing file keeps the scenarios that were not run this time, each with its own date.
"""

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import end_to_end, intake, scenarios, servers
from bench.scenarios import Figure, Scenario

FIGURES: dict[str, Figure] = {**scenarios.FIGURES, **end_to_end.FIGURES, **intake.FIGURES}

TITLES: dict[str, str] = {**intake.TITLES, **servers.TITLES}

SCENARIOS: dict[str, Scenario] = {
    **scenarios.SCENARIOS,
    "end_to_end": Scenario(end_to_end.end_to_end, (10_000,), ("ours", "limit")),
    "intake": Scenario(intake.intake, (32,), intake.SERVERS),
}


@dataclass(slots=True)
class Results:
    """All figures, by scenario and number of sockets."""

    runs: dict[str, Any] = field(default_factory=dict)
    measured_on: str = ""
    failed_ours: bool = False

    @classmethod
    def read(cls, path: Path | None) -> "Results":
        """Read the results of an earlier run, if any."""
        if path is None or not path.exists():
            return cls()
        found = json.loads(path.read_text())
        return cls(found["runs"], found["machine"])

    def add(
        self,
        scenario: str,
        sockets: int,
        seconds: float,
        found: Mapping[str, Mapping[str, list[float]]],
        failed: Mapping[str, str],
    ) -> None:
        """Add the figures of all rounds of one scenario."""
        self.failed_ours = self.failed_ours or "ours" in failed
        self.runs[f"{scenario} {sockets}"] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "rounds": max((len(several) for figures in found.values() for several in figures.values()), default=0),
            "seconds": seconds,
            "versions": {name: servers.version(name) for name in found if name in servers.NAMES},
            "failed": dict(failed),
            "figures": [
                _row(figure, name, several, found.get("ours", {}).get(figure))
                for name, figures in found.items()
                for figure, several in figures.items()
            ],
        }

    def rows(self, scenario: str, sockets: int) -> list[dict[str, Any]]:
        """The figures of one scenario."""
        run = self.runs.get(f"{scenario} {sockets}", {})
        return list(run.get("figures", []))

    def show(self, scenario: str, sockets: int) -> None:
        """Print the figures of one scenario."""
        rows = self.rows(scenario, sockets)
        print(
            f"\n{scenario}, {sockets} viewers; medians (minimum to maximum), and the ratio of ticket-counter's figure"
        )
        for figure in dict.fromkeys(row["figure"] for row in rows):
            print(f"\n{FIGURES[figure].unit}")
            for row in (row for row in rows if row["figure"] == figure):
                ratio = "" if row["ratio"] is None or row["server"] == "ours" else f"ratio {row['ratio']:.2f}"
                print(
                    f"  {TITLES[row['server']]:<40}{number(row['median']):>12}"
                    f"  ({number(min(row['all']))} to {number(max(row['all']))})  {ratio}"
                )
        print(flush=True)

    def write(self, path: Path) -> None:
        """Write all results."""
        path.write_text(json.dumps({"machine": machine(), "runs": self.runs}, indent=1) + "\n")


def machine() -> str:
    """The machine's kernel, processor and Python."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = os.cpu_count()
    return f"Linux {platform.release()}, {cores} cores of {model or platform.machine()}, {python()}"


def python() -> str:
    """The Python implementation and version."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def number(value: float) -> str:
    """Format a number with three significant digits and a comma between thousands."""
    if value == 0:
        return "0"
    after = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, after):,.{min(max(after, 0), 2)}f}"


def _row(figure: str, server: str, several: list[float], ours: list[float] | None) -> dict[str, Any]:
    middle = statistics.median(several)
    return {
        "figure": figure,
        "server": server,
        "unit": FIGURES[figure].unit,
        "less_is_better": FIGURES[figure].less_is_better,
        "median": middle,
        "all": several,
        "ours": statistics.median(ours) if ours else None,
        # The median of the ratios within each round: other load on the machine affected both.
        "ratio": statistics.median(map(_ratio, ours, several)) if ours else None,
    }


def _ratio(ours: float, its: float) -> float:
    return ours / its if its else math.inf
