"""Reads the audience of a campaign page by page, again and again until no one is new.

In: pages of a marketing tool, which shift when somebody leaves while they are read. Out: each recipient is brought to sender.py, as
many at once as the channel takes. Nothing of a page is kept when the next one is read, so memory does not grow with the audience.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from server import logs
from server.campaign import ChannelName, Skip
from server.errors import AudienceError, AudienceRefused, AudienceUnavailable, RedisUnavailable
from server.logs import log_bug
from server.notify.announcement import Announcement
from server.notify.audience.source import Member, Page
from server.notify.sender import Outcome, Recipient, Sender
from server.notify.timing import Times
from server.timed_event import TimedEvent

AT_ONCE = 50
"""Recipients that are hashed before other work of the process has its turn."""
MOST_CONSENT_FAULTS = 5
"""Times in a row that the tool cannot tell consent, after which it is down, not one member's entry broken."""

log = logs.logger("notify")


@dataclass(slots=True)
class Pass:
    """What one pass came to.

    `new`: recipients that were claimed or skipped in it; `left`: those that could not be, among them those of servers that are
    `held`; `complete`: the last page was read.
    """

    new: int = 0
    left: int = 0
    held: set[str] = field(default_factory=set)
    complete: bool = False


class Watch(Protocol):
    """What is asked and told while a pass runs."""

    async def gate(self) -> Announcement | None:
        """What is announced, as soon as it can be bought; None where nothing more may be claimed. Asked before each message."""
        ...

    async def going(self) -> None:
        """Messages are claimed."""
        ...

    async def paused(self, held: set[str]) -> None:
        """These servers are paused, and no other one is asked."""
        ...

    async def source_failed(self, error: AudienceError) -> None:
        """The tool does not answer, or refuses us."""
        ...


