"""A counter on websockets: its asyncio server, and its broadcast() for each message from Redis."""

import sys

import redis.asyncio
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

PORT, REDIS, *CHANNELS = sys.argv[1:]
viewers: set[ServerConnection] = set()


async def counters(viewer: ServerConnection) -> None:
    """Serve one viewer."""
    viewers.add(viewer)
    try:
        await viewer.wait_closed()
    finally:
        viewers.discard(viewer)


async def main() -> None:
    """Serve viewers, and send each message from Redis to all of them."""
    async with redis.asyncio.from_url(f"redis://127.0.0.1:{REDIS}/0").pubsub() as pubsub:
        await pubsub.subscribe(*CHANNELS)
        async with serve(counters, "127.0.0.1", int(PORT), compression=None, backlog=4096):
            async for message in pubsub.listen():
                if message["type"] == "message":
                    broadcast(viewers, message["data"].decode())


if __name__ == "__main__":
    uvloop.run(main())
