"""The query string of a public request: which tickets it asks for, and of which site, with its limits.

In: a query string, as any client may send it. Out: a Query, or BadRequest naming the parameter that is wrong.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from server.errors import BadRequest
from server.model import EventName, SiteId, TicketId
from server.wire import guid

MOST_TICKETS = 50
"""Tickets in one request: a page has a handful, and each opens a topic."""

LONGEST_QUERY = 4096
"""Bytes of a query string: 50 GUIDs need 2,250."""

LONGEST_NAME = 200
"""Characters of an event's slug."""


@dataclass(frozen=True, slots=True)
class Query:
    """The counters that a public request asks for: of tickets or of an event, and of one site (None: that which has them)."""

    site: SiteId | None
    tickets: tuple[TicketId, ...] = ()
    event: EventName | None = None

    @property
    def wanted(self) -> tuple[TicketId, ...] | EventName:
        """The event, or the tickets."""
        return self.event or self.tickets


@lru_cache(maxsize=1024)  # all viewers of a page send the same query
def parse(query: str) -> Query:
    """Parse `ticket=A&ticket=B[&site=S]` or `event=E[&site=S]`; the rest is ignored.

    Ids are in lower case, in their order, without duplicates. Raises BadRequest naming the parameter that is wrong.
    """
    if len(query) > LONGEST_QUERY:
        raise BadRequest("query", f"the query string is longer than {LONGEST_QUERY} bytes")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=4 * MOST_TICKETS)
    except ValueError:
        raise BadRequest("query", f"the query string has more than {4 * MOST_TICKETS} parameters") from None
    tickets = _all(pairs, "ticket", _guid)
    events = _all(pairs, "event", _event)
    sites = _all(pairs, "site", _guid)
    if tickets and events:
        raise BadRequest("event", "name tickets or an event, not both")
    if not tickets and not events:
        raise BadRequest(
            "ticket", "name at least one ticket (?ticket=<ticket definition id>) or an event (?event=<id or slug>)"
        )
    if len(tickets) > MOST_TICKETS:
        raise BadRequest("ticket", f"{len(tickets)} tickets in one request; at most {MOST_TICKETS} are allowed")
    for name, values in (("event", events), ("site", sites)):
        if len(values) > 1:
            raise BadRequest(name, f"one {name} a request")
    return Query(
        SiteId(sites[0]) if sites else None,
        tuple(map(TicketId, tickets)),
        EventName(events[0]) if events else None,
    )


def _all(pairs: Iterable[tuple[str, str]], name: str, read: Callable[[str, str], str]) -> tuple[str, ...]:
    """The values of a parameter, each once, in their order."""
    return tuple(dict.fromkeys(read(name, value) for its, value in pairs if its == name))


def _guid(name: str, value: str) -> str:
    found = guid(value)
    if found is None:
        raise BadRequest(name, f"{name}={value[:60]!a} is not a GUID")
    return found


def _event(name: str, value: str) -> str:
    """An id in lower case, or a slug as it stands in the address of the event's page."""
    found = guid(value)
    if found is None and (not value or len(value) > LONGEST_NAME or not value.isprintable()):
        raise BadRequest(name, f"{name}={value[:60]!r} is neither an id nor a slug")
    return found or value
