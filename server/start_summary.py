"""What a person has to know once a server runs: where it is, where Wix sends webhooks, its sites with their faults, its tickets, HTML.

In: settings, Redis, and the address that the server listens on. Out: a few lines on standard error, or with LOG_FORM=json one line of
the log. It comes once every ticket was listed, or after a few seconds without that.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from server import logs, snippet
from server.chunks import chunks
from server.counter import State
from server.errors import RedisUnavailable
from server.model import SiteId, TicketId
from server.settings import Settings
from server.site_faults import SiteFault, SiteFaults
from server.store.definitions import Definitions
from server.store.schedule import Schedule

WITHIN = 10.0
"""Seconds that the first listing of tickets may take before the summary comes without it."""
POLL_EVERY = 0.25
MOST_SITES = 20
"""Sites whose tickets are looked at: of more, the first of them."""
MOST_FAULTY = 5
"""Sites whose faults are told: what is wrong with more is often the same."""
MOST_TICKETS, AT_ONCE = 100, 2
"""Tickets of a site that are looked at for an example, and at once: most often the first of them will do, and many processes may start."""
ON_SALE = frozenset({State.AVAILABLE, State.LOW})
WEBHOOKS = "/webhooks/wix"

log = logs.logger("run")


@dataclass(frozen=True, slots=True)
class Found:
    """What Redis has: *tickets* is None where not all are listed yet; *example* is a ticket's id and name, and its site.

    *faults* are those of the sites that were looked at and have any.
    """

    sites: Sequence[SiteId] = ()
    tickets: int | None = None
    faults: Mapping[SiteId, Sequence[SiteFault]] = field(default_factory=dict)
    example: tuple[SiteId, tuple[str, str]] | None = None


class StartSummary:
    """The summary of one process that listens at *address*; *show* gets its lines, *within* is as above."""

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        address: str,
        show: Callable[[str], None] | None = None,
        within: float = WITHIN,
    ) -> None:
        self._settings = settings
        self._schedule = schedule
        self._definitions = Definitions(schedule.redis)
        self._faults = SiteFaults(
            schedule,
            # Where none can come, the line about webhooks says why.
            webhooks=settings.key is not None and settings.public_url is not None and settings.wix_api_key is None,
            api_key=settings.wix_api_key is not None,
        )
        self._address = settings.pages_url or f"{address}{settings.root_path}"
        self._show = show or _print
        self._within = within

    async def run(self) -> None:
        """Wait for the first listing, and show the summary."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._within
        found = Found(sorted(self._settings.sites))
        while True:
            # While Redis is unavailable, which the log says, what was found before counts.
            with contextlib.suppress(RedisUnavailable):
                found = await self._find()
            if found.tickets is not None or loop.time() >= ends:
                break
            await asyncio.sleep(min(POLL_EVERY, self._within))
        with contextlib.suppress(RedisUnavailable):
            found = replace(found, faults=await self._find_faults(found.sites))
            found = replace(found, example=await self._first_example(found.sites))
        facts = {name: value for name, value in self._facts(found).items() if value}
        if self._settings.log_form == "json":
            faults = [f"{site}: {fault}" for site, faulty in found.faults.items() for fault in faulty]
            log.info("started", **facts, **({"faults": faults} if faults else {}))
        else:
            self._show(_text({**facts, "sites": "\n".join(_site_lines(found))}))

    async def _find(self) -> Found:
        sites = sorted(await self._schedule.sites())
        tickets: int | None = 0
        for site in sites[:MOST_SITES]:
            if self._settings.everything and not await self._definitions.listed(site):
                tickets = None
            if tickets is not None:
                tickets += len(await self._schedule.tracked(site))
        return Found(sites, tickets if sites else None)

    async def _find_faults(self, sites: Sequence[SiteId]) -> Mapping[SiteId, Sequence[SiteFault]]:
        """The faults of each site that has any, of those that are looked at."""
        found = {site: await self._faults.of(site) for site in sites[:MOST_SITES]}
        return {site: faults for site, faults in found.items() if faults}

    async def _first_example(self, sites: Sequence[SiteId]) -> tuple[SiteId, tuple[str, str]] | None:
        """The example of the first site that has one."""
        for site in sites[:MOST_SITES]:
            if found := await self._example(site, await self._schedule.tracked(site)):
                return found
        return None

    async def _example(self, site: SiteId, tickets: Sequence[TicketId]) -> tuple[SiteId, tuple[str, str]] | None:
        """A ticket that visitors see, if there is one: rather one that is on sale."""
        found = None
        for some in chunks(sorted(tickets)[:MOST_TICKETS], AT_ONCE):
            for one in await self._definitions.read_all(site, some):
                state = one.counter.get("state", State.GONE)
                if state in ON_SALE or (found is None and state != State.GONE):
                    found = site, (one.ticket, str(one.counter.get("name") or ""))
                if state in ON_SALE:
                    return found
        return found

    def _facts(self, found: Found) -> Mapping[str, str]:
        return {
            "version": version("ticket-counter"),
            "address": self._address,
            "webhooks": self._webhooks(),
            "sites": _sites(found.sites),
            "tickets": self._tickets(found),
            "page": self._page(found),
        }

    def _webhooks(self) -> str:
        settings = self._settings
        if settings.wix_api_key is not None:
            return "none: Wix sends them to apps only, and with an API key numbers change within WATCH_EVERY"
        if settings.key is None:
            return "refused: set WIX_PUBLIC_KEY, from the Webhooks page of your app at dev.wix.com"
        if settings.public_url is None:
            return f"{self._address}{WEBHOOKS}, which Wix cannot reach: set PUBLIC_URL to the public https address"
        return f"{self._address}{WEBHOOKS} (the callback URL for the Webhooks page of your app at dev.wix.com)"

    def _tickets(self, found: Found) -> str:
        if not found.sites:
            return ""
        if not self._settings.everything:
            return "those that have viewers (TRACK=watched)"
        if found.tickets is None:
            return "not listed yet: a worker lists them, and what keeps it from that is said beside the site, or in its log"
        if not found.tickets:
            return "none yet: create them in Wix, under Events"
        # Of more sites only some were looked at.
        number = f"{found.tickets:,}: " if len(found.sites) <= MOST_SITES else ""
        return f"{number}`ticket-counter tickets` lists them"

    def _page(self, found: Found) -> str:
        if found.example is None:
            return ""
        site, pair = found.example
        return snippet.snippet(self._address, [pair], site=site if len(found.sites) > 1 else None)


