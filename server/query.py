"""The query string of a public request: which tickets it asks for, and of which site, with its limits.

In: a query string, as any client may send it. Out: a Query, or BadRequest naming the parameter that is wrong.
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from server.errors import BadRequest
from server.model import SiteId, TicketId
from server.wire import guid

MOST_TICKETS = 50
"""Tickets in one request: a page has a handful, and each opens a topic."""

LONGEST_QUERY = 4096
"""Bytes of a query string: 50 GUIDs need 2,250."""


@dataclass(frozen=True, slots=True)
class Query:
    """The counters that a public request asks for, of one site (None: the only one)."""

    site: SiteId | None
    tickets: tuple[TicketId, ...]


@lru_cache(maxsize=1024)  # all viewers of a page send the same query
def parse(query: str) -> Query:
    """Parse `ticket=A&ticket=B[&site=S]`: ids in lower case, in their order, without duplicates; the rest is ignored.

    Raises BadRequest naming the parameter that is wrong.
    """
    if len(query) > LONGEST_QUERY:
        raise BadRequest("query", f"the query string is longer than {LONGEST_QUERY} bytes")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=4 * MOST_TICKETS)
    except ValueError:
        raise BadRequest("query", f"the query string has more than {4 * MOST_TICKETS} parameters") from None
    tickets: dict[TicketId, None] = {}
    sites: dict[SiteId, None] = {}
    for name, value in pairs:
        if name not in {"ticket", "site"}:
            continue
        found = guid(value)
        if found is None:
            raise BadRequest(name, f"{name}={value[:60]!a} is not a GUID")
        if name == "ticket":
            tickets[TicketId(found)] = None
        else:
            sites[SiteId(found)] = None
    if not tickets:
        raise BadRequest("ticket", "name at least one ticket: ?ticket=<ticket definition id>")
    if len(tickets) > MOST_TICKETS:
        raise BadRequest("ticket", f"{len(tickets)} tickets in one request; at most {MOST_TICKETS} are allowed")
    if len(sites) > 1:
        raise BadRequest("site", "one site a request")
    return Query(next(iter(sites), None), tuple(tickets))
