"""Wraps every API handler: call log, simulated outage, token, rate limit, permission, simulated delay.

In: handlers by kind. Out: endpoints that do all this. A delayed response is computed at once and sent late, as over a
slow network: it may be out of date when it arrives, and may arrive after a later one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox import responses
from sandbox.auth import Auth
from sandbox.calls import CONTACT_CALLS, EVENT_CALLS, NO_ANSWER, SUBSCRIPTION_CALLS, TOKEN, Call, CallLog
from sandbox.knobs import LiveKnobs

Handler = Callable[[Request], Awaitable[Response]]
Sleep = Callable[[float], Awaitable[Any]]


class Middleware:
    """The checks and faults of the whole API."""

    def __init__(
        self,
        knobs: LiveKnobs,
        auth: Auth,
        calls: CallLog,
        *,
        sleep: Sleep = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._knobs = knobs
        self._auth = auth
        self._calls = calls
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - randomness, not secrecy

    def wrap(self, kind: str, handler: Handler) -> Handler:
        """The endpoint for calls of this kind."""

        async def endpoint(request: Request) -> Response:
            call = self._calls.begin(request.method, request.url.path, kind)
            response = await self._outage(request, kind)
            if response is None:
                response = self._refusal(request, kind) or await handler(request)
                await self._delay(kind)
            self._end(call, response)
            return response

        return endpoint

    async def _outage(self, request: Request, kind: str) -> Response | None:
        knobs = self._knobs.now
        if knobs.outage_of not in {"all", *_parts(kind)}:
            return None
        match knobs.outage:
            case "none":
                return None
            case "nonsense":
                return responses.not_json()
            case "drop":
                return responses.Truncated()
            case "hang":
                while (await request.receive())["type"] != "http.disconnect":
                    pass
                return responses.Truncated()
            case status:
                return self._fault(int(status))

    def _refusal(self, request: Request, kind: str) -> Response | None:
        if kind == TOKEN:
            return None
        if not self._auth.is_authorized(request.headers):
            return self._fault(401)
        if not self._calls.allow(self._knobs.now.rate_limit):
            return self._fault(429)
        knobs = self._knobs.now
        allowed = {
            EVENT_CALLS: knobs.read_events,
            CONTACT_CALLS: knobs.contacts,
            SUBSCRIPTION_CALLS: knobs.subscriptions,
        }
        if not all(may for kinds, may in allowed.items() if kind in kinds):
            return self._fault(int(knobs.missing_permission))
        return None

    def _fault(self, status: int) -> Response:
        knobs = self._knobs.now
        wait = knobs.retry_after if status in {429, 503} else None
        return responses.fault(status, wait, plain=status == 429 and knobs.plain_429)

    async def _delay(self, kind: str) -> None:
        knobs = self._knobs.now
        delay = knobs.read_delay + knobs.read_jitter * self._rng.random()
        if delay and kind != TOKEN:
            await self._sleep(delay)

    def _end(self, call: Call, response: Response) -> None:
        broken = isinstance(response, responses.Truncated)
        self._calls.end(call, NO_ANSWER if broken else response.status_code)


def _parts(kind: str) -> set[str]:
    """The values of the knob outage_of that affect calls of this kind."""
    if kind == TOKEN:
        return {TOKEN}
    if kind in CONTACT_CALLS or kind in SUBSCRIPTION_CALLS:
        return {"api", "contacts"}
    return {"api", "events"} if kind in EVENT_CALLS else {"api"}
