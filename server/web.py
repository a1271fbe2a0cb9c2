"""Builds the web part: the routes, and the hub behind them.

In: settings and the URL of Redis. Out: a Web, whose `app` uvicorn serves and whose `run` keeps the counters true.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from server import index_page
from server.health import Health
from server.http.descriptors import Descriptors
from server.hub.feed import Feed
from server.hub.hub import Hub
from server.hub.site_lookup import SiteLookup
from server.hub.worker_watch import WorkerWatch
from server.live import counters, sse
from server.live.admission import Admission
from server.pages import Pages
from server.redis.client import RedisClient, Use
from server.settings import Settings
from server.store.notify_requests import NotifyRequests
from server.store.push_subscriptions import PushSubscriptions
from server.store.schedule import Schedule
from server.store.sites import Sites
from server.store.suppressions import Suppressions
from server.store.ticket_sites import TicketSites
from server.store.untrusted_peers import UntrustedPeersStore
from server.store.widget_files import WidgetFiles
from server.store.worker_status import WorkerStatus
from server.tell_me.asked_event import AskedEvents
from server.tell_me.page import TellMePage
from server.tell_me.posts import Posts
from server.tell_me.sign_up import SignUpEndpoint
from server.tell_me.subscriptions import SubscriptionEndpoints
from server.unsubscribe import Unsubscribe
from server.vapid import public_key
from server.webhook import WebhookEndpoint


class RootPath:
    """Serves an application below *root*, whether the proxy in front removes that from the path or not."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self.app = app
        self.root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Remove the root where it stands twice: uvicorn puts it in front of every path."""
        if scope["type"] == "http" and scope["path"].startswith(f"{self.root}{self.root}/"):
            scope = {**scope, "path": scope["path"].removeprefix(self.root)}
        await self.app(scope, receive, send)


class Web:
    """The web part of a process."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self.settings = settings
        self.redis = RedisClient(redis_url, Use.INGEST, settings.redis_prefix)
        self.listening = RedisClient(redis_url, Use.LISTEN, settings.redis_prefix)
        schedule = Schedule(self.redis, settings.timing)
        self.schedule = schedule
        self.hub = Hub(schedule.keys, settings.rules)
        self.sites = Sites(schedule, settings.sites, settings.rules, everything=settings.everything)
        self.feed = Feed(self.redis, self.listening, schedule, self.hub, self.sites)
        self.worker_watch = WorkerWatch(WorkerStatus(self.redis))
        self.descriptors = Descriptors.of_this_process()
        self.site_lookup = SiteLookup(self.sites, TicketSites(self.redis), self.hub.now)
        self.admission = Admission(
            self.site_lookup,
            _origins(settings),
            settings.trusted_proxies,
            max_connections=settings.max_connections,
            max_connections_per_address=settings.max_connections_per_address,
            descriptors=self.descriptors.for_viewers,
        )
        self.webhook_endpoint = WebhookEndpoint(schedule, settings.key, settings.rules, everything=settings.everything)
        self.pages = Pages(
            frame_ancestors=self.admission.frame_ancestors(),
            public_url=settings.public_url,
            files=WidgetFiles(self.redis),
            find_site=lambda query: self.site_lookup.find(query, "embed"),
        )
        self.app = Starlette(
            routes=[
                Route("/webhooks/wix", self.webhook_endpoint, methods=["POST"]),
                Route("/v1/counters", counters.counters, methods=["GET", "OPTIONS"]),
                Route("/v1/counters/stream", sse.stream, methods=["GET", "OPTIONS"]),
                *self.pages.routes(),
                *index_page.routes(),
                *Health(self.details, self.notices, token=settings.metrics_token).routes(),
                *self._tell_me(),
                *self._unsubscribe(),
            ],
            middleware=[Middleware(RootPath, settings.root_path)] if settings.root_path else [],
            lifespan=self._lifespan,
        )
        # A redirect would lead to the client's own Host header, and to http.
        self.app.router.redirect_slashes = False

    async def start(self) -> None:
        """Store the sites of the settings and load all known ones; raises RedisUnavailable."""
        await self.sites.start()
        await self.feed.start()
        await self.worker_watch.start()

    async def run(self) -> None:
        """Keep the counters true until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.hub.run(), name="web: hub")
            group.create_task(self.feed.run(), name="web: feed")
            group.create_task(self.worker_watch.run(), name="web: worker watch")
            group.create_task(self.pages.run(), name="web: widget")
            group.create_task(self.site_lookup.run(), name="web: look-ups of sites")
            untrusted = self.admission.untrusted_peers.run(UntrustedPeersStore(self.redis))
            group.create_task(untrusted, name="web: untrusted peers")

    def details(self) -> Mapping[str, bool]:
        """The conditions of /readyz: this process gets viewers only while all of them hold."""
        return {"redis": self.feed.healthy, "accepting": self.admission.open, "rules": self.feed.other_rules.same_rules}

    def notices(self) -> Mapping[str, bool]:
        """Notices for an administrator in /readyz; they do not keep viewers away from this process."""
        return {
            "webhooks_heard": self.feed.site_status.webhooks_heard,
            "worker": self.worker_watch.worker_alive,
            "wix": self.worker_watch.wix_answers,
        }

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        await self.redis.aclose()
        await self.listening.aclose()

    def _tell_me(self) -> Sequence[Route]:
        """The page on which visitors subscribe: only with keys that encrypt what they say, and by push only with keys that sign."""
        settings = self.settings
        if settings.notify_keys is None:
            return ()
        keys = tuple(map(public_key, settings.vapid_keys))
        posts = Posts(settings.public_url, self.admission.address)
        # All visitors of this page count as one: few come at once.
        events = AskedEvents(self.redis, lambda query: self.site_lookup.find(query, "tell-me"), push=bool(keys))
        routes = [
            *TellMePage(events, keys[0] if keys else None).routes(),
            *SignUpEndpoint(posts, events, NotifyRequests(self.redis), settings.keyring).routes(),
        ]
        if keys:
            subscriptions = PushSubscriptions(self.redis, settings.keyring)
            hosts = settings.notify_push_hosts
            routes += SubscriptionEndpoints(posts, events, subscriptions, keys, hosts).routes()
        return routes

    def _unsubscribe(self) -> Sequence[Route]:
        """The page behind the links in mails; without keys there are no links."""
        if self.settings.notify_keys is None:
            return ()
        return Unsubscribe(self.settings.keyring, Suppressions(self.redis), NotifyRequests(self.redis)).routes()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[dict[str, Any]]:
        # The state of requests and of the WebSocket class, which uvicorn builds outside of Starlette.
        yield {"hub": self.hub, "admission": self.admission}


def _origins(settings: Settings) -> Sequence[str]:
    """The origins that may read: those of the settings, and that of the embed page at PUBLIC_URL."""
    parts = urlsplit(settings.public_url or "")
    return (*settings.origins, f"{parts.scheme}://{parts.netloc}") if parts.netloc else settings.origins
