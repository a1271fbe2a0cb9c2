"""The questions, the rounds, and the table: `scripts/bench --help`.

In: which servers, how many sockets, how many rounds. Out: a table of medians with their spread and ours as a ratio of
each, and with --json every figure. Rounds alternate between the servers, so that what else the machine does meets all.
"""

import json
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bench import servers
from bench.servers import Redis, Server
from bench.viewers import Viewers

PEERS = ("ours", "limit", "nchan", "starlette_loop")
WARM = 16
GAP = 0.051
"""Seconds between two publishes where they come one by one: ours sends at most every 50 ms, so all get that long."""

UNITS = {
    "accepts": "viewers let in, a CPU second",
    "bytes": "bytes of memory, an idle viewer",
    "one": "deliveries a CPU second, a publish at a time",
    "eight": "deliveries a CPU second, eight publishes at a time",
    "p50": "ms until half have it, 10 publishes a second",
    "p99": "ms until 99 of 100 have it, 10 publishes a second",
    "busy": "share of its core that the viewers' process used, at most",
}
LOWER_IS_BETTER = frozenset({"bytes", "p50", "p99"})


def main(
    sockets: Annotated[int, typer.Option(min=1, help="Viewers, each of eight tickets.")] = 5000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds over all servers; the median counts.")] = 5,
    only: Annotated[str, typer.Option(help=f"Servers, comma-separated: {', '.join(PEERS)}.")] = ",".join(PEERS),
    result: Annotated[Path | None, typer.Option("--json", help="Also write every figure to this file.")] = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Two rounds of 1,000 viewers.")] = False,
) -> None:
    """Measure what delivery costs, beside a loop in C and beside peers, on two cores of this machine."""
    if quick:
        sockets, rounds = 1000, 2
    names = [name for name in only.split(",") if servers.installed(name)]
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for name in names:
                print(f"round {number + 1} of {rounds}: {name}", flush=True)
                for question, figure in _measured(name, Path(folder), sockets).items():
                    found[name][question].append(figure)
    _print(found, sockets)
    if result is not None:
        result.write_text(json.dumps(_figures(found, sockets, rounds), indent=2) + "\n")


def _measured(name: str, folder: Path, sockets: int) -> dict[str, float]:
    redis = Redis.start(folder)
    server = servers.start(name, folder, redis)
    viewers = Viewers(folder)
    try:
        return _ask(server, viewers, sockets)
    finally:
        viewers.end()
        server.end()
        redis.process.kill()
        redis.process.wait()


def _ask(server: Server, viewers: Viewers, sockets: int) -> dict[str, float]:
    memory, cpu = server.memory, server.cpu
    opened = viewers.connect(server.port, servers.PATH, sockets)
    if opened["open"] != sockets:
        raise RuntimeError(f"{server.name} let in {opened['open']} of {sockets}")
    found = {"accepts": sockets / max(0.01, server.cpu - cpu), "bytes": (server.memory - memory) / sockets}
    viewers.trigger(server.publish_port, server.templates, sockets)
    viewers.run(WARM, 1)
    publishes = max(16, 800_000 // sockets // 8 * 8)
    busy = 0.0
    for question, inflight, gap in (("one", 1, GAP), ("eight", 8, 0.0)):
        cpu = server.cpu
        run = viewers.run(publishes if inflight > 1 else publishes // 2, inflight, gap=gap)
        found[question] = run["delivered"] / max(0.01, server.cpu - cpu)
        busy = max(busy, run["load_cpu"] / run["seconds"])
        if run["delivered"] != run["published"] * sockets:
            raise RuntimeError(f"{server.name} delivered {run['delivered']} of {run['published'] * sockets}")
    time.sleep(3 * GAP)  # a first publish right after a flush would wait for the next one
    calm = viewers.rate(10, 5)
    return {**found, "p50": calm["p50_ms"], "p99": calm["p99_ms"], "busy": busy}


def _print(found: dict[str, dict[str, list[float]]], sockets: int) -> None:
    print(f"\n{sockets} viewers; medians (least to most), and ours as a ratio of each\n")
    for question, unit in UNITS.items():
        print(unit)
        ours = statistics.median(found["ours"][question]) if "ours" in found else None
        for name, figures in found.items():
            several = figures[question]
            middle = statistics.median(several)
            ratio = "" if ours is None or name == "ours" or not middle else f"ours is {ours / middle:.2f} of it"
            print(f"  {name:<16}{middle:>12,.1f}  ({min(several):,.1f} to {max(several):,.1f})  {ratio}")


def _figures(found: dict[str, dict[str, list[float]]], sockets: int, rounds: int) -> dict[str, object]:
    ours = {question: statistics.median(several) for question, several in found.get("ours", {}).items()}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "sockets": sockets,
        "rounds": rounds,
        "figures": {
            name: {
                question: {
                    "unit": UNITS[question],
                    "median": statistics.median(several),
                    "all": several,
                    "lower_is_better": question in LOWER_IS_BETTER,
                    "ours_to_it": ours[question] / statistics.median(several) if ours and any(several) else None,
                }
                for question, several in figures.items()
            }
            for name, figures in found.items()
        },
    }


if __name__ == "__main__":
    typer.run(main)
