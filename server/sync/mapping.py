"""The mapping: which field of a target gets what of a ticket definition, and all else that sync.toml says of a target.

In: a Source (definition.py) and the rules of a target. Out: what the ticket should be at the target (`Wanted`), or why the mapping
has no value for it (`Unfit`). mapping_file.py reads sync.toml.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from string import Formatter
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from server.sync.definition import Source, SourceOption, utc
from server.sync.model import NOT_KNOWN, Fields, Missing, Reason, Unfit, Value, Wanted, WantedOption

_NUMBER = re.compile(r"(-?[0-9]{1,18})(\.0+)?")
_DECIMAL = re.compile(r"(-?[0-9]{1,20})(?:\.([0-9]{1,20}))?")


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


# -- converters: each answers the value in another form, or raises ValueError saying what it takes --


def _is_set(value: Value) -> Value:
    return value is not None and value != ""


def _not(value: Value) -> Value:
    if not isinstance(value, bool):
        raise ValueError("`not` takes yes or no")  # noqa: TRY004 - one error for all converters
    return not value


def _text(value: Value) -> Value:
    return None if value is None else key_of(value)


def _number(value: Value) -> Value:
    if value is None:
        return None
    if isinstance(value, bool) or not (found := _NUMBER.fullmatch(str(value))):
        raise ValueError("`number` takes a whole number")
    return int(found[1])


def _decimal(value: Value) -> Value:
    if value is None:
        return None
    if isinstance(value, bool) or not (found := _DECIMAL.fullmatch(str(value))):
        raise ValueError("`decimal` takes a number such as 12 or 12.50")
    return f"{found[1]}.{(found[2] or '').rstrip('0'):0<2}"


def _time(value: Value) -> Value:
    try:
        return None if value is None else utc(str(value))
    except (ValueError, OverflowError):
        raise ValueError("`time` takes a time such as 2027-03-01T18:00:00Z") from None


CONVERTERS: Mapping[str, Callable[[Value], Value]] = {
    "is_set": _is_set,
    "not": _not,
    "text": _text,
    "number": _number,
    "decimal": _decimal,
    "time": _time,
}
"""What `as` may say. No value (None) stays no value, but for `is_set`."""


def key_of(value: Value) -> str:
    """A value as a key of `values`, and in a text: yes, no, none, or the value as it is written."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def names_in(template: str) -> tuple[str, ...]:
    """The fields that a template such as "{name} · wix:{id}" names; `{{` is a brace. Raises ValueError saying what is wrong."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise ValueError("a brace is not closed or not opened; a brace itself is written {{ or }}") from None
    if any(form or conversion for _, _, form, conversion in parts):
        raise ValueError("only the name of a field stands between braces; a brace itself is written {{ or }}")
    return tuple(name for _, name, _, _ in parts if name is not None)


def filled(template: str, fields: Fields) -> str | Missing:
    """The template with its fields; a field without a value is empty, and one that is not known makes the whole not known."""
    parts = []
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(literal)
        if name is None:
            continue
        if name not in fields:
            return NOT_KNOWN
        parts.append("" if fields[name] is None else key_of(fields[name]))
    return "".join(parts)


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

    @property
    def sources(self) -> tuple[str, ...]:
        """The fields of the definition that it needs."""
        if self.template is not None:
            return names_in(self.template)
        return () if self.source is None else (self.source,)

    def value(self, fields: Fields) -> Value | Missing:
        """The value of the target's field, not known where a field is missing; raises ValueError where there is none for it."""
        if self.template is not None:
            return filled(self.template, fields)
        if self.source is None:
            return self.constant
        if self.source not in fields:
            return NOT_KNOWN
        found = fields[self.source]
        if self.convert:
            try:
                found = CONVERTERS[self.convert](found)
            except ValueError as error:
                raise ValueError(f"{error}, and {self.source} is {_shown(found)}") from None
        if not self.values:
            return found
        if (key := key_of(found)) not in self.values:
            raise ValueError(f"`values` has nothing for {_shown(key)}, which is what {self.source} is")
        return self.values[key]


@dataclass(frozen=True)  # without slots, for what is computed once
class TargetSettings:
    """One target of sync.toml. `events`: the target's event for each Wix event's id or slug. `options`: rules of each option.

    `secret_env`: the variable that has the secret. `requests_per_minute`: its budget. `own`: settings that only its kind has, such as pretix's `organizer`.
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
    secret_env: str = ""
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def server(self) -> str:
        """What is written to, as a name of leases: two targets on one server take turns, as its own rows and locks are shared."""
        parts = urlsplit(self.url)
        return re.sub(r"[^a-z0-9.-]", "_", f"{parts.netloc}{parts.path}".rstrip("/").lower())

    def place(self, target_event: str) -> str:
        """Where an event of the target is: an event that was applied at one place is not followed at another."""
        return " ".join((self.server, str(self.own.get("organizer", "")), target_event))

    @cached_property
    def digest(self) -> str:
        """What a parked ticket's mapping was: it changes with everything here, also with the secret, which it does not show."""
        known = {name: value for name, value in asdict(self).items() if name != "secret"}
        written = json.dumps(known, sort_keys=True, default=str).encode()
        return hmac.new(self.secret.get_secret_value().encode(), written, hashlib.sha256).hexdigest()[:16]

    def wanted(self, source: Source) -> Wanted | Unfit:
        """What this ticket should be at the target; a field that is not known is left out, so that it is not written."""
        rules = [self._of_quota(rule) for rule in self.rules]
        try:
            fields = _values([rule for rule in rules if not rule.initial], source.fields)
            initial = _values([rule for rule in rules if rule.initial], source.fields)
            options = tuple(self._option(option, source) for option in source.options)
        except _NoValue as fault:
            return self._unfit(source, fault)
        ids = {option.id for option in options}
        if len(ids) < len(options) or "" in ids:
            text = "two of its options have the same id, or one has none, so they cannot be told apart"
            return Unfit(source.ticket, source.name, Reason.MAPPING, text, "save its options in Wix again")
        return Wanted(source.ticket, source.name, fields, initial, options, source.currencies)

    def _of_quota(self, rule: Rule) -> Rule:
        return replace(rule, source="unsold") if self.quota is Quota.UNSOLD and rule.source == "limit" else rule

    def _option(self, option: SourceOption, source: Source) -> WantedOption:
        fields = {**source.fields, **option.fields}
        return WantedOption(option.id, option.name, _values(self.options, fields, table="options"))

    def _unfit(self, source: Source, fault: "_NoValue") -> Unfit:
        cure = f"change {fault.field} in [targets.{self.name}.{fault.table}] of the mapping file, or the ticket in Wix"
        return Unfit(source.ticket, source.name, Reason.MAPPING, f"{fault.field}: {fault}", cure)


class _NoValue(ValueError):
    """The mapping has no value for a field of the target."""

    def __init__(self, text: str, field: str, table: str) -> None:
        super().__init__(text)
        self.field = field
        self.table = table


def _values(rules: Sequence[Rule], fields: Fields, table: str = "fields") -> dict[str, Value]:
    found = {}
    for rule in rules:
        try:
            value = rule.value(fields)
        except ValueError as error:
            raise _NoValue(str(error), rule.name, table) from None
        if not isinstance(value, Missing):
            found[rule.name] = value
    return found


def _shown(value: Value) -> str:
    text = key_of(value)
    return json.dumps(text if len(text) <= 40 else f"{text[:39]}…", ensure_ascii=False)
