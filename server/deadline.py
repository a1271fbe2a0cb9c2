"""A time limit for a whole call over httpx, whose own time-outs are per read: a byte now and then would evade them.

In: `with within(seconds)` around calls of a client with `transport()`. Out: their responses, or httpx's time-outs. It ends
a call where it waits for the network, since a cancelled call would leave httpx's pool broken for good. After its end nothing
of the call is sent any more, not even by the kernel. A transport may have its own `Resolve`, which chooses the addresses.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any

import httpcore
import httpx

NO_LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Discard unsent data when a connection is closed. Else the kernel would go on sending it for minutes, and over a link that
recovers, a call would arrive at Wix long after the budget stopped counting it."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host and port, at least one, in the order in which they are tried. Raises OSError where there are none."""

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


def transport(
    limits: httpx.Limits,
    tls: ssl.SSLContext | None = None,
    resolve: Resolve | None = None,
    proxy: httpx.Proxy | None = None,
) -> httpx.AsyncHTTPTransport:
    """A client's default transport, but with the time limit; *tls* has the trusted certificates.

    With *resolve* it connects to the addresses that this answers, and to no others; TLS still asks for the host's certificate.
    With *proxy*, of http or https, it connects only to that, and the proxy to the host.
    """
    return _Transport(limits, tls or httpx.create_ssl_context(trust_env=False), resolve, proxy)


class _Transport(httpx.AsyncHTTPTransport):
    def __init__(
        self, limits: httpx.Limits, tls: ssl.SSLContext, resolve: Resolve | None, proxy: httpx.Proxy | None
    ) -> None:
        super().__init__(verify=tls, trust_env=False, limits=limits)
        # httpx has no argument for the network backend; the pool of httpcore below it has.
        options: dict[str, Any] = {
            "ssl_context": tls,
            "max_connections": limits.max_connections,
            "max_keepalive_connections": limits.max_keepalive_connections,
            "keepalive_expiry": limits.keepalive_expiry,
            "network_backend": _Network(resolve),
        }
        if proxy is None:
            self._pool = httpcore.AsyncConnectionPool(**options)
        else:
            self._pool = httpcore.AsyncHTTPProxy(
                proxy_url=str(proxy.url),
                proxy_auth=proxy.raw_auth,
                proxy_ssl_context=tls if proxy.url.scheme == "https" else None,
                **options,
            )


class _Network(httpcore.AnyIOBackend):
    def __init__(self, resolve: Resolve | None) -> None:
        super().__init__()
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature, here and below
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        options = [*(socket_options or ()), NO_LINGER]
        failed = httpcore.ConnectError(f"{host} has no address")
        for address in await self._addresses(host, port, timeout):
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                return _Stream(await super().connect_tcp(address, port, left, local_address, options))
            except httpcore.ConnectError as error:
                failed = error
        raise failed

    async def _addresses(self, host: str, port: int, timeout: float | None) -> Sequence[str]:  # noqa: ASYNC109
        if self._resolve is None:
            return (host,)
        try:
            async with asyncio.timeout(_left(timeout, httpcore.ConnectTimeout)):
                return await self._resolve(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"the address of {host} was not found in time") from None
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error


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
