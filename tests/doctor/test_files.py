from pathlib import Path
from typing import Any

import pytest

from server.doctor import files
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from tests.rig.doctor import found_by
from tests.rig.settings import valid_settings

SYNC = """format = 1
[targets.main]
kind = "pretix"
url = "https://pretix.example"
organizer = "club"
token = "env:PRETIX_MAIN_TOKEN"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def found(**given: Any) -> list[Finding]:
    return await found_by(files.check, Deployment(valid_settings(**given)))


async def test_no_files(folder: Path) -> None:
    """Without the files there is nothing to say, but for one that a setting names."""
    assert [] == await found()
    (missing,) = await found(sync_file=folder / "other.toml")
    assert ("sync", "fault") == (missing.check, missing.level)
    assert "other.toml" in missing.what


async def test_files_that_cannot_be_used(folder: Path) -> None:
    """A file that cannot be used is a fault with the reader's words, and says what does not run."""
    (folder / "sync.toml").write_text("format = 1\n[targets.main]\nkind = 'nothing'\n")
    (folder / "notify.toml").write_text("format = 1\n[event]\n")

    sync, notify = await found()

    assert (("sync", "fault"), ("notify", "fault")) == ((sync.check, sync.level), (notify.check, notify.level))
    assert "nothing" in sync.what
    assert "no one is told" in notify.why


async def test_file_that_names_nothing(folder: Path) -> None:
    """A file without a target is right, and says so."""
    (folder / "sync.toml").write_text("format = 1\n")

    (one,) = await found(track="watched")

    assert ("ok", True) == (one.level, "names nothing" in one.what)
