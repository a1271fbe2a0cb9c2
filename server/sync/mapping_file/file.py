"""Reads the mapping file, sync.toml: what goes where.

In: the file, the environment, which has the secrets, and the kinds of targets. Out: the settings of each target, or NotStarted with
all faults at once, each with its line and what to do; none shows a secret.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server.errors import NotStarted
from server.sync.mapping import TargetSettings
from server.sync.mapping_file.first_file import first_file
from server.sync.mapping_file.kinds import TargetKind, kinds
from server.sync.mapping_file.target_reader import TargetReader
from server.sync.targets import KINDS
from server.toml_file import document
from server.toml_file.document import Document
from server.toml_file.faults import Faults, did_you_mean, quoted

_NAME = re.compile(r"[a-z0-9-]{1,40}")


def load(
    path: Path, environ: Mapping[str, str], *, required: bool = False, classes: Mapping[str, Any] = KINDS
) -> Mapping[str, TargetSettings]:
    """The targets of the file by name; none where there is no file, unless it is *required*.

    *classes*: the class of each kind. Raises NotStarted.
    """
    file = document.read(path, "SYNC_FILE", "ticket-counter sync init", required=required)
    if file is None:
        return {}
    found = _targets(file, environ, kinds(classes))
    if file.faults:
        raise document.refused(path, *file.faults.texts())
    return found


def write_first(path: Path, kind: str, *, classes: Mapping[str, Any] = KINDS) -> None:
    """Write a first file for this kind of target (first_file.py); raises NotStarted where there is a file, or no such kind."""
    known = kinds(classes)
    if kind not in known:
        raise NotStarted(f"there is no kind {quoted(kind)}. {did_you_mean(kind, known)}")
    document.write_first(path, first_file(known[kind]))


def _targets(file: Document, environ: Mapping[str, str], known: Mapping[str, TargetKind]) -> dict[str, TargetSettings]:
    json, faults = file.tables, file.faults
    for key in json:
        if key not in {"format", "targets"}:
            faults.add(f"the file has no {quoted(key)}. {did_you_mean(key, ('format', 'targets'))}", key)
    file.check_format()
    tables = json.get("targets", {})
    if not isinstance(tables, dict):
        faults.add("targets are tables, such as [targets.pretix-main]", "targets")
        return {}
    found = {}
    for name, table in tables.items():
        if not _NAME.fullmatch(name):
            faults.add(f"{quoted(name)} names a target: use 1 to 40 letters (a-z), digits and -", "targets", name)
        if not isinstance(table, dict):
            faults.add(f"{name}: a target is a table: [targets.{name}]", "targets", name)
        elif target := TargetReader(name, table, faults, environ).target(known):
            found[name] = target
    _check_shared(found, faults)
    return found


def _check_shared(found: Mapping[str, TargetSettings], faults: Faults) -> None:
    """Two targets that write to one event would take each other's records for copies."""
    seen: dict[tuple[str, ...], str] = {}
    for name, target in found.items():
        for wix, event in target.events.items():
            where = (target.kind, target.url.rstrip("/").lower(), repr(sorted(target.own.items())), event)
            if (other := seen.setdefault(where, name)) != name:
                faults.add(f"events: {other} writes to {quoted(event)} already", "targets", name, "events", wix)
