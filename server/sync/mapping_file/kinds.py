"""The kinds of targets, as the mapping file sees them: which settings a kind has, and its mapping where the file has none.

In: a TOML text, which is in targets/KIND.toml, or is the `DEFAULTS` of the kind's class. Its keys:

secret       the setting that names the variable with the secret; missing: the kind needs none
id_in        fields whose text must hold wix:{id}
adds_fields  whether `fields` of the mapping file are added to those here, or replace them
settings     settings that a target of this kind must have, with an example of each
further      settings that may be left out, with what applies then
reserved     fields that cannot be mapped, and why; reserved_options: the same of options
fields, options, left_out  the mapping, as in the mapping file

A class may name further settings, which may be left out, in `OWN_SETTINGS`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.sync.targets import KINDS
from server.toml_file import secrets

_FOLDER = Path(__file__).parent.parent / "targets"


@dataclass(frozen=True, slots=True)
class TargetKind:
    """One kind of targets; *text* is the TOML that it was read from. `optional`: settings that may be left out.

    `further`: what applies where one is.
    """

    name: str
    text: str
    secret: str | None
    id_in: frozenset[str]
    adds_fields: bool
    settings: Mapping[str, str]
    optional: frozenset[str]
    further: Mapping[str, Any]
    reserved: Mapping[str, str]
    reserved_options: Mapping[str, str]
    fields: Mapping[str, Any]
    options: Mapping[str, Any]
    left_out: Mapping[str, str]

    def variable(self, target: str) -> str:
        """An example of the variable that has the secret of this target."""
        return secrets.variable(target, self.secret or "")


def kinds(classes: Mapping[str, Any] = KINDS) -> Mapping[str, TargetKind]:
    """All kinds: those that have a file, and those of these classes."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(_FOLDER.glob("*.toml"))}
    texts |= {name: text for name, one in classes.items() if (text := getattr(one, "DEFAULTS", None)) is not None}
    return {name: _kind(name, text, getattr(classes.get(name), "OWN_SETTINGS", ())) for name, text in texts.items()}


def _kind(name: str, text: str, optional: Any) -> TargetKind:
    read = tomllib.loads(text)
    return TargetKind(
        name=name,
        text=text,
        secret=read.get("secret"),
        id_in=frozenset(read.get("id_in", ())),
        adds_fields=read.get("adds_fields", False),
        settings=read.get("settings", {}),
        optional=frozenset((*optional, *read.get("further", ()))) - set(read.get("settings", {})),
        further=read.get("further", {}),
        reserved=read.get("reserved", {}),
        reserved_options=read.get("reserved_options", {}),
        fields=read.get("fields", {}),
        options=read.get("options", {}),
        left_out=read.get("left_out", {}),
    )
