"""What is read from Wix: ticket definitions and events, by id, page by page, or one by itself.

In: a site and what to read. Out: model.py's definitions and events, or the errors of calls.py.
Sources: Wix, "Ticket Definitions V3", "Events V3".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server import logs, metrics
from server.errors import Malformed, WixUnavailable
from server.model import Definition, Event, EventId, SiteId, TicketId
from server.wix import events, schema
from server.wix.calls import Calls, Pay

PATH = "/events/v3/ticket-definitions"
FIELDS = ("SALES_DETAILS", "EVENT_DETAILS")
EVENTS = "/events/v3/events"
EVENT_FIELDS = ("REGISTRATION", "URLS")
PAGE = 100
"""Definitions, or events, in one answer at most (Wix: cursorPaging.limit)."""

log = logs.logger("wix")


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The definitions of one response, the ids of those that could not be read, and the cursor of the next page."""

    definitions: tuple[Definition, ...]
    unreadable: frozenset[TicketId]
    next_cursor: str | None = None


class Wix(Calls):
    """The API as one app, or one API key, sees it."""

    async def query(self, site: SiteId, tickets: Sequence[TicketId], pay: Pay) -> QueryResult:
        """Read up to 100 tickets by id in one call; the result lacks those that Wix does not have."""
        body = {
            "query": {"filter": {"id": {"$in": list(tickets)}}, "cursorPaging": {"limit": PAGE}},
            "fields": FIELDS,
        }
        return _query_result(await self.call(site, "query", "POST", f"{PATH}/query", pay, json=body))

    async def page(self, site: SiteId, cursor: str | None, pay: Pay) -> QueryResult:
        """Read one page of all tickets of the site; with a cursor, Wix allows no other part of the query."""
        paging = {"limit": PAGE} if cursor is None else {"limit": PAGE, "cursor": cursor}
        body = {"query": {"cursorPaging": paging}, "fields": FIELDS}
        return _query_result(await self.call(site, "list", "POST", f"{PATH}/query", pay, json=body))

    async def get(self, site: SiteId, ticket: TicketId, pay: Pay) -> Definition:
        """Read one ticket by itself. Raises NotThere, which is the only proof that a ticket is deleted."""
        answer = await self.call(
            site, "get", "GET", f"{PATH}/{ticket}", pay, params=[("fields", name) for name in FIELDS]
        )
        return schema.definition(answer.get("ticketDefinition"))

    async def events(self, site: SiteId, ids: Sequence[EventId], pay: Pay) -> list[Event]:
        """Read up to 100 events by id in one call; the result lacks drafts, and those that Wix does not have."""
        # Without a limit Wix answers how many there are, and none of them.
        paging = {"limit": PAGE, "offset": 0}
        body = {"query": {"filter": {"id": {"$in": list(ids)}}, "paging": paging}, "fields": EVENT_FIELDS}
        answer = await self.call(site, "events", "POST", f"{EVENTS}/query", pay, json=body)
        listed = answer.get("events")
        if not isinstance(listed, list):
            raise WixUnavailable("Wix's answer has no events", status=200)
        return [found for one in listed if (found := _readable(one)) is not None]

    async def event(self, site: SiteId, id_: EventId, pay: Pay) -> Event | None:
        """Read one event by itself; None for one that cannot be read. Raises NotThere."""
        answer = await self.call(
            site, "event", "GET", f"{EVENTS}/{id_}", pay, params=[("fields", name) for name in EVENT_FIELDS]
        )
        return _readable(answer.get("event"))


def _readable(json: Any) -> Event | None:
    try:
        return events.event(json)
    except Malformed as error:
        log.warning("event_unreadable", error=str(error))
        metrics.wix_calls.labels("event", "unreadable").inc()
        return None


def _query_result(answer: Mapping[str, Any]) -> QueryResult:
    listed = answer.get("ticketDefinitions")
    if not isinstance(listed, list):
        raise WixUnavailable("Wix's answer has no ticketDefinitions", status=200)
    definitions, unreadable = [], set()
    for one in listed:
        try:
            definitions.append(schema.definition(one))
        except Malformed as error:
            log.warning("definition_unreadable", error=str(error))
            metrics.wix_calls.labels("definition", "unreadable").inc()
            if isinstance(one, dict) and isinstance(one.get("id"), str):
                unreadable.add(TicketId(one["id"].lower()))
    metadata = answer.get("metadata")
    cursors = metadata.get("cursors") if isinstance(metadata, dict) else None
    following = cursors.get("next") if isinstance(cursors, dict) else None
    return QueryResult(tuple(definitions), frozenset(unreadable), following if isinstance(following, str) else None)
