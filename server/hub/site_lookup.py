"""Which site a public request is for: the one that it names, the only one, or the one that has its tickets or its event.

In: queries, as any client may send them. Out: a site, or Refused. Where several sites are known and a query names none, Redis is asked
which of them has what it asks for; the answers are remembered. Any client may ask for any id, so what is asked at once and what is
remembered of ids that no site has are bounded, and a process spends at most a fifth of its time on asking.
"""

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from server import logs
from server.chunks import chunks
from server.errors import (
    BadRequest,
    EventNotListed,
    NoSiteYet,
    RedisUnavailable,
    SiteNotFound,
    TooManyUnconfirmed,
    UnknownEvent,
    UnknownSite,
    UnknownTicket,
)  # fmt: skip
from server.logs import RepeatedWarning
from server.model import EventName, SiteId, TicketId
from server.query import Query
from server.store.ticket_sites import Has, SiteAnswer

MOST_FOUND = 20_000
"""Tickets and events whose site is remembered: some 5 MB."""
MOST_UNKNOWN = 5_000
"""Ids that no site has, which are remembered for UNKNOWN_FOR: the oldest make room."""
UNKNOWN_FOR = 5.0
"""Seconds for which it is remembered that no site has an id: a new ticket is found that soon after it was read."""
EVENT_FOR = 60.0
"""Seconds for which the site of an event is remembered: a slug may move to another event. A ticket stays where it is."""
MOST_ASKED = 2_000
"""Ids that wait for an answer at once, in all. No more than MOST_UNKNOWN."""
MOST_ASKED_PER_ADDRESS = 500
"""Of those, the ones of one address: ten pages whose tickets all are new here."""
ANSWER_WITHIN = 2.0
"""Seconds for which a request waits for the answer."""
REST = 4
"""How many times as long as it took to ask nothing is asked after it: what comes meanwhile is asked together."""
CHUNK = 100
"""Ids in one question: others wait while Redis answers."""
CONCURRENCY = 16
"""Questions at once."""

log = logs.logger("sites")


class Name(NamedTuple):
    """What a request names: its parameter, `ticket` or `event`, and the value."""

    field: str
    value: str


class KnownSites(Protocol):
    """What is needed of store/sites.py."""

    @property
    def known(self) -> AbstractSet[SiteId]:
        """The sites that exist."""


class AnswersOfSites(Protocol):
    """What is needed of store/ticket_sites.py."""

    async def ask(self, site: SiteId, tickets: Sequence[TicketId], events: Sequence[EventName]) -> SiteAnswer | None:
        """What the site has of these; None for an unknown site. Raises RedisUnavailable."""


class _Round:
    """What is asked together."""

    def __init__(self) -> None:
        self.names: dict[Name, None] = {}
        self.done = asyncio.Event()


