"""One HTTP connection: uvicorn's class, with limits on what a client may send.

In: bytes of clients. Out: requests for the routes, one after another, or a viewer for live/. uvicorn accepts a head of
any size, over any time, and any number of requests at once. Here no client can fill the memory, block the event loop or
hold a descriptor with a request that never ends or never begins (idle.py), and the end of a request is never in doubt.
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
from server.http.upgrade import hand_over, is_websocket
from server.live.handshake import BODY, parse_packet, refusal
from server.live.host import has_host
from server.live.websocket import PATH, STUCK, CounterProtocol

LONGEST_HEAD = 16 * 1024
"""Bytes of a request without its body: a browser with all the cookies that it may send needs some 10,000."""
HEAD_WITHIN = 10.0
"""Seconds from a connection's start, or its next request's first byte, to the end of the head; as many for the body."""


class StopParsing(Exception):
    """The parser must read no more of this connection."""


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection, until it becomes a WebSocket: one request after another, never two at once.

    A request in one packet, as nearly all are, costs a few additions; only a response that is not read has a timer.
    """

    longest_head = LONGEST_HEAD
    head_within = HEAD_WITHIN
    stuck = STUCK

    # Attributes of uvicorn's class, which is initialized with the first packet that is not a viewer's whole handshake.
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
        # Whether uvicorn's class is initialized.
        self._initialized = False
        # The parser is in a head, from its first byte to its end; or after that, until the end of the body.
        self._in_head = self._in_body = False
        # The present response is the last: the connection reads no further request.
        self._last_response = False
        # Bytes of the present head; then those around the body: chunk sizes and trailer fields.
        self._overhead = 0
        self._stuck_timer: asyncio.TimerHandle | None = None  # Set while the client does not read its response.
        # uvicorn types only its own class here.
        state: Any = self.server_state
        self._idle: Idle = state.idle

    # -- called by asyncio --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn gives no other
        """Wait for the first head, or refuse the connection if there is no descriptor for it."""
        self.transport = transport
        self.connections.add(self)
        if self._idle.admit(transport.get_extra_info("socket").fileno()):
            self._idle.add_incomplete(self, self.head_within)
        else:
            metrics.refused.labels("descriptors").inc()
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._idle.remove(self)
        self._response_read()
        if self._initialized:
            super().connection_lost(exc)
        self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Give the parser no more than a head may have, see how far it came, then give it more."""
        if not self._initialized:
            # Most connections are viewers, and to initialize uvicorn's class costs more than all else of admitting one.
            paths = (PATH, self.config.root_path + PATH) if self.config.ws_protocol_class else ()
            if len(data) < self.longest_head and (opening := parse_packet(data, paths)):
                self._idle.remove(self)
                self._hand_over().answer(opening)
                return
            self._initialized, transport = True, self.transport
            super().__init__(self.config, self.server_state, self.app_state, self.loop)
            super().connection_made(transport)
        while data and not self._last_response:
            allowed = self.longest_head - self._overhead
            piece, data = data[:allowed], data[allowed:]
            self._overhead += len(piece)
            self._parse(piece)
            if self.transport.get_protocol() is not self:
                return  # A WebSocket now; like uvicorn, drop what came in the same packet.
            if self._overhead >= self.longest_head and not self.transport.is_closing():
                metrics.refused.labels("long_head").inc()
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            if self.transport.is_closing():
                self._close()
                return
        if self._in_head and self not in self._idle:
            self._idle.add_incomplete(self, self.head_within)

    def pause_writing(self) -> None:
        """The client does not read its response: limit the time for that.

        An event stream, the only response without a length, has no such limit: its client is a viewer and gets the newest
        state when it reads; if it reads nothing at all, the kernel ends the connection (listen.py).
        """
        super().pause_writing()
        response = self.cycle
        if response is None or response.response_complete or not response.chunked_encoding:
            self._idle.add_closing(self)
            self._stuck_timer = self.loop.call_later(self.stuck, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read most of its response."""
        super().resume_writing()
        self._response_read()
        if not (self._response_due or self._in_body or self._in_head or self.transport.is_closing()):
            self._idle.add_keep_alive(self)

    # -- called by the parser --

    def _parse(self, data: bytes) -> None:
        """Let the parser read; it calls the methods below."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            if self._response_due and not self._in_body:
                self._end_after_response()
            elif self._response_due and self.cycle.response_started:
                self._close()
            elif not self.transport.is_closing():
                self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """A request begins. If the last one is not answered yet, this one is not read, and that answer is the last.

        uvicorn would queue any number of them, each a hundred times as large as its bytes. No browser and no proxy
        pipelines requests, and a client that does must expect this (RFC 9112, section 9.3.2).
        """
        if self._response_due:
            self._end_after_response()
            raise StopParsing
        self._in_head = True
        self._unset_keepalive_if_required()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete. A body has the same time as a head, even if its route answers without reading it."""
        self._in_head, self._in_body, self._overhead = False, True, 0
        self._idle.remove(self)
        if not has_host(self.headers, self.parser.get_http_version()):
            self._refuse(HTTPStatus.BAD_REQUEST)
            raise StopParsing
        upgrades, has_body = self.parser.should_upgrade(), any(name in BODY for name, _ in self.headers)
        if has_body and not upgrades:
            self._idle.add_incomplete(self, self.head_within)
        elif has_body:
            # The parser would take the end of this head for the end of the request, and the body for another request.
            self._refuse(HTTPStatus.BAD_REQUEST)
            raise StopParsing
        super().on_headers_complete()
        if upgrades and not self._should_upgrade():
            self._end_after_response()

    def _should_upgrade(self) -> bool:
        """Overrides uvicorn's rule, which reads only the last line of each header."""
        return self.config.ws_protocol_class is not None and is_websocket(self.headers, self.parser.get_http_version())

    def on_body(self, body: bytes) -> None:
        """These bytes are limited by the routes, not here."""
        self._overhead = max(0, self._overhead - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete; if it is answered already, the next one may come."""
        self._in_body, self._overhead = False, 0
        had_body = self in self._idle
        self._idle.remove(self)
        if had_body and self.cycle.response_complete:
            # The last bytes of the body have cancelled uvicorn's keep-alive time-out.
            self._idle.add_keep_alive(self)
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        super().on_message_complete()

    # -- called by uvicorn --

    def on_response_complete(self) -> None:
        """The response is complete: the rest of the body must come in time, or the next request may come."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
        elif self.cycle.response_complete:
            if self._in_body:
                self._idle.add_incomplete(self, self.head_within)
            elif not self._in_head:
                self._idle.add_keep_alive(self)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, with the request as it was parsed here: parsing it again would double the cost."""
        # This object and its parser refer to each other; without that cycle it is freed at once.
        self.parser = None  # type: ignore[assignment] # as uvicorn does at the end
        self._hand_over().upgraded(self.scope["method"], self.url, self.headers)

    def timeout_keep_alive_handler(self) -> None:
        """No other request has come in time."""
        self._close()

    # -- called by Idle --

    def timed_out(self) -> None:
        """End the connection: the request did not become complete in time, or the last response was not read."""
        if self._head_incomplete:
            metrics.refused.labels("slow_head").inc()
        self._end(HTTPStatus.REQUEST_TIMEOUT)

    def evict(self) -> None:
        """End the connection: there are too many idle ones, and this is the oldest. In keep-alive nobody is refused by it."""
        busy = self._in_head or self._in_body or self._response_due or self._stuck_timer or self.transport.is_closing()
        if self.cycle is None or busy:
            metrics.refused.labels("outnumbered").inc()
        self._end(HTTPStatus.SERVICE_UNAVAILABLE)

    # -- helpers --

    @property
    def _head_incomplete(self) -> bool:
        """Whether a part of a head has come, and no answer was given to it."""
        return self._in_head and not self.transport.is_closing()

    @property
    def _response_due(self) -> bool:
        """Whether a request is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _hand_over(self) -> CounterProtocol:
        self._response_read()
        self.connections.discard(self)
        return hand_over(self.transport, self.config, self.server_state, self.app_state)

    def _end_after_response(self) -> None:
        """Answer the present request and no other; end now what has no end, an event stream."""
        self._last_response = True
        self.cycle.keep_alive = False
        if self._response_due and self.cycle.chunked_encoding:
            self._close()

    def _end(self, status: HTTPStatus) -> None:
        """End now: what the kernel accepts at once is still sent, and the rest is dropped."""
        if self._head_incomplete:
            self._refuse(status)
        # Else without a response: a browser that connected in advance would take it for the answer to its next request.
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_soon(self.transport.abort)

    def _refuse(self, status: HTTPStatus) -> None:
        if not self._response_due:
            self.transport.write(refusal(status))
        self.transport.close()

    def _close(self) -> None:
        """Close once the client has read its response; it has as long for that as for a head."""
        self.transport.close()
        self._idle.add_incomplete(self, self.head_within)

    def _response_read(self) -> None:
        """Stop the limit on the time for that; also where the connection ends or changes its protocol."""
        self._idle.remove_closing(self)
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None
