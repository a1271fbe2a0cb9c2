"""Reads notify.toml, and from the settings what its events need: who is told of what, by which relay, in whose name.

In: the settings, the environment, which has the secrets of tools, and the kinds of tools. Out: NotifyConfig, or NotStarted with all that
is wrong at once, with line and cure; none shows a secret.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from server.errors import NotStarted
from server.notify.audience import kinds
from server.notify.audience.source import Kind
from server.notify.config import HOUR, EventAudience, MailSettings, NotifyConfig, PushSettings
from server.notify.file.first_file import first_file
from server.notify.file.reader import read_events, read_tools
from server.notify.message.folder import folder_faults
from server.notify.message.languages import text_files, unknown_language
from server.notify_settings import NotifySettings
from server.toml_file import document
from server.toml_file.document import Document
from server.toml_file.faults import did_you_mean, quoted

COMMAND = "ticket-counter notify init"

KEYS = ("format", "window_hours", "together_minutes", "language", "templates", "mail", "push", "tools", "events")
PACE_KEYS = ("per_second", "connections")

LONGEST_WINDOW = 48.0
"""Hours. What was told to be on sale two days ago is no news."""

LONGEST_PUBLIC_URL = 150
"""Characters. List-Unsubscribe is one line of at most 998 (RFC 5322, 2.1.1), of which a token with an address of 254 needs some 800."""

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def load(
    settings: NotifySettings,
    public_url: str | None,
    environ: Mapping[str, str],
    *,
    required: bool = False,
    known: Mapping[str, Kind] | None = None,
) -> NotifyConfig | None:
    """What NOTIFY_FILE and the settings say; None where there is no such file, or it names no event: then nothing of notify runs.

    *public_url*: where our pages are (Settings.pages_url). *required*: raise NotStarted instead, with what to do. *known*: the kinds
    of tools.
    """
    path = settings.notify_file
    if path is None:
        if required:
            raise NotStarted("notify is switched off: set NOTIFY_FILE")
        return None
    must_exist = required or "notify_file" in settings.model_fields_set
    file = document.read(path, "NOTIFY_FILE", COMMAND, required=must_exist)
    if file is None:
        return None
    found = _read(file, settings, public_url, environ, kinds() if known is None else known)
    if not found.events and required:
        raise NotStarted(f"the file {path} names no event: add one to it, such as [events.spring-gala]")
    return found if found.events else None


def write_first(path: Path, *, known: Mapping[str, Kind] | None = None) -> None:
    """Write a first file (first_file.py); raises NotStarted where there is a file already."""
    document.write_first(path, first_file(kinds() if known is None else known))


def _read(
    file: Document,
    settings: NotifySettings,
    public_url: str | None,
    environ: Mapping[str, str],
    known: Mapping[str, Kind],
) -> NotifyConfig:
    file.check_format()
    for key in file.tables:
        if key not in KEYS:
            file.faults.add(f"the file has no {quoted(key)}. {did_you_mean(key, KEYS)}", key)
    tools = read_tools(file, known, environ)
    events = read_events(file, tools, known)
    mail_pace = _pace(file, "mail", 25.0, 4)
    push_pace = _pace(file, "push", 50.0, 8)
    window = _number(file, 2.0, 0.05, LONGEST_WINDOW, "window_hours")
    together = _number(file, 60.0, 0.0, window * 60, "together_minutes")
    templates = _templates(file)
    language = _language(file, templates)
    missing = list(_missing(settings, public_url, events, file.tables.get("events")))
    if file.faults:
        raise document.refused(file.path, *file.faults.texts(), *missing)
    if missing:
        raise NotStarted(
            missing[0] if len(missing) == 1 else "\n  ".join((f"{file.path} needs more settings:", *missing))
        )
    return NotifyConfig(
        file=file.path,
        events=events,
        public_url=public_url or "",
        mail=_mail(settings, *mail_pace) if any(one.tool for one in events.values()) else None,
        push=_push(settings, *push_pace) if any(one.push for one in events.values()) else None,
        window=window * HOUR,
        together=together * 60,
        templates=templates,
        language=language,
    )


# -- what the file says --


def _number(file: Document, default: float, least: float, most: float, *path: str) -> float:
    table: Any = file.tables
    for key in path[:-1]:
        table = table.get(key, {})
    value = table.get(path[-1], default)
    if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
        return float(value)
    file.faults.add(f"{path[-1]} is a number from {least:g} to {most:g}", *path)
    return default


def _pace(file: Document, key: str, per_second: float, connections: int) -> tuple[float, int]:
    """How fast a channel is: messages a second, and connections."""
    table = file.tables.get(key, {})
    if not isinstance(table, dict):
        file.faults.add(f"{key} is a table: [{key}]", key)
        return per_second, connections
    for name in table:
        if name not in PACE_KEYS:
            file.faults.add(f"{key} has no {quoted(name)}. {did_you_mean(name, PACE_KEYS)}", key, name)
    pace = _number(file, per_second, 0.01, 1_000, key, "per_second")
    number = table.get("connections", connections)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 50:
        file.faults.add("connections is a whole number from 1 to 50", key, "connections")
        return pace, connections
    return pace, number


def _language(file: Document, templates: Path | None) -> str:
    value = file.tables.get("language", "en")
    if isinstance(value, str) and _LANGUAGE.fullmatch(value):
        if fault := unknown_language(value, text_files(templates)):
            file.faults.add(fault, "language")
        return value
    file.faults.add(f"language is {quoted(value)}: write the short name of one, such as en, de or he", "language")
    return "en"


def _templates(file: Document) -> Path | None:
    value = file.tables.get("templates")
    if value is None:
        return None
    folder = file.path.parent / value if isinstance(value, str) and value else None
    if folder is None or not folder.is_dir():
        file.faults.add(f"templates: there is no folder {quoted(value)} beside this file", "templates")
        return None
    for fault in folder_faults(folder):
        file.faults.add(fault, "templates")
    return folder


# -- what the settings say --


def _missing(
    settings: NotifySettings, public_url: str | None, events: Mapping[str, EventAudience], tables: Any
) -> Iterator[str]:
    """What the settings lack for these events; where the events could not be read, what any would need is not told."""
    written = [one for one in tables.values() if isinstance(one, dict)] if isinstance(tables, dict) else []
    mail = any("tool" in one for one in written)
    push = next((name for name, one in events.items() if one.push), None)
    if not mail and push is None:
        return
    if settings.notify_keys is None:
        yield "NOTIFY_KEYS is not set: it encrypts and hashes addresses. `ticket-counter notify keys` makes one"
    yield from _bad_public_url(public_url)
    if push is not None and not settings.vapid_keys:
        yield (
            f"NOTIFY_VAPID_KEYS is not set, and {push} has push = true: it signs push messages. "
            "`ticket-counter notify keys` makes one"
        )
    if push is not None and not mail and not _mailbox(settings):
        yield f"NOTIFY_FROM is not set, and {push} has push = true: push services want an address that they can write to"
    if mail:
        if settings.notify_smtp_url is None:
            yield "NOTIFY_SMTP_URL is not set: mails go out by a relay, such as smtp://user:password@relay.example.org:587"
        names = {
            "NOTIFY_FROM": settings.notify_from,
            "NOTIFY_SENDER_NAME": settings.notify_sender_name,
            "NOTIFY_POSTAL_ADDRESS": settings.notify_postal_address,
        }
        lacking = [name for name, value in names.items() if not (value or "").strip()]
        if lacking:
            verb = "is" if len(lacking) == 1 else "are"
            yield f"{_all(lacking)} {verb} not set: a mail must say who writes"


def _bad_public_url(public_url: str | None) -> Iterator[str]:
    if public_url is None:
        yield "PUBLIC_URL is not set: it is where the links in messages lead"
    elif not public_url.startswith("https://") and not _on_this_machine(public_url):
        yield "PUBLIC_URL does not begin with https://: mail programs and push need that to follow the links in messages"
    elif len(public_url) > LONGEST_PUBLIC_URL:
        yield (
            f"PUBLIC_URL and ROOT_PATH have {len(public_url)} characters together: {LONGEST_PUBLIC_URL} is the most with which the link "
            "to leave a list fits into a header line of a mail (998)"
        )


def _all(names: Sequence[str]) -> str:
    """A, B and C."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host.startswith("127.") or host in {"localhost", "::1"}


def _mail(settings: NotifySettings, per_second: float, connections: int) -> MailSettings:
    sender = settings.notify_from or ""
    return MailSettings(
        url=settings.notify_smtp_url or SecretStr(""),
        sender=sender,
        sender_name=(settings.notify_sender_name or "").strip(),
        postal_address=(settings.notify_postal_address or "").strip(),
        reply_to=settings.notify_reply_to or sender,
        envelope_sender=settings.notify_envelope_sender or sender,
        per_second=per_second,
        connections=connections,
    )


def _push(settings: NotifySettings, per_second: float, connections: int) -> PushSettings:
    return PushSettings(
        keys=tuple(SecretStr(one) for one in settings.vapid_keys),
        contact=f"mailto:{_mailbox(settings)}",
        hosts=settings.notify_push_hosts,
        per_second=per_second,
        connections=connections,
    )


def _mailbox(settings: NotifySettings) -> str:
    """Whom push services may write to."""
    return settings.notify_reply_to or settings.notify_from or ""
