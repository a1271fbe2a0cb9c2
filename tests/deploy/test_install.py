"""deploy/install: versions beside each other, of which one is current, and the way back."""

import subprocess
from pathlib import Path

from tests.rig.process import ROOT


def install(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run deploy/install, where new files are for their owner alone."""
    command = [str(ROOT / "deploy" / "install"), *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, umask=0o077)


def test_a_version_becomes_current_and_can_be_left_again(tmp_path: Path) -> None:
    """A new version becomes the current one and runs without the checkout; `--back` returns to the one before, and again to it."""
    old = tmp_path / "v0.0.9" / "bin" / "ticket-counter"
    old.parent.mkdir(parents=True)
    old.write_text("#!/bin/sh\necho ticket-counter 0.0.9\n")
    old.chmod(0o755)
    (tmp_path / "current").symlink_to("v0.0.9")

    def current() -> str:
        program = tmp_path / "current" / "bin" / "ticket-counter"
        return subprocess.run(
            [program, "--version"], cwd=tmp_path, env={}, check=True, capture_output=True, text=True
        ).stdout.strip()

    def files() -> list[str]:
        where = "import server, redis; print(server.__file__, redis.__file__)"
        python = tmp_path / "current" / "bin" / "python"
        return subprocess.run(
            [python, "-c", where], cwd=tmp_path, env={}, check=True, capture_output=True, text=True
        ).stdout.split()

    installed = install("--to", str(tmp_path))
    assert 0 == installed.returncode, installed.stdout + installed.stderr
    assert "before it was v0.0.9; restart the services" in installed.stderr
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (tmp_path / "current").rglob("*.py"))
    new = str((tmp_path / "current").readlink())
    assert "ticket-counter 0.0.9" != current()
    assert all(file.startswith(str(tmp_path)) for file in files())
    assert "already the current version" in install("--to", str(tmp_path)).stderr

    assert 0 == install("--to", str(tmp_path), "--back").returncode
    assert "ticket-counter 0.0.9" == current()
    assert 0 == install("--to", str(tmp_path), "--back").returncode
    assert new == str((tmp_path / "current").readlink())


def test_without_a_version_before_there_is_no_way_back(tmp_path: Path) -> None:
    """`--back` without an earlier version changes nothing, and says so."""
    (tmp_path / "current").symlink_to("v0.0.9")
    found = install("--to", str(tmp_path), "--back")

    assert 1 == found.returncode
    assert "there is no version before v0.0.9" in found.stderr
    assert "v0.0.9" == str((tmp_path / "current").readlink())
