"""A mail as bytes: its headers and its two parts, written once, parsed again, and sent as they are.

In: a Rendered message, who writes, and to whom. Out: bytes with CRLF, of ASCII alone unless the address needs more. They are not
written by Python's email package: it folds headers (a program that looks for List-Unsubscribe shows no button where it is folded or
encoded), some versions make a header of an encoded word in a name, and it takes the event loop, which serves viewers too, for
milliseconds. That package reads what was written, and has to find what was meant.
Sources: RFC 5322 (2.1.1, 3.6), RFC 2045 (6.7: lines of 76), RFC 2369 and 8058 (List-Unsubscribe), RFC 2919 (List-Id), RFC 3834.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.headerregistry import Address, HeaderRegistry
from email.message import Message
from email.utils import format_datetime
from functools import cache, lru_cache
from typing import Any

import idna

from server.notify.announcement import Announcement
from server.notify.message.content import header_text
from server.notify.message.renderer import Rendered, Renderer

LONGEST_LINE = 998
SHORT = 60
"""Characters of a header's text that fit on its first line beside the name of the header."""
WORD_BYTES = 39
"""Bytes of an encoded word: 64 characters, so that a line with the header's name has at most 76 (RFC 2047, section 2)."""

_NO_LABEL = re.compile(r"[^a-z0-9]+")
_HEADER = re.compile(rb"([!-9;-~]+):")
_READ_AS_WRITTEN = ("To", "Reply-To", "Subject", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post")
_READ = (*_READ_AS_WRITTEN, "From")
_SHARED = {"From", "Reply-To", "Subject", "List-Unsubscribe-Post"}
"""Headers that many mails have alike: each value is read once."""
_PARTS = [("text/plain", "utf-8"), ("text/html", "utf-8")]


class Unsafe(ValueError):
    """The bytes do not say what was put into them, so they must not be sent; the text names no person."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes: the address, the name beside it, and where answers go, both as `on_the_wire` writes them."""

    address: str
    name: str
    reply_to: str

    @property
    def domain(self) -> str:
        """The domain of the address in the form of DNS, of which Message-IDs and List-Ids are made."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is of one mail alone: `row` is the row's id, `campaign` its campaign's name, `at` when it is sent (since 1970)."""

    recipient: str
    row: str
    campaign: str
    unsubscribe: str
    at: float


def written(sender: Sender, rendered: Rendered, envelope: Envelope) -> bytes:
    """The mail; raises Unsafe where what was written is not what was meant."""
    headers = {
        **_headers(sender, rendered, envelope),
        "MIME-Version": "1.0",
        # Quoted-printable writes = as =3D, so no line of a part can be this boundary.
        "Content-Type": f'multipart/alternative; boundary="{_boundary(envelope)}"',
    }
    content = _assembled(headers, rendered, envelope)
    _check(content, headers, rendered)
    return content


def message_id(row: str, domain: str) -> str:
    """The Message-ID of a row, the same at each try."""
    return f"<tc.{row}@{domain}>"


def on_the_wire(address: str) -> str:
    """An address with its domain in the form of DNS (IDNA)."""
    local, _, domain = address.strip().rpartition("@")
    return f"{local}@{domain if domain.isascii() else idna.encode(domain, uts46=True).decode()}"


def previews(renderer: Renderer, sender: Sender, announcement: Announcement, envelope: Envelope) -> Mapping[str, bytes]:
    """The message in every language as files: `en.html`, `en.txt`, `en.eml` and so on, with what is in them."""
    files: dict[str, bytes] = {}
    for language in renderer.languages.all:
        rendered = renderer.render(announcement, language.name, envelope.unsubscribe)
        files[f"{language.name}.html"] = rendered.html.encode()
        files[f"{language.name}.txt"] = rendered.text.encode()
        files[f"{language.name}.eml"] = written(sender, rendered, envelope)
    return files


class _HeaderClasses(HeaderRegistry):
    """The email package's classes of headers, each made once: by default it makes a class, a cycle of objects, for every header read."""

    @cache  # noqa: B019 - there is one registry, as long as the process
    def __getitem__(self, name: str) -> type:
        """The class for headers of this name."""
        found: type = super().__getitem__(name)
        return found


_CLASSES = _HeaderClasses()
_READING = policy.EmailPolicy(header_factory=_CLASSES)
"""How Python's modern reader reads a header."""


def _read(name: str, value: str) -> Any:
    return _READING.header_fetch_parse(name, value)


_read_once = lru_cache(maxsize=64)(_read)


def _boundary(envelope: Envelope) -> str:
    return f"=_tc.{envelope.row}"


def _assembled(headers: Mapping[str, Any], rendered: Rendered, envelope: Envelope) -> bytes:
    """Headers and parts as bytes, which nothing has checked yet."""
    head = "".join(f"{name}: {_folded(name, value)}\r\n" for name, value in headers.items())
    boundary = _boundary(envelope)
    parts = (_part(boundary, "plain", rendered.text), _part(boundary, "html", rendered.html))
    charset = "ascii" if envelope.recipient.isascii() else "utf-8"
    return b"".join((head.encode(charset), *parts, f"\r\n--{boundary}--\r\n".encode()))


def _folded(name: str, value: Any) -> str:
    """The value of a header as it is written: none is folded but Subject and From, and these only between encoded words."""
    if name == "From":
        return f"{_phrase(value.display_name)}<{value.addr_spec}>"
    return _encoded(value) if name == "Subject" else str(value)


def _part(boundary: str, subtype: str, text: str) -> bytes:
    """One part, in lines of at most 76 characters (quoted-printable)."""
    head = f'\r\n--{boundary}\r\nContent-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    lines = b"".join(line + b"\r\n" for line in text.encode().splitlines())
    return head.encode() + binascii.b2a_qp(lines)


def _encoded(text: str) -> str:
    """A text for a header: as it is where it is short and of ASCII, else as encoded words of at most 75 characters (RFC 2047)."""
    if text.isascii() and text.isprintable() and len(text) <= SHORT and "=?" not in text:
        return text
    words: list[bytes] = [b""]
    for one in text:
        character = one.encode()
        if len(words[-1]) + len(character) > WORD_BYTES:
            words.append(b"")
        words[-1] += character
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words)


