"""
A push service on a free port of 127.0.0.1, which decrypts what it gets: a real HTTP server.

    push_service            a running PushService; `push_service.subscribe(key)` is what a browser does
    running_push_service    the same at another address of this machine: another service

It checks each request as the real ones do, each by its own rules (RFC 8030, 8188, 8291, 8292), and answers 400, 401 or 403 to what is
wrong. Set `NOTIFY_PUSH_HOSTS` to `push_service.host`.
"""

import asyncio
import base64
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import http_ece  # type: ignore[import-untyped]
import jwt
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MOST_BODY = 4096
DAY = 86_400


def base64url(content: bytes) -> str:
    """Base64 as browsers write it: for addresses, without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """The reverse."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Subscriber:
    """A browser's subscription: its address at the service, its keys, and the public VAPID key that it was made with."""

    endpoint: str
    key: str
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    gone: bool = False

    @property
    def path(self) -> str:
        """The last part of its address."""
        return self.endpoint.rpartition("/")[2]

    @property
    def p256dh(self) -> str:
        """Its public key."""
        return base64url(self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def json(self) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` answers in a browser."""
        keys = {"p256dh": self.p256dh, "auth": base64url(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}


@dataclass(frozen=True)
class Pushed:
    """One message that the service took: `payload` is decrypted, `size` is that of the encrypted body, `claims` of the VAPID token."""

    subscriber: Subscriber
    headers: dict[str, str]
    text: str
    size: int
    claims: dict[str, Any]
    at: float

    @property
    def payload(self) -> dict[str, Any]:
        """The message, which is JSON."""
        found: dict[str, Any] = json.loads(self.text)
        return found


@dataclass(frozen=True)
class Behaviour:
    """How the service answers a valid request: `cut`: not at all, it closes the line after the request; `slow`: after so many seconds."""

    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 0.0
    cut: bool = False


class PushService:
    """The service. `taken` are the messages that were answered 201, `requests` all that came, whatever the answer."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        """Its host, for NOTIFY_PUSH_HOSTS."""
        self.port = 0
        self.taken: list[Pushed] = []
        self.requests: list[Pushed] = []
        self.refused: list[str] = []
        self.behaviour = Behaviour()
        self.of_endpoint: dict[str, Behaviour] = {}
        self._subscribers: dict[str, Subscriber] = {}
        self._lines: set[asyncio.StreamWriter] = set()

    @property
    def origin(self) -> str:
        """Its origin, which is the audience of a VAPID token."""
        return f"http://{self.host}:{self.port}"

    def subscribe(self, key: str) -> Subscriber:
        """A new subscription of a browser, made with this public VAPID key."""
        found = Subscriber(f"{self.origin}/push/{secrets.token_urlsafe(24)}", key)
        self._subscribers[found.path] = found
        return found

    def behave(self, status: int = 201, *, endpoint: str | None = None, **more: Any) -> None:
        """Answer so from now on: to all, or to messages for one endpoint."""
        if endpoint is None:
            self.behaviour = Behaviour(status, **more)
        else:
            self.of_endpoint[endpoint] = Behaviour(status, **more)

    def messages(self, subscriber: Subscriber) -> list[Pushed]:
        """What one browser got."""
        return [one for one in self.taken if one.subscriber is subscriber]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: requests until the client closes it."""
        self._lines.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._lines.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def close_lines(self) -> None:
        """Cut every line."""
        for writer in self._lines:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, path, _ = first.split(" ")
        size = int(headers.get("content-length", "0"))
        body = await reader.readexactly(size) if size <= MOST_BODY else b""
        status, more, pushed = self._judged(method, path, headers, body, size)
        if pushed is not None:
            behaviour = self.of_endpoint.get(pushed.subscriber.endpoint, self.behaviour)
            self.requests.append(pushed)
            await asyncio.sleep(behaviour.slow)
            if behaviour.cut:
                return False
            status, more = behaviour.status, behaviour.headers
            if status == 201:
                self.taken.append(pushed)
        answer = [f"HTTP/1.1 {status} As Told", *(f"{name}: {value}" for name, value in more.items())]
        writer.write("\r\n".join([*answer, "Content-Length: 0", "", ""]).encode())
        await writer.drain()
        return True

    def _judged(
        self, method: str, path: str, headers: dict[str, str], body: bytes, size: int
    ) -> tuple[int, dict[str, str], Pushed | None]:
        try:
            return 201, {"Location": f"{self.origin}/message"}, self._checked(method, path, headers, body, size)
        except Refusal as refusal:
            self.refused.append(str(refusal))
            return refusal.status, {}, None

    def _checked(self, method: str, path: str, headers: dict[str, str], body: bytes, size: int) -> Pushed:
        subscriber = self._subscribers.get(path.rpartition("/")[2])
        if subscriber is None or subscriber.gone:
            raise Refusal(404 if subscriber is None else 410, "no such subscription")
        if method != "POST":
            raise Refusal(405, "a message is sent by POST")
        if size > MOST_BODY:
            raise Refusal(413, "a body of more than 4,096 bytes")
        claims = self._claims(headers.get("authorization", ""), subscriber)
        if not re.fullmatch(r"[1-9][0-9]*", headers.get("ttl", "")):
            raise Refusal(400, "no TTL, or none of some seconds")
        if headers.get("urgency", "normal") not in {"very-low", "low", "normal", "high"}:
            raise Refusal(400, "an urgency that there is not")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,32}", headers.get("topic", "")):
            raise Refusal(400, "a topic that is none")
        if headers.get("content-encoding") != "aes128gcm":
            raise Refusal(400, "another encoding than aes128gcm")
        try:
            text = http_ece.decrypt(body, private_key=subscriber.private, auth_secret=subscriber.auth).decode()
        except (http_ece.ECEException, InvalidTag, ValueError) as error:
            raise Refusal(400, f"it cannot be decrypted: {type(error).__name__}") from None
        return Pushed(subscriber, headers, text, len(body), claims, time.time())

    def _claims(self, authorization: str, subscriber: Subscriber) -> dict[str, Any]:
        parts = re.fullmatch(r"vapid t=([\w.-]+), ?k=([\w-]+)", authorization)
        if parts is None:
            raise Refusal(401, "no VAPID header")
        if parts[2] != subscriber.key:
            raise Refusal(403, "another key than that of the subscription")
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64url(parts[2]))
        try:
            claims: dict[str, Any] = jwt.decode(parts[1], key, algorithms=["ES256"], audience=self.origin)
        except jwt.InvalidTokenError as error:
            raise Refusal(403, f"the token is not valid: {type(error).__name__}") from None
        if not 0 < claims["exp"] - time.time() <= DAY or not re.fullmatch(r"mailto:\S+@\S+\.\S+", claims["sub"]):
            raise Refusal(403, "claims that are not allowed")
        return claims


class Refusal(Exception):
    """A request that is not as the standards ask."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@asynccontextmanager
async def running_push_service(host: str = "127.0.0.1") -> AsyncIterator[PushService]:
    """A service at this address, as long as the block."""
    found = PushService(host)
    server = await asyncio.start_server(found.serve, host, 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        found.close_lines()
        await server.wait_closed()


@pytest.fixture
async def push_service() -> AsyncIterator[PushService]:
    """A service for one test."""
    async with running_push_service() as found:
        yield found
