import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from server import metrics
from tests.rig.process import ROOT

FAULTS, VIEWERS = "ticketcounter_store_faults_total", "ticketcounter_viewers"

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


def own_samples() -> set[str]:
    """The names of the samples that come from the files of this server's processes."""
    return {name for name, _ in samples() if name.startswith("ticketcounter_")} - {"ticketcounter_build_info"}


def printed(environment: dict[str, str], program: str) -> list[Metric]:
    """What a process answers after it has run a program; alone without an environment of a supervisor."""
    answering = f"{program}\nprint(metrics.text().decode())"
    given = {**os.environ, **environment}
    run = subprocess.run(
        [sys.executable, "-c", answering], cwd=ROOT, env=given, check=True, capture_output=True, text=True
    )
    return [*text_string_to_metric_families(run.stdout)]


def described(families: list[Metric]) -> set[tuple[str, str, str, str]]:
    """The name, type, text and labels of each series."""
    return {(s.name, f.type, f.documentation, str(sorted(s.labels.items()))) for f in families for s in f.samples}


def counted(families: list[Metric]) -> set[tuple[str, str, float]]:
    """The value of each series of this server, by its name and labels."""
    return {
        (s.name, str(sorted(s.labels.items())), s.value)
        for f in families
        for s in f.samples
        if s.name.startswith("ticketcounter_")
    }


def test_single_process() -> None:
    """A single process reports its own counts, and the kernel's figures about it."""
    before = samples().get((FAULTS, "alone"), 0)
    metrics.store_faults.labels("alone").inc()

    assert before + 1 == samples()[FAULTS, "alone"]
    assert ("process_resident_memory_bytes", "") in samples()


def test_sums_of_all_children(tmp_path: Path) -> None:
    """Each child reports the sums over all children."""
    metrics.store_faults.labels("of another process").inc()
    for place in (0, 1):
        metrics.create_files(str(tmp_path), place)
        child(tmp_path, place)

    with in_folder(tmp_path):
        found = samples()

    assert (6, 4) == (found[FAULTS, "ping"], found[VIEWERS, "ws"])
    assert 2 == found["ticketcounter_flush_seconds_count", ""]
    assert (FAULTS, "of another process") not in found
    assert ("process_resident_memory_bytes", "") in found


def test_series_are_the_same_for_one_and_several_processes(tmp_path: Path) -> None:
    """One process and several answer with the same metrics: names, labels, types and texts; and with the same sums."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder, places in ((alone, 0), (together, 2)):
        folder.mkdir()
        for place in range(places):
            metrics.create_files(str(folder), place)
    one = printed({}, CHILD * 2)
    child(together, 0)
    several = printed({metrics.FOLDER: str(together), metrics.PLACE: "1"}, CHILD)

    assert described(one) == described(several)
    assert counted(one) == counted(several)
    assert (FAULTS, 6.0) in {(name, value) for name, _, value in counted(one)}


def test_no_series_of_creation_times() -> None:
    """There are no `_created` series, which would double the number of all."""
    metrics.store_faults.labels("alone").inc()

    assert [] == [name for name, _ in samples() if name.endswith("_created")]


def test_build_info_and_figures_of_the_process() -> None:
    """The version that runs is there, and the garbage collector's figures, which have no sum, are not."""
    names = {name for name, _ in samples()}

    assert ("ticketcounter_build_info", version("ticket-counter")) in samples()
    assert "python_info" in names
    assert not {name for name in names if name.startswith("python_gc")}


def test_version_of_what_is_not_installed() -> None:
    """A server that was copied and not installed counts as of an unknown version, and runs."""
    program = "import importlib.metadata as m\ndef none(name): raise m.PackageNotFoundError\nm.version = none\n"

    run = [sys.executable, "-c", f"{program}from server import metrics; print(metrics.VERSION)"]

    assert "unknown\n" == subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_names_of_metrics() -> None:
    """Names are as Prometheus's own check wants them: none has a type in it, and those of counters alone end with _total."""
    types = {"counter", "gauge", "histogram", "summary", "untyped"}
    for family in text_string_to_metric_families(metrics.text().decode()):
        words = family.name.split("_")
        assert family.name.startswith(("ticketcounter_", "process_", "python_"))
        assert family.documentation
        assert not types & set(words), family.name
        # The parser takes _total from the names of counters.
        assert not {"total", "count", "sum", "bucket"} & set(words[-1:]), family.name


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
        assert set() == own_samples()


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
        assert set() == own_samples()


def test_metrics_folder_is_locked_and_removed() -> None:
    """The folder exists as long as it is used, is removed with its contents, and is locked against systemd-tmpfiles."""
    with metrics.folder() as folder:
        metrics.create_files(folder, 0)
        other = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)

    assert not Path(folder).exists()
