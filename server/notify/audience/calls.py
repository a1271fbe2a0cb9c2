"""HTTP calls to a marketing tool: one connection pool, a time limit, no redirects, and what an answer's status means.

In: what a call is for (a text for errors, without an address), a method, a path and content. Out: an Answer, or AudienceUnavailable or
AudienceRefused. No error names a subscriber: neither a query nor a form stands in it, and of the tool's own words nothing with an @,
and nothing at all where the call is about one person. A request is never repeated here. Where a caller is cancelled its request goes on
by itself, since to cancel it would leave httpx's pool broken for good: deadline.py ends it.
"""

import asyncio
import base64
import contextlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from pydantic import SecretStr

from server import deadline, retry_after
from server.addresses import is_private_host
from server.errors import AudienceError, AudienceRefused, AudienceUnavailable, NotStarted
from server.single_line import printable

WITHIN = 10.0
"""Seconds for a whole call, unless it is given another time."""
CONNECT_WITHIN = 3.0
"""Seconds for one address of the tool to accept a connection."""
LARGEST = 16 * 1024 * 1024
"""Bytes of an answer; it is never compressed, so it cannot grow here."""
LONGEST_WORDS = 300
"""Characters of an answer that stand in an error's text."""
LARGEST_WORDS = 65_536
"""Bytes of an answer up to which it is searched for words."""
LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=1.5)
"""Connections to a tool. They are closed after 1.5 s, before the usual server does that (2 to 5 s)."""

TRY_LATER = {408, 425, 429}
"""Statuses below 500 that say nothing about the request itself."""
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors of which no byte has reached the tool."""

_WITH_AT = re.compile(r"\S*(?:@|%40)\S*", re.IGNORECASE)

Form = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered; `headers` are found in any case. `where` names the request in errors."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    where: str

    def json(self) -> Any:
        """The body; raises AudienceUnavailable where it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise self.unreadable(f"no JSON ({type(error).__name__})") from None

    def unreadable(self, what: str) -> AudienceUnavailable:
        """The error of an answer that has *what* in the place of what was expected."""
        return AudienceUnavailable(f"{self.where} was answered {self.status} with {what}", status=self.status)


