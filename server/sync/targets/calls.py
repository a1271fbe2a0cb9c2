"""HTTP calls to a target: one connection pool, a time limit, no redirects, and what an answer's status means.

In: a kind (a label of metrics), a method, a path and content. Out: an Answer, or one of errors.py below TargetError. A request is
never repeated here. What was not sent is TargetUnavailable; a write that may have arrived is TargetUnsure. Calls are never
cancelled, which would leave httpx's pool broken for good: deadline.py ends them.
"""

import contextlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from server import deadline, metrics, retry_after
from server.addresses import public_addresses
from server.errors import (
    NotStarted,
    TargetError,
    TargetForbidden,
    TargetRefused,
    TargetUnauthorized,
    TargetUnavailable,
    TargetUnsure,
)
from server.single_line import printable
from server.sync.targets.no_answer import NOT_SENT, no_answer
from server.sync.targets.target import BeforeWrite, Pay

WITHIN = 10.0
"""Seconds for a whole call: far below the lease of its record."""
CONNECT_WITHIN = 3.0
"""Seconds for one address of the target to accept a connection."""
LARGEST = 16 * 1024 * 1024
"""Bytes of an answer; it is never compressed, so it cannot grow here."""
LONGEST_WORDS = 300
"""Characters of an answer that stand in an error's text."""
LARGEST_WORDS = 65_536
"""Bytes of an answer up to which it is searched for words."""
LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=1.5)
"""Connections of a target. They are closed after 1.5 s, before the usual server does that (2 to 5 s): a request that crosses with
the server's close would be a write without an answer."""

