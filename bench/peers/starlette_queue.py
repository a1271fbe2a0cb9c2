"""A counter as in a careful tutorial: Starlette, and for each socket a queue and a task that sends from it."""

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
"""Size of a viewer's queue: more than a run has outstanding."""

queues: set[asyncio.Queue[str]] = set()


async def write(socket: WebSocket, queue: asyncio.Queue[str]) -> None:
    """Send the queued messages of one viewer."""
    while True:
        await socket.send_text(await queue.get())


async def counters(socket: WebSocket) -> None:
    """Serve one viewer."""
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
    """Put each message from Redis into every queue; a full queue drops it."""
    async with redis.asyncio.from_url(f"redis://127.0.0.1:{REDIS}/0").pubsub() as pubsub:
        await pubsub.subscribe(*CHANNELS)
        async for message in pubsub.listen():
            if message["type"] == "message":
                text = message["data"].decode()
                for queue in queues:
                    with suppress(asyncio.QueueFull):
                        queue.put_nowait(text)


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
