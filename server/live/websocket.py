"""One WebSocket on its bare transport: the class that uvicorn is given as `ws`, and the hot path of this house.

uvicorn hands every upgrade on any path to this class, outside of Starlette and its middleware, so it does its own
path, origin, address and caps. After the handshake (handshake.py) no protocol engine, task, queue or timer is left:
only this object, whose socket the hub writes to (hub/hub.py, hub/topics.py). What a client wants is in the URL: it need not
send a frame, and what it sends is held to the rules of the contract (frames.py).
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
from server.errors import BadRequest, NoSiteYet, TooManyUnconfirmed, UnknownSite
from server.hub.heartbeat import unix_ms
from server.hub.hub import Hub
from server.hub.topics import Audience, Topic
from server.live import frames
from server.live.admission import Admission
from server.live.frames import Broken, FrameParser, Message, Op
from server.live.handshake import Opening, read, refusal
from server.live.request import resolve
from server.wire import Close

PATH = "/v1/counters"
LARGEST = 4096
"""Bytes of a client's message: nothing that we need is longer than a line."""
MOST_SAID, SAID_WITHIN = 20, 10.0
"""Messages, pings and pongs that nobody asked for, and the seconds in which more are too many: a browser sends none."""
CLOSE_WITHIN = 5.0
"""Seconds that the other side has to answer a close."""
STUCK = 15.0
"""Seconds without taking what it was sent after which a parser is dropped: a close frame could not reach it."""


