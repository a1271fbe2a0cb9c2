"""`ticket-counter embed`: the HTML that puts a ticket, or all tickets of an event, on a page.

In: a ticket or an event. Out: the HTML on standard output, and where to paste it on standard error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from server import pages, snippet
from server.catalog.catalog import Catalog
from server.catalog.listed import ListedEvent, ListedTicket
from server.cli import ticket_ids, tickets
from server.cli.start import errors_as_lines, interruptible, load_settings, print_error
from server.cli.terminal import write
from server.cli.values import printable
from server.errors import NotStarted
from server.model import SiteId
from server.settings import Settings
from server.wire import guid

ON_WIX = (
    "on a Wix site: Add Elements > Embed & Social > Custom Element (server URL: that of the script; tag name: ticket-counter; "
    "attribute: ticket), or an HTML iframe with the website address "
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The tickets that were asked for, all of one *site*."""

    site: SiteId
    tickets: Sequence[ListedTicket]


def embed(
    name: Annotated[
        str, typer.Argument(metavar="TICKET|EVENT", help="A ticket's id, or how it begins; or an event's slug or id.")
    ],
    *,
    pin: Annotated[bool, typer.Option("--pin", help="Pin this version of the script by its hash (SRI).")] = False,
) -> None:
    """Print the HTML for a page with a counter.

    Of a ticket, or of each ticket of an event that visitors see. Only the HTML goes to standard output.
    """
    settings = load_settings(True)
    with errors_as_lines(), interruptible("nothing was changed"):
        _print(settings, tickets.read(settings), name, pin=pin)


def _print(settings: Settings, found: Catalog, name: str, *, pin: bool) -> None:
    wanted = asked(found, name)
    site = wanted.site if len(found.sites) > 1 else None
    pairs = [(one.ticket, one.name) for one in wanted.tickets]
    write(snippet.snippet(settings.address, pairs, site=site, widget=pages.WIDGET.read_bytes() if pin else None))
    of_tickets = "&".join([*(f"ticket={id_}" for id_, _ in pairs), *((f"site={site}",) if site else ())])
    print_error(f"{ON_WIX}{settings.address}/embed?{of_tickets}")
    for one in wanted.tickets:
        if one.why_gone:
            print_error(f"visitors are shown nothing of {printable(one.name) or one.ticket} now: {one.why_gone}")
    if settings.public_url is None:
        print_error(
            "PUBLIC_URL is not set, so this address works only on this machine: set PUBLIC_URL to the public https address of the server"
        )
    if pin:
        print_error(
            "a pinned page keeps this version of the script: print the HTML again after an upgrade of the server"
        )


def asked(found: Catalog, name: str) -> Asked:
    """What this name means; raises NotStarted where it means nothing, or several tickets."""
    id_ = guid(name)
    for event in found.events:
        if event.event == id_ or (event.slug == name and id_ is None):
            return _of_event(found, event, name)
    start = id_ or ticket_ids.beginning(name)
    if start is None:
        raise NotStarted(_no_such(name))
    tickets_ = [(event.site, one) for event in found.events for one in event.tickets if one.ticket.startswith(start)]
    if not tickets_:
        raise NotStarted(_no_such(name))
    if len(tickets_) > 1:
        raise ticket_ids.several(name, [(one.ticket, one.name) for _, one in tickets_])
    return Asked(tickets_[0][0], [tickets_[0][1]])


def _of_event(found: Catalog, event: ListedEvent, name: str) -> Asked:
    several = [one for one in found.events if one.slug == name]
    if len(several) > 1:
        ids = ", ".join(f"{one.event} of site {one.site}" for one in several)
        raise NotStarted(f"several sites have an event {name!r}: name it by its id: {ids}")
    # What visitors are not shown stays out of the page: a hidden ticket is none of theirs.
    return Asked(event.site, event.shown or event.tickets)


def _no_such(name: str) -> str:
    return f"there is no ticket and no event {name!r}: `ticket-counter tickets` lists them with their ids"
