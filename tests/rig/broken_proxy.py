"""A proxy in front of a server that does some things wrongly, as proxies that were set up in a hurry do.

In: the server's address, and what is answered to some paths instead. Out: the proxy's address. It opens no WebSocket, as a proxy
that does not pass on Upgrade; with *buffers* it passes on an answer only once it is whole.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.rig.redis import free_port
from tests.rig.server import until


@asynccontextmanager
async def broken_proxy(
    to: str, answers: Mapping[str, Response] | None = None, *, buffers: bool = False
) -> AsyncIterator[str]:
    """The proxy, as long as the block; *answers* by the beginnings of paths."""
    async with httpx.AsyncClient(base_url=to, trust_env=False, timeout=60) as client:

        async def forward(request: Request) -> Response:
            for path, answer in (answers or {}).items():
                if request.url.path.startswith(path):
                    return answer
            named = ("accept", "origin", "user-agent")
            headers = {name: value for name, value in request.headers.items() if name in named}
            target = f"{request.url.path}?{request.url.query}"
            if buffers and request.headers.get("accept") == "text/event-stream":
                await asyncio.sleep(3600)
            sent = await client.send(client.build_request(request.method, target, headers=headers), stream=True)

            async def parts() -> AsyncIterator[bytes]:
                try:
                    async for part in sent.aiter_raw():
                        yield part
                finally:
                    await sent.aclose()

            kept = {name: value for name, value in sent.headers.items() if name in {"content-type", "allow", "etag"}}
            return StreamingResponse(parts(), sent.status_code, kept)

        app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST", "OPTIONS"])])
        port = free_port()
        config = uvicorn.Config(app, port=port, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await running
