"""Uvicorn as this house runs it: its listening socket, its settings, and an HTTP class that bounds what it takes.

In: the web part and settings. Out: a server for run.py to start and to end, and the address that a person can open.
uvicorn takes a head of any size, over any time: its HTTP class is ours, so that no stranger fills the memory, stalls
the loop or keeps a descriptor with a request that never ends. It never reads a header: routes and live/ do.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server import metrics
from server.app import Web
from server.errors import NotStarted
from server.live.protocol import CounterProtocol
from server.settings import Settings

BACKLOG = 2048
LONGEST_HEAD = 16 * 1024
"""Bytes of a request that are not its body: a browser with every cookie that it may send needs some 10,000."""
HEAD_WITHIN = 10.0
"""Seconds from a connection's start, or the first byte of its next request, to the end of the head."""


class Server(uvicorn.Server):
    """Uvicorn without its signals: the process is ended by run.py, in its order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection, until it is a WebSocket.

    A request that comes whole, as nearly all do, costs a few additions; a timer is only set while one is incomplete.
    """

    longest = LONGEST_HEAD
    within = HEAD_WITHIN

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        # The parser is between a head and the end of its body.
        self._in_body = False
        # Bytes of the present head; then those around the body: sizes of chunks, and fields that follow the last one.
        self._around = 0
        # What ends the connection if the present request stays incomplete.
        self._deadline: asyncio.TimerHandle | None = None

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn gives no other
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._unlimit()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give the parser no more than a head may have, look how far it came, then give it more."""
        while data:
            room = self.longest - self._around
            piece, data = data[:room], data[room:]
            self._around += len(piece)
            super().data_received(piece)
            if self.transport.get_protocol() is not self or self.transport.is_closing():
                # A WebSocket now, or refused: uvicorn too drops what came in the same packet.
                return
            if self._around >= self.longest:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "long_head")
                return
        if self._around and not self._in_body and self._deadline is None:
            self._limit()

    # -- the parser's side --

    def on_headers_complete(self) -> None:
        """The head is over."""
        self._in_body, self._around = True, 0
        self._unlimit()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """These bytes are the routes' to bound."""
        self._around = max(0, self._around - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is over."""
        self._in_body, self._around = False, 0
        if self._deadline is not None:
            # It was answered before: uvicorn's own wait for the next one has been taken back by this one's last bytes.
            self._unlimit()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        super().on_message_complete()

    # -- uvicorn's side --

    def on_response_complete(self) -> None:
        """A body that nobody waits for any more has to end as well."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._limit()

    def handle_websocket_upgrade(self) -> None:
        """Pass the connection on, with the request as it was parsed here: reading it again would cost as much."""
        self.connections.discard(self)
        # This object goes, and at once: it and its parser know each other, which only the collector would resolve.
        self._unlimit()
        self.parser = None  # type: ignore[assignment] # as uvicorn does at the end
        found: Any = self.ws_protocol_class
        viewer: CounterProtocol = found(self.config, self.server_state, self.app_state)
        viewer.connection_made(self.transport)
        if not viewer.upgraded(self.scope["method"], self.url, self.headers):
            lines = [b"%b %b HTTP/1.1" % (self.scope["method"].encode(), self.url)]
            lines += [b"%b: %b" % header for header in self.headers]
            viewer.data_received(b"\r\n".join([*lines, b"", b""]))
        self.transport.set_protocol(viewer)

    # -- the end --

    def _limit(self) -> None:
        self._unlimit()
        self._deadline = self.loop.call_later(self.within, self._late)

    def _unlimit(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._around and not self._in_body:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "slow_head")
        else:
            # A browser may connect in advance: an answer to nothing would be taken for that to its next request.
            self.transport.close()

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        metrics.refused.labels(reason).inc()
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr] # None before the first
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()


def front(web: Web, settings: Settings) -> Server:
    """Uvicorn around our routes, with our classes for HTTP and for WebSocket."""
    return Server(
        uvicorn.Config(
            web.app,
            ws=CounterProtocol,
            http=HttpProtocol,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            root_path=settings.root_path,
            proxy_headers=False,  # live/doors.py reads them, the same way for HTTP and WebSocket
            timeout_graceful_shutdown=5,
            backlog=BACKLOG,
        )
    )


def listen(settings: Settings) -> socket.socket:
    """A listening socket of our own: what it accepts inherits the time after which a dead reader is dropped."""
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        both = settings.host == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # create_server repeats the address there
        raise NotStarted(
            f"cannot listen on {settings.host}, port {settings.port} ({reason}): change HOST or PORT"
        ) from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return listening


def address(settings: Settings, listening: socket.socket) -> str:
    """Where a person on this machine reaches it."""
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
