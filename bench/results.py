"""What was measured: every figure with its unit, its peer's and the ratio; kept as JSON, shown as a table.

In: rounds of figures by server. Out: text, and a file that bench/report.py makes the page of docs/ from. A file that is
there already keeps the questions that were not asked this time, each with its own date.
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
        """What an earlier run wrote, or nothing."""
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
        """Take the figures of all rounds of one scenario."""
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
        """Print them."""
        rows = self.rows(scenario, sockets)
        print(f"\n{scenario}, {sockets} viewers; medians (least to most), and ours as a ratio of each")
        for figure in dict.fromkeys(row["figure"] for row in rows):
            print(f"\n{FIGURES[figure].unit}")
            for row in (row for row in rows if row["figure"] == figure):
                ratio = "" if row["ratio"] is None or row["server"] == "ours" else f"ours is {row['ratio']:.2f} of it"
                print(
                    f"  {TITLES[row['server']]:<40}{number(row['median']):>12}"
                    f"  ({number(min(row['all']))} to {number(max(row['all']))})  {ratio}"
                )
        print(flush=True)

    def write(self, path: Path) -> None:
        """Write everything."""
        path.write_text(json.dumps({"machine": machine(), "runs": self.runs}, indent=1) + "\n")


def machine() -> str:
    """The machine as a reader knows machines: its kernel, its processor, its Python."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = os.cpu_count()
    return f"Linux {platform.release()}, {cores} cores of {model or platform.machine()}, {python()}"


def python() -> str:
    """The Python that we run on."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def number(value: float) -> str:
    """Three digits that count, and a comma between thousands."""
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
        # Of each round: what else the machine did then met both.
        "ratio": statistics.median(map(_ratio, ours, several)) if ours else None,
    }


def _ratio(ours: float, its: float) -> float:
    return ours / its if its else math.inf
