"""The endpoints by which our page has a browser told of an event: subscribe, confirm, unsubscribe.

In: what a browser says of its push subscription, and the token of its first push. Out: what is stored of it. Whoever knows an endpoint
may take it off: only its browser and its push service do. Nothing of it is logged.
"""

import re
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.errors import BadRequest, UnknownEvent
from server.push_subscription import LONGEST_ENDPOINT, PushSubscription
from server.store.push_subscriptions import ASKED_LASTS, PushSubscriptions, Subscribed
from server.tell_me.asked_event import AskedEvents
from server.tell_me.posts import HEADERS, Posts, error
from server.vapid import key_id

LONGEST_TOKEN = 1000
"""Characters of a token; ours have some 250."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}")


class SubscriptionEndpoints:
    """The endpoints of one process.

    *keys* are the public VAPID keys, of which a subscription must be made with one; *hosts* are those of NOTIFY_PUSH_HOSTS.
    """

    def __init__(
        self,
        posts: Posts,
        events: AskedEvents,
        subscriptions: PushSubscriptions,
        keys: Sequence[str],
        hosts: Collection[str],
    ) -> None:
        self._posts = posts
        self._events = events
        self._subscriptions = subscriptions
        self._keys = frozenset(keys)
        self._hosts = hosts

    def routes(self) -> list[Route]:
        """The routes of these endpoints."""
        handlers = {"subscribe": self.subscribe, "confirm": self.confirm, "unsubscribe": self.unsubscribe}
        return [
            Route(f"/tell-me/{name}", self._posts.endpoint(handler), methods=["POST"])
            for name, handler in handlers.items()
        ]

    async def subscribe(self, request: Request, content: dict[str, Any]) -> Response:
        """Keep a subscription, and have its first push sent; one that is there already is answered with its state."""
        key = content.get("key")
        if key not in self._keys:
            return error(HTTPStatus.CONFLICT, "our key has changed: load the page again", "key")
        one = PushSubscription.read(content.get("subscription"), key_id(str(key)), self._hosts)
        asked = await self._events.find(_query(request))
        if not asked.push:
            raise UnknownEvent("no push messages are sent about this event")
        language = content.get("language")
        language = language if isinstance(language, str) and _LANGUAGE.fullmatch(language) else ""
        address = self._posts.address(request)
        state = await self._subscriptions.subscribe(asked.site, asked.event, one, language, address)
        match state:
            case Subscribed.CONFIRMED | Subscribed.WAITING:
                return JSONResponse({"state": state}, headers=HEADERS)
            case Subscribed.ASKED:
                text = "the first message to this browser was not answered: come back tomorrow"
                return error(HTTPStatus.TOO_MANY_REQUESTS, text, retry_after=ASKED_LASTS)
            case Subscribed.CROWDED:
                text = "too many subscriptions of this address are not confirmed yet: come back in a while"
                return error(HTTPStatus.SERVICE_UNAVAILABLE, text)
            case Subscribed.FULL:
                return error(HTTPStatus.SERVICE_UNAVAILABLE, "there are as many subscriptions as this site may have")

    async def confirm(self, _: Request, content: dict[str, Any]) -> Response:
        """The token of a first push came back: its subscription counts."""
        token = content.get("token")
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN or not await self._subscriptions.confirm(token):
            raise BadRequest("token", "this is no token of ours, or it has expired")
        return JSONResponse({"state": Subscribed.CONFIRMED}, headers=HEADERS)

    async def unsubscribe(self, request: Request, content: dict[str, Any]) -> Response:
        """Delete what is kept of a browser for an event; the answer is the same where there is nothing."""
        endpoint = content.get("endpoint")
        if not isinstance(endpoint, str) or len(endpoint) > LONGEST_ENDPOINT:
            raise BadRequest("endpoint", "no address of a push service")
        site, event = await self._events.named(_query(request))
        await self._subscriptions.unsubscribe(site, event, endpoint)
        return JSONResponse({"state": "off"}, headers=HEADERS)


def _query(request: Request) -> str:
    found: bytes = request.scope["query_string"]
    return found.decode("latin-1")
