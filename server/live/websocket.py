"""One WebSocket on its bare transport: the class that uvicorn is given as `ws`, and the hot path of the server.

uvicorn passes every upgrade on any path to this class, outside of Starlette and its middleware, so it checks path, origin,
address and limits itself. After the handshake (handshake.py) no protocol engine, task, queue or timer remains: only this
object, whose socket the hub writes to (hub/hub.py, hub/topics.py). The URL says what a client wants: it need not send a
frame, and what it sends is held to the rules of the contract (frames.py).
"""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from http import HTTPStatus
from socket import AF_INET, SOCK_STREAM, SocketType
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from server import metrics, wire
from server.errors import Refused
from server.hub.heartbeat import unix_ms
from server.hub.hub import Hub
from server.hub.topics import Audience, Topic
from server.live import frames
from server.live.admission import ANSWERS, Admission, Admitted, Undecided
from server.live.frames import Broken, FrameParser, Message, Op
from server.live.handshake import Opening, parse, refusal
from server.wire import Close

PATH = "/v1/counters"
MAX_MESSAGE = 4096
"""Bytes of a client's message: a client need not send any."""
MAX_RECEIVED, RECEIVED_WITHIN = 20, 10.0
"""Messages, pings and unsolicited pongs, and the seconds in which more are too many: a browser sends none."""
CLOSE_WITHIN = 5.0
"""Seconds that the client has to answer a close frame."""
STUCK = 15.0
"""Seconds after which a client that takes nothing is dropped: a close frame could not reach it."""


_look_ups: set[asyncio.Task[None]] = set()
"""Viewers whose site is looked up: a loop keeps no task alive by itself."""


