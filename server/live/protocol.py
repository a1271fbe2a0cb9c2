"""One WebSocket on its bare transport: the class that uvicorn is given as `ws`, and the hot path of this house.

uvicorn hands every upgrade on any path to this class, outside of Starlette and its middleware, so it does its own
path, origin, address and caps. The handshake is websockets' sans-I/O core's; after it no protocol engine, task, queue
or timer is left: only this object, whose descriptor the hub writes to (hub.py, topics.py). What a client wants is in
the URL: it need not send a frame, and what it sends is held to the rules of the contract (frames.py).
"""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.http11 import Request
from websockets.server import ServerProtocol

from server import metrics, wire
from server.errors import BadRequest, NoSiteYet, UnknownSite
from server.hub import Hub, unix_ms
from server.live import frames
from server.live.doors import Doors
from server.live.frames import Broken, Message, Op, Reader
from server.live.handshake import ordinary
from server.live.request import resolve
from server.topics import Audience, Topic
from server.wire import Close

PATH = "/v1/counters"
LARGEST = 4096
"""Bytes of a client's message: nothing that we need is longer than a line."""
MOST_TEXTS, TEXTS_WITHIN = 20, 10.0
CLOSE_WITHIN = 5.0
"""Seconds that the other side has to answer a close."""
STUCK = 15.0
"""Seconds without taking what it was sent after which a reader is dropped: a close frame could not reach it."""

PING = frames.control(Op.PING)


