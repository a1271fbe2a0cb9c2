"""The event that a visitor asks for, by one of its tickets or by itself, and how visitors can be told of it.

In: the query string of a request, as any client may send it. Out: an AskedEvent, or Refused. What a worker remembers of events says
which of them notify.toml names; an event that is not published is one that there is not.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from server.errors import BadRequest, UnknownEvent
from server.model import EventId, SiteId
from server.query import Query, parse
from server.redis.client import RedisClient
from server.store.definitions import Definitions
from server.store.notify_events import NotifyEvents
from server.wire import guid

NOT_TOLD = "no messages are sent about this event"


@dataclass(frozen=True, slots=True)
class AskedEvent:
    """An event that visitors can be told of: `push` and `sign_up` say how.

    `counters` is the query of /v1/counters for what was asked for.
    """

    site: SiteId
    event: EventId
    title: str
    push: bool
    sign_up: bool
    counters: str

    @property
    def query(self) -> str:
        """The query string that names this event, however it was asked for."""
        return urlencode({"event": self.event, "site": self.site})


class AskedEvents:
    """The events of all sites. *site_of* answers which a query is for, or raises Refused; *push*: there are keys to sign push messages."""

    def __init__(self, redis: RedisClient, site_of: Callable[[Query], Awaitable[SiteId]], *, push: bool) -> None:
        self._definitions = Definitions(redis)
        self._events = NotifyEvents(redis)
        self._site_of = site_of
        self._push = push

    async def find(self, query: str) -> AskedEvent:
        """The event of `ticket=T` or `event=E`, and of a site, if visitors can be told of it; raises Refused, RedisUnavailable."""
        asked = parse(query)
        site, event = await self._named(asked)
        stored = await self._definitions.event(site, event)
        facts = await self._events.facts(site, event)
        push, sign_up = self._push and facts.get("push") == "1", facts.get("sign_up") == "1"
        if stored is None or stored.left_out or not (push or sign_up):
            raise UnknownEvent(NOT_TOLD)
        counters = urlencode({"ticket": asked.tickets[0]} if asked.tickets else {"event": event})
        title = stored.title or facts.get("title", "")
        return AskedEvent(site, event, title, push, sign_up, f"{counters}&{urlencode({'site': site})}")

    async def named(self, query: str) -> tuple[SiteId, EventId]:
        """The site and the event of such a query, also of one that is over; raises Refused, RedisUnavailable."""
        return await self._named(parse(query))

    async def _named(self, asked: Query) -> tuple[SiteId, EventId]:
        site = await self._site_of(asked)
        if asked.event is not None:
            if (id_ := guid(asked.event)) is not None:
                return site, EventId(id_)
            found = await self._definitions.find_event(site, asked.event)
            event = found.event if found else None
        else:
            if len(asked.tickets) > 1:
                raise BadRequest("ticket", "name one ticket, or an event")
            ticket = await self._definitions.read(site, asked.tickets[0])
            event = ticket.event if ticket else None
        if event is None:
            raise UnknownEvent(NOT_TOLD)
        return site, event
