"""The sandbox's own API, below /sandbox: inspect the world, buy tickets, change knobs. No account, not Wix's format.

In: JSON. Out: JSON; an error is {"error": text} with status 400, 404 or 409. The shop page and tests in other processes
use it. Simulated outages do not affect it.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox import event_validation, overview, validation
from sandbox.auth import Auth
from sandbox.calls import CallLog
from sandbox.clock import iso
from sandbox.contact_control import ContactControl
from sandbox.delivery import Delivery
from sandbox.errors import (
    Invalid,
    NotForSale,
    NotFound,
    Refused,
    SlugTaken,
    StaleRevision,
    TooManyTickets,
    WrongStatus,
)
from sandbox.knobs import LiveKnobs
from sandbox.seed import KINDS_OF_FILL, fill
from sandbox.site import Site
from sandbox.webhooks import WebhookEmitter
from sandbox.world import World

MAX_ROWS = 200
"""Most webhooks in one response: those that were never sent must be signed for it."""

CONFLICTS = (NotForSale, SlugTaken, StaleRevision, TooManyTickets, WrongStatus)

A_DAY = 86_400.0
IN_A_MONTH = 30 * A_DAY
"""When a new event starts, and how long it lasts, if its request does not say."""

Json = dict[str, Any]


class Control:
    """The routes of the control API."""

    def __init__(
        self,
        *,
        site: Site,
        world: World,
        knobs: LiveKnobs,
        delivery: Delivery,
        calls: CallLog,
        auth: Auth,
        emitter: WebhookEmitter,
        contacts: ContactControl,
    ) -> None:
        self._site = site
        self._world = world
        self._knobs = knobs
        self._delivery = delivery
        self._calls = calls
        self._auth = auth
        self._emitter = emitter
        self._contacts = contacts

    def routes(self) -> list[BaseRoute]:
        """All routes."""
        methods: list[tuple[str, str, Callable[[Request], Awaitable[Json]]]] = [
            ("GET", "/world", self._show_world),
            ("POST", "/tickets", self._create),
            ("PATCH", "/tickets/{id}", self._update),
            ("DELETE", "/tickets/{id}", self._delete),
            ("POST", "/tickets/{id}/buy", self._buy),
            ("POST", "/tickets/{id}/hold", self._hold),
            ("POST", "/holds/{id}/cancel", self._cancel_hold),
            ("POST", "/holds/{id}/buy", self._buy_hold),
            ("POST", "/orders/{number}/cancel", self._cancel_order),
            ("POST", "/events", self._create_event),
            ("PATCH", "/events/{id}", self._update_event),
            ("POST", "/events/{id}/{act}", self._act_on_event),
            ("POST", "/event/{act}", self._act_on_first_event),
            ("POST", "/app/{act}", self._app),
            ("GET", "/knobs", self._show_knobs),
            ("PATCH", "/knobs", self._set_knobs),
            ("GET", "/webhooks", self._show_webhooks),
            ("GET", "/calls", self._show_calls),
            ("POST", "/tokens/revoke", self._revoke_tokens),
            ("GET", "/site", self._show_site),
            *self._contacts.methods(),
        ]
        return [
            Route(f"/sandbox{path}", _json_endpoint(handler), methods=[method]) for method, path, handler in methods
        ]

    # -- the world --

    async def _show_world(self, _: Request) -> Json:
        return overview.world(self._world, self._site.ids.event, self._knobs.now)

    # -- organisers --

    async def _create(self, request: Request) -> Json:
        sent = _definition(await _object(request))
        changes = validation.ticket_fields(
            {"eventId": self._site.ids.event, **sent}, self._world.new_id, complete=True, keep_seconds=True
        )
        event = validation.guid(sent.get("eventId", self._site.ids.event), "eventId")
        return {"ticket": self._world.create(event, **changes, **validation.tester_fields(sent)).id}

    async def _update(self, request: Request) -> Json:
        sent = _definition(await _object(request))
        changes = validation.ticket_fields(sent, self._world.new_id, complete=False, keep_seconds=True)
        return {"ticket": self._world.update(_id(request), **changes, **validation.tester_fields(sent)).id}

    async def _delete(self, request: Request) -> Json:
        self._world.delete(_id(request))
        return {}

    async def _create_event(self, request: Request) -> Json:
        fields = event_validation.new_event(await _object(request))
        start = fields.pop("start", self._world.now() + IN_A_MONTH)
        end = fields.pop("end", start + A_DAY)
        return overview.event(self._world.create_event(fields.pop("title"), start, end, **fields))

    async def _update_event(self, request: Request) -> Json:
        return await self._act(_id(request), "update", request)

    async def _act_on_event(self, request: Request) -> Json:
        return await self._act(_id(request), request.path_params["act"], request)

    async def _act_on_first_event(self, request: Request) -> Json:
        return await self._act(self._site.ids.event, request.path_params["act"], request)

    async def _act(self, id_: str, act: str, request: Request) -> Json:
        world = self._world
        acts = {
            "publish": world.publish_event,
            "unpublish": world.unpublish_event,
            "cancel": world.cancel_event,
            "end": world.end_event,
            "pause": world.pause_registration,
            "disable": world.disable_registration,
            "open": world.open_registration,
        }
        if act in acts:
            return overview.event(acts[act](id_))
        if act == "update":
            changes = event_validation.event_changes(await _object(request), world.event(id_).registration)
            return overview.event(world.update_event(id_, **changes))
        if act == "fill":
            return {"tickets": fill(world, id_, **_filling(await _object(request)))}
        if act == "delete":
            world.delete_event(id_)
            return {}
        raise NotFound(f"there is no action {act}: use {', '.join((*acts, 'update', 'fill'))} or delete")

    async def _app(self, request: Request) -> Json:
        match request.path_params["act"]:
            case "install":
                self._emitter.app_installed()
            case "remove":
                self._emitter.app_removed()
            case act:
                raise NotFound(f"there is no action {act}: use install or remove")
        return {}

    # -- buyers --

    async def _buy(self, request: Request) -> Json:
        order = self._world.buy(_id(request), **_wanted(await _object(request)))
        return {"order": order.number}

    async def _hold(self, request: Request) -> Json:
        hold = self._world.hold(_id(request), **_wanted(await _object(request)))
        return {"hold": hold.id, "expires": iso(hold.expires)}

    async def _cancel_hold(self, request: Request) -> Json:
        self._world.cancel_hold(_id(request))
        return {}

    async def _buy_hold(self, request: Request) -> Json:
        return {"order": self._world.buy_hold(_id(request)).number}

    async def _cancel_order(self, request: Request) -> Json:
        return {"order": self._world.cancel_order(request.path_params["number"]).number}

    # -- knobs, webhooks, calls --

    async def _show_knobs(self, _: Request) -> Json:
        return self._knobs.now.model_dump()

    async def _set_knobs(self, request: Request) -> Json:
        return self._knobs.turn(**await _object(request)).model_dump()

    async def _show_webhooks(self, request: Request) -> Json:
        since = _since(request, self._delivery.last - MAX_ROWS)
        return {
            "webhooks": [
                {
                    "n": webhook.n,
                    "type": webhook.type,
                    "jwt": webhook.jwt,
                    "attempts": [{**asdict(attempt), "at": iso(attempt.at)} for attempt in webhook.attempts],
                }
                for webhook in self._delivery.since(since, MAX_ROWS)
            ]
        }

    async def _show_calls(self, request: Request) -> Json:
        calls = self._calls.since(_since(request, 0))
        return {"calls": [{**asdict(call), "at": iso(call.at)} for call in calls]}

    async def _revoke_tokens(self, _: Request) -> Json:
        return {"revoked": self._auth.revoke()}

    async def _show_site(self, _: Request) -> Json:
        ids = self._site.ids
        return {
            "appId": ids.app,
            "instanceId": ids.instance,
            "siteId": ids.site,
            "accountId": ids.account,
            "eventId": ids.event,
            "tickets": dict(ids.tickets),
            "publicKey": self._site.public_pem,
            "webhooks": list(self._delivery.urls),
        }


def _json_endpoint(handler: Callable[[Request], Awaitable[Json]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await handler(request), headers={"Cache-Control": "no-store"})
        except Refused as error:
            status = 404 if isinstance(error, NotFound) else 409 if isinstance(error, CONFLICTS) else 400
            return JSONResponse({"error": str(error)}, status)

    return endpoint


async def _object(request: Request) -> Json:
    """The body as an object; an empty body means {}."""
    body = await request.body()
    try:
        found = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Invalid("body", "it is not JSON") from None
    if not isinstance(found, dict):
        raise Invalid("body", "it is not a JSON object")
    return found


def _definition(sent: Json) -> Json:
    inner = sent.get("ticketDefinition")
    return inner if isinstance(inner, dict) else sent


def _wanted(sent: Json) -> Json:
    quantity, option, price = sent.get("quantity", 1), sent.get("option"), sent.get("price")
    if isinstance(quantity, bool) or not isinstance(quantity, int):
        raise Invalid("quantity", "it is not a whole number")
    for name, value in (("option", option), ("price", price)):
        if not isinstance(value, str | None):
            raise Invalid(name, "it is not a string")
    return {"quantity": quantity, "option": option, "price": price}


def _filling(sent: Json) -> Json:
    number, currency = sent.get("tickets", KINDS_OF_FILL), sent.get("currency", "USD")
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise Invalid("tickets", "it is not a whole number")
    return {"number": number, "currency": validation.currency(currency, "currency")}


def _id(request: Request) -> str:
    return str(request.path_params["id"]).lower()


def _since(request: Request, default: int) -> int:
    text = request.query_params.get("since", "")
    if text and not (text.isdecimal() and len(text) < 19):
        raise Invalid("since", "it is not a number")
    return int(text) if text else default
