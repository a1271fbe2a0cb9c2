import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server import metrics
from tests.rig.process import ROOT

FAULTS, VIEWERS = "ticket_counter_store_faults_total", "ticket_counter_viewers"

CHILD = """
from server import metrics
metrics.store_faults.labels("ping").inc(3)
metrics.ws_viewers.inc(2)
metrics.flush_seconds.observe(0.002)
"""


EVERY = """
from prometheus_client.metrics import MetricWrapperBase
from server import metrics
from server.wix import webhooks
for type_ in (*webhooks.KNOWN, "none", "unknown"):
    for outcome in range(6):
        metrics.webhooks.labels(type_, f"outcome-{outcome}")
for one in vars(metrics).values():
    if isinstance(one, MetricWrapperBase) and one._is_parent() and one is not metrics.webhooks:
        for value in range(20):
            one.labels(*[f"a-long-label-{value}"] * len(one._labelnames))
"""
"""More than is ever counted: each type of webhook with six outcomes, and twenty labels of every other metric."""


def child(folder: Path, place: int, program: str = CHILD) -> None:
    """Run a supervisor's child that counts into the files of its place, until it has ended."""
    environment = {metrics.FOLDER: str(folder), metrics.PLACE: str(place)}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **environment}, check=True)


@contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Answer as a child with this folder."""
    os.environ[metrics.FOLDER] = str(folder)
    try:
        yield
    finally:
        del os.environ[metrics.FOLDER]


def samples() -> dict[tuple[str, str], float]:
    """The value of each sample, by its name and first label."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {(one.name, next(iter(one.labels.values()), "")): one.value for family in families for one in family.samples}


def test_single_process() -> None:
    """A single process reports its own counts, and the kernel's figures about it."""
    before = samples().get((FAULTS, "alone"), 0)
    metrics.store_faults.labels("alone").inc()

    assert before + 1 == samples()[FAULTS, "alone"]
    assert ("process_resident_memory_bytes", "") in samples()


def test_sums_of_all_children(tmp_path: Path) -> None:
    """Each child reports the sums over all, and no figure that has no sum."""
    metrics.store_faults.labels("of another process").inc()
    for place in (0, 1):
        metrics.create_files(str(tmp_path), place)
        child(tmp_path, place)

    with in_folder(tmp_path):
        found = samples()

    assert (6, 4) == (found[FAULTS, "ping"], found[VIEWERS, "ws"])
    assert 2 == found["ticket_counter_flush_seconds_count", ""]
    assert (FAULTS, "of another process") not in found
    assert ("process_resident_memory_bytes", "") not in found


def test_replaced_child_counts_on(tmp_path: Path) -> None:
    """A child that replaces a dead one counts on from its values, except those that hold only while it lives."""
    metrics.create_files(str(tmp_path), 0)
    child(tmp_path, 0)
    with in_folder(tmp_path):
        metrics.remove_live_file(str(tmp_path), 0)
        between = samples()

        metrics.create_files(str(tmp_path), 0)
        child(tmp_path, 0)

        assert (3, None) == (between[FAULTS, "ping"], between.get((VIEWERS, "ws")))
        assert (6, 2) == (samples()[FAULTS, "ping"], samples()[VIEWERS, "ws"])


def test_dead_child_removes_only_its_own_values(tmp_path: Path) -> None:
    """A dead child's removal leaves the others' values, even of a place whose number begins with the same digit."""
    for place in (1, 11):
        child(tmp_path, place)

    metrics.remove_live_file(str(tmp_path), 1)
    metrics.remove_live_file(str(tmp_path), 1)

    with in_folder(tmp_path):
        assert (6, 2) == (samples()[FAULTS, "ping"], samples()[VIEWERS, "ws"])


def test_scrape_before_any_count(tmp_path: Path) -> None:
    """Files that no process has opened yet hold no samples, and cause no error."""
    metrics.create_files(str(tmp_path), 0)

    with in_folder(tmp_path):
        assert {} == samples()


def test_files_never_grow(tmp_path: Path) -> None:
    """A child creates no file, and those created for it hold everything that is ever counted."""
    metrics.create_files(str(tmp_path), 0)
    made = {path.name: path.stat().st_size for path in tmp_path.iterdir()}

    child(tmp_path, 0, EVERY)

    assert {metrics.SIZE} == set(made.values())
    assert made == {path.name: path.stat().st_size for path in tmp_path.iterdir()}


def test_full_disk(tmp_path: Path) -> None:
    """If a file cannot be written whole, that is an error, and no part of it is ever read."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel refuses a file over the limit as it would on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (metrics.SIZE // 2, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            metrics.create_files(str(tmp_path), 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert [] == [*tmp_path.glob("*.db")]
    metrics.create_files(str(tmp_path), 0)
    with in_folder(tmp_path):
        assert {} == samples()


def test_metrics_folder_is_locked_and_removed() -> None:
    """The folder exists as long as it is used, is removed with its contents, and is locked against systemd-tmpfiles."""
    with metrics.folder() as folder:
        metrics.create_files(folder, 0)
        other = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)

    assert not Path(folder).exists()
