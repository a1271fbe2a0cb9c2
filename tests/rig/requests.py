"""HTTP requests as bytes, for tests that write to a server's socket directly."""

from tests.rig.server import TICKET

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
STREAM = GET.replace(b"/", b"/stream", 1)
LAST = GET.replace(b"Host: here", b"Host: here\r\nConnection: close")
POST = b"POST /read HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"GET / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
HANDSHAKE = UPGRADE.replace(b"GET /", f"GET /v1/counters?ticket={TICKET}".encode()).replace(
    b"\r\n\r\n", b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def filled(start: bytes, size: int) -> bytes:
    """So many bytes that begin with *start* and are filled up."""
    return start + b"x" * (size - len(start))
