"""Writes the tables of docs/performance.md and its plot from the results of a benchmark: `python -m bench.report FILE`.

In: the JSON of `scripts/bench --json`. Out: the text between the markers of the page, and an SVG file. Every number in
the tables is from the JSON; the rest of the page is written by hand.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import servers
from bench.results import FIGURES, TITLES, Results, number

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PLOT = PAGE.with_suffix(".svg")
BEGIN, END = "<!-- figures: {} -->", "<!-- end -->"
SIZES = (1, 1000, 5000, 10_000, 18_000)
WALL_CLOCK, SATURATED = ("sustained",), 0.8
NO_RATIO = ("busy", "token", "half_p50", "half_p99")
"""Figures that are not comparable between servers."""
COLOURS = ("#d6006e", "#222222", "#777777", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#bcbd22", "#e377c2")  # fmt: skip
WIDTH, HEIGHT, MARGIN, LEGEND = 420, 300, 56, 190


def main(path: Path) -> None:
    """Write the page and the plot; raises SystemExit if results or markers are missing."""
    if not path.exists():
        raise SystemExit(f"there is no {path}: scripts/bench --json {path} writes it")
    results = Results.read(path)
    for name, text in _parts(results):
        replace_part(name, text)
    PLOT.write_text(_svg(results))


def replace_part(name: str, text: str) -> None:
    """Write one part of the page; raises SystemExit if its markers are missing."""
    begin = BEGIN.format(name)
    head, found, tail = PAGE.read_text().partition(begin)
    _, ends, after = tail.partition(END)
    if not found or not ends:
        raise SystemExit(f"{PAGE} has no place for {name}: add the lines {begin} and {END}")
    PAGE.write_text(f"{head}{begin}\n\n{text}\n\n{END}{after}")


def _parts(results: Results) -> Iterator[tuple[str, str]]:
    for size in SIZES:
        yield f"delivery {size}", _table(results, "delivery", size)
    for scenario, size in (("sustained", 10_000), ("many", 10_000), ("hot", 5000), ("stuck", 18_000)):
        yield scenario, _table(results, scenario, size)
    yield "end_to_end", _table(results, "end_to_end", 10_000)
    yield "intake", _table(results, "intake", 32)
    yield "versions", _versions(results)


def _table(results: Results, scenario: str, size: int) -> str:
    """One column per figure, one row per server; after each figure, the ratio of ticket-counter's to it."""
    run = results.runs.get(f"{scenario} {size}")
    if run is None:
        raise SystemExit(f"the file has no {scenario} of {size} sockets: scripts/bench {scenario} --json adds it")
    by_server: dict[str, dict[str, dict[str, Any]]] = {}
    for row in run["figures"]:
        by_server.setdefault(row["server"], {})[row["figure"]] = row
    figures = [figure for figure in FIGURES if any(figure in found for found in by_server.values())]
    lines = ["| | " + " | ".join(map(_heading, figures)) + " |", "| --- |" + " ---: |" * len(figures)]
    for server, found in by_server.items():
        cells = [_cell(found.get(figure), found.get("busy")) for figure in figures]
        lines.append(f"| {TITLES[server]} | " + " | ".join(cells) + " |")
    lines += ["", f"Medians of {run['rounds']} rounds, {run['seconds']:g} seconds each part."]
    lines += [f"{TITLES[server]} has no figures: {why}." for server, why in run["failed"].items()]
    return "\n".join(lines)


def _heading(figure: str) -> str:
    return FIGURES[figure].unit + (" (lower is better)" if FIGURES[figure].less_is_better else "")


def _cell(row: dict[str, Any] | None, busy: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    middle = number(row["median"])
    if row["figure"] in WALL_CLOCK and busy is not None and busy["median"] > SATURATED:
        # The viewers were the bottleneck: the server's limit may be higher.
        return f"≥ {middle}"
    if row["server"] == "ours" or row["ratio"] is None or row["figure"] in NO_RATIO:
        return middle
    return f"{middle} ({row['ratio']:.2f})"


def _versions(results: Results) -> str:
    found: dict[str, str] = {}
    dates = set()
    for run in results.runs.values():
        found.update(run["versions"])
        dates.add(run["date"][:10])
    named = "; ".join(f"{TITLES[name]} {found[name]}" for name in servers.NAMES if name in found)
    return f"Measured {' and '.join(sorted(dates))} on {results.measured_on}. {named}."


def _svg(results: Results) -> str:
    """CPU microseconds per delivery by number of sockets, one panel per number of publishes in flight."""
    panels = []
    for at, (figure, title) in enumerate((("one", "one publish at a time"), ("eight", "eight publishes at a time"))):
        lines = {
            name: [(size, 1e6 / value) for size in SIZES if (value := _median(results, size, name, figure))]
            for name in servers.NAMES
        }
        panels.append(_panel({n: points for n, points in lines.items() if points}, at * (WIDTH + MARGIN), title))
    shown = {row["server"] for size in SIZES for row in results.rows("delivery", size)}
    width = 2 * (WIDTH + MARGIN) + MARGIN + LEGEND
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + 2 * MARGIN}" '
        f'font-family="sans-serif" font-size="12" role="img">\n'
        f"<title>CPU time per delivery, by number of sockets</title>\n"
        f'<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(panels)
        + _legend(2 * (WIDTH + MARGIN) + MARGIN / 2, [name for name in servers.NAMES if name in shown])
        + "\n</svg>\n"
    )


def _median(results: Results, size: int, server: str, figure: str) -> float | None:
    for row in results.rows("delivery", size):
        if row["server"] == server and row["figure"] == figure:
            return float(row["median"])
    return None


def _panel(lines: dict[str, list[tuple[int, float]]], left: float, title: str) -> str:
    # ticket-counter is drawn last, above the others.
    lines = {name: lines[name] for name in sorted(lines, key=lambda name: name == "ours")}
    values = [value for points in lines.values() for _, value in points] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(size: float) -> float:
        return left + MARGIN + WIDTH * math.log10(size) / math.log10(20_000)

    def y(value: float) -> float:
        return MARGIN + HEIGHT * (high - math.log10(value)) / max(1, high - low)

    parts = [
        _text(left + MARGIN + WIDTH / 2, MARGIN - 24, f"CPU µs per delivery, {title}", "middle", "bold"),
        _text(left + MARGIN + WIDTH / 2, MARGIN + HEIGHT + 36, "sockets", "middle"),
    ]
    for exponent in range(low, high + 1):
        at = y(10.0**exponent)
        parts.append(_line([(left + MARGIN, at), (left + MARGIN + WIDTH, at)], "#dddddd", 1))
        parts.append(_text(left + MARGIN - 6, at + 4, f"{10.0**exponent:g}", "end"))
    for size in SIZES:
        parts.append(_line([(x(size), MARGIN), (x(size), MARGIN + HEIGHT)], "#eeeeee", 1))
        parts.append(_text(x(size), MARGIN + HEIGHT + 18, f"{size // 1000}k" if size >= 1000 else f"{size}", "middle"))
    for name, points in lines.items():
        colour = COLOURS[servers.NAMES.index(name) % len(COLOURS)]
        thick = 3.0 if name == "ours" else 1.5
        places = [(x(size), y(value)) for size, value in points]
        parts.append(_line(places, colour, thick))
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{thick + 1}" fill="{colour}"/>' for a, b in places]
    return "\n".join(parts)


def _legend(left: float, names: Sequence[str]) -> str:
    parts = []
    for row, name in enumerate(names):
        at = MARGIN + 20 * row
        colour = COLOURS[servers.NAMES.index(name) % len(COLOURS)]
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
