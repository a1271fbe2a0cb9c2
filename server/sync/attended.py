"""Does what a person waits for: brings one ticket now, and asks a target again that does not answer.

In: a ticket, an applier. Out: what became of it. It waits for other processes, under the same leases as the workers, and says why
nothing happens meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from server.errors import LeaseLost, NotStarted, TargetUnavailable
from server.model import SiteId, TicketId
from server.store.sync_due import LASTS, Claimed
from server.sync.applier import Applier
from server.sync.model import Kind, Operation, Outcome, Reason, State
from server.sync.stores import Stores
from server.sync.work import Allowed

NOTICE_AFTER = 2.0
WAITS = (
    f"waiting, for {LASTS:.0f} s at most: another process writes to the target, or was killed while it did so, "
    "and what it sent may still be executed"
)
"""Seconds after which a person is told why nothing happens, and what is said."""
TRIES = 6
"""How often something is tried while the target gives no answer, before it is left to the workers."""
ASK_EVERY = 0.1
"""Seconds between two questions whether another process still has a ticket."""


class Attended:
    """What is done while a person waits; *clock* gives seconds since 1970. Methods raise RedisUnavailable, TargetForbidden."""

    def __init__(self, stores: Stores, *, clock: Callable[[], float]) -> None:
        self.stores = stores
        self._clock = clock
        self.notice: Callable[[str], None] = lambda _: None
        """Called with a line for the person who waits."""

    async def bring(self, applier: Applier, site: SiteId, ticket: TicketId, allowed: Allowed) -> Outcome:
        """Bring one ticket now; one that the target does not answer for is tried again, and then left to the workers."""
        outcome = None
        for _ in range(TRIES):
            await self._until_answering(applier)
            told = asyncio.get_running_loop().call_later(NOTICE_AFTER, self.notice, WAITS)
            try:
                # Before the lease: all others wait for that, and a claim of a process that died lasts longer.
                claimed = await self._claimed(applier, site, ticket)
                async with self.stores.leases.held(applier.settings.server) as lease:
                    told.cancel()
                    outcome = await applier.bring(claimed, lease, allowed)
            except LeaseLost:
                continue
            finally:
                told.cancel()
            if outcome.state is not State.DUE:
                return outcome
        return outcome or Outcome(Operation(Kind.UPDATE, ticket, "", None, Reason.NOT_KNOWN), State.DUE, "no lease")

    async def asking(self, applier: Applier, ask: Callable[[], Awaitable[None]]) -> None:
        """Ask a target something, again while it does not answer; raises TargetUnavailable if it never does."""
        for left in reversed(range(TRIES)):
            await self._until_answering(applier)
            try:
                await ask()
            except TargetUnavailable as error:
                if not left:
                    raise
                await applier.faults.pause(error)
            else:
                return

    async def _claimed(self, applier: Applier, site: SiteId, ticket: TicketId) -> Claimed:
        """Claim the ticket, after the process that has it: one that died has it until its claim ends."""
        deadline = time.monotonic() + LASTS + 5
        while (claimed := await self.stores.due.claim(site, applier.settings.name, ticket)) is None:
            if time.monotonic() > deadline:
                raise NotStarted(f"another process has had ticket {ticket} for more than {LASTS:.0f} s")
            await asyncio.sleep(ASK_EVERY)
        return claimed

    async def _until_answering(self, applier: Applier) -> None:
        """Wait while the target waits after a fault."""
        while True:
            state = await self.stores.targets.read(applier.settings.name)
            wait = state.wait_until - self._clock()
            if wait <= 0:
                return
            await asyncio.sleep(min(wait, 1.0))
