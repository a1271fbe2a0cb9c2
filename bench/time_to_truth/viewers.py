"""A process with all viewers: `python -m bench.time_to_truth.viewers URL SITE NUMBER TICKET...`.

The viewers are spread over the tickets, one each. It writes `ready` when each has a number, and when its standard input is closed,
one line of JSON: for each viewer its ticket and its numbers, each with the time when it came (time.monotonic).
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from bench.servers import ROOT
from bench.viewers import VIEWER_CORE, pinned
from tests.rig.recording_viewers import websocket_viewer
from tests.rig.server import until

READY_WITHIN = 60.0
"""Seconds until every viewer has a number."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one viewer has seen of its ticket from its first number on: (time, number), in the order in which they came.

    None is a counter without a number.
    """

    ticket: str
    numbers: list[tuple[float, int | None]]


class Viewers:
    """The process as the benchmark sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, site: str, number: int, tickets: list[str], log: Path) -> "Viewers":
        """Connect so many viewers, and wait until each has a number. Raises RuntimeError."""
        command = [sys.executable, "-m", __name__, url, site, str(number), *tickets]
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *pinned(VIEWER_CORE, *command),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=1 << 26,
            )
        assert process.stdout is not None
        if await process.stdout.readline() != b"ready\n":
            await process.wait()
            raise RuntimeError(f"the viewers ended: {await asyncio.to_thread(log.read_text)}")
        return cls(process)

    async def end(self) -> list[Seen]:
        """Disconnect all; answers what each has seen."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        line = await self._process.stdout.readline()
        await self._process.wait()
        # A viewer that came before the first read of its ticket had to wait for a number.
        return [
            Seen(ticket, list(dropwhile(lambda one: one[1] is None, ((at, number) for at, number in numbers))))
            for ticket, numbers in json.loads(line)
        ]


async def _watch(url: str, site: str, number: int, tickets: list[str]) -> None:
    # The plain event loop: its time is that of time.monotonic().
    async with AsyncExitStack() as stack:
        viewers = [
            (ticket, await stack.enter_async_context(websocket_viewer(url, site, [ticket])))
            for ticket in (tickets[one % len(tickets)] for one in range(number))
        ]
        await until(lambda: all(viewer.unsold(ticket) is not None for ticket, viewer in viewers), READY_WITHIN)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    print(
        json.dumps(
            [[ticket, [(one.at, one.counter["unsold"]) for one in viewer.received]] for ticket, viewer in viewers]
        )
    )


if __name__ == "__main__":
    asyncio.run(_watch(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
