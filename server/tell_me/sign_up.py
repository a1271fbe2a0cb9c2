"""The endpoint by which our page takes an e-mail address, where the event's marketing tool takes sign-ups.

In: an address, as any client may send it. Out: an encrypted request, which a worker brings to the tool; the tool asks the address's owner
(double opt-in). The answer never says whether an address is known. The address is not logged, and stored only encrypted.
"""

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.errors import BadRequest, UnknownEvent
from server.keyring import KeyRing, Purpose
from server.mail_address import folded
from server.store.notify_requests import HOUR, Kept, NotifyRequests
from server.tell_me import texts
from server.tell_me.asked_event import AskedEvents
from server.tell_me.posts import HEADERS, Posts, error

LONGEST = 320
"""Characters of what may be an address: 64, an @, and 255 (RFC 5321, section 4.5.3.1)."""


class SignUpEndpoint:
    """The endpoint of one process."""

    def __init__(self, posts: Posts, events: AskedEvents, requests: NotifyRequests, keyring: KeyRing) -> None:
        self._posts = posts
        self._events = events
        self._requests = requests
        self._keyring = keyring

    def routes(self) -> list[Route]:
        """The route of this endpoint."""
        return [Route("/tell-me/sign-up", self._posts.endpoint(self.sign_up), methods=["POST"])]

    async def sign_up(self, request: Request, content: dict[str, Any]) -> Response:
        """Keep an address until a worker has brought it to the tool."""
        given = content.get("address")
        address = folded(given) if isinstance(given, str) and len(given) <= LONGEST else None
        if address is None:
            raise BadRequest("address", "this is no e-mail address")
        asked = await self._events.find(request.scope["query_string"].decode("latin-1"))
        if not asked.sign_up:
            raise UnknownEvent("no e-mail addresses are taken for this event")
        language = content.get("language")
        language = language if isinstance(language, str) and language in texts.languages() else ""
        kept = await self._requests.sign_up(
            asked.site,
            asked.event,
            self._keyring.encrypt(Purpose.SIGN_UP, {"a": address, "l": language}),
            self._keyring.hashes(Purpose.SIGN_UP, address)[0],
            self._keyring.hash(Purpose.SIGN_UP, "sender", self._posts.address(request)),
        )
        match kept:
            case Kept.KEPT | Kept.AGAIN:
                return JSONResponse({"state": "kept"}, headers=HEADERS)
            case Kept.CROWDED:
                text = "too many addresses were signed up from yours: come back in an hour"
                return error(HTTPStatus.TOO_MANY_REQUESTS, text, retry_after=HOUR)
            case Kept.FULL:
                return error(HTTPStatus.SERVICE_UNAVAILABLE, "too many sign-ups wait: come back in a while")
