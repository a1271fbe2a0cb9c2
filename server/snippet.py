"""The HTML that puts counters on a page.

In: the address of this server, tickets with their names, and the widget's file where the script is pinned. Out: a script tag and a
tag for each ticket. What stands in a tag is shown where there is no number, so that it has to be true always: it is the ticket's name.
"""

import hashlib
import html
from base64 import b64encode
from collections.abc import Iterable

from server.single_line import printable

PATH = "/widget/v1/ticket-counter"
HASH_DIGITS = 16
"""Hex digits of the file's SHA-256 that stand in its address."""


def snippet(
    address: str, tickets: Iterable[tuple[str, str]], *, site: str | None = None, widget: bytes | None = None
) -> str:
    """The lines for *tickets*, each an id and a name; *widget* is the file that the page is to accept and no other one.

    *site* is needed where the server has several. Several tickets are a paragraph each, and show their names and prices, to be told apart.
    """
    pairs = list(tickets)
    of_site = f' site="{html.escape(site)}"' if site else ""
    shown = " show-name show-price" if len(pairs) > 1 else ""
    before, after = ("<p>", "</p>") if len(pairs) > 1 else ("", "")
    tags = (
        f'{before}<ticket-counter ticket="{html.escape(id_)}"{of_site}{shown}>{html.escape(printable(name))}</ticket-counter>{after}'
        for id_, name in pairs
    )
    return "\n".join((script(address, widget), *tags))


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
