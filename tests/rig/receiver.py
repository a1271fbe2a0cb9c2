"""The reference receiver of docs/, or one that is made of it, on its own port: `async with serving(app()) as url`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.rig.asgi_server import asgi_server
from tests.rig.echo import Echo
from tests.rig.redis import free_port

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgcmVmZXJlbmNlIHJlY2VpdmVy"
EVENT = "G-2027"


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve it as long as the block; the address of its tickets."""
    port = free_port()
    async with asgi_server(app, port, Echo):
        yield f"http://127.0.0.1:{port}/wix/tickets"
