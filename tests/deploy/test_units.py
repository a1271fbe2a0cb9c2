"""The units of deploy/systemd: systemd accepts them, and what they allow a service is little."""

import subprocess
from pathlib import Path

import pytest

from tests.rig.process import ROOT
from tests.rig.tls_proxy import program, replaced

UNITS = ("ticket-counter.service", "ticket-counter-web@.service", "ticket-counter-worker@.service")
MOST_EXPOSED = 20
"""Of systemd's measure, from 0 to 100; a unit without restrictions has 96."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that is there, in a folder; templates as their instance 8000."""
    installed = tmp_path / "installed"
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    for name in UNITS:
        replaced(
            f"deploy/systemd/{name}",
            tmp_path / name.replace("@", "@8000"),
            {"/opt/ticket-counter/current/bin/ticket-counter": str(installed)},
        )
    return tmp_path


def test_every_unit_is_tested() -> None:
    """Each file of deploy/systemd is one of these units."""
    assert sorted(UNITS) == sorted(path.name for path in (ROOT / "deploy" / "systemd").iterdir())


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(units: Path, name: str) -> None:
    """`systemd-analyze verify` has nothing to say."""
    unit = units / name.replace("@", "@8000")

    assert "exit 0\n" == said("verify", "--man=no", str(unit))


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_allows_little(units: Path, name: str) -> None:
    """A service whose program is taken over can read and write little of the machine."""
    unit = units / name.replace("@", "@8000")

    assert said("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", str(unit)).startswith(
        "exit 0"
    )


def said(*words: str) -> str:
    found = subprocess.run([program("systemd-analyze"), *words], capture_output=True, text=True, check=False)
    return f"exit {found.returncode}\n{found.stdout}{found.stderr}"
