"""Reads the mapping file, sync.toml: what goes where.

In: the file, the environment, which has the secrets, and the kinds of targets. Out: the settings of each target, or NotStarted with
all faults at once, each with its line and what to do; none shows a secret.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server.errors import NotStarted
from server.sync.mapping import TargetSettings
from server.sync.mapping_file.faults import Faults, did_you_mean, quoted
from server.sync.mapping_file.first_file import first_file
from server.sync.mapping_file.kinds import TargetKind, kinds
from server.sync.mapping_file.target_reader import TargetReader
from server.sync.mapping_file.toml_lines import lines
from server.sync.targets import KINDS

FORMAT = 1

_NAME = re.compile(r"[a-z0-9-]{1,40}")
_PLACE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")


def load(
    path: Path, environ: Mapping[str, str], *, required: bool = False, classes: Mapping[str, Any] = KINDS
) -> Mapping[str, TargetSettings]:
    """The targets of the file by name; none where there is no file, unless it is *required*.

    *classes*: the class of each kind. Raises NotStarted.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if not required:
            return {}
        raise NotStarted(
            f"the file {path}, which SYNC_FILE names, does not exist: `ticket-counter sync init` writes a first one"
        ) from None
    except IsADirectoryError:
        raise NotStarted(
            f"{path}, which SYNC_FILE names, is a folder: name a file, such as {path / 'sync.toml'}"
        ) from None
    except OSError as error:
        raise NotStarted(f"the file {path} cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise NotStarted(f"the file {path} cannot be read as UTF-8 text: {error}") from None
    json = _parsed(path, text)
    faults = Faults(str(path), lines(text))
    found = _targets(json, faults, environ, kinds(classes))
    if faults:
        raise _refused(path, *faults.texts())
    return found


def write_first(path: Path, kind: str, *, classes: Mapping[str, Any] = KINDS) -> None:
    """Write a first file for this kind of target (first_file.py); raises NotStarted where there is a file, or no such kind."""
    known = kinds(classes)
    if kind not in known:
        raise NotStarted(f"there is no kind {quoted(kind)}. {did_you_mean(kind, known)}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(first_file(known[kind]))
    except FileExistsError:
        raise NotStarted(f"the file {path} exists already, and is left as it is") from None
    except OSError as error:
        raise NotStarted(f"the file {path} cannot be written: {error}") from None


def _refused(path: Path, *faults: str) -> NotStarted:
    return NotStarted("\n  ".join((f"the file {path} cannot be used:", *faults)))


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _refused(path, f"{path}:1: it is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        what = _PLACE.sub("", str(error))
        if re.search("twice|overwrite|[Dd]uplicate|immutable", what):
            what = f"a key or a table of this name stands above already: give it another name, or join the two ({what})"
        raise _refused(path, f"{path}:{line}: this is no TOML: {what}") from None


def _targets(
    json: Mapping[str, Any], faults: Faults, environ: Mapping[str, str], known: Mapping[str, TargetKind]
) -> dict[str, TargetSettings]:
    for key in json:
        if key not in {"format", "targets"}:
            faults.add(f"the file has no {quoted(key)}. {did_you_mean(key, ('format', 'targets'))}", key)
    version = json.get("format")
    if version != FORMAT or isinstance(version, bool):
        cure = "write format = 1 at the top" if "format" not in json else "this version reads format 1"
        faults.add(f"format is {'missing' if version is None else quoted(version)}: {cure}", "format")
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
