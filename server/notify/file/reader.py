"""Reads the marketing tools and the events of notify.toml.

In: the file, the kinds of tools, and the environment, which has the secrets. Out: values of config.py; what is wrong is added to the
faults of the file, and with faults the values are of no use.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from server.addresses import is_private_host
from server.notify.audience.source import Kind
from server.notify.config import EventAudience, Tool
from server.query import LONGEST_NAME
from server.toml_file import secrets
from server.toml_file.document import Document
from server.toml_file.faults import did_you_mean, quoted
from server.wire import guid

TOOL_KEYS: Mapping[str, str] = {
    "kind": "what it is",
    "allow_http": "whether its address may begin with http://, so that everyone on the way can read along. On this machine, and "
    "at a private address such as 10.0.0.7, it may anyway",
}
"""The settings of every tool; `allow_http` only of one that has an address."""

EVENT_KEYS: Mapping[str, str] = {
    "tool": "the marketing tool that knows who has subscribed",
    "date_field": "where the tool holds the date of the sale's start, for automations of its own",
    "push": "whether browsers that subscribed at our page /tell-me are told too",
}
"""The settings of every event."""

MOST_TEXT = 500
"""Characters of a value at most."""

_PLAIN = re.compile(r"[0-9A-Za-z]+")
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_SLUG = re.compile(rf"[^\s/?#\x00-\x1f\x7f]{{1,{LONGEST_NAME}}}")


def read_tools(file: Document, known: Mapping[str, Kind], environ: Mapping[str, str]) -> dict[str, Tool]:
    """The tools by name."""
    found = {}
    for name, table in _tables(file, "tools", "lists"):
        if not _NAME.fullmatch(name):
            table.fault(f"{quoted(name)} names a tool: use 1 to 40 letters (a-z), digits and -")
        elif tool := _tool(name, table, known, environ):
            found[name] = tool
    return found


def read_events(file: Document, tools: Mapping[str, Tool], known: Mapping[str, Kind]) -> dict[str, EventAudience]:
    """The events by id or slug; *tools* are those that could be read."""
    found: dict[str, EventAudience] = {}
    for name, table in _tables(file, "events", "spring-gala"):
        event = guid(name) or name
        if not _SLUG.fullmatch(name) or not name.isprintable():
            table.fault(f"{quoted(name)} is no event's id or slug: copy it from the address of its page")
        elif event in found:
            table.fault(f"{event} stands there twice: remove one")
        else:
            found[event] = _event(name, event, table, tools, known)
    return found


class _Table:
    """A table of the file, at this path."""

    def __init__(self, file: Document, table: Mapping[str, Any], *path: str) -> None:
        self.file = file
        self.table = table
        self.path = path

    def fault(self, text: str, *key: str) -> None:
        """Note what is wrong at this key, or with the table."""
        self.file.faults.add(text, *self.path, *key)

    def text(self, key: str) -> str:
        """A text that says something, "" where there is none or it is wrong."""
        value = self.table.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.fault(f'{key} is a text: write it in quotes, as {key} = "{value}"', key)
        elif not value.strip() or not value.isprintable() or len(value) > MOST_TEXT:
            self.fault(
                f"{key} is empty, or has characters that it cannot have: write its value, or remove the line", key
            )
        else:
            return value
        return ""

    def texts(self, needed: Mapping[str, str], optional: Mapping[str, str]) -> dict[str, str]:
        """The values of these keys, as far as they are there; the meaning of each is told where a needed one is missing."""
        for key, meaning in needed.items():
            if key not in self.table:
                self.fault(f"{key} is missing: {meaning}")
        found = {key: self.text(key) for key in (*needed, *optional)}
        return {key: value for key, value in found.items() if value}

    def flag(self, key: str) -> bool:
        """Whether it is true."""
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            self.fault(f"{key} is true or false, without quotes", key)
        return value is True

    def check_plain(self, kind: Kind, values: Mapping[str, str]) -> None:
        """Some values are letters and digits only."""
        for key in values.keys() & kind.plain:
            if not _PLAIN.fullmatch(values[key]):
                meaning = {**kind.tool, **kind.optional_tool, **kind.event, **kind.optional_event}[key]
                self.fault(
                    f"{key} is {quoted(values[key])}, but can have letters (a-z) and digits only: {meaning}", key
                )

    def check_one_of(self, kind: Kind, keys: Mapping[str, str]) -> None:
        """Of some keys exactly one is needed."""
        for choice in kind.one_of:
            given = [key for key in self.table if key in choice]
            if choice <= keys.keys() and len(given) != 1:
                names = " or ".join(sorted(choice))
                self.fault(f"{names} is missing" if not given else f"write either {names}, not both", *given[1:2])


def _tables(file: Document, key: str, example: str) -> Iterator[tuple[str, _Table]]:
    """The tables of this name."""
    tables = file.tables.get(key, {})
    if not isinstance(tables, dict):
        file.faults.add(f"{key} are tables, such as [{key}.{example}]", key)
        return
    for name, table in tables.items():
        if isinstance(table, dict):
            yield name, _Table(file, table, key, name)
        else:
            file.faults.add(f"{name} is a table: [{key}.{name}]", key, name)


# -- tools --


def _tool(name: str, table: _Table, known: Mapping[str, Kind], environ: Mapping[str, str]) -> Tool | None:
    """The tool; None where its kind is not known."""
    for key, named in table.table.items():
        if key.endswith("_env"):  # also where the kind is not known
            table.file.faults.hide(environ.get(str(named), ""))
    said = table.table.get("kind")
    if not isinstance(said, str) or said not in known:
        text = f"there is no kind {quoted(said)}. {did_you_mean(str(said), known)}"
        table.fault(text if "kind" in table.table else f"kind is missing: {' or '.join(sorted(known))}", "kind")
        return None
    kind = known[said]
    own = {**kind.tool, **kind.optional_tool}
    general = {key for key in TOOL_KEYS if key != "allow_http" or "url" in own}
    example = secrets.variable(name, kind.secret or "")
    for key in table.table:
        if key in {*general, *own, kind.secret}:
            continue
        if kind.secret and secrets.LIKE_A_SECRET.fullmatch(key):
            table.fault(secrets.no_secret_here(key, kind.secret, example), key)
        else:
            choices = {*general, *own, *([kind.secret] if kind.secret else [])}
            table.fault(f"a tool of kind {kind.name} has no {quoted(key)}. {did_you_mean(key, choices)}", key)
    secret = secrets.named_secret(table.table, kind.secret, example, environ, table.fault) if kind.secret else ""
    secrets.check_texts(table.table, secret, table.fault)
    values = table.texts(kind.tool, kind.optional_tool)
    table.check_plain(kind, values)
    table.check_one_of(kind, own)
    allow_http = table.flag("allow_http")
    url = values.pop("url", "")
    if url:
        _check_url(url, table, allow_http=allow_http)
    return Tool(
        name,
        kind.name,
        url.rstrip("/"),
        SecretStr(secret),
        str(table.table[kind.secret]) if kind.secret and secret else "",
        values,
        allow_http,
    )


def _check_url(url: str, table: _Table, *, allow_http: bool) -> None:
    parts = _parts(url)
    if parts is None or not parts.hostname:
        table.fault('url is no address: write one such as "https://lists.example.org"', "url")
        return
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment or " " in url:
        table.fault("url may have no name, password, blank, ? or #, since it is shown in logs", "url")
    if parts.scheme == "http" and not allow_http and not is_private_host(parts.hostname):
        table.fault(
            "url: with http:// everyone on the way can read along: use https://, or set allow_http = true", "url"
        )


def _parts(url: str) -> SplitResult | None:
    """The parts of an address of the web, or None where it is none."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:
        return None
    return parts if known else None