class Passes:
    """The passes of one campaign on one channel.

    *halt* is set where nothing more may be claimed, *stopping* where the process ends. Methods raise RedisUnavailable and LeaseLost.
    """

    def __init__(
        self,
        sender: Sender,
        watch: Watch,
        *,
        halt: TimedEvent,
        stopping: TimedEvent,
        clock: Callable[[], float],
        times: Times,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.sender = sender
        self.watch = watch
        self.busy: dict[str, tuple[str, asyncio.Task[Outcome]]] = {}
        """By row what is in flight, and to which server; what is left of it when the process ends was not answered in time."""
        self._halt = halt
        self._stopping = stopping
        self._clock = clock
        self._chance = chance
        self._times = times
        self._missed: set[str] = set()
        self._held: dict[str, tuple[float, bool]] = {}
        self._stale = False
        self._going = False
        self._consent_faults = 0
        self._consent_error: AudienceError | None = None
        self._fault: Exception | None = None

    @property
    def tasks(self) -> list[asyncio.Task[Outcome]]:
        """What is in flight."""
        return [task for _, task in self.busy.values()]

    @property
    def size(self) -> int:
        """Members of a page: so few that it is used up while it tells consent, where nothing else does."""
        size = self._times.page
        if not self.sender.source.asks_each:
            size = min(size, int(self.sender.channel.per_second * self._times.fresh * 0.8))
        return max(1, size)

    async def once(self) -> Pass:
        """Read the whole audience once, and bring the message to everyone who may be claimed."""
        found, cursor = Pass(), None
        unmet = set(await self.sender.outbox.waiting())
        try:
            while (page := await self._page(cursor)) is not None:
                fresh_until = self._clock() + self._times.fresh
                recipients = await self._recipients(page.members)
                unmet.difference_update(recipients)
                if not await self._bring(recipients, fresh_until, found):
                    continue
                found.complete = page.next is None
                if (cursor := page.next) is None:
                    break
        finally:
            await self._drain(found)
        self._raise_fault()
        if self._going and found.new and not self._halt.is_set():
            await (
                self.watch.going()
            )  # where all were in flight at once, none was brought after the first one had an end
        if self._consent_error is not None:
            await self.watch.source_failed(self._consent_error)
            self._consent_error = None
        found.complete = found.complete and not self._halt.is_set()
        if found.complete:
            await self._give_up(unmet)
        return found

    async def _page(self, cursor: str | None) -> Page | None:
        """A page, as soon as the tool answers; None where nothing more may be claimed."""
        tries = 0
        while not self._halt.is_set():
            try:
                return await self._halt.unless(self.sender.source.page(cursor, self.size))
            except AudienceError as error:
                tries += 1
                await self._back_off(error, tries)
        return None

    async def _back_off(self, error: AudienceError, tries: int) -> None:
        await self.watch.source_failed(error)
        wait = self._times.refused
        if not isinstance(error, AudienceRefused):
            wait = min(self._times.longest_retry, self._times.retry * 2.0 ** min(tries - 1, 20))
            wait *= 0.75 + 0.5 * self._chance()
        if isinstance(error, AudienceUnavailable) and error.retry_after is not None:
            wait = max(wait, error.retry_after)
        await self._halt.within(wait)

    async def _recipients(self, members: Sequence[Member]) -> dict[str, Recipient]:
        found = {}
        for number, member in enumerate(members):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            recipient = self.sender.recipient(member)
            found[recipient.row] = recipient
        return found

    async def _bring(self, recipients: Mapping[str, Recipient], fresh_until: float, found: Pass) -> bool:
        """Begin to bring the message to everyone of a page who may be claimed; False where the page has to be read again."""
        may = await self.sender.outbox.new(list(recipients))
        for row, recipient in recipients.items():
            if row not in may or row in self.busy:
                continue
            await self._free_slot(found)
            server = self.sender.channel.server(recipient.member)
            if await self._is_held(server, found):
                continue
            announcement = await self.watch.gate()
            if announcement is None or self._halt.is_set():
                return True
            if self._stale or (not self.sender.source.asks_each and self._clock() > fresh_until):
                self._stale = False
                return False
            if self._consent_error is not None and self._consent_faults >= MOST_CONSENT_FAULTS:
                await self._back_off(self._consent_error, self._consent_faults - MOST_CONSENT_FAULTS + 1)
                self._consent_error = None
                return False
            if self._going:
                await self.watch.going()
            bringing = self.sender.deliver(recipient, announcement, fresh_until)
            self.busy[row] = server, asyncio.create_task(bringing, name=f"notify: a {self.sender.channel.name}")
        return True

    async def _is_held(self, server: str, found: Pass) -> bool:
        """Whether a server is paused. Where it is the only one, as for mail, wait; else the others are served meanwhile."""
        while not self._halt.is_set():
            until, held = self._held.get(server, (0.0, False))
            if self._clock() >= until:
                held = await self.sender.breaker.held_for(server) > 0
                self._held[server] = (self._clock() + self._times.poll, held)
            if not held:
                return False
            if self.sender.channel.name is not ChannelName.MAIL:
                found.held.add(server)
                found.left += 1
                return True
            await self.watch.paused({server})
            await self._halt.within(self._times.poll)
            self._collect(found)
        return False

    async def _free_slot(self, found: Pass) -> None:
        """Wait until one more may be in flight."""
        self._collect(found)
        while len(self.busy) >= self.sender.channel.parallel and not self._halt.is_set():
            await self._wait_for_one(self._halt)
            self._collect(found)
        self._raise_fault()

    async def _wait_for_one(self, event: TimedEvent) -> None:
        """Wait until something in flight has ended, or an event is set."""
        waiting = asyncio.create_task(event.wait())
        try:
            await asyncio.wait({*self.tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def _drain(self, found: Pass) -> None:
        """Wait for all that is in flight: as long as it takes, but when the process ends."""
        while self.busy and not self._stopping.is_set():
            await self._wait_for_one(self._stopping)
            self._collect(found)
        if self.busy:
            await asyncio.wait(self.tasks, timeout=self._times.grace)
            self._collect(found)

    def _collect(self, found: Pass) -> None:
        """What has ended of what was in flight."""
        for row, (server, task) in list(self.busy.items()):
            if not task.done():
                continue
            del self.busy[row]
            error = task.exception()
            if error is None:
                self._note(task.result(), server, found)
            elif isinstance(error, AudienceError):
                found.left += 1
                self._consent_faults += 1
                self._consent_error = error
            elif isinstance(error, RedisUnavailable):
                self._fault = error
            else:
                found.left += 1
                log_bug(log, "notify_bug", error, campaign=self.sender.campaign.name)

    def _note(self, outcome: Outcome, server: str, found: Pass) -> None:
        match outcome:
            case Outcome.ENDED | Outcome.WAITS:
                found.new += 1
                self._going = True
                self._consent_faults = 0
            case Outcome.FAULT:
                found.new += 1
            case Outcome.HELD:
                found.left += 1
                found.held.add(server)
                self._held[server] = (self._clock() + self._times.poll, True)
            case Outcome.STALE:
                self._stale = True

    async def _give_up(self, unmet: set[str]) -> None:
        """Who waits for another try and is not in the audience any more is not tried again.

        A page that shifts can hide a member from one pass, so that two in a row have to agree.
        """
        for row in unmet & self._missed:
            await self.sender.outbox.skip(row, Skip.OPTED_OUT)
        self._missed = unmet

    def _raise_fault(self) -> None:
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault
