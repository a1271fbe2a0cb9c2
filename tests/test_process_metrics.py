import json
import os
import resource
import subprocess
import sys
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from server.process_metrics import Build, Processes
from tests.rig.process import ROOT

PARENT = """
import json, subprocess, sys, time
# A child that has ended, after it used the CPU.
subprocess.run([sys.executable, "-c", "import time\\nend = time.process_time() + 0.5\\nwhile time.process_time() < end: pass"])
other = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1)
other.stdout.readline()
asking = [sys.executable, "-c", sys.argv[1]]
print(subprocess.run(asking, stdout=-1, check=True, text=True).stdout)
other.communicate(b"\\n")
"""
"""As a supervisor: one child has ended, one waits, and one asks."""

ASK = """
import json, os
from pathlib import Path
from server.process_metrics import Processes
parent = os.getppid()
pids = [parent, *map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())]
def pages(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
found = {sample.name: sample.value for family in Processes(several=True).collect() for sample in family.samples}
print(json.dumps({"found": found, "processes": len(pids), "resident": sum(map(pages, pids)) * os.sysconf("SC_PAGESIZE"),
    "fds": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)}))
"""


def values(collector: Collector) -> dict[tuple[str, str], float]:
    """The value of each sample, by its name and its label `version`."""
    registry = CollectorRegistry()
    registry.register(collector)
    return {(s.name, s.labels.get("version", "")): s.value for family in registry.collect() for s in family.samples}


def asked() -> dict[str, Any]:
    """What a child of several processes finds, beside what it looked up itself."""
    answer = subprocess.run(
        [sys.executable, "-c", PARENT, ASK],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(answer.stdout))


def test_figures_of_one_process() -> None:
    """One process reports the kernel's figures about itself, and its Python."""
    found = values(Processes())

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == found["process_max_fds", ""]
    assert found["process_resident_memory_bytes", ""] > 1e6
    assert 1 == found["python_info", sys.version.split()[0]]


def test_figures_of_several_processes_are_sums() -> None:
    """A child reports the sums over its parent and all children of that, and the start of the newest of them."""
    answer = asked()
    found, soft = answer["found"], resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    assert 3 == answer["processes"]
    assert 3 * soft == found["process_max_fds"]
    assert abs(found["process_open_fds"] - answer["fds"]) <= 2  # those that the counting itself needs
    assert 0.7 < found["process_resident_memory_bytes"] / answer["resident"] < 1.3
    assert found["process_start_time_seconds"] > values(Processes())["process_start_time_seconds", ""]


def test_cpu_of_ended_processes_stays_in_the_sum() -> None:
    """What a child used that has ended stays in the sum, which never falls."""
    assert asked()["found"]["process_cpu_seconds_total"] >= 0.5


def test_names_of_one_and_several_are_the_same() -> None:
    """One process and several report the same figures under the same names and labels."""
    assert set(values(Processes())) == set(values(Processes(several=True)))


def test_build_info() -> None:
    """The version that runs is a label of a metric that is 1."""
    assert {("ticketcounter_build_info", "1.2.3"): 1.0} == values(Build("1.2.3"))
