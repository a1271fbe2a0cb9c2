"""Ten thousand invalid messages over WebSockets: each gets the right close code, and nothing else happens."""

import asyncio
import json
import random
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.rig.deployment import Deployment
from tests.rig.loop_lag import LoopLag
from tests.rig.measured_visitors import measured_visitors
from tests.rig.percentile import percentile
from tests.rig.process import Run
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

MESSAGES = 10_000
AT_ONCE = 16
GOOD = 50
"""Viewers that send nothing, as pages do."""
MANY = {"MAX_CONNECTIONS": "1000", "MAX_CONNECTIONS_PER_ADDRESS": "1000"}
ANSWERS = 5.0
"""Seconds in which a connection must be closed: as long as a close may take (live/websocket.py)."""
LATE = 0.1
"""Seconds by which the event loop may be late."""
TORN = 0
"""In place of a code: the client leaves in the middle of a frame."""

Dice = random.Random


def frame(
    op: int, payload: bytes, *, fin: bool = True, reserved: int = 0, masked: bool = True, size: int = -1
) -> bytes:
    """A frame, whose *size* may be false."""
    length = len(payload) if size < 0 else size
    head = bytes((fin << 7 | reserved << 4 | op,))
    bit = masked << 7
    if length < 126:
        head += bytes((bit | length,))
    elif length < 65_536:
        head += bytes((bit | 126,)) + length.to_bytes(2, "big")
    else:
        head += bytes((bit | 127,)) + length.to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = b"\x5a\xa5\x0f\xf0"
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def deep(dice: Dice) -> bytes:
    """JSON too deep for any recursive parser."""
    return frame(1, dice.choice((b"[" * 1100, b"[" * 4096, b'{"":' * 1024)))


def wrong_type(dice: Dice) -> bytes:
    """JSON that is no known message, and text that is no JSON."""
    values: tuple[Any, ...] = (
        None,
        True,
        -1,
        1e308,
        "ticket",
        [[]],
        {"ticket": 1},
        {"bye": None},
        {"v": "", "ticket": []},
    )
    said = dice.choice(values)
    return frame(1, dice.choice((json.dumps(said), "NaN", "{", "\x00\u2028\U0001f39f", "")).encode())


def unasked(dice: Dice) -> bytes:
    """Pings, pongs, and a fragmented message."""
    parts = frame(1, b'{"a', fin=False) + frame(9, b"in between") + frame(0, b'":1}')
    return dice.choice((frame(9, dice.randbytes(125)), frame(10, b""), parts))


def broken(dice: Dice) -> bytes:
    """A frame that a client must not send."""
    return dice.choice(
        (
            frame(1, b"x", reserved=dice.randrange(1, 8)),
            frame(1, b"x", masked=False),
            frame(dice.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), b"x"),
            frame(dice.choice((8, 9, 10)), bytes(126)),
            frame(dice.choice((8, 9, 10)), b"", fin=False),
            frame(0, b"nothing to continue"),
            frame(1, b"x", fin=False) + frame(1, b"not finished"),
            frame(8, b"\x03"),
            frame(8, dice.choice((0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535)).to_bytes(2, "big")),
            b"GET /v1/counters HTTP/1.1\r\nHost: here\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(50),
            # Any bytes whose first one makes them no valid frame.
            bytes((dice.randrange(256) | 0x10,)) + dice.randbytes(dice.randrange(1, 200)),
        )
    )


def binary(dice: Dice) -> bytes:
    return frame(2, dice.randbytes(dice.randrange(4096)))


