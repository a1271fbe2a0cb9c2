"""`ticket-counter embed`: the HTML that puts a ticket, or all tickets of an event, on a page.

In: a ticket or an event, and what is to be shown of it. Out: the HTML on standard output, and where to paste it on standard error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

import typer

from server import pages, snippet
from server.catalog.catalog import Catalog
from server.catalog.listed import ListedEvent, ListedTicket
from server.cli import ticket_ids, tickets
from server.cli.start import errors_as_lines, interruptible, load_settings, print_error
from server.cli.terminal import write
from server.cli.values import printable
from server.embed_page import LANG
from server.errors import NotStarted
from server.model import SiteId
from server.settings import Settings
from server.wire import guid

ON_WIX = (
    "on a Wix site: Add Elements > Embed & Social > Custom Element (server URL: that of the script; tag name: ticket-counter; "
    "attribute: ticket or event, as here), or an HTML iframe with the website address "
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The tickets that were asked for, all of one *site*; all of an *event*, if that is what was named."""

    site: SiteId
    tickets: Sequence[ListedTicket]
    event: ListedEvent | None = None


def embed(
    name: Annotated[
        str, typer.Argument(metavar="TICKET|EVENT", help="A ticket's id, or how it begins; or an event's slug or id.")
    ],
    *,
    each: Annotated[bool, typer.Option("--each", help="Of an event: a tag for each ticket that visitors see.")] = False,
    show_name: Annotated[bool, typer.Option("--show-name", help="Show the ticket's name.")] = False,
    show_price: Annotated[bool, typer.Option("--show-price", help="Show the price.")] = False,
    show_link: Annotated[bool, typer.Option("--show-link", help="Show a link to the event's page.")] = False,
    option: Annotated[
        str | None, typer.Option(metavar="OPTION", help="The pricing option whose price is shown: its id or name.")
    ] = None,
    lang: Annotated[
        str | None, typer.Option(metavar="LANGUAGE", help="The language, such as de; by default, that of the page.")
    ] = None,
    eager: Annotated[
        bool, typer.Option("--eager", help="Connect even while it is not in view, for a script that listens.")
    ] = False,
    pin: Annotated[bool, typer.Option("--pin", help="Pin this version of the script by its hash (SRI).")] = False,
) -> None:
    """Print the HTML for a page with a counter.

    Of a ticket, or of an event: one tag, which follows changes of its tickets. Only the HTML goes to standard output.
    """
    if lang is not None and not LANG.fullmatch(lang):
        raise typer.BadParameter(f"--lang {lang!r} is not a language tag: write one such as de or pt-BR")
    shown = dict(zip(snippet.SHOWN, (show_name, show_price, show_link), strict=True))
    settings = load_settings(True)
    with errors_as_lines(), interruptible("nothing was changed"):
        _print(
            settings,
            tickets.read(settings),
            name,
            {"lang": lang, "option": option or None, **shown, "eager": eager},
            each=each,
            pin=pin,
        )


def _print(
    settings: Settings, found: Catalog, name: str, attributes: snippet.Attributes, *, each: bool, pin: bool
) -> None:
    wanted = asked(found, name)
    site = wanted.site if len(found.sites) > 1 else None
    widget = pages.WIDGET.read_bytes() if pin else None
    pairs = [(one.ticket, one.name) for one in wanted.tickets]
    ids: list[tuple[str, str]] = [("ticket", id_) for id_, _ in pairs]
    if wanted.event is not None and not each:
        ids = [("event", wanted.event.event)]
        its = wanted.event.event, wanted.event.title
        write(snippet.event_snippet(settings.address, its, site=site, widget=widget, attributes=attributes))
    else:
        write(snippet.snippet(settings.address, pairs, site=site, widget=widget, attributes=attributes))
    print_error(f"{ON_WIX}{settings.address}/embed?{_query([*ids, ('site', site)], attributes)}")
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


def _query(ids: Sequence[tuple[str, str | None]], attributes: snippet.Attributes) -> str:
    """The query of /embed that shows the same; a frame is always eager."""
    given = [*ids, *((name, value) for name, value in attributes.items() if name != "eager")]
    return urlencode([(name, "1" if value is True else value) for name, value in given if value])


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
    return Asked(event.site, event.shown or event.tickets, event)


def _no_such(name: str) -> str:
    return f"there is no ticket and no event {name!r}: `ticket-counter tickets` lists them with their ids"
