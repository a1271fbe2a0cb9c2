"""Wix's API for events: Query Events, Get Event and Get Event By Slug of Events V3, under both prefixes.

In: HTTP requests. Out: Wix's JSON and statuses. Reads lag behind by the knob `stale_reads`.
Source: Wix, "Events V3" (Query Events, Get Event, Get Event By Slug).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from sandbox import query, requests, validation
from sandbox.calls import GET_EVENT, GET_EVENT_BY_SLUG, QUERY_EVENTS
from sandbox.catalog import Catalog, View
from sandbox.errors import EventNotFound, Invalid
from sandbox.event_entity import FIELDS, event_entity
from sandbox.knobs import LiveKnobs
from sandbox.middleware import Middleware
from sandbox.model import Event, EventStatus
from sandbox.queryable import EVENTS, EVENTS_WITHOUT_IN

PREFIXES = ("/events/v3/events", "/events-events-v3-adapter/v3/events")
"""The prefix in the reference, and the one that Wix's SDK uses."""

MAX_FIELDS = 20

Json = dict[str, Any]


class EventsApi:
    """The API over one world, of the site *instance*."""

    def __init__(self, world: Catalog, instance: str, knobs: LiveKnobs, middleware: Middleware) -> None:
        self._world = world
        self._instance = instance
        self._knobs = knobs
        self._middleware = middleware

    def routes(self) -> list[BaseRoute]:
        """All routes, each wrapped by the middleware."""
        methods: list[tuple[str, str, str, Callable[[Request], Awaitable[Json]]]] = [
            (QUERY_EVENTS, "POST", "/query", self._query),
            (GET_EVENT, "GET", "/{id}", self._get),
            (GET_EVENT_BY_SLUG, "GET", "/slug/{slug}", self._get_by_slug),
        ]
        return [
            Route(
                prefix + path,
                self._middleware.wrap(kind, requests.endpoint(handler, parser_error=True)),
                methods=[method],
            )
            for prefix in PREFIXES
            for kind, method, path, handler in methods
        ]

    async def _query(self, request: Request) -> Json:
        asked = await requests.body(request)
        fields = requests.fields(asked.get("fields"), FIELDS, MAX_FIELDS)
        drafts = asked.get("includeDrafts", False)
        if not isinstance(drafts, bool):
            raise Invalid("includeDrafts", "value is not a boolean", "FORMAT")
        view = self._view()
        events = [event for event in view.events.values() if drafts or event.status is not EventStatus.DRAFT]
        page = query.page(asked.get("query"), events, EVENTS if self._knobs.now.event_id_in else EVENTS_WITHOUT_IN)
        return {"events": self._to_json(page.items, view, fields), "pagingMetadata": page.metadata}

    async def _get(self, request: Request) -> Json:
        id_ = validation.guid(request.path_params["id"], "eventId")
        view = self._view()
        return self._one(view.events.get(id_), view, request)

    async def _get_by_slug(self, request: Request) -> Json:
        slug, view = request.path_params["slug"], self._view()
        return self._one(next((event for event in view.events.values() if event.slug == slug), None), view, request)

    def _one(self, event: Event | None, view: View, request: Request) -> Json:
        fields = requests.fields(request.query_params.getlist("fields"), FIELDS, MAX_FIELDS)
        if event is None or (event.status is EventStatus.DRAFT and not self._knobs.now.get_drafts):
            raise EventNotFound("there is no such event")
        return {"event": self._to_json([event], view, fields)[0]}

    def _to_json(self, events: Sequence[Event], view: View, fields: frozenset[str]) -> list[Json]:
        tickets = view.by_event() if "REGISTRATION" in fields else {}
        return [
            event_entity(event, tickets.get(event.id, ()), self._instance, self._knobs.now, fields) for event in events
        ]

    def _view(self) -> View:
        return self._world.view(self._knobs.now.stale_reads)
