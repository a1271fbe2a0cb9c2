"""Every metric of this server, for Prometheus; other modules only count. No label ever holds what a client sent.

Several processes on one port (supervisor.py) count into files of one folder, and each of them answers with the sums, because a
scraper cannot choose the process that it reaches. The names and labels are the same for one process and for several.
`promtool check metrics` has no complaint about the names: none has the word counter, which is a type, between underscores.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from server.process_metrics import Build, Processes

FOLDER, PLACE = "PROMETHEUS_MULTIPROC_DIR", "METRICS_PLACE"
"""What the supervisor sets in the environment of a child: where the files are, and which of them are the child's."""
try:
    VERSION = version("ticket-counter")
except PackageNotFoundError:  # the folder was copied, not installed: that is no reason not to run
    VERSION = "unknown"
COUNTED, LIVE = ("counter", "histogram"), "gauge_livesum"
"""The library's names for a process's files: for values that stay, and for values that hold only while it lives."""
SIZE = 131_072
"""Bytes of such a file: twice the library's first size, and more than all metrics here need."""

if PLACE in os.environ:
    # Named by place, not by pid as the library would: a child that replaces a dead one goes on with its counts, and
    # restarts do not add files to read.
    _place = int(os.environ[PLACE])
    values.ValueClass = values.MultiProcessValue(lambda: _place)  # type: ignore[no-untyped-call] # the library's

# A time for each series would double their number, and the format with a place for it (OpenMetrics) is not served.
disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
# Those of the garbage collector cannot be read of other processes, and so have no sum.
for _collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
    REGISTRY.unregister(_collector)
REGISTRY.register(Processes())
REGISTRY.register(Build(VERSION))

webhooks = Counter("ticketcounter_webhooks", "Webhooks by type and what became of them", ["type", "outcome"])
marks = Counter("ticketcounter_marked_tickets", "Tickets marked by hints", ["reason"])
wix_calls = Counter("ticketcounter_wix_calls", "Calls to Wix by kind and outcome", ["kind", "outcome"])
wix_seconds = Histogram("ticketcounter_wix_seconds", "Seconds until Wix's answer", ["kind"])
lots = Counter("ticketcounter_lots", "Lots of due tickets claimed, by their most urgent reason", ["reason"])
kept = Counter("ticketcounter_kept", "Snapshots kept, by outcome", ["outcome"])
pauses = Counter("ticketcounter_site_pauses", "Sites paused after a fault of Wix", ["status"])
missing = Counter("ticketcounter_missing_tickets", "Tickets that Wix's answer left out, by what followed", ["outcome"])
unreported_falls = Counter("ticketcounter_untold_falls", "Falls of stock that a read found and no webhook reported")
silent_sites = Gauge(
    "ticketcounter_silent_sites",
    "Sites whose stock falls while no webhooks arrive, counted once in each process that watches them",
    multiprocess_mode="livesum",
)
silent_wix = Gauge(
    "ticketcounter_silent_wix_sites",
    "Sites for which Wix does not answer, counted once in each process",
    multiprocess_mode="livesum",
)
missing_workers = Gauge(
    "ticketcounter_missing_workers", "1 in each web process that finds no worker alive", multiprocess_mode="livesum"
)
sync_tickets = Counter(
    "ticketcounter_sync_tickets", "Tickets brought to a target, by what became of them", ["target", "state"]
)
sync_pauses = Counter("ticketcounter_sync_pauses", "Targets that wait after a fault of theirs", ["target"])
sync_marks = Counter(
    "ticketcounter_sync_marks", "Tickets marked as due at a target, by what marked them", ["target", "by"]
)
sync_due = Gauge("ticketcounter_sync_due", "Tickets due at a target", ["target"], multiprocess_mode="livesum")
sync_oldest = Gauge(
    "ticketcounter_sync_oldest_seconds",
    "Seconds for which the oldest due ticket has been due",
    ["target"],
    multiprocess_mode="livesum",
)
sync_parked = Gauge(
    "ticketcounter_sync_parked", "Tickets parked, or in conflict", ["target"], multiprocess_mode="livesum"
)
sync_paused = Gauge(
    "ticketcounter_sync_paused_seconds",
    "Seconds for which a person has paused a target; 0 = it is not paused",
    ["target"],
    multiprocess_mode="livesum",
)
notify_messages = Counter(
    "ticketcounter_notify_messages", "Recipients by channel and what became of them", ["channel", "outcome"]
)
notify_pauses = Counter("ticketcounter_notify_pauses", "Pauses after faults of a relay or a push service", ["channel"])
notify_waiting = Gauge(
    "ticketcounter_notify_waiting", "Recipients that wait for another try", ["channel"], multiprocess_mode="livesum"
)
notify_oldest = Gauge(
    "ticketcounter_notify_oldest_seconds",
    "Seconds since the start of the oldest campaign that is not over",
    ["channel"],
    multiprocess_mode="livesum",
)
notify_paused = Gauge(
    "ticketcounter_notify_paused_seconds",
    "Seconds for which a relay or a push service has been paused; 0 = it is not paused",
    ["server"],
    multiprocess_mode="livesum",
)
topics = Gauge("ticketcounter_topics", "Topics open, counted once in each process", multiprocess_mode="livesum")
viewers = Gauge("ticketcounter_viewers", "Viewers connected", ["kind"], multiprocess_mode="livesum")
ws_viewers, sse_viewers = viewers.labels("ws"), viewers.labels("sse")
frames = Counter("ticketcounter_frames", "Frames written to viewers", ["kind"])
ws_frames, sse_frames = frames.labels("ws"), frames.labels("sse")
refused = Counter("ticketcounter_refused", "Viewers refused, by reason", ["reason"])
untrusted_forwarded = Counter(
    "ticketcounter_untrusted_forwarded",
    "Requests with X-Forwarded-For from a peer that is not in TRUSTED_PROXIES",
)
disallowed = Counter(
    "ticketcounter_disallowed", "Counters not shown because our rules do not allow them, by how they came", ["how"]
)
withdrawn = Counter("ticketcounter_withdrawn", "Numbers withdrawn because they could not be verified")
resyncs = Counter(
    "ticketcounter_resyncs", "Links to Redis opened again, so that what changed meanwhile is read, by cause", ["cause"]
)
silent_links = Counter("ticketcounter_silent_links", "Links to Redis closed because the probe did not come back")
dropped = Counter(
    "ticketcounter_dropped_viewers", "Viewers over WebSocket dropped without a close frame, by reason", ["reason"]
)
store_faults = Counter("ticketcounter_store_faults", "Redis calls that failed", ["call"])
opt_outs = Counter("ticketcounter_opt_outs", "Requests to leave a list, by what became of them", ["outcome"])
opt_outs.labels("not_kept")  # 0 from the start: an alert sees the rise of a series, not its first value
notify_requests = Counter(
    "ticketcounter_notify_requests",
    "Opt-outs and sign-ups on their way to a marketing tool, by what became of each try",
    ["kind", "outcome"],
)
for _kind in ("opt-out", "sign-up"):
    notify_requests.labels(_kind, "parked")  # the same
