"""One HTTP connection: uvicorn's class, with bounds to what it takes.

In: bytes of strangers. Out: requests for the routes, one after another, or a viewer for live/. uvicorn takes a head of any
size, over any time, and any number of requests at once: here no stranger fills the memory, stalls the loop or keeps a
descriptor with a request that never ends, or that is not even begun (idle.py), and where a request ends is never in
doubt. What it asks for, routes and live/ read.
"""

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from server import metrics
from server.http.idle import Idle
from server.live.handshake import BODY, parse_packet, refusal
from server.live.websocket import PATH, STUCK, CounterProtocol

LONGEST_HEAD = 16 * 1024
"""Bytes of a request that are not its body: a browser with every cookie that it may send needs some 10,000."""
HEAD_WITHIN = 10.0
"""Seconds from a connection's start, or the first byte of its next request, to the end of the head; for a body as well."""


class Enough(Exception):
    """The parser is to read no more of this connection."""


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection, until it is a WebSocket: one request after another, never two at once.

    A request that comes whole, as nearly all do, costs a few additions; only an answer that is not taken has a timer.
    """

    longest = LONGEST_HEAD
    within = HEAD_WITHIN
    stuck = STUCK

    # What uvicorn's part has at first: it is made with the first packet that is not a viewer's whole opening.
    cycle: Any = None
    timeout_keep_alive_task: asyncio.TimerHandle | None = None

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.config = config
        self.server_state = server_state
        self.app_state = app_state
        self.loop = _loop or asyncio.get_running_loop()
        self.connections = server_state.connections
        self.transport: asyncio.Transport
        # Whether there is uvicorn's part.
        self._begun = False
        # The parser is between a head's first byte and its end, and then between that and the end of the body.
        self._in_head = self._in_body = False
        # Its present answer is the last: what comes after that request is read by nobody.
        self._last = False
        # Bytes of the present head; then those around the body: sizes of chunks, and fields that follow the last one.
        self._around = 0
        self._timer: asyncio.TimerHandle | None = None  # Set while the transport is full of what is not taken.
        # uvicorn types only its own class here.
        state: Any = self.server_state
        self._idle: Idle = state.idle

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn gives no other
        """Begin to wait for the first head, if there is a descriptor for that."""
        self.transport = transport
        self.connections.add(self)
        if self._idle.admits(transport.get_extra_info("socket").fileno()):
            self._idle.awaits(self, self.within)
        else:
            metrics.refused.labels("descriptors").inc()
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    def connection_lost(self, exc: Exception | None) -> None:
        """It asks for nothing any more."""
        self._idle.leave(self)
        self._take_back()
        if self._begun:
            super().connection_lost(exc)
        self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Give the parser no more than a head may have, look how far it came, then give it more."""
        if not self._begun:
            # Nearly all that connect are viewers: uvicorn's part costs more than all else of letting one in.
            if len(data) < self.longest and (opening := parse_packet(data, (PATH, self.config.root_path + PATH))):
                self._idle.leave(self)
                self._pass_on().answer(opening)
                return
            self._begin()
        while data and not self._last:
            room = self.longest - self._around
            piece, data = data[:room], data[room:]
            self._around += len(piece)
            self._parse(piece)
            if self.transport.get_protocol() is not self:
                return  # A WebSocket now: uvicorn too drops what came in the same packet.
            if self._around >= self.longest and not self.transport.is_closing():
                metrics.refused.labels("long_head").inc()
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            if self.transport.is_closing():
                self._close()
                return
        if self._in_head and self not in self._idle:
            self._idle.awaits(self, self.within)

    def pause_writing(self) -> None:
        """What it was answered is not taken, and nothing more is answered until it is.

        Not so an event stream, which alone has no length: its reader is counted as a viewer and gets the newest when he
        reads; the kernel ends one who takes nothing at all (listen.py).
        """
        super().pause_writing()
        answer = self.cycle
        if answer is None or answer.response_complete or not answer.chunked_encoding:
            self._idle.dismisses(self)
            self._timer = self.loop.call_later(self.stuck, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken enough of it."""
        super().resume_writing()
        self._take_back()
        if not (self._owes or self._in_body or self._in_head or self.transport.is_closing()):
            self._idle.keeps(self)

    # -- the parser's side --

    def _parse(self, data: bytes) -> None:
        """Let the parser read: what it finds is told below."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            if self._owes and not self._in_body:
                self._end_after_this()
            elif self._owes and self.cycle.response_started:
                self._close()
            elif not self.transport.is_closing():
                self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """A request begins. One that does not wait for the answer to the last is not read: the connection ends with that.

        uvicorn would queue any number of them, at a hundred times the bytes that they come in. No browser and no proxy
        does it, and who does has to expect this (RFC 9112, section 9.3.2).
        """
        if self._owes:
            self._end_after_this()
            raise Enough
        self._in_head = True
        self._unset_keepalive_if_required()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is over; its body, if there is one, is awaited as long as a head, however soon its route gives up."""
        self._in_head, self._in_body, self._around = False, True, 0
        self._idle.leave(self)
        upgrades, has_body = self.parser.should_upgrade(), any(name in BODY for name, _ in self.headers)
        if has_body and not upgrades:
            self._idle.awaits(self, self.within)
        elif has_body:
            # The parser takes the end of such a head for that of the request, and its body for another.
            self._refuse(HTTPStatus.BAD_REQUEST)
            raise Enough
        super().on_headers_complete()
        if upgrades and not self._should_upgrade():
            self._end_after_this()

    def _should_upgrade(self) -> bool:
        """Whether it is to be a WebSocket: each header may have several lines, and HTTP/1.0 knows none (RFC 9110, 7.8)."""
        words = {
            word.strip().lower() for name, value in self.headers if name == b"upgrade" for word in value.split(b",")
        }
        return b"websocket" in words and self.parser.get_http_version() == "1.1"

    def on_body(self, body: bytes) -> None:
        """These bytes are the routes' to bound."""
        self._around = max(0, self._around - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is over; where it is answered already, the next one may come."""
        self._in_body, self._around = False, 0
        had_body = self in self._idle
        self._idle.leave(self)
        if had_body and self.cycle.response_complete:
            # uvicorn's own wait for the next one has been taken back by this one's last bytes.
            self._idle.keeps(self)
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        super().on_message_complete()

    # -- uvicorn's side --

    def on_response_complete(self) -> None:
        """A body that nobody waits for any more has to end as well; without one, the next request may come."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
        elif self.cycle.response_complete:
            if self._in_body:
                self._idle.awaits(self, self.within)
            elif not self._in_head:
                self._idle.keeps(self)

    def handle_websocket_upgrade(self) -> None:
        """Pass the connection on, with the request as it was parsed here: reading it again would cost as much."""
        # This object goes, and at once: it and its parser know each other, which only the collector would resolve.
        self.parser = None  # type: ignore[assignment] # as uvicorn does at the end
        self._pass_on().upgraded(self.scope["method"], self.url, self.headers)

    def timeout_keep_alive_handler(self) -> None:
        """No other request has come."""
        self._close()

    # -- the beginning --

    def _begin(self) -> None:
        """Make uvicorn's part."""
        self._begun = True
        transport = self.transport
        super().__init__(self.config, self.server_state, self.app_state, self.loop)
        super().connection_made(transport)

    def _pass_on(self) -> CounterProtocol:
        """Let it be a WebSocket from here on, or be refused as one."""
        self._take_back()
        self.connections.discard(self)
        found: Any = self.config.ws_protocol_class
        viewer: CounterProtocol = found(self.config, self.server_state, self.app_state)
        # Before anything is written: who writes has to hear it if the kernel does not take that.
        self.transport.set_protocol(viewer)
        viewer.connection_made(self.transport)
        return viewer

    # -- the end --

    def late(self) -> None:
        """What was to come has not come in time."""
        if self._heard:
            metrics.refused.labels("slow_head").inc()
        self._part(HTTPStatus.REQUEST_TIMEOUT)

    def outnumbered(self) -> None:
        """Too many ask for nothing, and this one has for longest."""
        metrics.refused.labels("outnumbered").inc()
        self._part(HTTPStatus.SERVICE_UNAVAILABLE)

    @property
    def _heard(self) -> bool:
        """Whether a head has come in part, and nothing was said to that."""
        return self._in_head and not self.transport.is_closing()

    @property
    def _owes(self) -> bool:
        """Whether a request is to be answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _end_after_this(self) -> None:
        """Give the present answer, and no other; one that has no end ends here."""
        self._last = True
        self.cycle.keep_alive = False
        if self._owes and self.cycle.chunked_encoding:
            self._close()

    def _part(self, status: HTTPStatus) -> None:
        """End it now: what the kernel takes in this turn of the loop goes out, and nothing else is waited for."""
        if self._heard:
            self._refuse(status)
        # Else without a word, as a browser connects in advance: it would take one for the answer to its next request.
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_soon(self.transport.abort)

    def _refuse(self, status: HTTPStatus) -> None:
        if not self._owes:
            self.transport.write(refusal(status))
        self.transport.close()

    def _close(self) -> None:
        """End it when it has taken its answer: for that it has as long as for a request, and a place among the idle."""
        self.transport.close()
        self._idle.awaits(self, self.within)

    def _take_back(self) -> None:
        self._idle.gone(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
