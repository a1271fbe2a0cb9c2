"""Every metric of this server, for Prometheus; other modules only count. No label ever holds what a client sent.

Several processes on one port (supervisor.py) count into files of one folder, and each of them answers with the sums,
because a scraper cannot choose the process that it reaches. Figures of Python and the kernel about a single process
(`process_*`, `python_*`) have no sum, so they are left out then.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER, PLACE = "PROMETHEUS_MULTIPROC_DIR", "METRICS_PLACE"
"""What the supervisor sets in the environment of a child: where the files are, and which of them are the child's."""
COUNTED, LIVE = ("counter", "histogram"), "gauge_livesum"
"""The library's names for a process's files: for values that stay, and for values that hold only while it lives."""
SIZE = 131_072
"""Bytes of such a file: twice the library's first size, and more than all metrics here need."""

if PLACE in os.environ:
    # Named by place, not by pid as the library would: a child that replaces a dead one goes on with its counts, and
    # restarts do not add files to read.
    _place = int(os.environ[PLACE])
    values.ValueClass = values.MultiProcessValue(lambda: _place)  # type: ignore[no-untyped-call] # the library's

webhooks = Counter("ticket_counter_webhooks", "Webhooks by type and what became of them", ["type", "outcome"])
marks = Counter("ticket_counter_marked_tickets", "Tickets marked by hints", ["reason"])
wix_calls = Counter("ticket_counter_wix_calls", "Calls to Wix by kind and outcome", ["kind", "outcome"])
wix_seconds = Histogram("ticket_counter_wix_seconds", "Seconds until Wix's answer", ["kind"])
lots = Counter("ticket_counter_lots", "Lots of due tickets claimed, by their most urgent reason", ["reason"])
kept = Counter("ticket_counter_kept", "Snapshots kept, by outcome", ["outcome"])
pauses = Counter("ticket_counter_site_pauses", "Sites paused after a fault of Wix", ["status"])
missing = Counter("ticket_counter_missing_tickets", "Tickets that Wix's answer left out, by what followed", ["outcome"])
unreported_falls = Counter("ticket_counter_untold_falls", "Falls of stock that a read found and no webhook reported")
silent_sites = Gauge(
    "ticket_counter_silent_sites",
    "Sites whose stock falls while no webhooks arrive, counted once in each process that watches them",
    multiprocess_mode="livesum",
)
sync_tickets = Counter(
    "ticket_counter_sync_tickets", "Tickets brought to a target, by what became of them", ["target", "state"]
)
sync_pauses = Counter("ticket_counter_sync_pauses", "Targets that wait after a fault of theirs", ["target"])
sync_marks = Counter(
    "ticket_counter_sync_marks", "Tickets marked as due at a target, by what marked them", ["target", "by"]
)
sync_due = Gauge("ticket_counter_sync_due", "Tickets due at a target", ["target"], multiprocess_mode="livesum")
sync_oldest = Gauge(
    "ticket_counter_sync_oldest_seconds",
    "Seconds for which the oldest due ticket has been due",
    ["target"],
    multiprocess_mode="livesum",
)
sync_parked = Gauge(
    "ticket_counter_sync_parked", "Tickets parked, or in conflict", ["target"], multiprocess_mode="livesum"
)
sync_paused = Gauge(
    "ticket_counter_sync_paused_seconds",
    "Seconds for which a person has paused a target; 0 = it is not paused",
    ["target"],
    multiprocess_mode="livesum",
)
topics = Gauge("ticket_counter_topics", "Topics open, counted once in each process", multiprocess_mode="livesum")
viewers = Gauge("ticket_counter_viewers", "Viewers connected", ["kind"], multiprocess_mode="livesum")
ws_viewers, sse_viewers = viewers.labels("ws"), viewers.labels("sse")
frames = Counter("ticket_counter_frames", "Frames written to viewers", ["kind"])
ws_frames, sse_frames = frames.labels("ws"), frames.labels("sse")
refused = Counter("ticket_counter_refused", "Viewers refused, by reason", ["reason"])
disallowed = Counter(
    "ticket_counter_disallowed", "Counters not shown because our rules do not allow them, by how they came", ["how"]
)
withdrawn = Counter("ticket_counter_withdrawn", "Numbers withdrawn because they could not be verified")
resyncs = Counter(
    "ticket_counter_resyncs", "Links to Redis opened again, so that what changed meanwhile is read, by cause", ["cause"]
)
silent_links = Counter("ticket_counter_silent_links", "Links to Redis closed because the probe did not come back")
dropped = Counter(
    "ticket_counter_dropped_viewers", "Viewers over WebSocket dropped without a close frame, by reason", ["reason"]
)
store_faults = Counter("ticket_counter_store_faults", "Redis calls that failed", ["call"])
target_seconds = Histogram(
    "ticket_counter_target_seconds",
    "Seconds until the answer of a ticketing system that sync writes to, by target and kind of request",
    ["target", "kind"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
target_errors = Counter(
    "ticket_counter_target_errors", "Requests to a target that it did not answer, or with an error", ["target", "error"]
)
flush_seconds = Histogram(
    "ticket_counter_flush_seconds",
    "Seconds that one flush took",
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1),
)


def text() -> bytes:
    """All metrics in Prometheus's text format."""
    if FOLDER not in os.environ:
        return generate_latest(REGISTRY)
    # Not REGISTRY: it has the same names, with the values of this process alone.
    summed = CollectorRegistry()
    MultiProcessCollector(summed)  # type: ignore[no-untyped-call] # the library's
    return generate_latest(summed)


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
