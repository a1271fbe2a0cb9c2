"""Any ASGI application on its own port, in the test's loop: `async with asgi_server(app, port, ws_class)`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from server.http.connection import HttpProtocol
from server.http.server import Server
from tests.rig.server import until


@asynccontextmanager
async def asgi_server(app: Any, port: int, ws: type[asyncio.Protocol]) -> AsyncIterator[None]:
    """Serve with the server's HTTP class and this WebSocket class, as long as the block."""
    config = uvicorn.Config(
        app, port=port, ws=ws, http=HttpProtocol, lifespan="on", log_config=None, access_log=False, proxy_headers=False
    )
    server = Server(config)
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield
    finally:
        server.should_exit = True
        await running
