"""Wix's API over one pooled client: tokens, and ticket definitions as definitions.

In: a site and what to read. Out: model.py's definitions, or NotThere, WixRefused, WixUnavailable with the status and
Wix's request id. It never retries, but once after a 401 with a new token, paid for by the caller; and nothing cancels
a call of it: cancelled calls leave httpx's pool broken for good, so time-outs and a deadline below it end them.
Sources: Wix, "Ticket Definitions V3", "Create Access Token", "About API Keys", "Errors", "Rate Limits".
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from server import logs, metrics
from server.errors import Malformed, NotThere, WixRefused, WixUnavailable
from server.model import Definition, SiteId, TicketId
from server.wix import deadline, schema
from server.wix.credentials import ApiKey, App

PATH = "/events/v3/ticket-definitions"
FIELDS = ("SALES_DETAILS", "EVENT_DETAILS")
PAGE = 100
"""Definitions in one answer, at most (Wix: cursorPaging.limit)."""

TOKEN_SHARE = 0.8
"""A token is renewed after this share of its life (4 h), so no read waits for an expired one."""

TIMEOUT = httpx.Timeout(connect=2.0, read=5.0, write=2.0, pool=2.0)
WITHIN = 10.0
"""Seconds for a call with all that it waits for, far below the lease of its tickets (30 s)."""
LARGEST = 16 * 1024 * 1024
"""Bytes of an answer, unpacked: a hundred definitions are some 200 KB."""
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10)

log = logs.logger("wix")

Pay = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Definitions of one answer, the ids of those that could not be read, and the cursor of the next page."""

    definitions: tuple[Definition, ...]
    unreadable: frozenset[TicketId]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: httpx.Headers
    body: bytes


@dataclass(slots=True)
class _Token:
    text: str
    renew_at: float


class Wix:
    """The API as one app or key sees it. *clock* gives seconds, from anywhere, for the life of tokens."""

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
        self._clock = clock
        self._timeout = timeout
        self._limits = limits
        self._within = within
        self._largest = largest
        self._tokens: dict[SiteId, _Token] = {}
        self._locks: dict[SiteId, asyncio.Lock] = {}
        self._http = self._client()
        self._retired: list[httpx.AsyncClient] = []

    async def query(self, site: SiteId, tickets: Sequence[TicketId], pay: Pay) -> Answer:
        """Read up to 100 tickets by id in one call; what Wix does not have is not in the answer."""
        body = {
            "query": {"filter": {"id": {"$in": list(tickets)}}, "cursorPaging": {"limit": PAGE}},
            "fields": FIELDS,
        }
        return _answer(await self._call(site, "query", "POST", f"{PATH}/query", pay, json=body))

    async def page(self, site: SiteId, cursor: str | None, pay: Pay) -> Answer:
        """Read one page of all tickets of the site; with a cursor nothing but the paging may be sent."""
        paging = {"limit": PAGE} if cursor is None else {"limit": PAGE, "cursor": cursor}
        body = {"query": {"cursorPaging": paging}, "fields": FIELDS}
        return _answer(await self._call(site, "list", "POST", f"{PATH}/query", pay, json=body))

    async def get(self, site: SiteId, ticket: TicketId, pay: Pay) -> Definition:
        """Read one ticket by itself. Raises NotThere: the one proof that a ticket is deleted."""
        answer = await self._call(
            site, "get", "GET", f"{PATH}/{ticket}", pay, params=[("fields", name) for name in FIELDS]
        )
        return schema.definition(answer.get("ticketDefinition"))

    async def aclose(self) -> None:
        """Close every connection; calls in flight must have ended."""
        for client in (*self._retired, self._http):
            await client.aclose()

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=deadline.transport(self._limits), timeout=self._timeout, trust_env=False)

    async def _call(
        self,
        site: SiteId,
        kind: str,
        method: str,
        path: str,
        pay: Pay,
        **content: Any,
    ) -> dict[str, Any]:
        with deadline.within(self._within):
            headers = await self._authorization(site)
            reply = await self._send(site, kind, method, path, headers=headers, **content)
            if reply.status == httpx.codes.UNAUTHORIZED and isinstance(self.credentials, App):
                # The token may have been revoked; a second 401 with a new one is an answer.
                self._drop(site, headers["Authorization"])
                if await pay():
                    headers = await self._authorization(site)
                    reply = await self._send(site, kind, method, path, headers=headers, **content)
        return _json(reply, site, kind)

    async def _authorization(self, site: SiteId) -> dict[str, str]:
        if isinstance(self.credentials, ApiKey):
            return {
                "Authorization": self.credentials.key,
                "wix-site-id": self.credentials.sites.get(site, site),
            }
        # Wix takes the token bare, without "Bearer".
        return {"Authorization": await self._token(site, self.credentials)}

    async def _token(self, site: SiteId, app: App) -> str:
        async with self._locks.setdefault(site, asyncio.Lock()):
            held = self._tokens.get(site)
            if held is None or self._clock() >= held.renew_at:
                held = self._tokens[site] = await self._new_token(site, app)
            return held.text

    async def _new_token(self, site: SiteId, app: App) -> _Token:
        body = {
            "grant_type": "client_credentials",
            "client_id": app.id,
            "client_secret": app.secret,
            "instance_id": site,
        }
        reply = await self._send(site, "token", "POST", "/oauth2/token", json=body)
        try:
            answer = _json(reply, site, "token")
        except (WixRefused, NotThere) as error:
            raise WixUnavailable(
                f"Wix gave no token for site {site}: check WIX_APP_ID, WIX_APP_SECRET and that the app is installed"
                f" there ({error})",
                status=reply.status,
            ) from None
        token, lives = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not isinstance(lives, (int, float)):
            raise WixUnavailable(f"Wix's token answer for site {site} has no access_token or no expires_in")
        if not token.isascii() or not token.isprintable():
            # It would be held for hours, and fail each call.
            raise WixUnavailable(f"Wix's token for site {site} cannot stand in a header")
        return _Token(token, self._clock() + TOKEN_SHARE * lives)

    def _drop(self, site: SiteId, used: str) -> None:
        held = self._tokens.get(site)
        if held and held.text == used:
            del self._tokens[site]

    async def _send(
        self,
        site: SiteId,
        kind: str,
        method: str,
        path: str,
        **content: Any,
    ) -> _Reply:
        client = self._http
        began = time.perf_counter()
        body = bytearray()
        try:
            async with client.stream(method, self.url + path, **content) as response:
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > self._largest:
                        raise _nothing(site, kind, f"longer than {self._largest} bytes", "TooLong")
        except httpx.HTTPError as error:
            if isinstance(error, httpx.PoolTimeout) and client is self._http:
                # A pool that gives nothing out is broken for good: go on with a new one.
                self._retired.append(client)
                self._http = self._client()
            name = type(error).__name__
            reason = f"not whole within {self._within:g} s, {name}" if deadline.passed() else name
            raise _nothing(site, kind, reason, name) from None
        metrics.wix_calls.labels(kind, str(response.status_code)).inc()
        metrics.wix_seconds.labels(kind).observe(time.perf_counter() - began)
        return _Reply(response.status_code, response.headers, bytes(body))