def _sites(sites: Sequence[SiteId]) -> str:
    if not sites:
        return "none yet: set WIX_SITES to your app instance id and restart, or install the app on your site"
    more = f" and {len(sites) - 3} more: `ticket-counter sites` lists them" if len(sites) > 3 else ""
    return f"{', '.join(sites[:3])}{more}"


def _site_lines(found: Found) -> Iterator[str]:
    """The sites: each that has faults on a line of its own with these below it, and the others in one line."""
    faulty = list(found.faults)[:MOST_FAULTY]
    for site in faulty:
        yield site
        yield from (f"  - {fault}" for fault in found.faults[site])
    if more := len(found.faults) - len(faulty):
        yield f"and {more} more with faults: `ticket-counter doctor` tells them"
    others = [site for site in found.sites if site not in found.faults]
    if others or not found.sites:
        yield _sites(others)


def _text(facts: Mapping[str, str]) -> str:
    """The facts below each other, between blank lines."""
    return "\n".join(("", *_lines(facts), ""))


def _lines(facts: Mapping[str, str]) -> Iterator[str]:
    yield f"  ticket-counter {facts['version']} runs at {facts['address']}"
    for name in ("webhooks", "sites", "tickets", "page"):
        for place, line in enumerate(facts.get(name, "").splitlines()):
            yield f"  {name.capitalize() if place == 0 else '':<10}{line}"


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - beside the log, for a person
