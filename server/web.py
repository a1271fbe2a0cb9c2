"""Builds the web process: the routes, and the hub behind them.

In: settings and the address of Redis. Out: a Web, whose `app` uvicorn serves and whose `run` keeps the counters true.
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

from server.http.descriptors import Descriptors
from server.hub.feed import Feed
from server.hub.hub import Hub
from server.live import counters
from server.live.admission import Admission
from server.pages import Pages
from server.redis.client import RedisClient, Use
from server.settings import Settings
from server.store.schedule import Schedule
from server.store.sites import Sites
from server.webhook import WebhookEndpoint


class Below:
    """Serves the same below *root*, whether the proxy in front takes it off the path or leaves it there."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self.app = app
        self.root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take off a root that is there twice: uvicorn puts it in front of every path."""
        if scope["type"] == "http" and scope["path"].startswith(f"{self.root}{self.root}/"):
            scope = {**scope, "path": scope["path"].removeprefix(self.root)}
        await self.app(scope, receive, send)


class Web:
    """One web process."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self.settings = settings
        self.redis = RedisClient(redis_url, Use.INGEST)
        self.listening = RedisClient(redis_url, Use.LISTEN)
        schedule = Schedule(self.redis, settings.timing)
        self.schedule = schedule
        self.hub = Hub()
        self.sites = Sites(schedule, settings.sites, settings.rules, everything=settings.everything)
        self.feed = Feed(self.redis, self.listening, schedule, self.hub, self.sites)
        self.descriptors = Descriptors.of_this_process()
        self.admission = Admission(
            _origins(settings),
            settings.trusted_proxies,
            most=settings.max_connections,
            most_an_address=settings.max_connections_per_address,
            descriptors=self.descriptors.for_viewers,
        )
        self.webhook_endpoint = WebhookEndpoint(schedule, settings.key, settings.rules, everything=settings.everything)
        pages = Pages(
            self.details,
            self.notices,
            token=settings.metrics_token.get_secret_value() if settings.metrics_token else None,
            frame_ancestors=self.admission.frame_ancestors(),
            public_url=settings.public_url,
        )
        self.app = Starlette(
            routes=[
                Route("/webhooks/wix", self.webhook_endpoint, methods=["POST"]),
                Route("/v1/counters", counters.counters, methods=["GET", "OPTIONS"]),
                Route("/v1/counters/stream", counters.stream, methods=["GET", "OPTIONS"]),
                *pages.routes(),
            ],
            middleware=[Middleware(Below, settings.root_path)] if settings.root_path else [],
            lifespan=self._lifespan,
        )
        # It would send people to where the stranger's own Host header says, and without TLS.
        self.app.router.redirect_slashes = False

    async def start(self) -> None:
        """Make the sites of the settings known; raises RedisUnavailable."""
        await self.sites.start()
        await self.feed.start()

    async def run(self) -> None:
        """Keep the counters true, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.hub.run(), name="web: hub")
            group.create_task(self.feed.run(), name="web: feed")

    def details(self) -> Mapping[str, bool]:
        """What has to hold for this process to get viewers."""
        return {"redis": self.feed.healthy, "accepting": self.admission.open, "rules": self.feed.other_rules.same_rules}

    def notices(self) -> Mapping[str, bool]:
        """What a person should know, while this process does for viewers all that it can."""
        return {"webhooks_heard": self.feed.webhooks_heard}

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        await self.redis.aclose()
        await self.listening.aclose()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[dict[str, Any]]:
        # The WebSocket class gets its hub from here too: uvicorn builds it outside of Starlette.
        yield {"hub": self.hub, "admission": self.admission}


def _origins(settings: Settings) -> Sequence[str]:
    """Who may read: those of the settings, and our own embed page, which every list would else forget."""
    parts = urlsplit(settings.public_url or "")
    return (*settings.origins, f"{parts.scheme}://{parts.netloc}") if parts.netloc else settings.origins
