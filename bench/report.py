"""Makes docs/performance.md's tables and its plot from what a bench wrote: `python -m bench.report FILE`.

In: the JSON of `scripts/bench --json`. Out: the text between the markers of the page, and an SVG beside it. The words
around the tables are a person's; every number in them is from the file.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import servers
from bench.figures import FIGURES, TITLES, Results

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PLOT = PAGE.with_suffix(".svg")
BEGIN, END = "<!-- figures: {} -->", "<!-- end -->"
SIZES = (1, 1000, 5000, 10_000, 18_000)
COLOURS = ("#d6006e", "#222222", "#777777", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#bcbd22", "#e377c2")  # fmt: skip
WIDTH, HEIGHT, MARGIN, LEGEND = 420, 300, 56, 190


def main(path: Path) -> None:
    """Write the page and the plot."""
    results = Results.read(path)
    page = PAGE.read_text()
    for name, text in _parts(results):
        begin = BEGIN.format(name)
        head, found, tail = page.partition(begin)
        if not found:
            raise SystemExit(f"{PAGE} has no place for {name}: add the lines {begin} and {END}")
        page = f"{head}{begin}\n\n{text}\n\n{END}{tail.partition(END)[2]}"
    PAGE.write_text(page)
    PLOT.write_text(_svg(results))


def _parts(results: Results) -> Iterator[tuple[str, str]]:
    for size in SIZES:
        yield f"delivery {size}", _table(results, "delivery", size)
    for question, size in (("sustained", 10_000), ("many", 10_000), ("hot", 5000), ("stuck", 18_000)):
        yield question, _table(results, question, size)
    yield "end_to_end", _table(results, "end_to_end", 10_000)
    yield "intake", _table(results, "intake", 32)
    yield "versions", _versions(results)


def _table(results: Results, question: str, size: int) -> str:
    """Figures across, servers down; beside each of a peer's what ours is of it."""
    rows = results.rows(question, size)
    figures = list(dict.fromkeys(row["figure"] for row in rows))
    by_server: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_server.setdefault(row["server"], {})[row["figure"]] = row
    lines = ["| | " + " | ".join(FIGURES[figure].unit for figure in figures) + " |"]
    lines.append("| --- |" + " ---: |" * len(figures))
    for server, found in by_server.items():
        cells = [_cell(found.get(figure), server) for figure in figures]
        lines.append(f"| {TITLES[server]} | " + " | ".join(cells) + " |")
    run = results.kept.get(f"{question} {size}", {})
    lines += [f"\n{TITLES[server]}: {why}." for server, why in run.get("failed", {}).items()]
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None, server: str) -> str:
    if row is None:
        return "–"
    ratio = "" if server == "ours" or row["ratio"] is None or row["figure"] == "busy" else f" ({row['ratio']:.2f})"
    return f"{number(row['median'])}{ratio}"


def number(value: float) -> str:
    """Three digits that count, and a comma between thousands."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{round(value, 2 - math.floor(math.log10(abs(value)))):,.{min(digits, 2)}f}"


def _versions(results: Results) -> str:
    found: dict[str, str] = {}
    dates = set()
    for run in results.kept.values():
        found.update(run["versions"])
        dates.add(run["date"][:10])
    named = ", ".join(f"{TITLES[name]}: {version}" for name, version in found.items() if version)
    return f"Measured {' and '.join(sorted(dates))}. {named}."


def _svg(results: Results) -> str:
    """CPU microseconds a delivery over the number of sockets, one panel for each way of publishing."""
    panels = []
    for at, (figure, title) in enumerate((("one", "a publish at a time"), ("eight", "eight publishes at a time"))):
        lines = {
            name: [(size, 1e6 / value) for size in SIZES if (value := _median(results, size, name, figure))]
            for name in servers.PEERS
        }
        panels.append(_panel({n: points for n, points in lines.items() if points}, at * (WIDTH + MARGIN), title))
    width = 2 * (WIDTH + MARGIN) + MARGIN + LEGEND
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + 2 * MARGIN}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(panels)
        + _legend(2 * (WIDTH + MARGIN) + MARGIN / 2)
        + "\n</svg>\n"
    )


def _median(results: Results, size: int, server: str, figure: str) -> float | None:
    for row in results.rows("delivery", size):
        if row["server"] == server and row["figure"] == figure:
            return float(row["median"])
    return None


def _panel(lines: dict[str, list[tuple[int, float]]], left: float, title: str) -> str:
    values = [value for points in lines.values() for _, value in points] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(size: float) -> float:
        return left + MARGIN + WIDTH * math.log10(size) / math.log10(20_000)

    def y(value: float) -> float:
        return MARGIN + HEIGHT * (high - math.log10(value)) / max(1, high - low)

    parts = [
        _text(left + MARGIN + WIDTH / 2, MARGIN - 24, f"CPU µs a delivery, {title}", "middle", "bold"),
        _text(left + MARGIN + WIDTH / 2, MARGIN + HEIGHT + 36, "sockets", "middle"),
    ]
    for exponent in range(low, high + 1):
        at = y(10.0**exponent)
        parts.append(_line([(left + MARGIN, at), (left + MARGIN + WIDTH, at)], "#dddddd", 1))
        parts.append(_text(left + MARGIN - 6, at + 4, number(10.0**exponent), "end"))
    for size in SIZES:
        parts.append(_line([(x(size), MARGIN), (x(size), MARGIN + HEIGHT)], "#eeeeee", 1))
        parts.append(_text(x(size), MARGIN + HEIGHT + 18, f"{size:,}", "middle"))
    for name, points in lines.items():
        colour = COLOURS[servers.PEERS.index(name) % len(COLOURS)]
        thick = 3.0 if name == "ours" else 1.5
        places = [(x(size), y(value)) for size, value in points]
        parts.append(_line(places, colour, thick))
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{thick + 1}" fill="{colour}"/>' for a, b in places]
    return "\n".join(parts)


def _legend(left: float) -> str:
    parts = []
    for row, name in enumerate(servers.PEERS):
        at = MARGIN + 20 * row
        colour = COLOURS[row % len(COLOURS)]
        parts.append(_line([(left, at), (left + 18, at)], colour, 3.0 if name == "ours" else 1.5))
        parts.append(_text(left + 24, at + 4, servers.TITLES[name], "start"))
    return "\n" + "\n".join(parts)


def _line(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    return f'<polyline points="{_places(points)}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _places(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{text}</text>'


if __name__ == "__main__":
    main(Path(sys.argv[1]))