class CounterProtocol(asyncio.Protocol):
    """One viewer over WebSocket."""

    # There may be a hundred thousand of these: each attribute costs eight bytes, and an empty dict would cost 64.
    __slots__ = (
        "_address", "_admission", "_audience", "_hub", "_loop", "_open", "_parser", "_received", "_root_path", "_sock",
        "_state", "_timer", "_transport", "_unanswered", "_waiting",
    )  # fmt: skip

    path = PATH
    max_message = MAX_MESSAGE
    close_within, stuck = CLOSE_WITHIN, STUCK

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._root_path: str = config.root_path
        # All connections of the server, and the idle ones (http/server.py).
        self._state: Any = server_state
        self._hub: Hub = app_state["hub"]
        self._admission: Admission = app_state["admission"]
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._sock: SocketType
        # From the handshake until our close frame is sent.
        self._open = False
        # Set while this connection is counted, and while it watches tickets.
        self._address: str | None = None
        self._audience: Audience | None = None
        # Topics whose newest frame waits for the transport, in order; None while it takes everything.
        self._waiting: dict[Topic, None] | None = None
        # A ping was sent, and nothing has arrived since.
        self._unanswered = False
        # Only set for a client that sends what it need not send: the times of the last messages.
        self._received: deque[float] | None = None
        # Only set while a frame or a message is incomplete.
        self._parser: FrameParser | None = None
        # Only set in a state that must not last: it ends the connection.
        self._timer: asyncio.TimerHandle | None = None

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn gives no other
        """Uvicorn passes a connection on, once its upgrade request is read."""
        # pause_writing is called with the first byte that the kernel does not take: while this viewer is not paused,
        # nothing of it is buffered, and its socket may be written to directly.
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        # It only sends, which needs no address family, and finding it out would cost more.
        self._sock = SocketType(AF_INET, SOCK_STREAM, 0, transport.get_extra_info("socket").fileno())
        self._state.connections.add(self)
        if transport.get_write_buffer_size() and self._waiting is None:
            # An HTTP answer is still buffered: the transport has called pause_writing already, but not of this object.
            self.pause_writing()

    def data_received(self, data: bytes) -> None:
        """Receive bytes from the client, after the handshake."""
        parser = self._parser or FrameParser(self.max_message)
        self._parser = parser
        try:
            for message in parser.parse(data):
                self._receive(message)
        except Broken as broken:
            # Nothing after it is read, so neither is the answer to our close: our side of the connection ends now, and
            # the client's side when it closes, or after `close_within`.
            self._close(broken.code, str(broken))
            parser.stop()
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()
        self._unanswered = False
        if parser.idle:
            self._parser = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection has ended, for any reason."""
        # The transport closes the descriptor after this, and another connection may get its number at once.
        self._sock.detach()
        self._state.connections.discard(self)
        self._state.idle.remove_closing(self)
        self._cancel_timer()
        self._leave()

    def pause_writing(self) -> None:
        """The client reads too slowly: from here on only the newest frame of each topic is kept."""
        self._waiting = {}
        if self._audience is not None:
            self._audience.add_slow(self._sock, self)
        self._drop_after(self.stuck, "stuck")

    def resume_writing(self) -> None:
        """The client has caught up."""
        waiting, self._waiting = self._waiting, None
        self._cancel_timer()
        if not self._open:
            self._drop_after(self.close_within, "unclosed")
        elif self._audience is not None:
            self._audience.add_fast(self._sock, self)
            if waiting:
                self.show(waiting)

    def shutdown(self) -> None:
        """Uvicorn ends: a viewer that is still connected is told to come back."""
        self._close(Close.RESTART)
        self._transport.close()

    # -- the hub's side --

    def show(self, topics: Collection[Topic]) -> None:
        """Write the newest frames of these topics, or remember the topics while the client does not read."""
        if self._waiting is not None:
            self._waiting.update(dict.fromkeys(topics))
        else:
            metrics.ws_frames.inc(len(topics))
            self._transport.write(b"".join([topic.ws for topic in topics]))

    def write_rest(self, rest: bytes) -> None:
        """The kernel did not take all that was written directly: the transport gets the rest, and calls pause_writing."""
        self._transport.write(rest)

    def beat(self, text: str) -> None:
        """Write a heartbeat and a ping; a client that has not answered the last ping is gone."""
        if self._audience is not None and self._unanswered:
            self.drop("silent")
        elif self._audience is not None and self._waiting is None:
            self._unanswered = True
            self._transport.write(wire.ws_text(text) + frames.PING)

    def bye(self, text: str, code: Close = Close.RESTART) -> None:
        """Send when to come back, then close."""
        if self._audience is not None:
            self._transport.write(wire.ws_text(text))
            self._close(code)

    def refuse(self, refusal: Refused) -> None:
        """Close with the reason: a browser cannot read the status of a refused handshake."""
        _, code = ANSWERS[type(refusal)]
        self._close(code, str(refusal))

    def drop(self, reason: str) -> None:
        """End the connection without a close frame: nothing would reach the client."""
        metrics.dropped.labels(reason).inc()
        self._transport.abort()

    def evict(self) -> None:
        """It has been sent away, and its place is needed: what the kernel takes in this turn of the loop is still sent."""
        self._loop.call_soon(self._transport.abort)

    # -- the opening --

    def upgraded(self, method: str, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Take the upgrade request, as uvicorn has parsed it."""
        # A proxy in front removes the root from the path, or leaves it there.
        self.answer(parse(method, url, headers, (self.path, self._root_path + self.path)))

    def answer(self, found: Opening | bytes) -> None:
        """Admit the client, or refuse the handshake."""
        if self._admission.out_of_descriptors:
            # Every WebSocket keeps a descriptor, even one that is only told why it is closed.
            metrics.refused.labels("descriptors").inc()
            found = refusal(HTTPStatus.SERVICE_UNAVAILABLE)
        if isinstance(found, Opening):
            self._open = True
            self._admit(found)
        else:
            self._transport.write(found)
            self._transport.close()

    def _admit(self, opening: Opening) -> None:
        """Admit the viewer, or close with a code: a browser cannot read the status of a refused handshake."""
        peer = self._transport.get_extra_info("peername")
        address = self._admission.address(peer[0] if isinstance(peer, tuple) else "local", opening.forwarded)
        try:
            admitted = self._admission.admit(self._hub, opening.origin, opening.query, address)
        except Refused as refusal:
            self._transport.write(opening.answer)
            self.refuse(refusal)
            return
        self._address = address
        metrics.ws_viewers.inc()
        if isinstance(admitted, Admitted):
            self._join(admitted, opening.answer)
        else:
            self._transport.write(opening.answer)
            looking_up = self._loop.create_task(self._look_up(admitted))
            _look_ups.add(looking_up)
            looking_up.add_done_callback(_look_ups.discard)

    async def _look_up(self, undecided: Undecided) -> None:
        """Join once the site is known, unless the connection has ended meanwhile."""
        try:
            admitted = await self._admission.look_up(self._hub, undecided)
        except Refused as refusal:
            self.refuse(refusal)
            return
        if self._address is not None:
            self._join(admitted, b"")

    def _join(self, admitted: Admitted, answer: bytes) -> None:
        """Watch what was asked for: the answer, the beat and what can be shown already are one write, one packet."""
        audience = self._audience = self._hub.audience(*admitted)
        shown = [topic.ws for topic in audience.shown()]
        metrics.ws_frames.inc(len(shown))
        self._transport.write(b"".join((answer, wire.ws_text(wire.beat(unix_ms())), *shown)))
        if self._waiting is None:
            audience.add_fast(self._sock, self)
        else:
            audience.add_slow(self._sock, self)

    # -- what clients send --

    def _receive(self, message: Message) -> None:
        if message.op is Op.CLOSE:
            self._close(frames.close_code(message.data))
            self._transport.close()
        elif message.op is Op.PONG and self._unanswered:
            self._unanswered = False
        else:
            self._count()
            if self._open and message.op is Op.BINARY:
                self._close(Close.BINARY, "text only")
            elif self._open and message.op is Op.PING and self._waiting is None:
                # Only while the client reads: pongs must not pile up.
                self._transport.write(frames.control(Op.PONG, message.data))

    def _count(self) -> None:
        """Count a message that a client need not send; raises Broken when there are too many."""
        received = self._received = self._received or deque(maxlen=MAX_RECEIVED + 1)
        received.append(self._loop.time())
        if len(received) > MAX_RECEIVED and received[-1] - received[0] < RECEIVED_WITHIN:
            raise Broken(Close.TOO_MUCH, "too many messages")

    # -- the closing --

    def _close(self, code: int, reason: str = "") -> None:
        """Send a close frame, once; nothing is written after it."""
        if not self._open:
            return
        self._open = False
        self._leave()
        self._state.idle.add_closing(self)
        self._transport.write(frames.close(code, reason))
        if self._waiting is None:
            self._drop_after(self.close_within, "unclosed")

    def _leave(self) -> None:
        """Leave the hub, and stop being counted; once."""
        if self._audience is not None:
            self._hub.leave(self._audience, self, self._sock)
            self._audience = None
        if self._address is not None:
            self._admission.leave(self._address)
            metrics.ws_viewers.dec()
            self._address = None

    def _drop_after(self, seconds: float, reason: str) -> None:
        self._cancel_timer()
        self._timer = self._loop.call_later(seconds, self.drop, reason)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
