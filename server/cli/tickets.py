"""`ticket-counter tickets` and `ticket-counter events`: which tickets and events there are, with their ids.

In: options. Out: text or JSON on standard output; where it was read, and what could not be, on standard error.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from server import snippet
from server.catalog import catalog
from server.catalog.catalog import Catalog
from server.catalog.listed import ListedEvent
from server.cli import catalog_text
from server.cli.start import errors_as_lines, interruptible, load_settings, print_error, redis_url_or_none
from server.cli.terminal import write
from server.errors import NotStarted
from server.settings import Settings
from server.wire import guid

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def tickets(
    event: Annotated[
        str | None,
        typer.Option("--event", metavar="EVENT", help="Only those of this event (slug or id)."),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Print all tickets, by event, with their ids.

    For each: id, state, how many are left, name. The state is what visitors see; `not shown` says why they see none. At the
    end comes the HTML that puts one of them on a page. All is read from Redis, or from Wix itself when no worker runs.
    """
    settings = load_settings(True)
    with errors_as_lines(), interruptible("nothing was changed"):
        _print_tickets(settings, read(settings), event, json=json)


def events(*, json: Json = False) -> None:
    """Print all events that have tickets.

    For each: its start (in the time of this machine), status, number of tickets, id, slug, and title.
    """
    settings = load_settings(True)
    with errors_as_lines(), interruptible("nothing was changed"):
        _print_events(read(settings), json=json)


def read(settings: Settings) -> Catalog:
    """All events and tickets; raises NotStarted and the errors of Wix."""
    return asyncio.run(catalog.read(settings, redis_url_or_none(settings)))


def of_event(found: Catalog, name: str) -> Sequence[ListedEvent]:
    """The events with this slug or id; raises NotStarted where there is none."""
    id_ = guid(name)
    events = [one for one in found.events if (one.event == id_ if id_ else one.slug == name)]
    if not events:
        raise NotStarted(f"there is no event {name!r} that has tickets: `ticket-counter events` lists the events")
    return events


def _print_tickets(settings: Settings, found: Catalog, event: str | None, *, json: bool) -> None:
    events = found.events if event is None else of_event(found, event)
    if json:
        write(catalog_text.ticket_json(found, events))
        return
    _print_notes(found)
    for line in catalog_text.ticket_lines(events, found.sites):
        write(line)
    if not any(one.tickets for one in events):
        write(catalog_text.NO_TICKETS)
    elif example := next((pair for one in events if (pair := _first(one))), None):
        site = example[0].site if len(found.sites) > 1 else None
        write("\nTo put one on a page:\n")
        write(snippet.snippet(settings.address, [example[1]], site=site))
        write("\nFor another: ticket-counter embed TICKET. For all of an event: ticket-counter embed EVENT.")


def _print_events(found: Catalog, *, json: bool) -> None:
    if json:
        write(catalog_text.event_json(found))
        return
    _print_notes(found)
    for line in catalog_text.event_lines(found.events, found.sites):
        write(line)
    if not found.events:
        write(catalog_text.NO_TICKETS)


def _first(one: ListedEvent) -> tuple[ListedEvent, tuple[str, str]] | None:
    """The first ticket of an event that visitors see."""
    return next(((one, (ticket.ticket, ticket.name)) for ticket in one.shown), None)


def _print_notes(found: Catalog) -> None:
    for note in found.notes:
        print_error(note)