# -- events --


def _event(name: str, event: str, table: _Table, tools: Mapping[str, Tool], known: Mapping[str, Kind]) -> EventAudience:
    """The audience of one event."""
    tool = _tool_of(table, tools)
    kind = known[tool.kind] if tool else None
    own = {**kind.event, **kind.optional_event} if kind else {}
    if kind or "tool" not in table.table:  # of an unknown tool nothing is known that could be wrong
        for key in table.table:
            if key not in {*EVENT_KEYS, *own}:
                table.fault(f"{_which(name, kind)} has no {quoted(key)}. {did_you_mean(key, {*EVENT_KEYS, *own})}", key)
    push = table.flag("push")
    if "tool" not in table.table and not push:
        table.fault(f"{name} has no one to tell: name a tool, or write push = true")
    secrets.check_texts(table.table, tool.secret.get_secret_value() if tool else "", table.fault)
    audience = table.texts(kind.event, kind.optional_event) if kind else {}
    if kind:
        table.check_plain(kind, audience)
        table.check_one_of(kind, own)
    return EventAudience(event, tool, audience, _date_field(table, kind), push, table.file.line(*table.path))


def _tool_of(table: _Table, tools: Mapping[str, Tool]) -> Tool | None:
    if "tool" not in table.table:
        return None
    named = table.text("tool")
    written = table.file.tables.get("tools")
    if not named or named in tools:
        return tools.get(named)
    if not isinstance(written, dict) or not written:
        table.fault(f"tool: there is no [tools.{named}] in this file", "tool")
    elif named not in written:  # what is wrong with one that is there is told there
        table.fault(f"tool: there is no tool {quoted(named)}. {did_you_mean(named, written)}", "tool")
    return None


def _date_field(table: _Table, kind: Kind | None) -> str | None:
    if "date_field" not in table.table:
        return None
    value = table.text("date_field")
    if kind is None:
        if "tool" not in table.table:
            table.fault("date_field needs a tool that holds the date", "date_field")
    elif not kind.date_field:
        table.fault(f"date_field: a tool of kind {kind.name} holds no date: remove the line", "date_field")
    elif value and kind.date_fields and value not in kind.date_fields:
        table.fault(f"date_field is {quoted(value)}; it can be {' or '.join(kind.date_fields)}", "date_field")
    return value or None


def _which(name: str, kind: Kind | None) -> str:
    return f"an event with a tool of kind {kind.name}" if kind else f"{name}, which has no tool,"
