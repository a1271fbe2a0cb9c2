"""Reads the rules of a mapping: which field of the target gets what.

In: the table `fields` or `options` as tomllib reads it. Out: Rules; what is wrong is added to the Faults.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from server.sync.definition import CHOICES, FIELDS, OPTION_FIELDS, YES_OR_NO
from server.sync.mapping import CONVERTERS, Rule, filled, names_in
from server.sync.mapping_file.kinds import TargetKind
from server.toml_file.faults import Faults, did_you_mean, quoted

KEYS = ("from", "template", "value", "as", "values", "language", "when")
"""What the rule of a field may say."""

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-zA-Z0-9]{1,8})*")


class RuleReader:
    """Reads the rules of one table: *path* is its place in the file; *of_options*: whether they are those of each option."""

    def __init__(self, kind: TargetKind, faults: Faults, path: tuple[str, ...], *, of_options: bool = False) -> None:
        self._kind = kind
        self._faults = faults
        self._path = path
        self._of_options = of_options
        self._reserved = kind.reserved_options if of_options else kind.reserved
        self._known = {**FIELDS, **OPTION_FIELDS} if of_options else FIELDS

    def rules(self, table: Any) -> tuple[Rule, ...]:
        """The rules of the table; those that are wrong are left out."""
        if not isinstance(table, dict):
            self._faults.add(f"{self._path[-1]} is a table: [{'.'.join(self._path)}]", *self._path)
            return ()
        return tuple(rule for name, value in table.items() if (rule := self._rule(name, value)))

    def _rule(self, name: str, given: Any) -> Rule | None:
        def fault(text: str, *key: str) -> None:
            faults.append(text)
            self._faults.add(f"{name}: {text}", *self._path, name, *key)

        faults: list[str] = []
        said: Any = {"template": given} if isinstance(given, str) else given
        if name in self._reserved:
            fault(f"it cannot be mapped: {self._reserved[name]}")
        elif not isinstance(said, dict):
            fault('it needs where the value is from, such as { from = "name" }; a constant is { value = … }')
        else:
            self._check_keys(said, fault)
            self._check_origin(name, said, fault)
            self._check_choices(said, fault)
        if faults:
            return None
        return Rule(
            name=name,
            source=said.get("from"),
            template=said.get("template"),
            constant=said.get("value"),
            convert=said.get("as"),
            values=said.get("values", {}),
            language=said.get("language"),
            initial="when" in said,
        )

    def _check_keys(self, said: Mapping[str, Any], fault: Callable[..., None]) -> None:
        for key in said:
            if key not in KEYS:
                fault(f"a rule has no {quoted(key)}. {did_you_mean(key, KEYS)}", key)
        if len(ways := [key for key in KEYS[:3] if key in said]) != 1:
            fault(f"it needs one of from, template and value, and has {' and '.join(ways) or 'none'}")
        if "from" not in said and (extra := [key for key in ("as", "values") if key in said]):
            fault(f"{' and '.join(extra)} can only stand beside `from`", extra[0])

    def _check_origin(self, name: str, said: Mapping[str, Any], fault: Callable[..., None]) -> None:
        if "from" in said:
            self._check_source(said["from"], fault, "from")
        if "value" in said:
            self._check_value(said["value"], fault, "value")
        if "template" in said:
            self._check_template(said["template"], fault)
        if name in self._kind.id_in and not self._of_options and not _holds_id(said.get("template")):
            fault(
                'it must be a text that holds wix:{id}, such as "{name} · wix:{id}": that is how sync finds the record'
            )

    def _check_source(self, source: Any, fault: Callable[..., None], *key: str) -> None:
        if isinstance(source, str) and source in OPTION_FIELDS and not self._of_options:
            fault(
                f"{source} is a field of each option: it belongs into [{'.'.join((*self._path[:-1], 'options'))}]", *key
            )
        elif not isinstance(source, str) or source not in self._known:
            fault(f"a definition has no {quoted(source)}. {did_you_mean(str(source), self._known)}", *key)

    def _check_template(self, template: Any, fault: Callable[..., None]) -> None:
        if not isinstance(template, str):
            fault("a template is a text", "template")
            return
        try:
            names = names_in(template)
        except ValueError as error:
            fault(str(error), "template")
        else:
            for one in names:
                self._check_source(one, fault, "template")

    def _check_value(self, value: Any, fault: Callable[..., None], *key: str) -> None:
        if not isinstance(value, str | int | bool):
            fault("a value is a text, a whole number, true or false; a price and a time are texts", *key)

    def _check_choices(self, said: Mapping[str, Any], fault: Callable[..., None]) -> None:
        """The keys that have few possible values."""
        source, convert, values = said.get("from"), said.get("as"), said.get("values")
        if convert is not None and (not isinstance(convert, str) or convert not in CONVERTERS):
            fault(f"there is no converter {quoted(convert)}. {did_you_mean(str(convert), CONVERTERS)}", "as")
        elif convert == "not" and source in FIELDS and source not in YES_OR_NO:
            fault(f"`not` takes yes or no, which {source} is not", "as")
        if "values" in said:
            self._check_values(values, _possible(source, convert), fault)
        language = said.get("language", "en")
        if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
            fault(f"{quoted(language)} is not a language such as en or de-formal", "language")
        if said.get("when", "create") != "create":
            fault(f'when is {quoted(said["when"])}; it can only be "create", or be left out', "when")

    def _check_values(self, values: Any, possible: Iterable[str], fault: Callable[..., None]) -> None:
        if not isinstance(values, dict) or not values:
            fault('values is a table such as { yes = "info", no = "hide" }', "values")
            return
        for key, value in values.items():
            self._check_value(value, fault, "values", key)
        if not possible:
            return
        for key in set(values) - set(possible):
            fault(f"values: {quoted(key)} never occurs. {did_you_mean(key, possible)}", "values", key)
        if missing := [key for key in possible if key not in values]:
            fault(f"values has nothing for {', '.join(missing)}", "values")


def _possible(source: Any, convert: Any) -> tuple[str, ...]:
    """All keys that `values` needs; none: any text may occur."""
    if convert in {"is_set", "not"} or (source in YES_OR_NO and convert in {None, "text"}):
        return ("yes", "no")
    return CHOICES.get(source, ()) if isinstance(source, str) and convert in {None, "text"} else ()


def _holds_id(template: Any) -> bool:
    """Whether wix:{id} stands in it; one with another fault counts as if it did."""
    try:
        names = names_in(template) if isinstance(template, str) else ()
    except ValueError:
        return True
    return bool(names) and "wix:\0" in str(filled(template, {**dict.fromkeys(names, ""), "id": "\0"}))
