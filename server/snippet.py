"""The HTML that puts counters on a page.

In: the address of this server, tickets or an event with their names, and the widget's file where the script is pinned. Out: a script tag
and a tag for each ticket, or one for the event. What stands in a tag is shown where there is no number, so that it has to be true always:
it is the ticket's name, or the event's title.
"""

import hashlib
import html
from base64 import b64encode
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from server.single_line import printable

PATH = "/widget/v1/ticket-counter"
HASH_DIGITS = 16
"""Hex digits of the file's SHA-256 that stand in its address."""


SHOWN = ("show-name", "show-price", "show-link")
"""Attributes that have more of a ticket shown than the sentence."""

Attributes = Mapping[str, str | bool | None]
"""Attributes of a tag: with a value, without one (True), or not there (False, None)."""
NONE: Attributes = MappingProxyType({})


def snippet(
    address: str,
    tickets: Iterable[tuple[str, str]],
    *,
    site: str | None = None,
    widget: bytes | None = None,
    attributes: Attributes = NONE,
) -> str:
    """The lines for *tickets*, each an id and a name; *widget* is the file that the page is to accept and no other one.

    *site* is needed where the server has several. Several tickets are a paragraph each, and show their names and prices, to be told apart.
    """
    pairs = list(tickets)
    several = len(pairs) > 1
    told_apart = {"show-name": True, "show-price": True} if several else {}
    tags = (tag({"ticket": id_, "site": site, **attributes, **told_apart}, name) for id_, name in pairs)
    return "\n".join((script(address, widget), *(f"<p>{one}</p>" if several else one for one in tags)))


def event_snippet(
    address: str,
    event: tuple[str, str],
    *,
    site: str | None = None,
    widget: bytes | None = None,
    attributes: Attributes = NONE,
) -> str:
    """The lines for all tickets of an event, an id and a title: one tag, which follows changes of their set."""
    id_, title = event
    return "\n".join((script(address, widget), tag({"event": id_, "site": site, **attributes}, title)))


def tag(attributes: Attributes, content: str) -> str:
    """A counter's tag; *content* is text, whatever stands in it."""
    written = (
        f" {name}" if value is True else f' {name}="{html.escape(value)}"'
        for name, value in attributes.items()
        if value
    )
    return f"<ticket-counter{''.join(written)}>{html.escape(printable(content))}</ticket-counter>"


def script(address: str, widget: bytes | None = None) -> str:
    """The script tag; a pinned one has the file's hash in its address and in `integrity` (Subresource Integrity)."""
    root = html.escape(address.rstrip("/"))
    if widget is None:
        return f'<script async src="{root}{PATH}.js"></script>'
    integrity = f"sha384-{b64encode(hashlib.sha384(widget).digest()).decode()}"
    return f'<script async src="{root}{PATH}.{hash_of(widget)}.js" integrity="{integrity}" crossorigin="anonymous"></script>'


def hash_of(widget: bytes) -> str:
    """The hash in the file's address: the first 16 hex digits of SHA-256."""
    return hashlib.sha256(widget).hexdigest()[:HASH_DIGITS]
