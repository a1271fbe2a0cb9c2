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

MEMBER = """
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
"""More than is ever counted: each type of webhook with its six outcomes, and of all else twenty labels."""


def member(folder: Path, place: int, program: str = MEMBER) -> None:
    """Let a process of a crew run that counts into these files, until it has ended without a word."""
    surroundings = {metrics.FOLDER: str(folder), metrics.PLACE: str(place)}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **surroundings}, check=True)


@contextmanager
def asked(folder: Path) -> Iterator[None]:
    """Answer as a member of the crew with this folder."""
    os.environ[metrics.FOLDER] = str(folder)
    try:
        yield
    finally:
        del os.environ[metrics.FOLDER]


def told() -> dict[tuple[str, str], float]:
    """What is said of each name and label."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {(one.name, next(iter(one.labels.values()), "")): one.value for family in families for one in family.samples}


def test_alone() -> None:
    """A single process says what it has counted itself, and what the kernel says of it."""
    before = told().get((FAULTS, "alone"), 0)
    metrics.store_faults.labels("alone").inc()

    assert before + 1 == told()[FAULTS, "alone"]
    assert ("process_resident_memory_bytes", "") in told()


def test_sums(tmp_path: Path) -> None:
    """Whichever member is asked says the sums of all, and nothing that has none."""
    metrics.store_faults.labels("of another process").inc()
    for place in (0, 1):
        metrics.prepare(str(tmp_path), place)
        member(tmp_path, place)

    with asked(tmp_path):
        found = told()

    assert (6, 4) == (found[FAULTS, "ping"], found[VIEWERS, "ws"])
    assert 2 == found["ticket_counter_flush_seconds_count", ""]
    assert (FAULTS, "of another process") not in found
    assert ("process_resident_memory_bytes", "") not in found


def test_a_place_is_taken_over(tmp_path: Path) -> None:
    """Who takes a dead process's place counts on where that has stopped, but for what was true only while it lived."""
    metrics.prepare(str(tmp_path), 0)
    member(tmp_path, 0)
    with asked(tmp_path):
        metrics.forget(str(tmp_path), 0)
        between = told()

        metrics.prepare(str(tmp_path), 0)
        member(tmp_path, 0)

        assert (3, None) == (between[FAULTS, "ping"], between.get((VIEWERS, "ws")))
        assert (6, 2) == (told()[FAULTS, "ping"], told()[VIEWERS, "ws"])


def test_only_its_own_share_is_forgotten(tmp_path: Path) -> None:
    """A dead process takes nothing of those that live with it, even of a place whose number begins as its own."""
    for place in (1, 11):
        member(tmp_path, place)

    metrics.forget(str(tmp_path), 1)
    metrics.forget(str(tmp_path), 1)

    with asked(tmp_path):
        assert (6, 2) == (told()[FAULTS, "ping"], told()[VIEWERS, "ws"])


def test_asked_before_anything_is_counted(tmp_path: Path) -> None:
    """Files that no process has opened yet are as good as none."""
    metrics.prepare(str(tmp_path), 0)

    with asked(tmp_path):
        assert {} == told()


def test_a_process_makes_no_file(tmp_path: Path) -> None:
    """Whatever a process counts goes into the files that were made for it, and they need not grow."""
    metrics.prepare(str(tmp_path), 0)
    made = {path.name: path.stat().st_size for path in tmp_path.iterdir()}

    member(tmp_path, 0, EVERY)

    assert {metrics.SIZE} == set(made.values())
    assert made == {path.name: path.stat().st_size for path in tmp_path.iterdir()}


def test_full_disk(tmp_path: Path) -> None:
    """Where a file cannot be made whole that is an error, and nobody ever finds a part of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # To the kernel that one is too large is the same as that all are too much.
    resource.setrlimit(resource.RLIMIT_FSIZE, (metrics.SIZE // 2, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            metrics.prepare(str(tmp_path), 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert [] == [*tmp_path.glob("*.db")]
    metrics.prepare(str(tmp_path), 0)
    with asked(tmp_path):
        assert {} == told()


def test_folder() -> None:
    """A crew's folder is there as long as it is used, with all that was left in it, and locked against who tidies up."""
    with metrics.folder() as folder:
        metrics.prepare(folder, 0)
        other = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)

    assert not Path(folder).exists()
