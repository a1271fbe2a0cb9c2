"""What was measured: every figure with its unit, its peer's and the ratio; kept as JSON, shown as a table.

In: rounds of figures by server. Out: text, and a file that bench/report.py makes the page of docs/ from. A file that is
there already keeps the questions that were not asked this time, each with its own date.
"""

import json
import platform
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import end_to_end, intake, questions, servers
from bench.questions import Figure, Question

FIGURES: dict[str, Figure] = {**questions.FIGURES, **end_to_end.FIGURES, **intake.FIGURES}

TITLES: dict[str, str] = {**intake.TITLES, **servers.TITLES}

QUESTIONS: dict[str, Question] = {
    **questions.QUESTIONS,
    "end_to_end": Question(end_to_end.end_to_end, (10_000,), ("ours", "limit")),
    "intake": Question(intake.intake, (32,), intake.SERVERS),
}


@dataclass(slots=True)
class Results:
    """All figures, by question and number of sockets."""

    kept: dict[str, Any] = field(default_factory=dict)
    failed_ours: bool = False

    @classmethod
    def read(cls, path: Path | None) -> "Results":
        """What an earlier run wrote, or nothing."""
        return cls(json.loads(path.read_text())["runs"] if path is not None and path.exists() else {})

    def add(
        self,
        question: str,
        sockets: int,
        found: Mapping[str, Mapping[str, list[float]]],
        failed: Mapping[str, str],
    ) -> None:
        """Take the figures of all rounds of one question."""
        self.failed_ours = self.failed_ours or "ours" in failed
        self.kept[f"{question} {sockets}"] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: servers.version(name) for name in found if name in servers.PEERS},
            "failed": dict(failed),
            "figures": [
                _row(figure, name, several, found.get("ours", {}).get(figure))
                for name, figures in found.items()
                for figure, several in figures.items()
            ],
        }

    def rows(self, question: str, sockets: int) -> list[dict[str, Any]]:
        """The figures of one question."""
        run = self.kept.get(f"{question} {sockets}", {})
        return list(run.get("figures", []))

    def show(self, question: str, sockets: int) -> None:
        """Print them."""
        rows = self.rows(question, sockets)
        print(f"\n{question}, {sockets} viewers; medians (least to most), and ours as a ratio of each")
        for figure in dict.fromkeys(row["figure"] for row in rows):
            print(f"\n{FIGURES[figure].unit}")
            for row in (row for row in rows if row["figure"] == figure):
                ratio = "" if row["ratio"] is None or row["server"] == "ours" else f"ours is {row['ratio']:.2f} of it"
                print(
                    f"  {TITLES[row['server']]:<34}{row['median']:>14,.1f}"
                    f"  ({min(row['all']):,.1f} to {max(row['all']):,.1f})  {ratio}"
                )
        print(flush=True)

    def write(self, path: Path) -> None:
        """Write everything."""
        text = json.dumps({"machine": machine(), "python": platform.python_version(), "runs": self.kept}, indent=1)
        path.write_text(text + "\n")


def machine() -> str:
    """The machine as a reader knows machines: its kernel and its processor."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"Linux {platform.release()}, {model or platform.machine()}"


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
        "ratio": statistics.median(ours) / middle if ours and middle else None,
    }
