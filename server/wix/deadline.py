"""A time limit for a whole call over httpx, whose own time-outs are per read: a byte now and then would evade them.

In: `with within(seconds)` around calls of a client with `transport()`. Out: their responses, or httpx's time-outs. It ends
a call where it waits for the network, since a cancelled call would leave httpx's pool broken for good. After its end nothing
of the call is sent any more, not even by the kernel.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any

import httpcore
import httpx

NO_LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Discard unsent data when a connection is closed. Else the kernel would go on sending it for minutes, and over a link that
recovers, a call would arrive at Wix long after the budget stopped counting it."""

_until: ContextVar[float] = ContextVar("until", default=inf)


@contextmanager
def within(seconds: float, since: float | None = None) -> Iterator[None]:
    """Limit the time that calls of this task may wait for the network in all; an inner block cannot extend an outer one.

    The time counts from *since* (time.monotonic()), or from now.
    """
    began = time.monotonic() if since is None else since
    outer = _until.set(min(_until.get(), began + seconds))
    try:
        yield
    finally:
        _until.reset(outer)


def passed() -> bool:
    """Whether no time is left."""
    return time.monotonic() >= _until.get()


def transport(limits: httpx.Limits, tls: ssl.SSLContext | None = None) -> httpx.AsyncHTTPTransport:
    """A client's default transport, but with the time limit; *tls* has the trusted certificates."""
    return _Transport(limits, tls or httpx.create_ssl_context(trust_env=False))


class _Transport(httpx.AsyncHTTPTransport):
    def __init__(self, limits: httpx.Limits, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False, limits=limits)
        # httpx has no argument for the network backend; the pool of httpcore below it has.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Network(),
        )


class _Network(httpcore.AnyIOBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature, here and below
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        options = [*(socket_options or ()), NO_LINGER]
        return _Stream(await super().connect_tcp(host, port, left, local_address, options))


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    """Seconds that one step may still take."""
    left = _until.get() - time.monotonic()
    if left <= 0:
        raise error("the call's deadline")
    return left if timeout is None else min(timeout, left)
