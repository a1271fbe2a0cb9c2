"""What is wrong with the settings of a start: all faults at once, each with its setting, what is wrong, and what to do.

In: what the readers of single settings raise (UnusableValue), and the errors of pydantic. Out: a WrongSettings, whose text is what
`serve`, `web` and `worker` print, and whose faults `check` and `doctor` show one by one, in the same sentences. The value of a secret
stands in none of them: readers leave it out, and what pydantic found is shown only of a setting that is no secret.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from server.errors import NotStarted

MOST_ENTRIES = 5
"""Entries of one list that are named: whoever mends these has seen what is wrong with the rest."""
LONGEST_VALUE = 60
"""Characters of a value that are shown."""


class UnusableValue(NotStarted, ValueError):
    """The text of one setting cannot be used: *what* is wrong with it, and its *cure*. Neither has the value of a secret."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{what}: {cure}")
        self.what = what
        self.cure = cure


@dataclass(frozen=True, slots=True)
class SettingFault:
    """What is wrong with one setting; the value, where it may be shown, stands in *what*."""

    setting: str
    what: str
    cure: str

    @property
    def named(self) -> str:
        """What is wrong, after the setting's name."""
        return self.what if self.what.startswith(self.setting) else f"{self.setting}: {self.what}"

    def __str__(self) -> str:
        return f"{self.named}: {self.cure}"


class WrongSettings(NotStarted):
    """All faults of the settings of a start, each on a line."""

    def __init__(self, faults: Sequence[SettingFault]) -> None:
        super().__init__("\n".join(("these settings cannot be used:", *(f"  {one}" for one in faults))))
        self.faults = tuple(faults)


def of_entries(faults: Iterable[UnusableValue]) -> None:
    """Raise the faults of the entries of one list as one; each names its entry. Nothing is raised where there are none."""
    found = list({one.what: one for one in faults}.values())
    if not found:
        return
    named = found[:MOST_ENTRIES]
    whats = [one.what for one in named]
    if more := len(found) - len(named):
        whats.append(f"{more} more {'entry' if more == 1 else 'entries'} cannot be used")
    # A cure that all have is written once.
    raise UnusableValue("; ".join(whats), "; ".join(dict.fromkeys(one.cure for one in named)))


def wrong_settings(error: ValidationError, fields: Mapping[str, FieldInfo]) -> WrongSettings:
    """What pydantic found, in our own words."""
    return WrongSettings([_fault(dict(one), fields) for one in error.errors(include_url=False)])


def _fault(found: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> SettingFault:
    name = str(found["loc"][0])
    setting, field = name.upper(), fields[name]
    raised = found.get("ctx", {}).get("error")
    if isinstance(raised, UnusableValue):
        return SettingFault(setting, raised.what, raised.cure)
    expected = _expected(field)
    shown = "it" if _is_secret(field) else _shown(found["input"])
    return SettingFault(setting, f"{shown} is not {expected}", _cure(field))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _expected(field: FieldInfo) -> str:
    """What a setting of this type takes, in words."""
    kinds = _kinds(field)
    for one in kinds:
        if get_origin(one) is Literal:
            return f"one of {', '.join(map(str, get_args(one)))}"
    if bool in kinds:
        return "true or false"
    if int in kinds or float in kinds:
        return f"a {'whole number' if int in kinds else 'number'}{_limits(field)}"
    return "a text"


def _limits(field: FieldInfo) -> str:
    """The limits of a number, in words."""
    limits = {
        name: value
        for one in field.metadata
        for name in ("ge", "gt", "le")
        if (value := getattr(one, name, None)) is not None
    }
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}"
    if "ge" in limits:
        return f" of at least {limits['ge']}"
    return f" above {limits['gt']}" if "gt" in limits else ""


def _cure(field: FieldInfo) -> str:
    """What to write instead: what it is without the setting is one of the values that it takes."""
    if type(None) in _kinds(field):
        return "write one, or leave it empty"
    return f"write one, such as {str(field.default).lower() if isinstance(field.default, bool) else field.default}"


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in _kinds(field)


def _kinds(field: FieldInfo) -> tuple[Any, ...]:
    """The types of a field's values: those of a union, or the one."""
    annotation = field.annotation
    return (annotation,) if get_origin(annotation) is Literal else get_args(annotation) or (annotation,)