class CounterProtocol(asyncio.Protocol):
    """One viewer over WebSocket."""

    # There may be a hundred thousand of these: each attribute costs eight bytes, and an empty dict would cost 64.
    __slots__ = (
        "_address", "_audience", "_closing", "_connections", "_doors", "_fd", "_hub", "_loop", "_open", "_reader",
        "_root_path", "_texts", "_timer", "_transport", "_unanswered", "_waiting",
    )  # fmt: skip

    path = PATH
    largest = LARGEST

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
        self._transport: asyncio.Transport
        self._fd = -1
        # After the handshake, and until a close frame of ours is out.
        self._open = self._closing = False
        # Set while this connection is counted in, and while it watches.
        self._address: str | None = None
        self._audience: Audience | None = None
        # Topics whose newest frame waits for the transport; None while it takes everything.
        self._waiting: set[Topic] | None = None
        # A ping is out, and nothing has been heard since.
        self._unanswered = False
        # When texts came of late; only set for a client that sends any.
        self._texts: deque[float] | None = None
        # Only set while a frame or a message has come in part.
        self._reader: Reader | None = None
        # What ends the connection if its present state lasts too long; only set in such a state.
        self._timer: asyncio.TimerHandle | None = None

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn gives no other
        """Uvicorn passes a connection on, once its upgrade request is read."""
        # With the first byte that the kernel does not take pause_writing is called: while this viewer is not paused
        # nothing of it waits anywhere, and its descriptor may be written to directly.
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        self._fd = transport.get_extra_info("socket").fileno()
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """The request, which uvicorn hands over whole; then bytes from the client."""
        if not self._open:
            self._handshake(data)
            return
        self._unanswered = False
        reader = self._reader or Reader(self.largest)
        self._reader = reader
        try:
            for message in reader.read(data):
                self._hear(message)
        except Broken as broken:
            # What comes after it cannot be read any more, so its answer to our close cannot either: our side of the
            # connection ends, and its own end, or a while, ends the rest.
            self._close(broken.code, str(broken))
            reader.deafen()
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()
        if reader.idle:
            self._reader = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone, however it went; its descriptor is closed only after this."""
        self._connections.discard(self)
        self._unlimit()
        self._gone()

    def pause_writing(self) -> None:
        """The client reads too slowly: from here on only the newest frame of each topic is worth keeping."""
        self._waiting = set()
        if self._audience is not None:
            self._audience.lags(self._fd, self)
        self._limit(STUCK)

    def resume_writing(self) -> None:
        """The client has caught up."""
        waiting, self._waiting = self._waiting, None
        self._unlimit()
        if self._closing:
            self._limit(CLOSE_WITHIN)
        elif self._audience is not None:
            self._audience.follows(self._fd, self)
            if waiting:
                self.show(waiting)

    def shutdown(self) -> None:
        """Uvicorn ends: whoever is still here is told to come back."""
        self._close(Close.RESTART)
        self._transport.close()

    # -- the hub's side --

    def show(self, topics: Collection[Topic]) -> None:
        """Write the newest frames of these topics, or remember the topics while the client does not read."""
        if self._waiting is not None:
            self._waiting.update(topics)
        else:
            self._transport.write(b"".join([topic.ws for topic in topics]))

    def behind(self, rest: bytes) -> None:
        """The kernel did not take all that was written directly: the transport has the rest, and calls pause_writing."""
        self._transport.write(rest)

    def beat(self, text: str) -> None:
        """Write a heartbeat and a ping; a client that has not answered the last one is gone."""
        if self._audience is None:
            # The hub goes through its viewers in slices: this one has left since the last.
            return
        if self._unanswered:
            self.drop()
        elif self._waiting is None:
            self._unanswered = True
            self._transport.write(wire.ws_text(text) + PING)

    def bye(self, text: str) -> None:
        """Say when to come back, then close."""
        if self._audience is not None:
            self._transport.write(wire.ws_text(text))
            self._close(Close.RESTART)

    def drop(self) -> None:
        """End the connection without a word: nothing would reach it."""
        metrics.stuck.inc()
        self._transport.abort()

    # -- the opening --

    def _handshake(self, data: bytes) -> None:
        core = ServerProtocol(max_size=None)
        core.receive_data(data)
        for request in core.events_received():
            if isinstance(request, Request):
                self._answer(core, request)
                return
        # Not a request that the core reads; it has said so itself.
        self._transport.writelines(core.data_to_send())
        self._transport.close()

    def upgraded(self, method: str, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Take the request as uvicorn has parsed it; False if it is one that only `data_received` can judge."""
        path, _, query = url.decode("latin-1").partition("?")
        opening = ordinary(method, headers) if self._served(path) else None
        if opening is None:
            return False
        self._open = True
        self._enter(opening.answer, query, opening.get(b"origin"), opening.get(b"x-forwarded-for"))
        return True

    def _answer(self, core: ServerProtocol, request: Request) -> None:
        path, _, query = request.path.partition("?")
        response = core.accept(request) if self._served(path) else core.reject(404, "no WebSocket is served here\n")
        head = response.serialize()
        if response.status_code != 101:
            self._transport.write(head)
            self._transport.close()
            return
        self._open = True
        forwarded = ",".join(request.headers.get_all("X-Forwarded-For")) or None
        self._enter(head, query, request.headers.get("Origin"), forwarded)

    def _served(self, path: str) -> bool:
        # A proxy in front takes the root off the path, or leaves it there.
        return path in (self.path, self._root_path + self.path)

    def _enter(self, head: bytes, query: str, origin: str | None, forwarded: str | None) -> None:
        """Let the viewer in, or close with a code: a browser cannot read the status of a refused handshake."""
        if not self._doors.admits(origin):
            metrics.refused.labels("origin").inc()
            self._refuse(head, Close.ORIGIN, "this origin is not in ORIGINS")
            return
        try:
            site, tickets = resolve(wire.wanted(query), self._hub.sites)
        except (BadRequest, UnknownSite) as error:
            metrics.refused.labels("request").inc()
            self._refuse(head, Close.BAD_REQUEST, str(error))
            return
        except NoSiteYet as error:
            metrics.refused.labels("no_site").inc()
            self._refuse(head, Close.FULL, str(error))
            return
        peer = self._transport.get_extra_info("peername")
        address = self._doors.address(peer[0] if isinstance(peer, tuple) else "local", forwarded)
        if not self._doors.enter(address):
            self._refuse(head, Close.FULL, "full")
            return
        self._address = address
        metrics.ws_viewers.inc()
        audience = self._audience = self._hub.audience(site, tickets)
        # The answer, the beat and what is known already: one write, one packet.
        known = [topic.ws for topic in audience.known()]
        self._transport.write(b"".join((head, wire.ws_text(wire.beat(unix_ms())), *known)))
        if self._waiting is None:
            audience.follows(self._fd, self)
        else:
            audience.lags(self._fd, self)

    def _refuse(self, head: bytes, code: Close, reason: str) -> None:
        self._transport.write(head)
        self._close(code, reason)

    # -- what clients send --

    def _hear(self, message: Message) -> None:
        match message.op:
            case Op.CLOSE:
                code = frames.close_code(message.data)
                if not self._closing:
                    self._close(code)
                self._transport.close()
            case Op.PING if not self._closing:
                self._transport.write(frames.control(Op.PONG, message.data))
            case Op.TEXT if not self._closing:
                self._text()
            case Op.BINARY if not self._closing:
                self._close(Close.BINARY, "text only")
            case _:
                pass

    def _text(self) -> None:
        """Text is checked and ignored: there is nothing that a client needs to say."""
        texts = self._texts = self._texts or deque(maxlen=MOST_TEXTS + 1)
        texts.append(self._loop.time())
        if len(texts) > MOST_TEXTS and texts[-1] - texts[0] < TEXTS_WITHIN:
            self._close(Close.TOO_MUCH, "too many messages")

    # -- the closing --

    def _close(self, code: int, reason: str = "") -> None:
        """Send a close frame, once; nothing is written after it."""
        if self._closing or not self._open:
            return
        self._closing = True
        self._gone()
        self._transport.write(frames.close(code, reason))
        if self._waiting is None:
            self._limit(CLOSE_WITHIN)

    def _gone(self) -> None:
        """Leave the hub and the count, once."""
        if self._audience is not None:
            self._hub.leave(self._audience, self, self._fd)
            self._audience = None
        if self._address is not None:
            self._doors.leave(self._address)
            metrics.ws_viewers.dec()
            self._address = None

    def _limit(self, seconds: float) -> None:
        self._unlimit()
        self._timer = self._loop.call_later(seconds, self.drop)

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
