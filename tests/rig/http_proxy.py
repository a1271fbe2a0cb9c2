"""An HTTP proxy between sync and a target that records every request, and misbehaves on command.

In: the target's address. Out: an address of 127.0.0.1 that leads there. `proxy.add(Fault(...))` makes an answer fail, `heal` ends
all faults. A fault says which requests it meets, what the client gets, and whether the target executes the request: before the
client gets nothing, or long after it gave up.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import h11
import httpx

READS = frozenset({"GET", "HEAD", "OPTIONS"})

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length", "date"})
"""Headers of one connection; bodies are passed on whole and unpacked."""


@dataclass(slots=True)
class Exchange:
    """One request and what became of it; times are those of time.monotonic().

    `status`: what the target answered, None if it was not asked or did not answer. `began` and `ended`: while the target may have
    been at work on it. `answered`: what the client got: a status, or "cut", "hung".
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    received: float
    began: float | None = None
    ended: float | None = None
    status: int | None = None
    answered: int | str | None = None

    @property
    def writes(self) -> bool:
        """Whether it is meant to change something."""
        return self.method not in READS

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.method} {self.path} -> {self.status}, client: {self.answered}"


Match = Callable[[Exchange], bool]


def everything(_: Exchange) -> bool:
    """All requests."""
    return True


def writes(exchange: Exchange) -> bool:
    """Requests that change something."""
    return exchange.writes


def method(name: str, path: str = "") -> Match:
    """Requests of a method whose path, without its query, matches a regular expression to its end."""
    return lambda one: one.method == name and bool(re.search(f"{path}$", one.path.partition("?")[0]))


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with each *every*-th request that it *meets*, *times* times at most.

    The client gets `status` with `headers` and `body`, or nothing: `hangs` until the proxy heals, or is `cut` off. Without any of
    them the target's own answer passes. `executes`: the target has executed the request before. `delay`: seconds by which the
    answer is late. `late`: seconds by which the target gets the request late, whether the client is still there or not.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hangs: bool = False
    cut: bool = False
    executes: bool = False
    delay: float = 0.0
    late: float = 0.0
    meets: Match = everything
    every: int = 1
    times: int | None = None


def too_many(seconds: float | str = 1, **more: Any) -> Fault:
    """429; Retry-After in seconds, or a date as text."""
    return Fault(429, {"Retry-After": str(seconds)}, b'{"detail": "Request was throttled."}', **more)


def html(status: int = 502, **more: Any) -> Fault:
    """A page of a proxy in front of the target."""
    return Fault(status, {"Content-Type": "text/html"}, b"<html><h1>Bad Gateway</h1></html>", **more)


CUT_AFTER = Fault(cut=True, executes=True)
"""The target executes and the answer is lost; `replace(CUT_AFTER, every=3)` for each third."""


