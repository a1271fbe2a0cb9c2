"""Parses what clients send on a WebSocket (RFC 6455, sections 5, 7 and 8.1), and builds control frames.

In: bytes as they arrive. Out: whole messages and control frames in their order, or Broken with the close code. A FrameParser
is empty between two messages and can be discarded then; a frame's length is checked before the frame has arrived, so it
never holds more than one message and an incomplete control frame.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from websockets.utils import apply_mask

from server.wire import Close

LARGEST_CONTROL = 125
MAX_FRAMES = 100
"""Frames of one message: without a limit, an empty one costs its sender six bytes, and the server as much as any."""


class Op(IntEnum):
    """Opcodes (section 5.2)."""

    CONT = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_OPS = {int(op): op for op in Op}


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message (TEXT, BINARY) or a control frame (CLOSE, PING, PONG)."""

    op: Op
    data: bytes


class Broken(Exception):
    """The client broke the protocol; `code` is what its connection is closed with (section 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class FrameParser:
    """One client's frames; a message has at most *max_message* bytes."""

    __slots__ = ("_decoder", "_frames", "_max_message", "_message", "_op", "_rest", "_stopped")

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        # The bytes of an incomplete frame.
        self._rest = b""
        # An incomplete message: its opcode, and what has arrived; None and empty between messages.
        self._op: Op | None = None
        self._message = bytearray()
        self._frames = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._stopped = False

    @property
    def idle(self) -> bool:
        """Whether nothing is incomplete: then the parser need not be kept."""
        return not self._rest and self._op is None and not self._stopped

    def stop(self) -> None:
        """Parse nothing more, not of these bytes either: after Broken it is unknown where a frame begins."""
        self._stopped = True

    def parse(self, data: bytes) -> Iterator[Message]:
        """Yield what is complete by now. Raises Broken in its turn: what came before it is yielded first."""
        if self._stopped:
            return
        data = self._rest + data if self._rest else data
        self._rest = b""
        at = 0
        while at < len(data) and not self._stopped:
            head = self._head(data, at)
            if head is None:
                break
            op, fin, start, length = head
            if len(data) < start + length:
                break
            payload = apply_mask(data[start : start + length], data[start - 4 : start])
            at = start + length
            if op >= Op.CLOSE:
                self._stopped = op is Op.CLOSE  # nothing follows one (section 5.5.1)
                yield Message(op, payload)
            elif (message := self._continue(op, payload, fin=fin)) is not None:
                yield message
        self._rest = b"" if self._stopped else data[at:]

    def _head(self, data: bytes, at: int) -> tuple[Op, bool, int, int] | None:
        """Opcode, FIN, where the payload starts, and its length; None while the head is incomplete."""
        if len(data) < at + 2:
            return None
        first, second = data[at], data[at + 1]
        fin, length = first & 0x80 > 0, second & 0x7F
        if first & 0x70:
            raise Broken(Close.PROTOCOL_ERROR, "reserved bits are set, and no extension was agreed on")
        if not second & 0x80:
            raise Broken(Close.PROTOCOL_ERROR, "a client's frame must be masked")
        op = self._opcode(first & 0x0F)
        if op >= Op.CLOSE and (length > LARGEST_CONTROL or not fin):
            raise Broken(Close.PROTOCOL_ERROR, "a control frame is one frame of at most 125 bytes")
        extra = {126: 2, 127: 8}.get(length, 0)
        start = at + 2 + extra
        if len(data) < start + 4:
            return None
        if extra:
            length = int.from_bytes(data[at + 2 : start], "big")
        if op < Op.CLOSE and len(self._message) + length > self._max_message:
            raise Broken(Close.TOO_BIG, f"a message has at most {self._max_message} bytes")
        return op, fin, start + 4, length

    def _opcode(self, number: int) -> Op:
        op = _OPS.get(number)
        if op is None:
            raise Broken(Close.PROTOCOL_ERROR, f"opcode {number} is reserved")
        if op is Op.CONT and self._op is None:
            raise Broken(Close.PROTOCOL_ERROR, "there is no message to continue")
        if op in {Op.TEXT, Op.BINARY} and self._op is not None:
            raise Broken(Close.PROTOCOL_ERROR, "the message before is not finished")
        return op

    def _continue(self, op: Op, payload: bytes, *, fin: bool) -> Message | None:
        if op is not Op.CONT:
            self._op, self._frames = op, 0
            self._decoder = codecs.getincrementaldecoder("utf-8")() if op is Op.TEXT else None
        self._frames += 1
        if self._frames > MAX_FRAMES:
            raise Broken(Close.TOO_MUCH, f"a message has at most {MAX_FRAMES} frames")
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, final=fin)
            except UnicodeDecodeError:
                raise Broken(Close.INVALID_UTF8, "text must be UTF-8") from None
        self._message += payload
        if not fin or self._op is None:
            return None
        message = Message(self._op, bytes(self._message))
        self._op, self._message, self._decoder = None, bytearray(), None
        return message


def close_code(data: bytes) -> int:
    """The code that a close frame carries, 1000 for one without. Raises Broken for one that may not be sent."""
    if not data:
        return Close.NORMAL
    if len(data) == 1:
        raise Broken(Close.PROTOCOL_ERROR, "a close frame has no code or a whole one")
    code = int.from_bytes(data[:2], "big")
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise Broken(Close.PROTOCOL_ERROR, f"{code} is no code to close with")
    try:
        data[2:].decode()
    except UnicodeDecodeError:
        raise Broken(Close.INVALID_UTF8, "a close frame's reason must be UTF-8") from None
    return code


def control(op: Op, data: bytes = b"") -> bytes:
    """A control frame of ours: unmasked, whole."""
    return bytes((0x80 | op, len(data))) + data


PING = control(Op.PING)


def close(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut where a control frame ends."""
    return control(
        Op.CLOSE, code.to_bytes(2, "big") + reason.encode()[: LARGEST_CONTROL - 2].decode(errors="ignore").encode()
    )
