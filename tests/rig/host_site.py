"""
A web site that embeds the widget, and a scripted counter server: both on one free port of 127.0.0.1.

    site    `site.put("/", html)` serves a page and answers its URL; the widget is at its usual path, also below /prefix;
            every WebSocket that a page opens is in `site.sockets`, oldest first, closed ones too; so are event streams in
            `site.streams`; polls are answered with `site.poll`; `site.tries` counts all three; `site.refused` names what is
            refused ("socket", "stream", "poll")

It shares only the widget's file with the real server.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from server.pages import WIDGET
from tests.rig.server import TICKET, until

SCRIPT = "/widget/v1/ticket-counter.js"
LOADED = f'<script src="{SCRIPT}"></script>'
TAG = f'<ticket-counter ticket="{TICKET}">Tickets at the door</ticket-counter>'


def counter(ticket: str = TICKET, v: int = 1, **more: Any) -> str:
    """A counter as the server writes it: three left at one price; *more* wins."""
    return json.dumps(
        {
            "v": v,
            "ticket": ticket,
            "event": None,
            "state": "low",
            "unsold": 3,
            "prices": [{"amount": "25.00", "currency": "USD", "option": None, "name": None}],
            "shared": False,
            "name": "General admission",
            "sale": {"start": None, "end": None, "zone": None},
            **more,
        }
    )


class PageSocket:
    """One WebSocket that a page opened."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.path, _, query = (connection.request.path if connection.request else "").partition("?")
        self.query = parse_qs(query)
        self.tickets = self.query.get("ticket", [])
        self.ended = False

    async def send(self, *texts: str) -> None:
        """Send frames; without any, a heartbeat."""
        for text in texts or ('{"beat":1}',):
            await self.connection.send(text)

    async def close(self, code: int, reason: str = "") -> None:
        """Close it from the server's side."""
        await self.connection.close(code, reason)


class PageStream:
    """One event stream that a page opened."""

    def __init__(self, connection: ServerConnection, tickets: list[str]) -> None:
        self.connection, self.tickets = connection, tickets
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
        connection.transport.write(head.encode())

    @property
    def ended(self) -> bool:
        """Whether one side has closed it."""
        return self.connection.connection_lost_waiter.done()

    def send(self, *texts: str, name: str = "message") -> None:
        """Send events of this name; without any, a heartbeat."""
        for text in texts:
            self.connection.transport.write(f"event: {name}\ndata: {text}\n\n".encode())
        if not texts:
            self.send('{"beat":1}', name="beat")

    def close(self) -> None:
        """Close it from the server's side."""
        self.connection.transport.close()


class HostSite:
    """The pages and the sockets of a test."""

    def __init__(self) -> None:
        self.url = ""
        self.sockets: list[PageSocket] = []
        self.streams: list[PageStream] = []
        self.refused: set[str] = set()
        # Every try, also of what is refused.
        self.tries = {"socket": 0, "stream": 0, "poll": 0}
        # Status, body and headers.
        self.poll: tuple[int, str, dict[str, str]] = (200, '{"counters":[]}', {})
        # While it is not set, handshakes wait.
        self.door = asyncio.Event()
        self.door.set()
        self._pages: dict[str, tuple[str, dict[str, str]]] = {}

    @property
    def open(self) -> list[PageSocket]:
        """The sockets that are open now."""
        return [one for one in self.sockets if not one.ended]

    def put(self, path: str, body: str, **headers: str) -> str:
        """Serve a page, with `_` for `-` in the names of headers; answers its URL."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._pages[path] = (f"<!doctype html><title>Shop</title>{body}", named)
        return self.url + path

    async def socket(self, number: int) -> PageSocket:
        """Wait until so many sockets were opened, and answer that one; the first is 1."""
        await until(lambda: len(self.sockets) >= number)
        return self.sockets[number - 1]

    async def accept(self, connection: ServerConnection) -> None:
        """Record a socket, and keep it open until one side closes it."""
        socket = PageSocket(connection)
        self.sockets.append(socket)
        await connection.wait_closed()
        socket.ended = True

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer GET requests; let handshakes pass."""
        path = urlsplit(request.path).path
        if path.endswith(("/v1/counters", "/v1/counters/stream")):
            return await self._counters(connection, request)
        if path.removeprefix("/prefix") == SCRIPT:
            body, headers = WIDGET.read_text(), {"Content-Type": "text/javascript"}
        elif path in self._pages:
            page, extra = self._pages[path]
            body, headers = page, {"Content-Type": "text/html; charset=utf-8", **extra}
        else:
            status = HTTPStatus.NO_CONTENT if path == "/favicon.ico" else HTTPStatus.NOT_FOUND
            return connection.respond(status, "")
        encoded = body.encode()
        return Response(200, "OK", Headers({**headers, "Content-Length": str(len(encoded))}), encoded)

    async def _counters(self, connection: ServerConnection, request: Request) -> Response | None:
        kind = "socket" if "Upgrade" in request.headers else "stream" if "/stream?" in request.path else "poll"
        self.tries[kind] += 1
        await self.door.wait()
        if kind in self.refused:
            return connection.respond(HTTPStatus.BAD_GATEWAY, "")
        if kind == "socket":
            return None
        if kind == "poll":
            status, body, extra = self.poll
            shared = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Date, ETag, Retry-After"}
            headers = {"Content-Type": "application/json", "Date": formatdate(usegmt=True), **shared, **extra}
            return Response(status, "", Headers({**headers, "Content-Length": str(len(body))}), body.encode())
        self.streams.append(PageStream(connection, parse_qs(urlsplit(request.path).query)["ticket"]))
        await asyncio.shield(connection.connection_lost_waiter)
        return connection.respond(HTTPStatus.NO_CONTENT, "")


@pytest.fixture
async def site() -> AsyncIterator[HostSite]:
    """A running site, for one test."""
    found = HostSite()
    async with serve(
        found.accept, "127.0.0.1", 0, process_request=found.answer, ping_interval=None, open_timeout=None
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        found.url = f"http://127.0.0.1:{port}"
        yield found


async def text(page: Page, number: int = 0) -> str:
    """The text that an element shows to a visitor."""
    return str(
        await page.evaluate(
            """(number) => {
              const root = document.querySelectorAll("ticket-counter")[number].shadowRoot;
              const slot = root.querySelector("slot");
              if (getComputedStyle(slot).display !== "none") return slot.assignedNodes().map((n) => n.textContent).join("");
              const parts = root.querySelectorAll("[part=name], [part=price], [part=text]");
              return [...parts].map((part) => part.textContent).filter(Boolean).join(" ");
            }""",
            number,
        )
    )


async def shows(page: Page, expected: str, number: int = 0) -> None:
    """Wait until an element shows this."""
    seen = ""

    async def same() -> bool:
        nonlocal seen
        seen = await text(page, number)
        return seen == expected

    try:
        await until(same, 5)
    except AssertionError:
        assert expected == seen


def warnings_of(page: Page) -> list[str]:
    """The warnings in the page's console from now on."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "warning" else None)
    return found
