"""Where the web part listens: its socket, its address for a person, and a port that several processes share.

In: settings. Out: a listening socket whose options every accepted connection inherits, or NotStarted with the settings
to change.
"""

import contextlib
import socket
from collections.abc import Iterator

from server.errors import NotStarted
from server.live.websocket import STUCK
from server.settings import Settings

BACKLOG = 2048
"""Connections that the kernel queues until they are accepted."""


def listen(settings: Settings, *, shared: bool = False, port: int | None = None) -> socket.socket:
    """A listening socket: connections that it accepts are dropped by the kernel when their reader is dead.

    If *shared*, the kernel spreads connections over all sockets of this user that listen there and are shared too. *port* is that
    of a worker; None = the port of the web part.
    """
    name, port = ("PORT", settings.port) if port is None else ("WORKER_PORT", port)
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            settings.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        both = settings.host == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server(
            address, family=family, backlog=BACKLOG, dualstack_ipv6=both, reuse_port=shared
        )
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # create_server repeats the address there
        raise NotStarted(f"cannot listen on {settings.host}, port {port} ({reason}): change HOST or {name}") from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STUCK * 1000))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return listening


def address(settings: Settings, listening: socket.socket) -> str:
    """The URL by which a person on this machine reaches it."""
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


@contextlib.contextmanager
def reserved(settings: Settings) -> Iterator[socket.socket]:
    """A socket that never listens but holds the port for shared sockets; raises NotStarted if the port is in use."""
    # Shared sockets do not notice each other, so the port is first tried with one that is not shared.
    with listen(settings) as tried:
        family, name = tried.family, tried.getsockname()
        only_ipv6 = family == socket.AF_INET6 and tried.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    with socket.socket(family) as port:
        if family == socket.AF_INET6:
            port.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            port.bind(name)
        except OSError:
            # Connections of a server that has ended linger there. This option is only for that case: with it, another
            # program could take the port until the first child listens.
            port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port.bind(name)
        yield port
