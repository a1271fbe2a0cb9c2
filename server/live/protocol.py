"""One WebSocket on its bare transport: the class that uvicorn is given as `ws`.

uvicorn hands every upgrade on any path to this class, outside of Starlette and its middleware, so it does its own
path, origin, address and caps. What a client wants is in the URL: it need not send a frame, and what it sends is
held to the rules of the contract. RFC 6455 is spoken by websockets' sans-I/O core; counters bypass it, as frames that
the topic built once for all its viewers.
"""

import asyncio
import codecs
from collections import deque
from collections.abc import Sequence
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from server import metrics, wire
from server.errors import BadRequest, UnknownSite
from server.hub import Hub, Topic, unix_ms
from server.live.doors import Doors
from server.live.request import resolve
from server.wire import Close

PATH = "/v1/counters"
LARGEST = 4096
"""Bytes of a client's message: nothing that we need is longer than a line."""
MOST_TEXTS, TEXTS_WITHIN = 20, 10.0
CLOSE_WITHIN = 5.0
"""Seconds that the other side has to answer a close."""
HANDSHAKE_WITHIN = 10.0
STUCK = 15.0
"""Seconds without taking a byte after which a reader is dropped: a close frame could not reach it."""


class CounterProtocol(asyncio.Protocol):
    """One viewer over WebSocket."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._root_path: str = config.root_path
        # uvicorn types only its own classes here; it asks of each no more than shutdown().
        self._connections: set[Any] = server_state.connections
        self._hub: Hub = app_state["hub"]
        self._doors: Doors = app_state["doors"]
        self._loop = _loop or asyncio.get_running_loop()
        self._conn = ServerProtocol(extensions=[], max_size=LARGEST)
        self._transport: asyncio.Transport
        # Set when this connection was counted in.
        self._address: str | None = None
        self._topics: list[Topic] = []
        # Topics whose newest frame waits for the transport; None while it takes everything.
        self._waiting: dict[Topic, None] | None = None
        # A ping is out, and nothing has been heard since.
        self._unanswered = False
        self._texts: deque[float] = deque(maxlen=MOST_TEXTS + 1)
        # Decodes a fragmented text message; only set while one is coming in.
        self._decoder: codecs.IncrementalDecoder | None = None
        # What ends the connection if its present state lasts too long.
        self._timer: asyncio.TimerHandle | None = None

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn gives no other
        """Uvicorn passes a connection on, once its upgrade request is read."""
        self._transport = transport
        self._connections.add(self)
        self._limit(HANDSHAKE_WITHIN)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._unanswered = False
        self._conn.receive_data(data)
        for event in self._conn.events_received():
            if isinstance(event, Request):
                self._handshake(event)
            elif isinstance(event, Frame):
                self._frame(event)
        self._write()

    def eof_received(self) -> None:
        """The client will send no more."""
        self._conn.receive_eof()
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone, however it went."""
        self._connections.discard(self)
        self._unlimit()
        self._gone()

    def pause_writing(self) -> None:
        """The client reads too slowly: from here on only the newest frame of each topic is worth keeping."""
        if self._waiting is None:
            self._waiting = {}
            self._limit(STUCK)

    def resume_writing(self) -> None:
        """The client has caught up."""
        waiting, self._waiting = self._waiting, None
        self._unlimit()
        if waiting and self._conn.state is State.OPEN:
            self.show(list(waiting))

    def shutdown(self) -> None:
        """Uvicorn ends: whoever is still here is told to come back."""
        self._close(Close.RESTART)
        self._transport.close()

    # -- the hub's side --

    def show(self, topics: Sequence[Topic]) -> None:
        """Write the newest frames of these topics, or remember the topics while the client does not read."""
        if self._conn.state is not State.OPEN:
            return
        if self._waiting is not None:
            self._waiting.update(dict.fromkeys(topics))
            return
        metrics.frames.labels("ws").inc(len(topics))
        self._transport.write(b"".join([topic.ws for topic in topics]))

    def beat(self, text: str) -> None:
        """Write a heartbeat and a ping; a client that has not answered the last one is gone."""
        if self._unanswered:
            metrics.stuck.inc()
            self._transport.abort()
        elif self._conn.state is State.OPEN and self._waiting is None:
            self._unanswered = True
            self._transport.write(wire.ws_text(text))
            self._conn.send_ping(b"")
            self._write()

    def bye(self, text: str) -> None:
        """Say when to come back, then close."""
        if self._conn.state is State.OPEN:
            self._transport.write(wire.ws_text(text))
            self._close(Close.RESTART)

    # -- the opening --

    def _handshake(self, request: Request) -> None:
        self._unlimit()
        path, _, query = request.path.partition("?")
        if path != self._root_path + PATH:
            self._conn.send_response(self._conn.reject(404, "no WebSocket is served here\n"))
            return
        response = self._conn.accept(request)
        self._conn.send_response(response)
        if response.status_code != 101:
            return
        self._enter(request, query)

    def _enter(self, request: Request, query: str) -> None:
        """Let the viewer in, or close with a code: a browser cannot read the status of a refused handshake."""
        headers = request.headers
        if not self._doors.admits(headers.get("Origin")):
            metrics.refused.labels("origin").inc()
            self._close(Close.ORIGIN, "this origin is not in ORIGINS")
            return
        try:
            site, tickets = resolve(wire.wanted(query), self._hub.sites)
        except (BadRequest, UnknownSite) as error:
            metrics.refused.labels("request").inc()
            self._close(Close.BAD_REQUEST, str(error))
            return
        peer = self._transport.get_extra_info("peername")
        forwarded = ",".join(headers.get_all("X-Forwarded-For")) or None
        address = self._doors.address(peer[0] if isinstance(peer, tuple) else "local", forwarded)
        if not self._doors.enter(address):
            self._close(Close.FULL, "full")
            return
        self._address = address
        metrics.viewers.labels("ws").inc()
        self._write()
        self._transport.write(wire.ws_text(wire.beat(unix_ms())))
        self._topics = self._hub.join(self, site, tickets)

    # -- what clients send --

    def _frame(self, frame: Frame) -> None:
        if self._conn.state is not State.OPEN:
            return
        match frame.opcode:
            case Opcode.BINARY:
                self._close(Close.BINARY, "text only")
            case Opcode.TEXT | Opcode.CONT:
                self._text(frame)
            case _:
                # The core answers pings and closes, and refuses the rest.
                pass

    def _text(self, frame: Frame) -> None:
        """Text is checked and ignored: there is nothing a client needs to say."""
        if frame.opcode is Opcode.TEXT:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            if self._decoder is not None:
                self._decoder.decode(frame.data, final=frame.fin)
        except UnicodeDecodeError:
            self._conn.fail(1007, "not UTF-8")
            return
        if not frame.fin:
            return
        self._decoder = None
        self._texts.append(self._loop.time())
        if len(self._texts) > MOST_TEXTS and self._texts[-1] - self._texts[0] < TEXTS_WITHIN:
            self._close(Close.TOO_MUCH, "too many messages")

    # -- the closing --

    def _close(self, code: Close, reason: str = "") -> None:
        if self._conn.state is not State.OPEN:
            return
        # A control frame's payload ends at 125 bytes (RFC 6455, section 5.5), two of which are the code.
        self._conn.send_close(code, reason.encode()[:123].decode(errors="ignore"))
        self._write()

    def _write(self) -> None:
        """Hand over what the core wants written; its empty bytes mean that it is done."""
        for data in self._conn.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        if self._conn.state is not State.OPEN and self._conn.state is not State.CONNECTING:
            self._gone()
            if self._timer is None:
                self._limit(CLOSE_WITHIN)

    def _gone(self) -> None:
        """Leave the hub and the count, once."""
        if self._address is not None:
            self._hub.leave(self, self._topics)
            self._doors.leave(self._address)
            metrics.viewers.labels("ws").dec()
            self._address = None

    def _limit(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._drop)

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self) -> None:
        metrics.stuck.inc()
        self._transport.abort()
