"""Figures of the kernel and of Python about a process for Prometheus, or about several that share a port, as sums.

In: /proc. Out: the metrics `process_*` and `python_info`, which have the same names and labels whether a process is alone or one of a
supervisor's children. Where there is no /proc, as on macOS, there are only those of Python.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

NEWEST = "process_start_time_seconds"
"""The one figure that is no sum: the last start, so that a restart of any of the processes shows."""
WAITED_FOR = slice(13, 15)
"""CPU time of children that have ended, among the fields of /proc/PID/stat after the name (proc(5): cutime, cstime)."""


class Processes(Collector):
    """The figures of this process; with *several* those of its parent, a supervisor, and of all children of that."""

    def __init__(self, *, several: bool = False) -> None:
        self._several = several

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        yield from PlatformCollector(registry=None).collect()
        if not self._several:
            yield from ProcessCollector(registry=None).collect()
            return
        sums: dict[str, Metric] = {}
        for pid in _supervised():
            for figure in _figures(pid):
                found = sums.setdefault(figure.name, figure)
                if found is not figure:
                    sums[figure.name] = _together(found, figure)
        yield from sums.values()


class Build(Collector):
    """The metric `ticketcounter_build_info`, which is always 1: its label is the *version* that runs."""

    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterable[Metric]:
        """The metric."""
        yield InfoMetricFamily("ticketcounter_build", "The version that runs", {"version": self._version})


def _supervised() -> Iterator[int]:
    """The process ids of our parent and of all its children, among which we are."""
    parent = os.getppid()
    yield parent
    children = Path(f"/proc/{parent}/task/{parent}/children")
    # Some kernels do not list them: then there are at least our own figures.
    yield from map(int, children.read_text().split()) if children.exists() else [os.getpid()]


def _figures(pid: int) -> Iterable[Metric]:
    """The figures of one process; none of one that has ended."""
    figures = {one.name: one for one in ProcessCollector(pid=lambda: pid, registry=None).collect()}
    if pid == os.getppid() and (cpu := figures.get("process_cpu_seconds")):
        # What ended children used stays in the sum, which must never fall.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        waited_for = sum(map(int, fields[WAITED_FOR])) / os.sysconf("SC_CLK_TCK")
        figures[cpu.name] = CounterMetricFamily(cpu.name, cpu.documentation, cpu.samples[0].value + waited_for)
    return figures.values()


def _together(one: Metric, other: Metric) -> Metric:
    """One figure of two processes."""
    values = [one.samples[0].value, other.samples[0].value]
    value = max(values) if one.name == NEWEST else sum(values)
    kind = CounterMetricFamily if one.type == "counter" else GaugeMetricFamily
    return kind(one.name, one.documentation, value)
