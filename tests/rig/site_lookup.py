"""Look-ups of sites without Redis, where no site has any ticket; and answers that are held back."""

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace

from server.hub.site_lookup import AnswersOfSites, SiteLookup
from server.model import EventName, SiteId, TicketId
from server.store.ticket_sites import Has, SiteAnswer


class NoTickets:
    """Sites that were listed and have nothing."""

    async def ask(self, site: SiteId, tickets: Sequence[TicketId], events: Sequence[EventName]) -> SiteAnswer:
        """None of these."""
        return SiteAnswer(True, (Has.NEVER,) * len(tickets), (Has.NEVER,) * len(events))


class GatedSites:
    """Answers of *sites*, once `open` is set; `asked` tells whether any was asked for."""

    def __init__(self, sites: AnswersOfSites) -> None:
        self._sites = sites
        self.open = asyncio.Event()
        self.asked = False

    async def ask(self, site: SiteId, tickets: Sequence[TicketId], events: Sequence[EventName]) -> SiteAnswer | None:
        """What the site has of these."""
        self.asked = True
        await self.open.wait()
        return await self._sites.ask(site, tickets, events)


def lookup_of(*sites: str) -> SiteLookup:
    """The look-up where these sites are known; it asks while its `run` runs."""
    return SiteLookup(SimpleNamespace(known=frozenset(map(SiteId, sites))), NoTickets(), time.monotonic)
