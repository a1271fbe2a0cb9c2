"""Opens a file of settings in TOML, and writes a first one.

In: a path, the setting that names it, and the command that writes a first file. Out: the text and its tables, or
NotStarted with the line and what to do.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.errors import NotStarted
from server.toml_file.faults import Faults, quoted
from server.toml_file.lines import line_of, lines

FORMAT = 1

_PLACE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: its tables as tomllib reads them, the line of each key, and where faults are noted."""

    path: Path
    tables: dict[str, Any]
    places: Mapping[tuple[str, ...], int]
    faults: Faults

    def line(self, *path: str) -> int:
        """The line of this key, or of the table around it."""
        return line_of(self.places, *path)

    def check_format(self) -> None:
        """Note a fault unless `format` is the one that this version reads."""
        version = self.tables.get("format")
        if version != FORMAT or isinstance(version, bool):
            cure = "write format = 1 at the top" if "format" not in self.tables else "this version reads format 1"
            self.faults.add(f"format is {'missing' if version is None else quoted(version)}: {cure}", "format")


def read(path: Path, setting: str, command: str, *, required: bool = False) -> Document | None:
    """The file; None where there is none, unless it is *required*.

    *setting*: the variable that names it; *command*: what writes a first one, such as `ticket-counter sync init`. Raises NotStarted.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if not required:
            return None
        raise NotStarted(
            f"the file {path}, which {setting} names, does not exist: `{command}` writes a first one"
        ) from None
    except IsADirectoryError:
        raise NotStarted(
            f"{path}, which {setting} names, is a folder: name a file, such as {path / setting.lower().replace('_file', '.toml')}"
        ) from None
    except OSError as error:
        raise NotStarted(f"the file {path} cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise NotStarted(f"the file {path} cannot be read as UTF-8 text: {error}") from None
    tables = _parsed(path, text)
    places = lines(text)
    return Document(path, tables, places, Faults(str(path), places))


def write_first(path: Path, text: str) -> None:
    """Write a file that does not exist yet; raises NotStarted where it does, or cannot be written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise NotStarted(f"the file {path} exists already, and is left as it is") from None
    except OSError as error:
        raise NotStarted(f"the file {path} cannot be written: {error}") from None


def refused(path: Path, *faults: str) -> NotStarted:
    """The error that tells all faults of a file, each on a line."""
    return NotStarted("\n  ".join((f"the file {path} cannot be used:", *faults)))


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise refused(path, f"{path}:1: it is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        what = _PLACE.sub("", str(error))
        if re.search("twice|overwrite|[Dd]uplicate|immutable", what):
            what = f"a key or a table of this name stands above already: give it another name, or join the two ({what})"
        raise refused(path, f"{path}:{line}: this is no TOML: {what}") from None