target_seconds = Histogram(
    "ticketcounter_target_seconds",
    "Seconds until the answer of a ticketing system that sync writes to, by target and kind of request",
    ["target", "kind"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
target_errors = Counter(
    "ticketcounter_target_errors", "Requests to a target that it did not answer, or with an error", ["target", "error"]
)
flush_seconds = Histogram(
    "ticketcounter_flush_seconds",
    "Seconds that one flush took",
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1),
)


def text() -> bytes:
    """All metrics in Prometheus's text format."""
    if FOLDER not in os.environ:
        return generate_latest(REGISTRY)
    # Not REGISTRY: it has the same names, with the values of this process alone.
    summed = CollectorRegistry()
    summed.register(_Sums())
    summed.register(Processes(several=True))
    summed.register(Build(VERSION))
    return generate_latest(summed)


class _Sums(Collector):
    """The sums over all files of the folder, and each metric that has no series yet, as a single process has it."""

    def collect(self) -> Iterable[Metric]:
        sums = MultiProcessCollector(None)  # type: ignore[no-untyped-call] # the library's
        own = [one for one in globals().values() if isinstance(one, MetricWrapperBase)]
        described = {family.name: family for one in own for family in one.describe()}
        yield from (described | {family.name: family for family in sums.collect()}).values()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """A folder for the files of a supervisor's children; raises OSError where none can be made."""
    with tempfile.TemporaryDirectory(prefix="ticket-counter-") as found:
        held = os.open(found, os.O_RDONLY)
        try:
            # systemd-tmpfiles deletes old files, but leaves a folder that is locked.
            fcntl.flock(held, fcntl.LOCK_SH)
            yield found
        finally:
            os.close(held)


def create_files(folder: str, place: int) -> None:
    """Create the missing files of a child before it starts; raises OSError.

    The library would create them empty, and a scrape in that moment would fail. It would also create them sparse, and
    on a full disk the kernel would end the process (SIGBUS) when it counts.
    """
    for kind in (*COUNTED, LIVE):
        path = Path(folder, f"{kind}_{place}.db")
        if not path.exists():
            whole = path.with_suffix(".new")
            whole.write_bytes(bytes(SIZE))
            whole.rename(path)


def remove_live_file(folder: str, place: int) -> None:
    """Drop a dead child's share of what holds only while it lives, such as viewers; what it counted stays."""
    # The library has a function for that, but it lists the folder first, and does nothing if it gets no descriptor.
    Path(folder, f"{LIVE}_{place}.db").unlink(missing_ok=True)