def _phrase(name: str) -> str:
    """A name before an address, with what parts the two (RFC 5322, 3.2.5)."""
    quoted = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{quoted}" ' if _encoded(name) == name else f"{_encoded(name)}\r\n "


def _headers(sender: Sender, rendered: Rendered, envelope: Envelope) -> dict[str, Any]:
    """The headers by name, in their order; what outsiders typed is in the subject alone."""
    local, _, domain = sender.address.rpartition("@")
    label = _NO_LABEL.sub("-", envelope.campaign.partition("@")[0].lower()).strip("-")[:63] or "event"
    return {
        "From": Address(header_text(sender.name, 150), local, domain),
        "To": envelope.recipient,
        "Reply-To": sender.reply_to,
        "Subject": rendered.subject,
        "Date": format_datetime(datetime.fromtimestamp(envelope.at, UTC)),
        "Message-ID": message_id(envelope.row, domain),
        "List-Id": f"<{label}.notify.{domain}>",
        "List-Unsubscribe": f"<{envelope.unsubscribe}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }


def _check(content: bytes, headers: Mapping[str, Any], rendered: Rendered) -> None:
    """Compare what was written with what was meant, read in two ways; raises Unsafe."""
    names = sorted(name.lower() for name in headers)
    head, _, _ = content.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    seen = [match[1].decode().lower() for line in lines if (match := _HEADER.match(line))]
    if sorted(seen) != names or any(not line.startswith((b" ", b"\t")) and not _HEADER.match(line) for line in lines):
        raise Unsafe(f"it has the headers {', '.join(seen)} instead of {', '.join(names)}")
    if re.search(rb"(?<!\r)\n|\r(?!\n)", content) or max(map(len, content.split(b"\r\n"))) > LONGEST_LINE:
        raise Unsafe("it has a line that is too long, or that does not end as lines of a mail do")
    # The older reader finds headers and parts in the same way as the modern one, at a sixth of its cost; only the modern one decodes
    # encoded words in names, so that it reads the headers.
    parsed: Message = message_from_bytes(content, policy=policy.compat32)
    raw = [(name.lower(), value) for name, value in parsed.raw_items()]
    if sorted(name for name, _ in raw) != names or parsed.defects:
        raise Unsafe("it is read with other headers than it was written with")
    values = dict(raw)
    read = {name: (_read_once if name in _SHARED else _read)(name, values[name.lower()]) for name in _READ}
    for name in _READ_AS_WRITTEN:
        if str(read[name]) != headers[name]:
            raise Unsafe(f"its {name} is read in another way than it was written")
    # Python reads a blank between two encoded words of a name, which no mail program does.
    if [_bare(one) for one in read["From"].addresses] != [_bare(headers["From"])]:
        raise Unsafe("its From is read in another way than it was written")
    parts: Any = parsed.get_payload() if parsed.is_multipart() else []
    if [(part.get_content_type(), part.get_content_charset()) for part in parts] != _PARTS:
        raise Unsafe("its parts are not a text and an HTML")
    for part, meant in zip(parts, (rendered.text, rendered.html), strict=True):
        if part.get_payload(decode=True).decode(errors="replace").splitlines() != meant.splitlines():
            raise Unsafe(f"its {part.get_content_type()} is read in another way than it was written")


def _bare(address: Address) -> tuple[str, str]:
    return address.addr_spec, "".join(address.display_name.split())
