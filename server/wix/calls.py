"""Calls to Wix's API: access tokens, one connection pool, time-outs, and what an answer's status means.

In: a site, a method, a path and content. Out: parsed JSON, or NotThere, WixRefused, WixForbidden, WixUnavailable with the
status and Wix's request id. A call is repeated only once, after a 401, with a new token and if the caller pays. Calls are never
cancelled, which would leave httpx's pool broken for good: time-outs and deadline.py end them.
Sources: Wix, "Create Access Token", "About API Keys", "Errors", "Rate Limits".
"""

import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from server import deadline, metrics, retry_after
from server.errors import NotThere, WixForbidden, WixRefused, WixUnavailable
from server.model import SiteId
from server.wix import cures
from server.wix.credentials import ApiKey, App
from server.wix.no_answer import Cause, cause_of
from server.wix.route import Route
from server.wix.tokens import Token, Tokens

TIMEOUT = httpx.Timeout(connect=2.0, read=5.0, write=2.0, pool=2.0)
WITHIN = 10.0
"""Seconds for a whole call, including its token: far below the lease of its tickets (30 s)."""
LARGEST = 16 * 1024 * 1024
"""Bytes of a response after decompression: a hundred definitions are about 200 KB."""
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10)

FORBIDDEN = (httpx.codes.FORBIDDEN, httpx.codes.UNAUTHORIZED)
"""Statuses that mean, with a new token, that the app lacks a permission (Wix, "Errors": 401 may mean it too)."""

FAULT_OF_WIX = httpx.codes.INTERNAL_SERVER_ERROR
"""Statuses from here on are no answer to what was asked."""

Pay = Callable[[], Awaitable[bool]]
"""Pays for a second call from the site's budget; answers whether it could."""


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def request_id(self) -> str | None:
        """Wix's id of the request."""
        found: str | None = self.headers.get("x-wix-request-id")
        return found


class Calls:
    """All calls of one app, or of one API key, by a *route* (None = directly). *clock* gives seconds for the lifetime of tokens, from any start."""

    def __init__(
        self,
        credentials: App | ApiKey,
        url: str,
        *,
        route: Route | None = None,
        clock: Callable[[], float] = time.monotonic,
        timeout: httpx.Timeout = TIMEOUT,
        limits: httpx.Limits = LIMITS,
        within: float = WITHIN,
        largest: int = LARGEST,
    ) -> None:
        self.credentials = credentials
        self.url = url.rstrip("/")
        self._route = route or Route()
        self._timeout = timeout
        self._limits = limits
        self._within = within
        self._largest = largest
        self._tokens = Tokens(self._request_token, clock)
        self._http = self._client()
        self._retired: list[httpx.AsyncClient] = []
        self.date_header = ""
        """The header Date of the last answer, by which a clock can be compared with Wix's."""

    async def aclose(self) -> None:
        """Close every connection; calls in flight must have ended."""
        for client in (*self._retired, self._http):
            await client.aclose()

    def _client(self) -> httpx.AsyncClient:
        transport = self._route.transport(self.url, self._limits)
        return httpx.AsyncClient(transport=transport, timeout=self._timeout, trust_env=False)

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
                    raise self._unavailable(response, site, kind, hint=cures.WAIT)
                headers = await self._authorization(site)
                response = await self._send(site, kind, method, path, headers=headers, **content)
        if response.status in FORBIDDEN:
            raise self._unavailable(response, site, kind, WixForbidden)
        return self._parse(response, site, kind)

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
        if response.status not in {httpx.codes.OK, httpx.codes.TOO_MANY_REQUESTS} and response.status < FAULT_OF_WIX:
            code = _oauth_error(response)
            raise WixUnavailable(
                f"Wix gave no token for site {site}: it answered {response.status} {code}".rstrip(),
                status=response.status,
                request_id=response.request_id,
                hint=cures.of_token(response.status, code),
            )
        answer = self._parse(response, site, "token")
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
                self.date_header = response.headers.get("date", "")
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > self._largest:
                        metrics.wix_calls.labels(kind, "TooLong").inc()
                        raise self._no_answer(site, kind, Cause.TOO_LONG)
        except httpx.HTTPError as error:
            if isinstance(error, httpx.PoolTimeout) and client is self._http:
                # A pool without a free connection is broken for good: use a new one.
                self._retired.append(client)
                self._http = self._client()
            metrics.wix_calls.labels(kind, type(error).__name__).inc()
            raise self._no_answer(site, kind, cause_of(error)) from None
        metrics.wix_calls.labels(kind, str(response.status_code)).inc()
        metrics.wix_seconds.labels(kind).observe(time.perf_counter() - began)
        return _Response(response.status_code, response.headers, bytes(body))

    def _no_answer(self, site: SiteId, kind: str, cause: Cause) -> WixUnavailable:
        host = httpx.URL(self.url).netloc.decode()
        whole = f" (in {self._within:g} s for the whole call)" if deadline.passed() else ""
        return WixUnavailable(
            f"Wix gave no answer to {kind} of site {site}: {host}, {cause}{whole}",
            hint=cures.no_answer(cause, host, proxy=self._route.proxy_host(self.url)),
        )

    def _unavailable(
        self,
        response: _Response,
        site: SiteId,
        kind: str,
        error: type[WixUnavailable] = WixUnavailable,
        *,
        why: str = "",
        hint: str = "",
    ) -> WixUnavailable:
        return error(
            f"Wix answered {why or response.status} to {kind} of site {site} (request {response.request_id})",
            status=response.status,
            request_id=response.request_id,
            retry_after=retry_after.seconds(response.headers.get("retry-after", "")),
            hint=hint or self._hint(response.status, kind),
        )

    def _hint(self, status: int, kind: str) -> str:
        return cures.of_status(status, kind, api_key=isinstance(self.credentials, ApiKey))

    def _parse(self, response: _Response, site: SiteId, kind: str) -> dict[str, Any]:
        status = response.status
        where = f"{kind} of site {site} (request {response.request_id})"
        if status == httpx.codes.NOT_FOUND:
            raise NotThere(f"Wix answered 404 to {where}", hint=self._hint(status, kind))
        if status == httpx.codes.BAD_REQUEST:
            raise WixRefused(
                f"Wix answered 400 to {where}: {_reason(response)}",
                request_id=response.request_id,
                hint=self._hint(status, kind),
            )
        if status != httpx.codes.OK:
            raise self._unavailable(response, site, kind)
        try:
            answer = json.loads(response.body)
        except (ValueError, RecursionError) as error:
            raise self._unavailable(response, site, kind, why=f"nonsense ({type(error).__name__})") from None
        if not isinstance(answer, dict):
            raise self._unavailable(response, site, kind, why="no object")
        return answer


def _reason(response: _Response) -> str:
    try:
        message = json.loads(response.body)["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return "no message"
    return str(message)[:200]


def _oauth_error(response: _Response) -> str:
    """The error code of a refused token request (RFC 6749, 5.2); empty where it has none.

    Its description is not read: it may repeat what was sent.
    """
    try:
        code = json.loads(response.body)["error"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return ""
    return code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else ""
