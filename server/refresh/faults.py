"""What a fault of Wix does to a site: all its reads pause; and what is logged of an outage.

In: the error of a call, or that Wix answered one. Out: the pause, counted; and few log lines, however many sites and reads an outage
concerns: a fault that concerns the whole app (no answer, 5xx, 429, a wrong secret) is logged once for all its sites, and so is a
fault with the same cure. Only that site is paused, and never one ticket or event.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

from server import logs, metrics
from server.errors import NotThere, TicketCounterError, WixUnavailable
from server.logs import OutageLog
from server.model import SiteId
from server.store import wix_faults
from server.store.claims import Lot
from server.store.schedule import Schedule
from server.wix import cures

MOST_NAMED = 5
"""Sites that one log line names."""
OF_ONE_SITE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""Statuses that Wix may answer for one site and not for another."""

log = logs.logger("faults")


class Part(StrEnum):
    """What is read, since one may fail while the other works."""

    TICKETS = "tickets"
    EVENTS = "events"


@dataclass(slots=True)
class _Outage:
    lines: OutageLog
    sites: set[SiteId] = field(default_factory=set)


class Faults:
    """The faults of Wix that one worker process meets; *clock* gives seconds, from any start."""

    def __init__(self, schedule: Schedule, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.schedule = schedule
        self._clock = clock
        # By what is read, and by the cure: "" for what concerns the whole app. There are as many as cures.
        self._outages: dict[tuple[Part, str], _Outage] = {}

    @property
    def failing(self) -> frozenset[SiteId]:
        """The sites of which the last read failed."""
        return frozenset(site for outage in self._outages.values() for site in outage.sites)

    async def pause(self, site: SiteId, lot: Lot | None, error: TicketCounterError, part: Part = Part.TICKETS) -> None:
        """Pause the site after this error, and make the lot due again. Raises RedisUnavailable."""
        status = HTTPStatus.NOT_FOUND.value if isinstance(error, NotThere) else getattr(error, "status", 0)
        hint = cures.hint(error)
        fault = wix_faults.written(str(error), hint)
        paused = await self.schedule.pause(site, lot, getattr(error, "retry_after", None), fault)
        metrics.pauses.labels(str(status)).inc()
        key = (part, hint if isinstance(error, WixUnavailable) and status in OF_ONE_SITE else "")
        outage = self._outages.get(key)
        if outage is None:
            lines = OutageLog(log, "wix_fault", "wix_back", clock=self._clock)
            outage = self._outages[key] = _Outage(lines)
        # Whoever read that Wix fails in another way has to read that it is over.
        outage.lines.told |= self._leave(site, part, but=outage)
        outage.sites.add(site)
        if part is Part.EVENTS and self._concerned(site, Part.TICKETS):
            return  # the same outage, of which the log tells already
        fields = {"sites": len(outage.sites), "among": _names(outage.sites)} if len(outage.sites) > 1 else {}
        outage.lines.fault(
            site=site, read=part.value, status=status, error=str(error), paused=round(paused, 3), hint=hint, **fields
        )

    def answered(self, site: SiteId, part: Part = Part.TICKETS) -> None:
        """Wix answered a read of the site; where no other fails, the outage is over."""
        for key, outage in self._outages.items():
            if key[0] is part and site in outage.sites:
                outage.sites.discard(site)
                if not outage.sites:
                    outage.lines.works(site=site, read=part.value)

    def keep_only(self, sites: Collection[SiteId]) -> None:
        """Forget the sites that are no longer known."""
        for outage in self._outages.values():
            _remove(outage, outage.sites.difference(sites))

    def _leave(self, site: SiteId, part: Part, *, but: _Outage) -> bool:
        """The site fails in another way now than before; tells whether a line has said so of what is left with no site."""
        others = [outage for key, outage in self._outages.items() if key[0] is part and outage is not but]
        return any(_remove(outage, {site}) for outage in others)

    def _concerned(self, site: SiteId, part: Part) -> bool:
        return any(key[0] is part and site in outage.sites for key, outage in self._outages.items())


def _remove(outage: _Outage, sites: Collection[SiteId]) -> bool:
    """Take sites out of an outage; tells whether a line had told of it, and no site is left in it."""
    if outage.sites.isdisjoint(sites):
        return False
    outage.sites.difference_update(sites)
    return not outage.sites and outage.lines.forget()


def _names(sites: Collection[SiteId]) -> str:
    """Some of these sites, in an order that stays."""
    named = sorted(sites)[:MOST_NAMED]
    return " ".join(named) + (" …" if len(sites) > MOST_NAMED else "")
