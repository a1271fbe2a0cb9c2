"""The mapping: which field of a target gets what of a ticket definition, and all else that sync.toml says of a target.

In: a Source (definition.py) and the rules of a target. Out: what the ticket should be at the target (`Wanted`), or why the mapping
has no value for it (`Unfit`). mapping_file.py reads sync.toml.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import SecretStr

from server.sync.definition import Source
from server.sync.model import Unfit, Value, Wanted


class Mode(StrEnum):
    """Whether a target is written to."""

    APPLY = "apply"
    OBSERVE = "observe"  # plan, diff and status only


class Quota(StrEnum):
    """What the target's limit is."""

    LIMIT = "limit"  # Wix's limit: the target counts its own sales
    UNSOLD = "unsold"  # what Wix has left


class OnDelete(StrEnum):
    """What happens to the record of a ticket that Wix has deleted."""

    DEACTIVATE = "deactivate"
    DELETE = "delete"  # where the target allows it


@dataclass(frozen=True, slots=True)
class Rule:
    """How one field of a target gets its value: from a field of the definition, or from a template, or a constant.

    `convert`: the name of a converter. `values`: what stands for each value. `language`: which language of the target's text.
    `initial`: it is written only when the record is created.
    """

    name: str
    source: str | None = None
    template: str | None = None
    constant: Value = None
    convert: str | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    language: str | None = None
    initial: bool = False


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """One target of sync.toml. `events`: the target's event for each Wix event's id or slug. `options`: rules of each option.

    `requests_per_minute`: its budget. `own`: settings that only its kind has, such as pretix's `organizer`.
    """

    name: str
    kind: str
    url: str
    secret: SecretStr
    events: Mapping[str, str]
    rules: tuple[Rule, ...]
    options: tuple[Rule, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    mode: Mode = Mode.APPLY
    quota: Quota = Quota.LIMIT
    on_delete: OnDelete = OnDelete.DEACTIVATE
    max_deactivate: int = 3
    requests_per_minute: int = 300
    allow_http: bool = False
    allow_private: bool = False
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """What a parked ticket's mapping was: it changes with everything here, also with the secret, which it does not show."""
        raise NotImplementedError

    def wanted(self, source: Source) -> Wanted | Unfit:
        """What this ticket should be at the target."""
        raise NotImplementedError
