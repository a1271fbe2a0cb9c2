"""A counter on Django Channels: a consumer in a group, as in its tutorial, on uvicorn and the Redis pub/sub layer.

It runs in the virtual environment that bench/install.py creates. The publisher of the benchmark sends what `group_send`
would, as a Django view or a worker in another process does.
"""

import sys
from typing import Any

import django  # type: ignore[import-not-found]  # only in the peers' environment
import uvicorn
from django.conf import settings  # type: ignore[import-not-found]

PORT, REDIS, *_ = sys.argv[1:]
LAYER = {
    "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "CONFIG": {"hosts": [f"redis://127.0.0.1:{REDIS}/0"]},
}
settings.configure(SECRET_KEY="bench", CHANNEL_LAYERS={"default": LAYER})
django.setup()

# These imports need the settings.
from channels.generic.websocket import AsyncWebsocketConsumer  # type: ignore[import-untyped]  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # type: ignore[import-untyped]  # noqa: E402
from django.urls import path  # type: ignore[import-not-found]  # noqa: E402


class Counters(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One viewer."""

    async def connect(self) -> None:
        """Accept it."""
        await self.channel_layer.group_add("counters", self.channel_name)
        await self.accept()

    async def disconnect(self, _code: int) -> None:
        """Remove it from the group."""
        await self.channel_layer.group_discard("counters", self.channel_name)

    async def counter(self, event: dict[str, Any]) -> None:
        """Send a message of the group."""
        await self.send(text_data=event["text"])


app = ProtocolTypeRouter({"websocket": URLRouter([path("v1/counters", Counters.as_asgi())])})

if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(PORT),
        log_level="warning",
        ws_per_message_deflate=False,
        loop="uvloop",
        backlog=4096,
        lifespan="off",
    )
