"""scripts/release: a version, its heading in the changelog, a wheel that runs the demo in an empty environment, a commit and a tag."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.process import ROOT
from tests.test_house import tracked

HEADING = "## [Unreleased]\n"
NEWS = "\n### Fixed\n\n- Something.\n"


class Checkout:
    """A repository of its own with the files of this one, on `main`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in tracked():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(sys.prefix)
        self.changelog = folder / "CHANGELOG.md"
        self.changelog.write_text(self.changelog.read_text().replace(HEADING, HEADING + NEWS, 1))
        self.git("init", "--quiet", "--initial-branch=main")
        (folder / ".git" / "info" / "exclude").write_text(".venv\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=all")

    def git(self, *words: str) -> str:
        """What a command of git prints."""
        author = ["-c", "user.name=A Name", "-c", "user.email=name@example.org"]
        return subprocess.run(
            ["git", *author, *words], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def release(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run scripts/release."""
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in NAME.items()}
        return subprocess.run(
            ["scripts/release", *words],
            cwd=self.folder,
            env={**os.environ, **who},
            check=False,
            capture_output=True,
            text=True,
        )


NAME = {"NAME": "A Name", "EMAIL": "name@example.org"}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout to release from."""
    return Checkout(tmp_path / "checkout")


def test_release_is_tagged_and_its_wheel_runs(checkout: Checkout) -> None:
    """The tag has the new version in pyproject.toml and in the changelog, and its wheel ran the demo in an empty environment."""
    before = checkout.changelog.read_text()
    found = checkout.release("9.8.7")

    assert 0 == found.returncode, found.stdout + found.stderr
    assert "the demo of the wheel shows: available" in found.stdout
    assert ["ticket_counter-9.8.7-py3-none-any.whl"] == [path.name for path in (checkout.folder / "dist").iterdir()]
    assert "Version 9.8.7" == checkout.git("log", "-1", "--format=%s", "v9.8.7")
    assert 'version = "9.8.7"' in checkout.git("show", "v9.8.7:pyproject.toml")
    after = checkout.changelog.read_text()
    assert re.search(r"^## \[Unreleased\]\n\n## \[9\.8\.7\] - \d{4}-\d\d-\d\d\n\n### Fixed\n", after, re.MULTILINE)
    assert before == re.sub(r"\n## \[9\.8\.7\].*\n", "", after)
    assert "" == checkout.git("status", "--porcelain")


@pytest.mark.parametrize(
    ("version", "reason"), [("", "say which version"), ("1.2", "say which version"), ("0.0.9", "is not after")]
)
def test_release_of_no_new_version_is_refused(checkout: Checkout, version: str, reason: str) -> None:
    """A version that is none, or not after the present one, is refused with the reason, and nothing is changed."""
    found = checkout.release(version)

    assert 1 == found.returncode
    assert reason in found.stderr
    assert "" == checkout.git("status", "--porcelain")


def test_release_of_another_state_is_refused(checkout: Checkout) -> None:
    """A checkout with changes, another branch, and a changelog with nothing new are refused, each with its reason."""
    readme = checkout.folder / "README.md"
    readme.write_text(readme.read_text() + "x")
    assert "has changes" in checkout.release("9.8.7").stderr
    checkout.git("checkout", "--quiet", "README.md")

    checkout.git("switch", "--quiet", "--create", "other")
    assert "made on main" in checkout.release("9.8.7").stderr
    checkout.git("switch", "--quiet", "main")

    text = checkout.changelog.read_text()
    checkout.changelog.write_text(re.sub(r"(?s)## \[Unreleased\]\n.*?(?=## \[\d)", HEADING + "\n", text))
    checkout.git("commit", "--quiet", "--all", "--message=nothing new")
    assert "nothing under Unreleased" in checkout.release("9.8.7").stderr
