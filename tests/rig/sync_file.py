"""Mapping files (sync.toml) of tests, and what is said of those that are wrong."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from server.errors import NotStarted
from server.sync.mapping import TargetSettings
from server.sync.mapping_file.file import load

TOKEN = "t0ken-of-pretix-abcdef"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"PRETIX_TOKEN": TOKEN, "BOX_SECRET": SECRET}

PRETIX = """\
format = 1
[targets.main]
kind = "pretix"
url = "https://tickets.example.org"
organizer = "wixorg"
token_env = "PRETIX_TOKEN"
events = { spring-gala = "ev1" }
"""
"""Seven lines, which are all that a target in pretix needs."""

HTTP = """\
format = 1
[targets.box-office]
kind = "http"
url = "https://box.example.org/wix/tickets"
secret_env = "BOX_SECRET"
"""


def targets_of(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> Mapping[str, TargetSettings]:
    """The targets of a file with this text."""
    path = folder / "sync.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ)


def target_of(folder: Path, text: str) -> TargetSettings:
    """The only target of a file with this text."""
    [target] = targets_of(folder, text).values()
    return target


def faults_of(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    """What is said of a file with this text: `LINE: text`, without the file's name."""
    with pytest.raises(NotStarted) as caught:
        targets_of(folder, text, environ)
    head, *lines = str(caught.value).splitlines()
    name = f"{folder / 'sync.toml'}"
    assert f"the file {name} cannot be used:" == head
    assert [] == [line for line in lines if not line.startswith(f"  {name}:")]
    return [line.removeprefix(f"  {name}:") for line in lines]
