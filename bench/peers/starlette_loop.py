"""A counter as in a tutorial: Starlette, a set of sockets, a loop of send_text for each message from Redis."""

import asyncio
import sys

import redis.asyncio
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PORT, REDIS, *CHANNELS = sys.argv[1:]
viewers: set[WebSocket] = set()


async def counters(socket: WebSocket) -> None:
    """Serve one viewer."""
    await socket.accept()
    viewers.add(socket)
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        viewers.discard(socket)


async def listen() -> None:
    """Send each message from Redis to all viewers."""
    async with redis.asyncio.from_url(f"redis://127.0.0.1:{REDIS}/0").pubsub() as pubsub:
        await pubsub.subscribe(*CHANNELS)
        async for message in pubsub.listen():
            if message["type"] == "message":
                text = message["data"].decode()
                for viewer in list(viewers):
                    await viewer.send_text(text)


async def main() -> None:
    """Serve viewers, and listen to Redis."""
    app = Starlette(routes=[WebSocketRoute("/v1/counters", counters)])
    config = uvicorn.Config(
        app, port=int(PORT), log_level="warning", ws_per_message_deflate=False, loop="uvloop", backlog=4096
    )
    listening = asyncio.create_task(listen())
    await uvicorn.Server(config).serve()
    listening.cancel()


if __name__ == "__main__":
    uvloop.run(main())
