"""Every metric of this house, for Prometheus; other rooms only count. No label ever holds what a stranger sent.

Several processes on one port (supervisor.py) count into files of one folder, and each of them answers with the sums: who asks
cannot choose whom. What Python and the kernel say of a single process is not among them, as it has no sum.
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
"""What a crew sets in the environment of its members: where the files are, and which of them are this process's."""
COUNTED, LIVE = ("counter", "histogram"), "gauge_livesum"
"""How the library calls the files of a process: what was counted, and what is true only while it lives."""
SIZE = 131_072
"""Bytes of such a file, twice what the library begins with; all that is counted here takes less."""

if PLACE in os.environ:
    # Not by pid, as the library would name them: who comes after a dead process counts on where that has stopped, and
    # however often they die there are no more files to read.
    _place = int(os.environ[PLACE])
    values.ValueClass = values.MultiProcessValue(lambda: _place)  # type: ignore[no-untyped-call] # the library's

webhooks = Counter("ticket_counter_webhooks", "Webhooks by type and what became of them", ["type", "outcome"])
marks = Counter("ticket_counter_marked_tickets", "Tickets marked by hints", ["reason"])
wix_calls = Counter("ticket_counter_wix_calls", "Calls to Wix by kind and outcome", ["kind", "outcome"])
wix_seconds = Histogram("ticket_counter_wix_seconds", "Seconds until Wix's answer", ["kind"])
lots = Counter("ticket_counter_lots", "Lots of due tickets claimed, by their most urgent reason", ["reason"])
kept = Counter("ticket_counter_kept", "Snapshots by what keeping them did", ["outcome"])
pauses = Counter("ticket_counter_site_pauses", "Sites paused after a fault of Wix", ["status"])
missing = Counter("ticket_counter_missing_tickets", "Tickets that Wix's answer left out, by what followed", ["outcome"])
untold = Counter("ticket_counter_untold_falls", "Falls of stock that a read found and no webhook told of")
silent = Gauge(
    "ticket_counter_silent_sites",
    "Sites whose stock falls and whose webhooks stay away, once a process that watches them",
    multiprocess_mode="livesum",
)
topics = Gauge("ticket_counter_topics", "Topics open, once a process", multiprocess_mode="livesum")
viewers = Gauge("ticket_counter_viewers", "Viewers connected", ["kind"], multiprocess_mode="livesum")
ws_viewers, sse_viewers = viewers.labels("ws"), viewers.labels("sse")
frames = Counter("ticket_counter_frames", "Frames written to viewers", ["kind"])
ws_frames, sse_frames = frames.labels("ws"), frames.labels("sse")
refused = Counter("ticket_counter_refused", "Viewers refused, by reason", ["reason"])
withdrawn = Counter("ticket_counter_withdrawn", "Numbers withdrawn because they could not be verified")
resyncs = Counter(
    "ticket_counter_resyncs", "Links to Redis opened anew, so that what was told meanwhile is read, by kind", ["cause"]
)
silent_links = Counter("ticket_counter_silent_links", "Links to Redis left because our own probe did not come back")
dropped = Counter("ticket_counter_dropped_viewers", "Viewers over WebSocket cut off without a word", ["reason"])
store_faults = Counter("ticket_counter_store_faults", "Redis calls that failed", ["call"])
flush_seconds = Histogram(
    "ticket_counter_flush_seconds", "Seconds one flush took", buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1)
)


def text() -> bytes:
    """All metrics in Prometheus's text format."""
    if FOLDER not in os.environ:
        return generate_latest(REGISTRY)
    # A registry of its own: the other has the same names, with the values of this process alone.
    summed = CollectorRegistry()
    MultiProcessCollector(summed)  # type: ignore[no-untyped-call] # the library's
    return generate_latest(summed)


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """A folder for the files of a crew; raises OSError where none can be made."""
    with tempfile.TemporaryDirectory(prefix="ticket-counter-") as found:
        held = os.open(found, os.O_RDONLY)
        try:
            # systemd-tmpfiles clears what is old, but not what is locked.
            fcntl.flock(held, fcntl.LOCK_SH)
            yield found
        finally:
            os.close(held)


def prepare(folder: str, place: int) -> None:
    """Make the files of a process that is to start, where they are missing; raises OSError.

    The library would make them empty first, and who asks in that moment cannot read them; and it would make them of
    nothing, so that on a full disk the kernel ends the process when it counts.
    """
    for kind in (*COUNTED, LIVE):
        path = Path(folder, f"{kind}_{place}.db")
        if not path.exists():
            whole = path.with_suffix(".new")
            whole.write_bytes(bytes(SIZE))
            whole.rename(path)


def forget(folder: str, place: int) -> None:
    """Take a dead process's share out of what is true only while it lives, such as viewers; what it counted stays."""
    # As the library would, but it looks for the file first, and without a descriptor to do so leaves it.
    Path(folder, f"{LIVE}_{place}.db").unlink(missing_ok=True)
