"""Calls to Wix's API: access tokens, one connection pool, time-outs, and what an answer's status means.

In: a site, a method, a path and content. Out: parsed JSON, or NotThere, WixRefused, WixForbidden, WixUnavailable with the
status and Wix's request id. A call is repeated only once, after a 401, with a new token and if the caller pays. Calls are never
cancelled, which would leave httpx's pool broken for good: time-outs and deadline.py end them.
Sources: Wix, "Create Access Token", "About API Keys", "Errors", "Rate Limits".
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from server import deadline, metrics, retry_after
from server.errors import NotThere, WixForbidden, WixRefused, WixUnavailable
from server.model import SiteId
from server.wix.credentials import ApiKey, App
from server.wix.tokens import Token, Tokens

TIMEOUT = httpx.Timeout(connect=2.0, read=5.0, write=2.0, pool=2.0)
WITHIN = 10.0
"""Seconds for a whole call, including its token: far below the lease of its tickets (30 s)."""
LARGEST = 16 * 1024 * 1024
"""Bytes of a response after decompression: a hundred definitions are about 200 KB."""
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10)

FORBIDDEN = (httpx.codes.FORBIDDEN, httpx.codes.UNAUTHORIZED)
"""Statuses that mean, with a new token, that the app lacks a permission (Wix, "Errors": 401 may mean it too)."""

Pay = Callable[[], Awaitable[bool]]
"""Pays for a second call from the site's budget; answers whether it could."""


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: httpx.Headers
    body: bytes


class Calls:
    """All calls of one app, or of one API key. *clock* gives seconds for the lifetime of tokens, from any start."""

    def __init__(
        self,
        credentials: App | ApiKey,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        timeout: httpx.Timeout = TIMEOUT,
        limits: httpx.Limits = LIMITS,
        within: float = WITHIN,
        largest: int = LARGEST,
    ) -> None:
        self.credentials = credentials
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._limits = limits
        self._within = within
        self._largest = largest
        self._tokens = Tokens(self._request_token, clock)
        self._http = self._client()
        self._retired: list[httpx.AsyncClient] = []

    async def aclose(self) -> None:
        """Close every connection; calls in flight must have ended."""
        for client in (*self._retired, self._http):
            await client.aclose()

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=deadline.transport(self._limits), timeout=self._timeout, trust_env=False)

    async def call(
        self,
        site: SiteId,
        kind: str,
        method: str,
        path: str,
        pay: Pay,
        **content: Any,
    ) -> dict[str, Any]:
        """Make one call of this *kind*, a label of metrics; answer the JSON object."""
        with deadline.within(self._within):
            headers = await self._authorization(site)
            response = await self._send(site, kind, method, path, headers=headers, **content)
            if response.status == httpx.codes.UNAUTHORIZED and isinstance(self.credentials, App):
                # The token may have been revoked; a second 401, with a new token, is final.
                self._tokens.discard(site, headers["Authorization"])
                if not await pay():
                    return _parse(response, site, kind)
                headers = await self._authorization(site)
                response = await self._send(site, kind, method, path, headers=headers, **content)
        if response.status in FORBIDDEN:
            raise _forbidden(response, site, kind)
        return _parse(response, site, kind)

    async def _authorization(self, site: SiteId) -> dict[str, str]:
        if isinstance(self.credentials, ApiKey):
            return {
                "Authorization": self.credentials.key,
                "wix-site-id": self.credentials.sites.get(site, site),
            }
        # Wix takes the token without "Bearer".
        return {"Authorization": await self._tokens.get(site)}

    async def _request_token(self, site: SiteId) -> Token:
        assert isinstance(self.credentials, App)  # noqa: S101 - an API key needs no tokens
        body = {
            "grant_type": "client_credentials",
            "client_id": self.credentials.id,
            "client_secret": self.credentials.secret,
            "instance_id": site,
        }
        response = await self._send(site, "token", "POST", "/oauth2/token", json=body)
        try:
            answer = _parse(response, site, "token")
        except (WixRefused, NotThere) as error:
            raise WixUnavailable(
                f"Wix gave no token for site {site}: check WIX_APP_ID, WIX_APP_SECRET and that the app is installed"
                f" there ({error})",
                status=response.status,
            ) from None
        token, lives = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not isinstance(lives, (int, float)):
            raise WixUnavailable(f"Wix's token answer for site {site} has no access_token or no expires_in")
        if not token.isascii() or not token.isprintable():
            # It would be held for hours, and every call with it would fail.
            raise WixUnavailable(f"Wix's token for site {site} cannot stand in a header")
        return Token(token, lives)

    async def _send(
        self,
        site: SiteId,
        kind: str,
        method: str,
        path: str,
        **content: Any,
    ) -> _Response:
        client = self._http
        began = time.perf_counter()
        body = bytearray()
        try:
            async with client.stream(method, self.url + path, **content) as response:
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > self._largest:
                        raise _no_response(site, kind, f"longer than {self._largest} bytes", "TooLong")
        except httpx.HTTPError as error:
            if isinstance(error, httpx.PoolTimeout) and client is self._http:
                # A pool without a free connection is broken for good: use a new one.
                self._retired.append(client)
                self._http = self._client()
            name = type(error).__name__
            reason = f"not whole within {self._within:g} s, {name}" if deadline.passed() else name
            raise _no_response(site, kind, reason, name) from None
        metrics.wix_calls.labels(kind, str(response.status_code)).inc()
        metrics.wix_seconds.labels(kind).observe(time.perf_counter() - began)
        return _Response(response.status_code, response.headers, bytes(body))


def _no_response(site: SiteId, kind: str, reason: str, outcome: str) -> WixUnavailable:
    metrics.wix_calls.labels(kind, outcome).inc()
    return WixUnavailable(f"Wix gave no answer to {kind} of site {site}: {reason}")


def _forbidden(response: _Response, site: SiteId, kind: str) -> WixForbidden:
    request_id = response.headers.get("x-wix-request-id")
    text = f"Wix answered {response.status} to {kind} of site {site} (request {request_id})"
    return WixForbidden(text, status=response.status, request_id=request_id)


def _parse(response: _Response, site: SiteId, kind: str) -> dict[str, Any]:
    status = response.status
    request_id = response.headers.get("x-wix-request-id")
    where = f"{kind} of site {site} (request {request_id})"
    if status == httpx.codes.NOT_FOUND:
        raise NotThere(f"Wix answered 404 to {where}")
    if status == httpx.codes.BAD_REQUEST:
        raise WixRefused(f"Wix answered 400 to {where}: {_reason(response)}", request_id=request_id)
    if status != httpx.codes.OK:
        raise WixUnavailable(
            f"Wix answered {status} to {where}",
            status=status,
            request_id=request_id,
            retry_after=retry_after.seconds(response.headers.get("retry-after", "")),
        )
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise WixUnavailable(
            f"Wix answered nonsense to {where}: {type(error).__name__}", status=status, request_id=request_id
        ) from None
    if not isinstance(answer, dict):
        raise WixUnavailable(f"Wix answered no object to {where}", status=status, request_id=request_id)
    return answer


def _reason(response: _Response) -> str:
    try:
        message = json.loads(response.body)["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return "no message"
    return str(message)[:200]