TRY_LATER = {408, 425, 429}
"""Statuses below 500 that say nothing about the request itself."""
Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""The headers of a request, or what makes them when it is sent, after it has waited for the budget."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target answered; `headers` are found in any case. `where` names the request in errors, `wrote` is whether it writes."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    where: str
    wrote: bool

    def json(self) -> Any:
        """The body; raises TargetUnavailable where it is no JSON, which is TargetUnsure after a write."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise self.unreadable(f"no JSON ({type(error).__name__})") from None

    def unreadable(self, what: str) -> TargetUnavailable:
        """The error of an answer that has *what* in the place of what was expected."""
        return _no_result(self.wrote, f"{self.where} was answered {self.status} with {what}", self.status)


class Calls:
    """All calls to one target; raises NotStarted where *base* may not be called.

    *base* is an address without password, query and fragment. *pay* is called before each request. *secrets* are never shown, not
    even where the target's answer repeats them; *credentials* says where they are. *within* is in seconds.
    """

    def __init__(
        self,
        target: str,
        base: str,
        pay: Pay,
        *,
        allow_http: bool = False,
        allow_private: bool = False,
        secrets: Collection[str] = (),
        credentials: str = "its secret",
        within: float = WITHIN,
        largest: int = LARGEST,
    ) -> None:
        self.target = target
        self.base = _checked(target, base, allow_http=allow_http)
        if not all(one.isascii() and one.isprintable() for one in secrets):
            raise NotStarted(f"{target}: its secret has characters that cannot stand in a header")
        self.within = within
        self._pay = pay
        self._allow_private = allow_private
        self._secrets = tuple(sorted((one for one in secrets if one), key=len, reverse=True))
        self._credentials = credentials
        self._largest = largest
        self._http = self._client()
        self._retired: list[httpx.AsyncClient] = []

    async def aclose(self) -> None:
        """Close every connection; calls in flight must have ended."""
        for client in (*self._retired, self._http):
            await client.aclose()

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=deadline.transport(LIMITS, resolve=None if self._allow_private else public_addresses),
            timeout=httpx.Timeout(self.within, connect=min(self.within, CONNECT_WITHIN)),
            headers={"user-agent": "ticket-counter", "accept": "application/json", "accept-encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )

    def url(self, path: str, params: Mapping[str, str] | None = None) -> httpx.URL:
        """The address of a path below the base ("" = the base itself); its `raw_path` is what the request line has."""
        address = self.base.rstrip("/") + path if path else self.base
        return httpx.URL(f"{address}?{urlencode(params)}" if params else address)

    async def read(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        content: bytes | None = None,
        expected: Collection[int] = (),
    ) -> Answer:
        """Make a call that changes nothing; answers 2xx, and the statuses in *expected*.

        Raises TargetForbidden for 403 and 404, TargetUnauthorized for 401, TargetUnavailable for all else.
        """
        await self._pay()
        request = self._request(method, path, params, headers, content)
        answer = await self._send(request, f"{method} {path or '/'}", kind, wrote=False)
        return self._judged(answer, expected)

    async def write(
        self,
        kind: str,
        method: str,
        path: str,
        before_write: BeforeWrite,
        *,
        params: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        content: bytes | None = None,
        expected: Collection[int] = (),
    ) -> Answer:
        """Make a call that changes something; *before_write* is called just before it. Answers 2xx, and the statuses in *expected*.

        Raises TargetUnsure where it may have had its effect, TargetUnavailable where nothing was sent, TargetUnauthorized for 401,
        and TargetRefused for the other statuses below 500.
        """
        await self._pay()
        await before_write()
        request = self._request(method, path, params, headers, content)
        answer = await self._send(request, f"{method} {path or '/'}", kind, wrote=True)
        return self._judged(answer, expected)

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Headers | None,
        content: bytes | None,
    ) -> httpx.Request:
        typed = {} if content is None else {"content-type": "application/json"}
        given = headers() if callable(headers) else headers or {}
        return self._http.build_request(method, self.url(path, params), headers={**typed, **given}, content=content)

    async def _send(self, request: httpx.Request, named: str, kind: str, *, wrote: bool) -> Answer:
        client, body = self._http, bytearray()
        where = f"{self.target}: {named} ({kind})"
        began = time.perf_counter()
        try:
            with deadline.within(self.within):
                response = await client.send(request, stream=True)
                try:
                    if response.headers.get("content-encoding", "identity") != "identity":
                        raise self._fault(wrote, "Compressed", f"{where} was answered in a form that was not asked for")
                    async for part in response.aiter_raw():
                        body += part
                        if len(body) > self._largest:
                            text = f"{where} was answered with more than {self._largest} bytes"
                            raise self._fault(wrote, "TooLong", text)
                finally:
                    await response.aclose()
        except httpx.HTTPError as error:
            if isinstance(error, httpx.PoolTimeout) and client is self._http:
                # A pool without a free connection is broken for good: use a new one.
                self._retired.append(client)
                self._http = self._client()
            raise self._fault(
                wrote and not isinstance(error, NOT_SENT),
                type(error).__name__,
                f"{where} {no_answer(error, request.url.host, self.within)}",
            ) from None
        metrics.target_seconds.labels(self.target, kind).observe(time.perf_counter() - began)
        return Answer(response.status_code, response.headers, bytes(body), where, wrote)

    def _judged(self, answer: Answer, expected: Collection[int]) -> Answer:
        status = answer.status
        if 200 <= status < 300 or status in expected:
            return answer
        metrics.target_errors.labels(self.target, str(status)).inc()
        raise self._error(answer)

    def _error(self, answer: Answer) -> TargetError:
        status = answer.status
        words = self._words(answer.body, answer.headers.get("content-type", ""))
        text = f"{answer.where} was answered {status}{f': {words}' if words else ''}"
        if 300 <= status < 400:
            text += (
                f", a redirect to {self._place(answer)}: redirects are not followed, so set the address that answers"
            )
        if status == httpx.codes.UNAUTHORIZED:
            return TargetUnauthorized(f"{text.rstrip('.')}: check {self._credentials}")
        if answer.wrote and 400 <= status < 500 and status not in TRY_LATER:
            return TargetRefused(text, status=status)
        if not answer.wrote and status in (httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND):
            return TargetForbidden(text)
        return _no_result(answer.wrote, text, status, retry_after.seconds(answer.headers.get("retry-after", "")))

    def _fault(self, sent: bool, error: str, text: str) -> TargetUnavailable:
        metrics.target_errors.labels(self.target, error).inc()
        return _no_result(sent, text)

    def _place(self, answer: Answer) -> str:
        """Where a redirect leads, without its query."""
        return self._words(answer.headers.get("location", "nowhere").partition("?")[0].encode())

    def _words(self, body: bytes, media_type: str = "") -> str:
        """The target's own words, on one line, without secrets and not long; "" where it sent a page for browsers, or very much."""
        if "html" in media_type or body.lstrip()[:1] == b"<" or len(body) > LARGEST_WORDS:
            return ""
        text = body.decode(errors="replace")
        with contextlib.suppress(ValueError, RecursionError):
            text = _flat(json.loads(body))
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = " ".join(printable(text).split())
        return text if len(text) <= LONGEST_WORDS else f"{text[: LONGEST_WORDS - 1]}…"


def _no_result(sent: bool, text: str, status: int = 0, wait: float | None = None) -> TargetUnavailable:
    return (TargetUnsure if sent else TargetUnavailable)(text, status=status, retry_after=wait)


def _flat(value: Any) -> str:
    """An error in JSON as a sentence: {"name": ["too long"]} is "name: too long"."""
    if isinstance(value, dict):
        said = [
            _flat(one) if name in ("detail", "message", "error") else f"{name}: {_flat(one)}"
            for name, one in value.items()
        ]
        return "; ".join(said)
    if isinstance(value, list):
        return ", ".join(_flat(one) for one in value)
    return value if isinstance(value, str) else json.dumps(value)


def _checked(target: str, base: str, *, allow_http: bool) -> str:
    """The base, if a target may be there."""
    try:
        parts = urlsplit(base)
        host, secret = parts.hostname, parts.username is not None or parts.password is not None
        httpx.URL(base)
    except (ValueError, httpx.InvalidURL):
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise NotStarted(f"{target}: url is no address such as https://tickets.example.org")
    if secret or parts.query or parts.fragment:
        raise NotStarted(f"{target}: url may have no password, no ? and no #, since it is shown in logs")
    if parts.scheme == "http" and not allow_http:
        raise NotStarted(
            f"{target}: url begins with http://, so everyone on the way can read it: use https://, or set allow_http = true"
        )
    return base
