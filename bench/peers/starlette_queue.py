"""A counter as a careful tutorial has it: Starlette, a queue a socket, and a task that writes what is in it."""

import asyncio
import sys
from contextlib import suppress

import redis.asyncio
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PORT, REDIS, *CHANNELS = sys.argv[1:]
WAITING = 1000
"""Messages that may wait for one viewer: more than a run has outstanding."""

queues: set[asyncio.Queue[str]] = set()


async def write(socket: WebSocket, queue: asyncio.Queue[str]) -> None:
    """Send what waits for one viewer."""
    while True:
        await socket.send_text(await queue.get())


async def counters(socket: WebSocket) -> None:
    """Keep one viewer."""
    await socket.accept()
    queue = asyncio.Queue[str](WAITING)
    queues.add(queue)
    writing = asyncio.create_task(write(socket, queue))
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        queues.discard(queue)
        writing.cancel()


async def listen() -> None:
    """Put what Redis says into every queue; one that is full misses it."""
    async with redis.asyncio.from_url(f"redis://127.0.0.1:{REDIS}/0").pubsub() as pubsub:
        await pubsub.subscribe(*CHANNELS)
        async for message in pubsub.listen():
            if message["type"] == "message":
                text = message["data"].decode()
                for queue in queues:
                    with suppress(asyncio.QueueFull):
                        queue.put_nowait(text)


async def main() -> None:
    """Serve both."""
    app = Starlette(routes=[WebSocketRoute("/v1/counters", counters)])
    config = uvicorn.Config(
        app, port=int(PORT), log_level="warning", ws_per_message_deflate=False, loop="uvloop", backlog=4096
    )
    listening = asyncio.create_task(listen())
    await uvicorn.Server(config).serve()
    listening.cancel()


if __name__ == "__main__":
    uvloop.run(main())
