import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.child import exit_reason, spawn_reporting, tied_to_parent

ROOT = Path(__file__).parent.parent

PARENT = """
import subprocess, sys
from server.child import tied_to_parent

child = subprocess.Popen(tied_to_parent([sys.executable, "-c", sys.argv[1]]))
child.wait()
"""

CHILD = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def test_killed_parent() -> None:
    """A child whose parent is killed ends too."""
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()

        # The child holds the other end of the pipe: it closes when the child has ended.
        assert b"" == parent.stdout.read()


def test_parent_dead_before_start(tmp_path: Path) -> None:
    """A child whose parent died before the kernel could be asked to watch it does not start at all."""
    command = tied_to_parent(["touch", str(tmp_path / "started")])
    command[command.index(str(os.getpid()))] = "1"

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "the process that started this one is gone" in ended.stderr
    assert not (tmp_path / "started").exists()


def test_same_pid() -> None:
    """The command runs under the pid that subprocess gives, with its own arguments."""
    with subprocess.Popen(
        tied_to_parent(["/bin/sh", "-c", 'echo "$$ $1"', "sh", "two words"]), stdout=subprocess.PIPE
    ) as one:
        output, _ = one.communicate()

    assert f"{one.pid} two words\n" == output.decode()


def test_spawn_reporting() -> None:
    """A child gets the environment and a descriptor in its last argument, which ends with it."""
    program = "import os, sys; os.write(int(sys.argv[1].removeprefix('--report=')), os.environ['WORD'].encode())"

    process, pipe = spawn_reporting([sys.executable, "-c", program], {"WORD": "hello"})
    report = os.read(pipe, 100), os.read(pipe, 100)
    os.close(pipe)

    assert 0 == process.wait()
    assert (b"hello", b"") == report


def test_spawn_reporting_fails() -> None:
    """A child that cannot be started leaves no descriptor open."""
    before = {*Path("/proc/self/fd").iterdir()}

    with pytest.raises(OSError, match="Argument list too long"):
        spawn_reporting(["x" * 1_000_000], {})

    assert before == {*Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize(
    ("code", "reason"),
    [(0, "exit 0"), (2, "exit 2"), (-signal.SIGKILL, "killed by SIGKILL"), (-signal.SIGTERM, "killed by SIGTERM")],
)
def test_exit_reason(code: int, reason: str) -> None:
    """The reason of an end is the exit status, or the name of the signal that killed the process."""
    assert reason == exit_reason(code)