def basic(user: str, secret: SecretStr) -> str:
    """The header Authorization of a user with a password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{secret.get_secret_value()}".encode()).decode()


def bearer(secret: SecretStr) -> str:
    """The header Authorization of a token (RFC 6750)."""
    return f"Bearer {secret.get_secret_value()}"


def url_fault(url: str, *, allow_http: bool) -> str | None:
    """What is wrong with a tool's address, and what to do; None where it can be called.

    `http://` is for this machine and for private addresses written as numbers, unless *allow_http*.
    """
    try:
        parts = urlsplit(url)
        host, extra = parts.hostname, parts.username is not None or parts.password is not None
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        host = None
    if not host or parts.scheme not in ("http", "https"):
        return "it is no address such as https://lists.example.org"
    if extra or parts.query or parts.fragment:
        return "it may have no password, no ? and no #, since it is shown in logs"
    if parts.scheme == "http" and not allow_http and not is_private_host(host):
        return "it begins with http://, so everyone on the way can read it: use https://, or set allow_http = true"
    return None


class Calls:
    """All calls to one tool; raises NotStarted where *base* may not be called.

    *title* names the kind of tool in errors, such as "Mailman". *authorization* is the header of that name. *secrets* are never shown;
    *credentials* says where they are, such as "MAILMAN_PASSWORD".
    """

    def __init__(
        self,
        title: str,
        base: str,
        authorization: str,
        *,
        allow_http: bool = False,
        secrets: Collection[SecretStr] = (),
        credentials: str = "its secret",
        largest: int = LARGEST,
    ) -> None:
        fault = url_fault(base, allow_http=allow_http)
        if fault is not None:
            raise NotStarted(f"{title}: url: {fault}")
        if not (authorization.isascii() and authorization.isprintable()):
            raise NotStarted(f"{title}: {credentials} has characters that cannot stand in a header")
        self.title = title
        self.base = base.rstrip("/")
        self._authorization = authorization
        self._secrets = sorted((text for one in secrets if (text := one.get_secret_value())), key=len, reverse=True)
        self._credentials = credentials
        self._largest = largest
        self._http = self._client()
        self._retired: list[httpx.AsyncClient] = []
        self._running: set[asyncio.Task[Answer]] = set()

    async def aclose(self) -> None:
        """End what is in flight, and close every connection."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for client in (*self._retired, self._http):
            await client.aclose()

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=deadline.transport(LIMITS),
            timeout=httpx.Timeout(None, connect=CONNECT_WITHIN, pool=WITHIN),  # deadline.py limits the whole
            headers={
                "user-agent": "ticket-counter",
                "accept": "application/json",
                "accept-encoding": "identity",
                "authorization": self._authorization,
            },
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )

    async def call(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Form | None = None,
        form: Form | None = None,
        content: Any = None,
        expected: Collection[int] = (),
        personal: bool = False,
        people: bool = False,
        within: float = WITHIN,
    ) -> Answer:
        """Make a call: *form* is sent as a form, *content* as JSON. Answers 2xx, and the statuses in *expected*.

        *what* it is for stands in errors. *people*: the call is about subscribers, so an error has no word of the answer. *personal*:
        it is about one, so an error has no path of it either. Raises AudienceRefused for the statuses that a later try does not
        change, AudienceUnavailable for all else.
        """
        url = f"{self.base}{path}" + (f"?{urlencode(params)}" if params else "")
        if form is not None:
            body, kind = urlencode(form).encode(), "application/x-www-form-urlencoded"
        else:
            body, kind = (b"", "") if content is None else (json.dumps(content).encode(), "application/json")
        request = self._http.build_request(
            method, url, content=body or None, headers={"content-type": kind} if kind else {}
        )
        shown = f"{self.base}/…" if personal else f"{self.base}{path}"
        task = asyncio.create_task(self._send(request, f"{self.title}: {what}: {method} {shown}", within))
        self._running.add(task)
        task.add_done_callback(self._ended)
        answer = await asyncio.shield(task)
        if 200 <= answer.status < 300 or answer.status in expected:
            return answer
        raise self._error(answer, people=people or personal)

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # else asyncio reports it where the caller was cancelled

    async def _send(self, request: httpx.Request, where: str, within: float) -> Answer:
        client, body = self._http, bytearray()
        try:
            with deadline.within(within):
                response = await client.send(request, stream=True)
                try:
                    if response.headers.get("content-encoding", "identity") != "identity":
                        raise AudienceUnavailable(f"{where} was answered in a form that was not asked for")
                    async for part in response.aiter_raw():
                        body += part
                        if len(body) > self._largest:
                            raise AudienceUnavailable(f"{where} was answered with more than {self._largest} bytes")
                finally:
                    await response.aclose()
        except httpx.HTTPError as error:
            if isinstance(error, httpx.PoolTimeout) and client is self._http:
                # A pool without a free connection is broken for good: use a new one.
                self._retired.append(client)
                self._http = self._client()
            raise AudienceUnavailable(f"{where} {self._cause(error, within)}") from None
        return Answer(response.status_code, response.headers, bytes(body), where)

    def _cause(self, error: httpx.HTTPError, within: float) -> str:
        """Why there is no answer; what the system says of a connection that was not made has no secret in it."""
        name = type(error).__name__
        if isinstance(error, NOT_SENT):
            return f"was not sent: {name} {self._words(str(error).encode())}".rstrip()
        late = isinstance(error, httpx.TimeoutException)
        return f"got no answer within {within:g} s" if late else f"got no answer: {name}"

    def _error(self, answer: Answer, *, people: bool) -> AudienceError:
        status = answer.status
        words = "" if people else self._words(answer.body, answer.headers.get("content-type", ""))
        text = f"{answer.where} was answered {status}{f': {words}' if words else ''}"
        if status >= 500 or status in TRY_LATER:
            wait = retry_after.seconds(answer.headers.get("retry-after", ""))
            return AudienceUnavailable(text, status=status, retry_after=wait)
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            text = f"{text.rstrip('.')}: check {self._credentials}"
        elif 300 <= status < 400:
            text += ", a redirect: redirects are not followed, so set the address that answers as url"
        elif status == httpx.codes.NOT_FOUND:
            text = f"{text.rstrip('.')}: check url"
        return AudienceRefused(text)

    def _words(self, body: bytes, media_type: str = "") -> str:
        """The tool's own words, on one line, without secrets and addresses, not long; "" where it sent a page for browsers."""
        if "html" in media_type or body.lstrip()[:1] == b"<" or len(body) > LARGEST_WORDS:
            return ""
        text = body.decode(errors="replace")
        with contextlib.suppress(ValueError, RecursionError):
            text = _said(json.loads(body)) or text
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = " ".join(printable(text).split())
        text = _WITH_AT.sub("…", text)
        return text if len(text) <= LONGEST_WORDS else f"{text[: LONGEST_WORDS - 1]}…"


def _said(value: Any) -> str:
    """What an error in JSON says: Mailman's `description`, others' `detail` and `message`, else its title; "" = none of them."""
    if not isinstance(value, dict):
        return ""
    return next((str(value[key]) for key in ("detail", "description", "message", "title") if value.get(key)), "")
