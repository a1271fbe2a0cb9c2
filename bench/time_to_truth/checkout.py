"""The files of another revision of this repository, in a folder of their own for as long as they are needed."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.servers import ROOT


class UnknownRevision(Exception):
    """Git has no such revision here."""


def commit_of(revision: str) -> str:
    """The short hash of a revision's commit. Raises UnknownRevision."""
    found = _git("rev-parse", "--short", "--verify", "--quiet", f"{revision}^{{commit}}")
    if found.returncode:
        raise UnknownRevision(f"git knows no revision {revision}")
    return found.stdout.strip()


@contextmanager
def checkout(revision: str, folder: Path) -> Iterator[Path]:
    """A git worktree of the revision at *folder*, which must not exist yet; it is removed at the end."""
    made = _git("worktree", "add", "--quiet", "--detach", str(folder), revision)
    if made.returncode:
        raise UnknownRevision(made.stderr.strip())
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
