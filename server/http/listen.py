"""Where the web part listens: its socket, and the address that a person can open.

In: settings. Out: a listening socket of our own, whose options all that it accepts inherit, or NotStarted with the
settings to change.
"""

import socket

from server.errors import NotStarted
from server.live.websocket import STUCK
from server.settings import Settings

BACKLOG = 2048
"""Connections that the kernel holds for us until we accept them."""


def listen(settings: Settings, *, shared: bool = False) -> socket.socket:
    """A listening socket of our own: what it accepts inherits the time after which a dead reader is dropped.

    Where it is *shared* the kernel spreads connections over all sockets of this user that listen there and share it.
    """
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        both = settings.host == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server(
            address, family=family, backlog=BACKLOG, dualstack_ipv6=both, reuse_port=shared
        )
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # create_server repeats the address there
        raise NotStarted(
            f"cannot listen on {settings.host}, port {settings.port} ({reason}): change HOST or PORT"
        ) from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STUCK * 1000))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return listening


def address(settings: Settings, listening: socket.socket) -> str:
    """Where a person on this machine reaches it."""
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
