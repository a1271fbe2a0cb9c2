"""Wix's API for ticket definitions: the token endpoint, and Ticket Definitions V3 under both prefixes.

In: HTTP requests. Out: Wix's JSON and statuses. Reads lag behind by the knob `stale_reads`; writes see the current
state.
Sources: Wix, "Ticket Definitions V3" (Get, Query, Count, Create, Update, Delete,
Reorder), "Create Access Token".
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox import filters, query, requests, responses, validation
from sandbox.auth import Auth, TokenDenied
from sandbox.calls import TOKEN
from sandbox.catalog import Catalog, View
from sandbox.entity import FIELDS, entity
from sandbox.errors import Invalid, NotFound
from sandbox.knobs import LiveKnobs
from sandbox.middleware import Middleware
from sandbox.model import Ticket
from sandbox.queryable import TICKETS

PREFIXES = ("/events/v3/ticket-definitions", "/events-ticket-definitions/v3/ticket-definitions")
"""The prefix in the reference, and the one that Wix's SDK uses."""

MAX_FIELDS = 5

Json = dict[str, Any]


class Api:
    """The API over one world."""

    def __init__(self, world: Catalog, auth: Auth, knobs: LiveKnobs, middleware: Middleware) -> None:
        self._world = world
        self._auth = auth
        self._knobs = knobs
        self._middleware = middleware

    def routes(self) -> list[BaseRoute]:
        """All routes, each wrapped by the middleware."""
        methods: list[tuple[str, str, str, Callable[[Request], Awaitable[Json]]]] = [
            ("query", "POST", "/query", self._query),
            ("query_available", "POST", "/available/query", self._query_available),
            ("count", "POST", "/count", self._count),
            ("count_available", "POST", "/available/count", self._count_available),
            ("create", "POST", "", self._create),
            ("reorder", "POST", "/reorder", self._reorder),
            ("get", "GET", "/{id}", self._get),
            ("update", "PATCH", "/{id}", self._update),
            ("delete", "DELETE", "/{id}", self._delete),
        ]
        found: list[BaseRoute] = [
            Route("/oauth2/token", self._middleware.wrap(TOKEN, self._token), methods=["POST"]),
        ]
        for prefix in PREFIXES:
            for kind, method, path, handler in methods:
                endpoint = self._middleware.wrap(kind, requests.endpoint(handler, parser_error="count" in kind))
                found.append(Route(prefix + path, endpoint, methods=[method]))
        return found

    # -- tokens --

    async def _token(self, request: Request) -> Response:
        try:
            return responses.ok(self._auth.grant(requests.parsed(await request.body())))
        except TokenDenied as error:
            body = {"error": error.code, "error_description": str(error)}
            return responses.with_request_id(JSONResponse(body, error.status))

    # -- reads --

    async def _get(self, request: Request) -> Json:
        ticket_id = validation.guid(request.path_params["id"], "ticketDefinitionId")
        fields = requests.fields(request.query_params.getlist("fields"), FIELDS, MAX_FIELDS)
        view = self._view()
        ticket = view.tickets.get(ticket_id)
        if ticket is None:
            raise NotFound(f"there is no ticket definition {ticket_id}")
        return {"ticketDefinition": self._to_json(ticket, view, fields)}

    async def _query(self, request: Request) -> Json:
        view = self._view()
        return self._page(await requests.body(request), view, self._indexed(view.tickets.values()))

    async def _query_available(self, request: Request) -> Json:
        view = self._view()
        return self._page(await requests.body(request), view, self._indexed(_available(view)))

    def _page(self, asked: Json, view: View, tickets: Iterable[Ticket]) -> Json:
        fields = requests.fields(asked.get("fields"), FIELDS, MAX_FIELDS)
        page = query.page(asked.get("query"), tickets, TICKETS)
        written = [self._to_json(ticket, view, fields) for ticket in page.items]
        return {"ticketDefinitions": written, "metadata": page.metadata}

    async def _count(self, request: Request) -> Json:
        asked = await requests.body(request)
        found = filters.matching(asked.get("filter"), self._view().tickets.values(), TICKETS.fields)
        facets = filters.facets(asked.get("facet"), found, TICKETS.fields)
        return {"metadata": {"total": len(found)}, "facets": facets}

    async def _count_available(self, request: Request) -> Json:
        asked = await requests.body(request)
        found = filters.matching(asked.get("filter"), _available(self._view()), TICKETS.fields)
        return {"metadata": {"total": len(found)}}

    # -- writes --

    async def _create(self, request: Request) -> Json:
        asked = await requests.body(request)
        fields = requests.fields(asked.get("fields"), FIELDS, MAX_FIELDS)
        changes = validation.ticket_fields(asked.get("ticketDefinition"), self._world.new_id, complete=True)
        event = validation.guid(asked["ticketDefinition"]["eventId"], "ticketDefinition.eventId")
        ticket = self._world.create(event, **changes)
        return self._now(ticket, fields)

    async def _update(self, request: Request) -> Json:
        asked = await requests.body(request)
        fields = requests.fields(asked.get("fields"), FIELDS, MAX_FIELDS)
        ticket_id = validation.guid(request.path_params["id"], "ticketDefinition.id")
        changes = validation.ticket_fields(asked.get("ticketDefinition"), self._world.new_id, complete=False)
        sent = asked["ticketDefinition"]
        if validation.guid(sent.get("id", ticket_id), "ticketDefinition.id") != ticket_id:
            raise Invalid("ticketDefinition.id", "it is not the id in the path")
        revision = sent.get("revision")
        if revision is None:
            raise Invalid("ticketDefinition.revision", "value is required", "REQUIRED_FIELD")
        if not isinstance(revision, str) or not revision.isdecimal() or len(revision) > 19:
            raise Invalid("ticketDefinition.revision", "value is not a string of digits", "FORMAT")
        if sent.get("eventId", self._world.ticket(ticket_id).event) != self._world.ticket(ticket_id).event:
            raise Invalid("ticketDefinition.eventId", "it can not be changed", "IMMUTABLE")
        return self._now(self._world.update(ticket_id, int(revision), **changes), fields)

    async def _delete(self, request: Request) -> Json:
        self._world.delete(validation.guid(request.path_params["id"], "ticketDefinitionId"))
        return {}

    async def _reorder(self, request: Request) -> Json:
        asked = await requests.body(request)
        event, ticket = (validation.guid(asked.get(name), name) for name in ("eventId", "ticketDefinitionId"))
        places = {name: asked[name] for name in ("beforeDefinitionId", "afterDefinitionId") if asked.get(name)}
        if len(places) != 1:
            raise Invalid("body", "set exactly one of beforeDefinitionId, afterDefinitionId", "ONE_OF")
        [(name, other)] = places.items()
        anchor = {name.removesuffix("DefinitionId"): validation.guid(other, name)}
        self._world.reorder(event, ticket, **anchor)
        return {}

    # -- shared --

    def _view(self) -> View:
        return self._world.view(self._knobs.now.stale_reads)

    def _indexed(self, tickets: Iterable[Ticket]) -> Iterable[Ticket]:
        """Those that queries find; Get finds all."""
        match self._knobs.now.query_results:
            case "none":
                return ()
            case "half":
                return (ticket for ticket in tickets if ticket.position % 2)
        return tickets

    def _now(self, ticket: Ticket, fields: frozenset[str]) -> Json:
        return {"ticketDefinition": self._to_json(ticket, self._world.view(), fields)}

    def _to_json(self, ticket: Ticket, view: View, fields: frozenset[str]) -> Json:
        return entity(ticket, view.events.get(ticket.event), self._knobs.now, fields)


def _available(view: View) -> list[Ticket]:
    return [ticket for ticket in view.tickets.values() if not ticket.hidden]