class CounterProtocol(asyncio.Protocol):
    """One viewer over WebSocket."""

    # There may be a hundred thousand of these: each attribute costs eight bytes, and an empty dict would cost 64.
    __slots__ = (
        "_address",
        "_admission",
        "_audience",
        "_hub",
        "_line",
        "_loop",
        "_open",
        "_parser",
        "_root_path",
        "_said",
        "_state",
        "_timer",
        "_transport",
        "_unanswered",
        "_waiting",
    )  # fmt: skip

    path = PATH
    largest = LARGEST
    close_within, stuck = CLOSE_WITHIN, STUCK

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._root_path: str = config.root_path
        # All connections of the server, and those that are no viewer (http/server.py).
        self._state: Any = server_state
        self._hub: Hub = app_state["hub"]
        self._admission: Admission = app_state["admission"]
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._line: SocketType
        # After the handshake, and until a close frame of ours is out.
        self._open = False
        # Set while this connection is counted in, and while it watches.
        self._address: str | None = None
        self._audience: Audience | None = None
        # Topics whose newest frame waits for the transport; None while it takes everything.
        self._waiting: set[Topic] | None = None
        # A ping is out, and nothing has been heard since.
        self._unanswered = False
        # Only set for a client that says what it need not say: when it did of late.
        self._said: deque[float] | None = None
        # Only set while a frame or a message has come in part.
        self._parser: FrameParser | None = None
        # Only set in a state that must not last: what ends the connection then.
        self._timer: asyncio.TimerHandle | None = None

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn gives no other
        """Uvicorn passes a connection on, once its upgrade request is read."""
        # With the first byte that the kernel does not take pause_writing is called: while this viewer is not paused
        # nothing of it waits anywhere, and its socket may be written to directly.
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        # It only sends: whose family it is nobody asks, and to find out would cost more.
        self._line = SocketType(AF_INET, SOCK_STREAM, 0, transport.get_extra_info("socket").fileno())
        self._state.connections.add(self)
        if transport.get_write_buffer_size() and self._waiting is None:
            # An answer over HTTP is still on its way out: a transport that has paused says so once, and not to us.
            self.pause_writing()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client, after the handshake."""
        parser = self._parser or FrameParser(self.largest)
        self._parser = parser
        try:
            for message in parser.read(data):
                self._hear(message)
        except Broken as broken:
            # What comes after it is not read any more, so its answer to our close is not either: our side of the
            # connection ends, and its own end, or a while, ends the rest.
            self._close(broken.code, str(broken))
            parser.deafen()
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()
        self._unanswered = False
        if parser.idle:
            self._parser = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone, however it went."""
        # The transport closes the descriptor after this, and its number may be another's at once.
        self._line.detach()
        self._state.connections.discard(self)
        self._state.idle.remove_closing(self)
        self._unlimit()
        self._gone()

    def pause_writing(self) -> None:
        """The client reads too slowly: from here on only the newest frame of each topic is worth keeping."""
        self._waiting = set()
        if self._audience is not None:
            self._audience.lags(self._line, self)
        self._limit(self.stuck, "stuck")

    def resume_writing(self) -> None:
        """The client has caught up."""
        waiting, self._waiting = self._waiting, None
        self._unlimit()
        if not self._open:
            self._limit(self.close_within, "unclosed")
        elif self._audience is not None:
            self._audience.follows(self._line, self)
            if waiting:
                self.show(waiting)

    def shutdown(self) -> None:
        """Uvicorn ends: who is still here is told to come back."""
        self._close(Close.RESTART)
        self._transport.close()

    # -- the hub's side --

    def show(self, topics: Collection[Topic]) -> None:
        """Write the newest frames of these topics, or remember the topics while the client does not read."""
        if self._waiting is not None:
            self._waiting.update(topics)
        else:
            metrics.ws_frames.inc(len(topics))
            self._transport.write(b"".join([topic.ws for topic in topics]))

    def behind(self, rest: bytes) -> None:
        """The kernel did not take all that was written directly: the transport has the rest, and calls pause_writing."""
        self._transport.write(rest)

    def beat(self, text: str) -> None:
        """Write a heartbeat and a ping to one who has not left; a client that has not answered the last one is gone."""
        if self._audience is not None and self._unanswered:
            self.drop("silent")
        elif self._audience is not None and self._waiting is None:
            self._unanswered = True
            self._transport.write(wire.ws_text(text) + frames.PING)

    def bye(self, text: str, code: Close = Close.RESTART) -> None:
        """Say when to come back, then close."""
        if self._audience is not None:
            self._transport.write(wire.ws_text(text))
            self._close(code)

    def drop(self, reason: str) -> None:
        """End the connection without a word: nothing would reach it."""
        metrics.dropped.labels(reason).inc()
        self._transport.abort()

    def evict(self) -> None:
        """It has been sent away, and others need its place: what the kernel takes in this turn still goes out."""
        self._loop.call_soon(self._transport.abort)

    # -- the opening --

    def upgraded(self, method: str, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Take the request, as uvicorn has parsed it."""
        # A proxy in front takes the root off the path, or leaves it there.
        self.answer(read(method, url, headers, (self.path, self._root_path + self.path)))

    def answer(self, found: Opening | bytes) -> None:
        """Let who asks in, or send him away."""
        if self._admission.crowded:
            # Whoever is let in keeps a descriptor, even only to be told a reason.
            metrics.refused.labels("descriptors").inc()
            found = refusal(HTTPStatus.SERVICE_UNAVAILABLE)
        if isinstance(found, Opening):
            self._open = True
            self._enter(found)
        else:
            self._transport.write(found)
            self._transport.close()

    def _enter(self, opening: Opening) -> None:
        """Let the viewer in, or close with a code: a browser cannot read the status of a refused handshake."""
        if not self._admission.admits(opening.origin):
            self._refuse(opening, Close.ORIGIN, "this origin is not in ORIGINS", count="origin")
            return
        peer = self._transport.get_extra_info("peername")
        address = self._admission.address(peer[0] if isinstance(peer, tuple) else "local", opening.forwarded)
        try:
            site, tickets = resolve(wire.wanted(opening.query), self._hub.sites)
            self._hub.admit(site, tickets, address)
        except (BadRequest, UnknownSite) as error:
            self._refuse(opening, Close.BAD_REQUEST, str(error), count="request")
            return
        except (NoSiteYet, TooManyUnconfirmed) as error:
            self._refuse(opening, Close.FULL, str(error), count=error.reason)
            return
        if not self._admission.enter(address):
            # The doors count whom they turn away, by their reasons.
            self._refuse(opening, Close.FULL, "full")
            return
        self._address = address
        metrics.ws_viewers.inc()
        audience = self._audience = self._hub.audience(site, tickets, address)
        # The answer, the beat and what is known already: one write, one packet.
        known = [topic.ws for topic in audience.known()]
        metrics.ws_frames.inc(len(known))
        self._transport.write(b"".join((opening.answer, wire.ws_text(wire.beat(unix_ms())), *known)))
        if self._waiting is None:
            audience.follows(self._line, self)
        else:
            audience.lags(self._line, self)

    def _refuse(self, opening: Opening, code: Close, reason: str, *, count: str | None = None) -> None:
        if count is not None:
            metrics.refused.labels(count).inc()
        self._transport.write(opening.answer)
        self._close(code, reason)

    # -- what clients send --

    def _hear(self, message: Message) -> None:
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
                # Only while it reads: pongs must not pile up.
                self._transport.write(frames.control(Op.PONG, message.data))

    def _count(self) -> None:
        """There is nothing that a client needs to say, before its close or after ours: raises Broken if it does not stop."""
        said = self._said = self._said or deque(maxlen=MOST_SAID + 1)
        said.append(self._loop.time())
        if len(said) > MOST_SAID and said[-1] - said[0] < SAID_WITHIN:
            raise Broken(Close.TOO_MUCH, "too many messages")

    # -- the closing --

    def _close(self, code: int, reason: str = "") -> None:
        """Send a close frame, once; nothing is written after it."""
        if not self._open:
            return
        self._open = False
        self._gone()
        self._state.idle.add_closing(self)
        self._transport.write(frames.close(code, reason))
        if self._waiting is None:
            self._limit(self.close_within, "unclosed")

    def _gone(self) -> None:
        """Leave the hub and the count, once."""
        if self._audience is not None:
            self._hub.leave(self._audience, self, self._line)
            self._audience = None
        if self._address is not None:
            self._admission.leave(self._address)
            metrics.ws_viewers.dec()
            self._address = None

    def _limit(self, seconds: float, reason: str) -> None:
        self._unlimit()
        self._timer = self._loop.call_later(seconds, self.drop, reason)

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
