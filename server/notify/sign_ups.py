"""Brings addresses that visitors typed to the marketing tool, which asks their owners whether they want to hear of it.

In: requests that /tell-me kept, and notify.toml. Out: the tool has the address (the double opt-in is its own), and web processes know
which events take sign-ups and push, by what is remembered of each event. An address that opted out of the list is not brought: a
stranger could have typed it.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial

from server import logs
from server.errors import AudienceRefused
from server.keyring import KeyRing, Purpose
from server.logs import RepeatedWarning, log_bug
from server.model import EventId, SiteId
from server.notify.audience.source import AudienceSource
from server.notify.config import NotifyConfig
from server.notify.request_loop import RequestLoop
from server.rounds import repeat
from server.store.definitions import Definitions
from server.store.notify_events import NotifyEvents
from server.store.notify_requests import NotifyRequests, Request, RequestKind
from server.store.suppressions import Suppressions
from server.timed_event import TimedEvent

TELL_EVERY = 10.0
"""Seconds between two looks at which events take sign-ups."""

log = logs.logger("notify")


class SignUps:
    """The sign-ups of one process. *sources* answers the source of each event of a site that has one (EventSources.of)."""

    def __init__(
        self,
        config: NotifyConfig,
        requests: NotifyRequests,
        keyring: KeyRing,
        sources: Callable[[SiteId], Mapping[str, AudienceSource]],
        sites: Callable[[], Collection[SiteId]],
    ) -> None:
        redis = requests.redis
        self._config = config
        self._keyring = keyring
        self._sources = sources
        self._sites = sites
        self._definitions = Definitions(redis)
        self._events = NotifyEvents(redis)
        self._suppressions = Suppressions(redis)
        self._unavailable = RepeatedWarning(log, "store_unavailable")
        self.loop = RequestLoop(RequestKind.SIGN_UP, requests, sites, self.bring)

    async def run(self, stopping: TimedEvent) -> None:
        """Bring addresses to the tools, and tell web processes which events take what, until *stopping* is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.loop.run(stopping), name="notify: sign-ups")
            group.create_task(self._tell_all(stopping), name="notify: which events take sign-ups")

    async def _tell_all(self, stopping: TimedEvent) -> None:
        async def once() -> float:
            for site in sorted(self._sites()):
                await self.tell(site)
            return TELL_EVERY

        await repeat(
            once,
            stopping,
            warning=self._unavailable,
            key="facts",
            on_bug=partial(log_bug, log, "notify_bug"),
            retry=TELL_EVERY,
        )

    async def tell(self, site: SiteId) -> None:
        """Write which events of a site take sign-ups and push; of one that notify.toml does not name any more, none."""
        sources = self._sources(site)
        named = set()
        for name, audience in self._config.events.items():
            stored = await self._definitions.find_event(site, name)
            if stored is None:
                continue
            named.add(stored.event)
            source = sources.get(name)
            await self._events.set(
                site,
                stored.event,
                sign_up=1 if source is not None and source.takes_sign_ups else None,
                mail=1 if audience.tool is not None else None,
                push=1 if audience.push and self._config.push is not None else None,
                title=stored.title,
                language=self._config.language,
            )
        for event in await self._events.known(site) - named:
            await self._events.set(site, event, sign_up=None, mail=None, push=None)

    async def bring(self, request: Request) -> None:
        """Bring one address to the tool of its event; raises AudienceError."""
        found = self._keyring.decrypt(Purpose.SIGN_UP, request.content)
        if found is None:
            raise AudienceRefused("NOTIFY_KEYS lacks the key of this sign-up: put it back, behind the newer ones")
        source = await self._source(request.site, EventId(request.about))
        if source is None or not source.takes_sign_ups:
            raise AudienceRefused("notify.toml names no tool that takes sign-ups for this event: name one for it")
        address = str(found["a"])
        hashes = self._keyring.hashes(Purpose.SUPPRESSION, source.place, address)
        if not await self._suppressions.has(request.site, hashes):
            await source.sign_up(address, str(found["l"]))

    async def _source(self, site: SiteId, event: EventId) -> AudienceSource | None:
        for name, source in self._sources(site).items():
            stored = await self._definitions.find_event(site, name)
            if stored is not None and stored.event == event:
                return source
        return None