def bad_text(dice: Dice) -> bytes:
    """Bytes that are no UTF-8, at once, over two frames, or as the reason of a close."""
    bad = b"ticket" + dice.choice((b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"))
    return dice.choice((frame(1, bad), frame(1, b"\xe2", fin=False) + frame(0, b"x"), frame(8, b"\x03\xe8" + bad)))


def too_big(dice: Dice) -> bytes:
    """A message over the size limit, in one frame or several, or announced only."""
    return dice.choice(
        (
            frame(1, b"x" * 5000),
            frame(2, bytes(5000)),
            frame(1, b"[" * 3000, fin=False) + frame(0, b"]" * 3000),
            frame(1, b"x", size=dice.choice((4097, 70_000, 2**31, 2**63, 2**64 - 1))),
        )
    )


def too_much(dice: Dice) -> bytes:
    """An endless message, and more messages than the limit."""
    parts = frame(1, b"", fin=False) + frame(0, b"", fin=False) * 100
    return dice.choice((parts, b"".join(wrong_type(dice) for _ in range(21)), frame(9, b"?") * 21))


def torn(dice: Dice) -> bytes:
    whole = frame(1, b"[" * dice.randrange(200, 4000))
    return whole[: dice.randrange(1, len(whole) - 1)]


IGNORED = (deep, wrong_type, unasked)
DESERVED = {broken: 1002, binary: 1003, bad_text: 1007, too_much: 1008, too_big: 1009, torn: TORN}


@dataclass
class JunkClient:
    """A client that sends some ignored messages, then one that must be closed."""

    dice: Dice

    async def visit(self, port: int, path: str) -> tuple[str, int, int, int | None]:
        """One connection: the last message's kind, the number of messages, and the expected and the actual close code."""
        last = self.dice.choice((*DESERVED,))
        said = [self.dice.choice(IGNORED)(self.dice) for _ in range(self.dice.randrange(6))]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            await self._send(writer, b"".join([*said, last(self.dice)]))
            code = TORN if DESERVED[last] == TORN else await asyncio.wait_for(_code(reader), ANSWERS)
        finally:
            if self.dice.random() < 0.5:
                writer.transport.abort()
            writer.close()
        return last.__name__, len(said) + 1, DESERVED[last], code

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send it in one piece, or in two."""
        cut = self.dice.randrange(len(data)) if self.dice.random() < 0.5 else 0
        if cut:
            writer.write(data[:cut])
            await asyncio.sleep(0.001)
        writer.write(data[cut:])


async def _code(reader: asyncio.StreamReader) -> int | None:
    """The code of the server's close, whatever it sends before; None if it closes without one."""
    try:
        while True:
            first, size = await reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2), "big")
            payload = await reader.readexactly(size)
            if first & 0x0F == 8:
                return int.from_bytes(payload[:2], "big")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def levels(log: str) -> set[str]:
    """The levels of all lines; `none` is that of a line of no known format, such as a traceback's first; the summary of the start is indented."""
    lines = (line for line in log.splitlines() if line and not line.startswith("  "))
    found = (re.match(r"\S+ \[(\w+) *\]", line) for line in lines)
    return {one[1] if one else "none" for one in found}


@pytest.mark.alone
async def test_junk_messages_get_the_right_close_codes(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """10,000 junk messages get the right close codes; no error is logged, the event loop is not late, viewers are right."""
    ticket = wix.tickets["fixed"]
    deployment = Deployment(command, redis_server().url, wix.settings(), **MANY)
    deployment.worker()
    url = await deployment.web()
    wix.send_to(url)
    port = urlsplit(url).port or 0
    got: dict[str, Counter[int | None]] = defaultdict(Counter)
    sent = 0
    loop_lag = LoopLag(command, url)
    async with measured_visitors(port, [ticket]) as visitors:
        await visitors.add(GOOD)
        await until(lambda: loop_lag.delays(0, time.monotonic()), 20)
        began = time.monotonic()

        async def send_junk(seed: int) -> None:
            nonlocal sent
            client = JunkClient(random.Random(seed))
            while sent < MESSAGES:
                name, messages, deserved, code = await client.visit(port, f"/v1/counters?ticket={ticket}")
                sent += messages
                got[f"{name}: {deserved}"][code] += 1

        async with asyncio.TaskGroup() as group:
            for seed in range(AT_ONCE):
                group.create_task(send_junk(seed))
        ended = time.monotonic()
        wix.world.buy(ticket)
        await until(lambda: visitors.wrong(wix) == 0)
        unharmed = sum(not page.ends for page in visitors.pages)

    lag = loop_lag.delays(began, ended)
    late = percentile(lag, 0.99)
    codes = sum(got.values(), Counter[int | None]())
    report(
        f"{sent:,} messages over {codes.total():,} connections in {ended - began:.0f} s, closes {dict(codes)}; "
        f"the loop late by p99 {late * 1000:.0f} ms, at most {max(lag) * 1000:.0f} ms"
    )
    assert {f"{kind.__name__}: {code}": {code} for kind, code in DESERVED.items()} == {
        kind: set(found) for kind, found in got.items()
    }
    assert sent >= MESSAGES
    assert GOOD == unharmed
    assert late <= LATE
    assert {"info"} == levels(deployment.processes[-1].err)
    assert [None, None] == [one.process.poll() for one in deployment.processes]
