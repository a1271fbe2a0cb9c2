"""Reads one target of the mapping file: its settings; mapping_reader.py reads its mapping.

In: its table, as tomllib reads it, and the environment. Out: TargetSettings; what is wrong is added to the Faults.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from server.addresses import is_private_host
from server.query import LONGEST_NAME
from server.sync.mapping import Mode, OnDelete, Quota, TargetSettings
from server.sync.mapping_file.fields_reader import with_mapping
from server.sync.mapping_file.kinds import TargetKind
from server.toml_file import secrets
from server.toml_file.faults import Faults, did_you_mean, quoted
from server.wire import guid

GENERAL: Mapping[str, str] = {
    "kind": "what it is",
    "mode": '"apply": changes at Wix are written to the target; "observe": nothing is ever written, and plan, diff and status still work',
    "quota": '"limit": the target gets Wix\'s limit and counts its own sales; "unsold": it gets what Wix has left',
    "on_delete": 'what happens to the record of a ticket that is deleted in Wix: "deactivate", or "delete" where the target allows it',
    "max_deactivate": "in an hour at most so many records of an event, or a fifth of them, are taken off sale; more wait for `sync apply --deactivate N`",
    "requests_per_minute": "how many requests a minute it gets at most",
    "allow_http": "whether its address may begin with http://: not encrypted, so that everyone on the way can read along",
    "allow_private": "whether its address may be in a private network",
    "events": "which event of Wix (its id or slug) is which event of the target",
    "fields": "the mapping",
    "options": "the mapping of each option of a ticket",
    "left_out": "what of Wix is not mapped, and why",
}
"""The settings of every target."""

MOST_DEACTIVATED = 10_000
FEWEST_REQUESTS, MOST_REQUESTS = 30, 6_000
"""A minute. With fewer, one ticket would take longer than the right to write to the target lasts."""

_SLUG = re.compile(rf"[^\s/?#\x00-\x1f\x7f]{{1,{LONGEST_NAME}}}")
E = TypeVar("E", bound=StrEnum)


class TargetReader:
    """Reads the target of this name from its table."""

    def __init__(self, name: str, table: Mapping[str, Any], faults: Faults, environ: Mapping[str, str]) -> None:
        self._name = name
        self._table = table
        self._faults = faults
        self._environ = environ

    def target(self, known: Mapping[str, TargetKind]) -> TargetSettings | None:
        """Its settings; None where its kind is not known. With faults they are of no use."""
        said = self._table.get("kind")
        if not isinstance(said, str) or said not in known:
            text = f"there is no kind {quoted(said)}. {did_you_mean(str(said), known)}"
            self._fault(text if "kind" in self._table else f"kind is missing: {' or '.join(known)}", "kind")
            return None
        kind = known[said]
        self._check_keys(kind)
        secret = self._secret(kind)
        self._faults.hide(secret)
        secrets.check_texts(self._table, secret, self._fault)
        found = TargetSettings(
            name=self._name,
            kind=kind.name,
            url=self._url() if "url" in kind.settings else "",
            secret=SecretStr(secret),
            events=self._events(),
            rules=(),
            mode=self._choice("mode", Mode.APPLY),
            quota=self._choice("quota", Quota.LIMIT),
            on_delete=self._choice("on_delete", OnDelete.DEACTIVATE),
            max_deactivate=self._count("max_deactivate", 3, 0, MOST_DEACTIVATED),
            requests_per_minute=self._count("requests_per_minute", 300, FEWEST_REQUESTS, MOST_REQUESTS),
            allow_http=self._flag("allow_http"),
            allow_private=self._flag("allow_private"),
            secret_env=str(self._table[kind.secret]) if kind.secret and secret else "",
            own=self._own(kind),
        )
        return with_mapping(found, self._table, kind, self._faults)

    def _fault(self, text: str, *key: str) -> None:
        self._faults.add(text, "targets", self._name, *key)

    # -- keys and secrets --

    def _check_keys(self, kind: TargetKind) -> None:
        known = {*GENERAL, *kind.settings, *kind.optional, *([kind.secret] if kind.secret else [])}
        for key in self._table:
            if key in known:
                continue
            if secrets.LIKE_A_SECRET.fullmatch(key) and kind.secret:
                self._fault(secrets.no_secret_here(key, kind.secret, kind.variable(self._name)), key)
            else:
                self._fault(f"a target of kind {kind.name} has no {quoted(key)}. {did_you_mean(key, known)}", key)

    def _secret(self, kind: TargetKind) -> str:
        """The secret of the environment, or "" where the kind needs none, or it is wrong."""
        if not kind.secret:
            return ""
        return secrets.named_secret(self._table, kind.secret, kind.variable(self._name), self._environ, self._fault)

    # -- settings --

    def _url(self) -> str:
        url = self._table.get("url")
        parts = _parts(url)
        if parts is None or not parts.hostname:
            missing = "url is missing: write" if url is None else "url is no address: write one such as"
            self._fault(f'{missing} "https://tickets.example.org"', "url")
            return ""
        blank = " " in str(url) or not str(url).isprintable()
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment or blank:
            self._fault("url may have no name, password, blank, ? or #, since it is shown in logs", "url")
        if parts.scheme == "http" and not self._table.get("allow_http"):
            self._fault(
                "url: with http:// everyone on the way can read along: use https://, or set allow_http = true", "url"
            )
        if is_private_host(parts.hostname) and not self._table.get("allow_private"):
            self._fault(
                f"url: {parts.hostname} is a private address: if that is right, set allow_private = true", "url"
            )
        return str(url)

    def _events(self) -> dict[str, str]:
        given = self._table.get("events", {})
        if not isinstance(given, dict):
            self._fault(
                'events is a table such as { spring-gala = "ev1" }: Wix id or slug = event of the target', "events"
            )
            return {}
        found: dict[str, str] = {}
        for name, event in given.items():
            wix = guid(name) or name
            if not _SLUG.fullmatch(name):
                self._fault(
                    f"events: {quoted(name)} is no event's id or slug: copy it from the address of its page",
                    "events",
                    name,
                )
            elif (
                not isinstance(event, str) or not event.strip() or not event.isprintable() or len(event) > LONGEST_NAME
            ):
                self._fault(f'events: {name} needs the event of the target as a text, such as "ev1"', "events", name)
            elif wix in found:
                self._fault(f"events: {wix} stands there twice: remove one", "events", name)
            elif event in found.values():
                self._fault(
                    f"events: two events of Wix are {quoted(event)}, whose records could not be told apart",
                    "events",
                    name,
                )
            else:
                found[wix] = event
        return found

    def _own(self, kind: TargetKind) -> dict[str, Any]:
        found = {}
        for key in (*kind.settings, *sorted(kind.optional)):
            value = self._table.get(key, kind.further.get(key))
            if key == "url" or (value is None and key in kind.optional):
                continue
            if value is None:
                self._fault(f"{key} is missing: write it as {key} = {quoted(kind.settings[key])}", key)
            elif not isinstance(value, str | int | bool):
                self._fault(f"{key} is a text, a whole number, true or false", key)
            elif isinstance(value, str) and not value.strip():
                example = kind.settings.get(key, kind.further.get(key))
                cure = f"write it as {key} = {quoted(example)}" if example else "write its value, or remove the line"
                self._fault(f"{key} is empty: {cure}", key)
            found[key] = value
        return found

    def _choice(self, key: str, default: E) -> E:
        value = self._table.get(key, default)
        if isinstance(value, str) and value in set(type(default)):
            return type(default)(value)
        self._fault(f"{key} is {quoted(value)}; it can be {' or '.join(type(default))}", key)
        return default

    def _count(self, key: str, default: int, least: int, most: int) -> int:
        value = self._table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self._fault(f"{key} is a whole number from {least} to {most}", key)
        return default

    def _flag(self, key: str) -> bool:
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            self._fault(f"{key} is true or false, without quotes", key)
        return value is True


def _parts(url: Any) -> SplitResult | None:
    """The parts of an address of the web, or None where it is none."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        known = parts is not None and parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:
        return None
    return parts if known else None
