"""A WebSocket echo server: the server's protocol class without viewers, for tests of RFC 6455 alone."""

from typing import Any

from websockets.frames import Frame, Opcode

from server.live.admission import Admission
from server.live.frames import Message, Op
from server.live.handshake import Opening
from server.live.websocket import CounterProtocol
from tests.rig.site_lookup import lookup_of


class Echo(CounterProtocol):
    """Sends every message back; there is no viewer, no ticket and no limit."""

    path = "/"
    max_message = 20_000_000

    def _admit(self, opening: Opening) -> None:
        self._transport.write(opening.answer)

    def _receive(self, message: Message) -> None:
        if message.op in {Op.TEXT, Op.BINARY} and self._open:
            self._transport.write(Frame(Opcode(message.op), message.data).serialize(mask=False))
        else:
            super()._receive(message)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve WebSockets only; there is no hub."""
    assert scope["type"] == "lifespan"
    await receive()
    scope["state"].update(hub=None, admission=Admission(lookup_of()))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
