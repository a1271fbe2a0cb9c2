"""Files of notify (notify.toml) of tests, the settings that they need, and what is said of those that are wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from server.errors import NotStarted
from server.notify.audience.source import Kind
from server.notify.config import NotifyConfig
from server.notify.file.file import load
from tests.rig.settings import valid_settings

PASSWORD = "hunter2hunter2"
ENVIRON = {"LISTS_PASSWORD": PASSWORD}
KEY = "k" * 43
VAPID = "hySELwhGF2sZtmR7nlsLQ3Wa4HLceOWfAsITOaRyeV4"

LISTS = Kind(
    "lists",
    "A server of lists",
    tool={"url": "its address", "user": "the name to log in with"},
    secret="password_env",
    event={"list": "the list's address"},
    optional_event={"tag": "only members with this tag", "segment": "only members of this segment"},
    date_field="a field of the list",
    date_fields=("info", "description"),
)
FILES = Kind("files", "A file", tool={"file": "the file with the subscribers"}, date_field="a second file")
CHOICE = Kind(
    "choice",
    "A service with two ways to name it",
    optional_tool={"url": "its address", "server": "the part of it, such as us6"},
    event={"list": "the list's id"},
    one_of=(frozenset({"url", "server"}),),
    plain=frozenset({"server"}),
)
KINDS = {one.name: one for one in (LISTS, FILES, CHOICE)}
"""Kinds of tools: with an address and a secret, without both, with a choice of keys."""

TOML = """\
format = 1
[tools.main]
kind = "lists"
url = "https://lists.example.org"
user = "restadmin"
password_env = "LISTS_PASSWORD"
[events.spring-gala]
tool = "main"
list = "early-birds.example.org"
"""
"""Nine lines, which are all that an event with a tool needs."""

SETTINGS: Mapping[str, Any] = {
    "notify_keys": KEY,
    "notify_vapid_keys": VAPID,
    "notify_smtp_url": "smtp://relay.example.org:587",
    "notify_from": "news@example.org",
    "notify_sender_name": "Example Hall",
    "notify_postal_address": "1 Example Street, Exampleton",
    "public_url": "https://tickets.example.org",
}
"""All that a mail and a push need."""


def config_of(
    folder: Path,
    text: str,
    environ: Mapping[str, str] = ENVIRON,
    *,
    known: Mapping[str, Kind] | None = None,
    **given: Any,
) -> NotifyConfig:
    """What a file with this text says; *given* are settings that win over SETTINGS. *known*: the kinds of tools."""
    path = folder / "notify.toml"
    path.write_text(text, encoding="utf-8")
    settings = valid_settings(**{**SETTINGS, "notify_file": path, **given})
    found = load(settings, settings.pages_url, environ, required=True, known=known or KINDS)
    assert found is not None
    return found


def faults_of(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON, **given: Any) -> list[str]:
    """What is said of a file with this text: `LINE: text`, without the file's name, and what the settings lack."""
    with pytest.raises(NotStarted) as caught:
        config_of(folder, text, environ, **given)
    name = f"{folder / 'notify.toml'}"
    head, *lines = str(caught.value).splitlines()
    assert f"the file {name} cannot be used:" == head
    assert [] == [line for line in lines if not line.startswith("  ")]
    return [line.removeprefix("  ").removeprefix(f"{name}:") for line in lines]