class SiteLookup:
    """The look-ups of one process; *now* gives seconds, from any start."""

    def __init__(
        self,
        sites: KnownSites,
        answers: AnswersOfSites,
        now: Callable[[], float],
        *,
        answer_within: float = ANSWER_WITHIN,
        most_asked: int = MOST_ASKED,
        most_asked_per_address: int = MOST_ASKED_PER_ADDRESS,
    ) -> None:
        self._sites = sites
        self._answers = answers
        self._now = now
        self._answer_within = answer_within
        self._most_asked = most_asked
        self._most_asked_per_address = most_asked_per_address
        # The sites that have it, and until when that is remembered; oldest use first.
        self._found: OrderedDict[Name, tuple[tuple[SiteId, ...], float]] = OrderedDict()
        # Until when it is remembered that no site has it, oldest first.
        self._unknown: OrderedDict[Name, float] = OrderedDict()
        # Whether every site was listed when it was asked last.
        self._complete = False
        self._next = _Round()
        self._work = asyncio.Event()
        # How many names wait, of each address.
        self._asked: Counter[str] = Counter()
        self._unavailable = RepeatedWarning(log, "store_unavailable")

    def resolve(self, query: Query) -> SiteId | None:
        """The site of a request, where it is known; None: it has to be looked up (`find`).

        Raises BadRequest, UnknownSite, UnknownTicket, UnknownEvent, EventNotListed or NoSiteYet, which leave no trace in Redis.
        """
        known = self._sites.known
        if not known:
            raise NoSiteYet("no site is known here yet: come back in a while")
        if query.site is not None:
            if query.site not in known:
                raise UnknownSite(f"site {query.site} is not known here")
            return query.site
        if len(known) == 1:
            return next(iter(known))
        names = _names(query)
        sites = set()
        for name in names:
            site = self._site_of(name, known)
            if site is not None:
                sites.add(site)
            elif self._unknown.get(name, 0.0) <= self._now():
                return None
        return self._only(names, sites, len(known))

    async def find(self, query: Query, address: str) -> SiteId:
        """The site of a request, which is looked up where that is needed, for a client of this address.

        Raises what `resolve` does, TooManyUnconfirmed, or SiteNotFound where Redis does not answer in time.
        """
        site = self.resolve(query)
        if site is not None:
            return site
        names = _names(query)
        asked = self._asked[address]
        if (asked and asked + len(names) > self._most_asked_per_address) or (
            self._asked.total() and self._asked.total() + len(names) > self._most_asked
        ):
            raise TooManyUnconfirmed("too many tickets whose site is looked up: come back in a while, or add &site=")
        round_ = self._next
        round_.names.update(dict.fromkeys(names))
        self._work.set()
        self._asked[address] += len(names)
        try:
            async with asyncio.timeout(self._answer_within):
                await round_.done.wait()
        except TimeoutError:
            pass
        finally:
            self._asked[address] -= len(names)
            if not self._asked[address]:
                del self._asked[address]
        site = self.resolve(query)
        if site is None:
            raise SiteNotFound("the site of these tickets cannot be looked up now: come back in a while, or add &site=")
        return site

    async def run(self) -> None:
        """Ask Redis for what is looked up, for ever."""
        while True:
            await self._work.wait()
            self._work.clear()
            round_, self._next = self._next, _Round()
            began = self._now()
            try:
                for some in chunks(list(round_.names), CHUNK):
                    await self._ask(some)
            finally:
                round_.done.set()
            await asyncio.sleep(REST * (self._now() - began))

    async def _ask(self, names: Sequence[Name]) -> None:
        """Ask all known sites for these names, and remember what they answer."""
        tickets = [TicketId(name.value) for name in names if name.field == "ticket"]
        events = [EventName(name.value) for name in names if name.field == "event"]
        ordered = [*(Name("ticket", one) for one in tickets), *(Name("event", one) for one in events)]
        answers: dict[SiteId, SiteAnswer | None] = {}
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(site: SiteId) -> None:
            async with slots:
                try:
                    answers[site] = await self._answers.ask(site, tickets, events)
                except RedisUnavailable as error:
                    self._unavailable.warn(site, site=site, error=str(error))
                else:
                    self._unavailable.resolved(site, site=site)

        known = self._sites.known
        await asyncio.gather(*map(one, known))
        self._complete = all(answer is not None and answer.complete for answer in answers.values())
        for place, name in enumerate(ordered):
            has = {site: (*one.tickets, *one.events)[place] for site, one in answers.items() if one is not None}
            best = max(has.values(), default=Has.NEVER)
            if best:
                self._remember(name, tuple(sorted(site for site, its in has.items() if its is best)))
            elif len(answers) == len(known):
                self._remember_unknown(name)

    def _remember(self, name: Name, sites: tuple[SiteId, ...]) -> None:
        self._unknown.pop(name, None)
        self._found[name] = sites, self._now() + EVENT_FOR if name.field == "event" else math.inf
        self._found.move_to_end(name)
        if len(self._found) > MOST_FOUND:
            self._found.popitem(last=False)

    def _remember_unknown(self, name: Name) -> None:
        self._unknown[name] = self._now() + UNKNOWN_FOR
        self._unknown.move_to_end(name)
        if len(self._unknown) > MOST_UNKNOWN:
            self._unknown.popitem(last=False)

    def _site_of(self, name: Name, known: AbstractSet[SiteId]) -> SiteId | None:
        """The site that has it, as far as it is remembered; raises BadRequest where several sites have such an event."""
        sites, until = self._found.get(name, ((), 0.0))
        found = [site for site in sites if site in known]
        if not found or until <= self._now():
            return None
        if len(found) > 1 and name.field == "event":
            raise BadRequest("site", f"{len(found)} sites here have an event of this name: add &site=<app instance id>")
        # Two app instances of one site have the same tickets: either will do.
        self._found.move_to_end(name)
        return found[0]

    def _only(self, names: Sequence[Name], sites: AbstractSet[SiteId], known: int) -> SiteId:
        """The site of names that all were looked up; those that no site has are asked under that of the others."""
        if len(sites) == 1:
            return next(iter(sites))
        if sites:
            raise BadRequest(
                "ticket", f"these tickets are of {len(sites)} sites: ask for each site's in a request of its own"
            )
        if names[0].field == "ticket":
            raise UnknownTicket(
                f"none of the {known} sites here has these tickets: correct the id, or add &site=<app instance id>"
            )
        text = f"none of the {known} sites here has this event: correct its name, or add &site=<app instance id>"
        raise UnknownEvent(text) if self._complete else EventNotListed(text)


def _names(query: Query) -> Sequence[Name]:
    if query.event is not None:
        return [Name("event", query.event)]
    return [Name("ticket", ticket) for ticket in query.tickets]