def _nothing(site: SiteId, kind: str, reason: str, outcome: str) -> WixUnavailable:
    metrics.wix_calls.labels(kind, outcome).inc()
    return WixUnavailable(f"Wix gave no answer to {kind} of site {site}: {reason}")


def _json(reply: _Reply, site: SiteId, kind: str) -> dict[str, Any]:
    status = reply.status
    request_id = reply.headers.get("x-wix-request-id")
    where = f"{kind} of site {site} (request {request_id})"
    if status == httpx.codes.NOT_FOUND:
        raise NotThere(f"Wix answered 404 to {where}")
    if status == httpx.codes.BAD_REQUEST:
        raise WixRefused(f"Wix answered 400 to {where}: {_reason(reply)}", request_id=request_id)
    if status != httpx.codes.OK:
        raise WixUnavailable(
            f"Wix answered {status} to {where}",
            status=status,
            request_id=request_id,
            retry_after=_retry_after(reply),
        )
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise WixUnavailable(
            f"Wix answered nonsense to {where}: {type(error).__name__}", status=status, request_id=request_id
        ) from None
    if not isinstance(answer, dict):
        raise WixUnavailable(f"Wix answered no object to {where}", status=status, request_id=request_id)
    return answer


def _answer(json_: Mapping[str, Any]) -> Answer:
    listed = json_.get("ticketDefinitions")
    if not isinstance(listed, list):
        raise WixUnavailable("Wix's answer has no ticketDefinitions", status=200)
    definitions, unreadable = [], set()
    for one in listed:
        try:
            definitions.append(schema.definition(one))
        except Malformed as error:
            log.warning("definition_unreadable", error=str(error))
            metrics.wix_calls.labels("definition", "unreadable").inc()
            if isinstance(one, dict) and isinstance(one.get("id"), str):
                unreadable.add(TicketId(one["id"].lower()))
    metadata = json_.get("metadata")
    cursors = metadata.get("cursors") if isinstance(metadata, dict) else None
    following = cursors.get("next") if isinstance(cursors, dict) else None
    return Answer(tuple(definitions), frozenset(unreadable), following if isinstance(following, str) else None)


def _reason(reply: _Reply) -> str:
    try:
        message = json.loads(reply.body)["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return "no message"
    return str(message)[:200]


def _retry_after(reply: _Reply) -> float | None:
    """Seconds from Retry-After, which is a number or a date (RFC 9110, section 10.2.3)."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