class HttpProxy:
    """A proxy to the *target* and what passed through it. `url` stays the same after `refuse` and `heal`."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.exchanges: list[Exchange] = []
        self.url = ""
        self._faults: dict[int, Fault] = {}
        self._met: Counter[int] = Counter()
        self._used: Counter[int] = Counter()
        self._numbers = count(1)
        self._port = 0
        self._healed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._client = httpx.AsyncClient(
            base_url=target,
            trust_env=False,
            timeout=120,
            verify=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    # -- faults --

    def add(self, fault: Fault) -> int:
        """Have requests fail so from now on; the first fault of those that meet a request happens. Answers its number."""
        number = next(self._numbers)
        self._faults[number] = fault
        return number

    def happened(self, number: int) -> int:
        """How often a fault has happened."""
        return self._used[number]

    async def refuse(self) -> None:
        """Reset every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        closing = list(self._writers)
        for writer in closing:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in closing), return_exceptions=True)

    async def heal(self) -> None:
        """End all faults: what hangs is cut off, and new requests pass."""
        self._faults.clear()
        self._healed.set()
        self._healed = asyncio.Event()
        if self._server is None:
            await self.start()

    # -- what was seen --

    @property
    def writes(self) -> list[Exchange]:
        """The requests that were meant to change something, in the order in which they came."""
        return [one for one in self.exchanges if one.writes]

    @property
    def at_work(self) -> list[Exchange]:
        """The requests that the target may be at work on, or will be."""
        return [one for one in self.exchanges if one.ended is None and one.answered is None]

    def since(self, number: int) -> list[Exchange]:
        """The requests after the first *number*."""
        return self.exchanges[number:]

    def most_writes_at_once(self, record: Callable[[Exchange], str | None]) -> tuple[int, str]:
        """The most writes of one record that the target had at a time, and of which; *record* names it, None is not counted.

        A write counts from the time at which the target got it until its answer, also where the client had left.
        """
        moments: list[tuple[float, int, str]] = []
        for one in self.writes:
            if one.began is not None and (name := record(one)) is not None:
                moments += [(one.began, 1, name), (one.ended if one.ended is not None else float("inf"), -1, name)]
        now: Counter[str] = Counter()
        most = (0, "")
        for _, step, name in sorted(moments):  # an end at the same moment comes first
            now[name] += step
            most = max(most, (now[name], name))
        return most

    # -- running --

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._on_line, "127.0.0.1", self._port, backlog=256)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def aclose(self) -> None:
        """Close everything; what the target would have got later, it does not get."""
        await self.refuse()
        tasks = self._lines | self._calls
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._client.aclose()

    def _on_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        line = asyncio.get_running_loop().create_task(self._line(reader, writer))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while (exchange := await _request(connection, reader)) is not None:
                self.exchanges.append(exchange)
                if not await self._pass(exchange, connection, writer) or connection.our_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except (OSError, RuntimeError, h11.RemoteProtocolError, h11.LocalProtocolError):
            pass  # the client has left, or was sent away
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass(self, exchange: Exchange, connection: h11.Connection, writer: asyncio.StreamWriter) -> bool:
        """Ask the target and answer, as well as the faults let it; false where the connection is to be cut."""
        fault = self._fault(exchange) or Fault()
        instead = fault.status is not None or fault.hangs or fault.cut
        call: asyncio.Task[None] | None = None
        answer: list[httpx.Response] = []
        if fault.executes or not instead:
            # In a task of its own: the target gets it also where the client leaves meanwhile.
            call = asyncio.create_task(self._execute(exchange, fault.late, answer))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            await asyncio.wait({call})
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.hangs:
            exchange.answered = "hung"
            await self._healed.wait()
            return False
        if fault.status is not None:
            return await _answer(
                exchange, connection, writer, status=fault.status, headers=fault.headers, body=fault.body
            )
        if fault.cut or not answer:  # the target could not be reached, or left
            exchange.answered = "cut"
            return False
        [found] = answer
        headers = {name: value for name, value in found.headers.items() if name.lower() not in HOP_BY_HOP}
        return await _answer(
            exchange, connection, writer, status=found.status_code, headers=headers, body=found.content
        )

    async def _execute(self, exchange: Exchange, late: float, answer: list[httpx.Response]) -> None:
        if late:
            await asyncio.sleep(late)
        headers = {name: value for name, value in exchange.headers.items() if name.lower() not in HOP_BY_HOP}
        exchange.began = time.monotonic()
        try:
            found = await self._client.request(
                exchange.method,
                exchange.path,
                headers={**headers, "accept-encoding": "identity"},
                content=exchange.body,
            )
            exchange.status = found.status_code
            answer.append(found)
        except httpx.TransportError:
            pass
        finally:
            exchange.ended = time.monotonic()

    def _fault(self, exchange: Exchange) -> Fault | None:
        for number, fault in self._faults.items():
            if not fault.meets(exchange) or (fault.times is not None and self._used[number] >= fault.times):
                continue
            self._met[number] += 1
            if self._met[number] % fault.every == 0:
                self._used[number] += 1
                return fault
        return None


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> Exchange | None:
    """The next request of a connection, whole; None at its end."""
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
            path = head.target.decode("latin-1")
            return Exchange(head.method.decode(), path, headers, body, time.monotonic())
        else:
            return None


async def _answer(
    exchange: Exchange,
    connection: h11.Connection,
    writer: asyncio.StreamWriter,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> bool:
    sent = [*headers.items(), *([("Content-Length", str(len(body)))] if status not in {204, 304} else [])]
    data = connection.send(h11.Response(status_code=status, headers=sent)) or b""
    if exchange.method != "HEAD" and body:
        data += connection.send(h11.Data(data=body)) or b""
    data += connection.send(h11.EndOfMessage()) or b""
    exchange.answered = status
    writer.write(data)
    await writer.drain()
    return True


@asynccontextmanager
async def http_proxy(target: str) -> AsyncIterator[HttpProxy]:
    """A proxy to this address, as long as the block."""
    proxy = HttpProxy(target)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.aclose()
