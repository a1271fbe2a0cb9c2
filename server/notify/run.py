"""Runs one campaign on one channel, as long as this process holds its lease.

In: a campaign, its audience and its channel. Out: an end, or the state in which another run goes on. While none of the tickets can be
bought nothing is sent, and nothing is after the deadline; what was not sent then is counted, with the reason.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from server import logs
from server.campaign import MISSED, UNATTENDED, Campaign, ChannelName, Skip, State
from server.errors import AudienceError, AudienceRefused, LeaseLost, RedisUnavailable
from server.keyring import KeyRing
from server.logs import RepeatedWarning
from server.notify.announcement import Announcement
from server.notify.audience.source import AudienceSource
from server.notify.breaker import Breaker
from server.notify.channels.channel import Channel
from server.notify.config import NotifyConfig
from server.notify.offer import Offer
from server.notify.passes import Pass, Passes
from server.notify.sender import Outcome, Sender
from server.notify.timing import Times
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.channel_servers import ChannelServers
from server.store.outbox import Outbox
from server.store.suppressions import Suppressions
from server.timed_event import TimedEvent

OpenSource = Callable[[Campaign, ChannelName], AudienceSource]
"""The audience of a campaign on a channel; raises NotStarted."""
LookAtOffer = Callable[[Campaign], Awaitable[Offer]]
"""What of a campaign can be bought now."""
TRIED_AGAIN = "it is tried again: "
SKIPS = {State.WITHDRAWN: Skip.WITHDRAWN, State.STOPPED: Skip.STOPPED, State.TOO_LATE: Skip.TOO_LATE}

log = logs.logger("notify")


@dataclass(frozen=True, slots=True)
class Parts:
    """What all runs of a process share.

    *clock* gives seconds since 1970, by Redis's clock; *language* answers the one with texts that is nearest to what a tool names.
    """

    config: NotifyConfig
    redis: RedisClient
    keyring: KeyRing
    open_source: OpenSource
    offer: LookAtOffer
    channels: Mapping[ChannelName, Channel]
    language: Callable[[str], str]
    clock: Callable[[], float]
    times: Times = field(default_factory=Times)


class Run:
    """One campaign on one channel. Its methods raise RedisUnavailable and LeaseLost."""

    def __init__(
        self, parts: Parts, outbox: Outbox, source: AudienceSource, channel: Channel, stopping: TimedEvent
    ) -> None:
        campaign = outbox.campaign
        self.campaign = campaign
        self.outbox = outbox
        self.source = source
        self.channel = channel
        self._parts = parts
        self._times = parts.times
        self._clock = parts.clock
        self._stopping = stopping
        self._halt = TimedEvent()
        self._ended = TimedEvent()
        self._breaker = Breaker(ChannelServers(parts.redis), clock=parts.clock)
        sender = Sender(
            campaign=campaign,
            source=source,
            channel=channel,
            outbox=outbox,
            breaker=self._breaker,
            keyring=parts.keyring,
            public_url=parts.config.public_url,
            language=parts.language,
            halt=self._halt,
            clock=parts.clock,
            first_wait=self._times.first_wait,
            mark_every=self._times.mark_every,
        )
        self.passes = Passes(sender, self, halt=self._halt, stopping=stopping, clock=parts.clock, times=self._times)
        self._refused = RepeatedWarning(log, "audience_refused")
        self._noted: tuple[State, str] | None = None
        self._offer: Offer | None = None
        self._begun = False
        self._look_at = 0.0
        self._messages = 0
        self._number = 0

    def update(self, campaign: Campaign) -> None:
        """What the campaign is now, or was a moment ago: people may have stopped it, and tickets may have joined it."""
        if len(campaign.tickets) >= len(self.campaign.tickets):
            self.campaign = campaign
        if campaign.stopped_at is not None:
            self._halt.set()

    @property
    def in_flight(self) -> list[asyncio.Task[Outcome]]:
        """Messages on their way: after `run`, those that had their time."""
        return self.passes.tasks

    def halt(self) -> None:
        """Claim nothing more."""
        self._halt.set()

    async def run(self) -> None:
        """Take the lease, if no one has it, and send until an end."""
        if not await self.outbox.take():
            return
        holding = asyncio.create_task(self._hold(), name=f"notify: lease of {self.campaign.name}")
        try:
            self.update(self.campaign)
            unattended = self._past
            progress = await self.outbox.progress()
            self._number = progress.passes
            if not self._past and not self._halt.is_set():
                await self._note(State.SENDING if progress.counts.candidates else State.GATHERING)
                await self._send()
            await self._end(unattended=unattended)
        finally:
            self._halt.set()
            # It is not cancelled: a command that is cut off costs its connection.
            self._ended.set()
            await asyncio.wait({holding})
            # What is in flight still, when the process ends, becomes unknown in this step.
            with suppress(RedisUnavailable):
                await self.outbox.release()

    # -- what passes ask and tell (Watch) --

    async def gate(self) -> Announcement | None:
        """What is announced, once it can be bought; None where nothing more may be claimed. From the first on no ticket joins."""
        found = await self._announcement()
        if found is None or self._begun:
            return found
        await self.outbox.begin()
        current = await Campaigns(self._parts.redis).read(self.campaign.site, self.campaign.name)
        self.update(current or self.campaign)
        self._begun = True
        await self._look()
        return await self._announcement()

    async def _announcement(self) -> Announcement | None:
        self._messages += 1
        if self._messages > self._times.look_after or time.monotonic() >= self._look_at:
            await self._look()
        while self._offer is not None and not (self._offer.buyable and self._offer.announcement):
            await self._note(State.WITHDRAWN, self._offer.reason)
            if await self._halt.within(self._times.look):
                return None
            await self._look()
        if self._noted is not None and self._noted[0] is State.WITHDRAWN:
            await self._note(State.SENDING)
        return self._offer.announcement if self._offer else None

    async def going(self) -> None:
        """Messages are claimed."""
        await self._note(State.SENDING)

    async def paused(self, held: Collection[str]) -> None:
        """These servers are paused, and no other one is asked."""
        await self._note(State.PAUSED, await self._breaker.cause(held))

    async def source_failed(self, error: AudienceError) -> None:
        """The tool does not answer, or refuses us."""
        if isinstance(error, AudienceRefused):
            self._refused.warn(
                self.campaign.name, campaign=self.campaign.name, channel=self.channel.name, error=str(error)
            )
            await self._note(State.PAUSED, str(error))
        else:
            state = self._noted[0] if self._noted else State.GATHERING
            await self._note(state, f"{TRIED_AGAIN}{error}")

    # -- until an end --

    async def _send(self) -> None:
        """Pass over the audience until no one is new and no one waits, or nothing more may be claimed."""
        while not self._halt.is_set():
            if cure := await self._missing_keys():
                await self._note(State.PAUSED, cure)
                await self._halt.within(self._times.refused)
                continue
            if await self._announcement() is None:
                return
            await self._count_audience()
            found = await self.passes.once()
            if self._halt.is_set():
                return
            self._number += 1
            if found.complete and not found.new and not found.left:
                waiting = await self.outbox.waiting()
                if not waiting:
                    await self._count_audience()
                    # Where it is not done, a claim had its effect late: the end of this run settles it, and the next goes on.
                    if await self.outbox.finish(State.DONE):
                        log.info("campaign_done", campaign=self.campaign.name, channel=self.channel.name)
                    return
            await self._halt.within(await self._rest(found))

    async def _rest(self, found: Pass) -> float:
        """Seconds until the next pass."""
        if found.new:
            return 0.0
        if found.held:
            await self.paused(found.held)
            return min(self._times.rest, await self._breaker.next_try(found.held))
        next_try = min((await self.outbox.waiting()).values(), default=0.0)
        return max(self._times.rest, next_try - self._clock())

    async def _end(self, *, unattended: bool) -> None:
        """Where the campaign is at an end, say so and why, and count what was not sent; *unattended*: no worker ran when its time was over."""
        if self._stopping.is_set():
            return
        current = await Campaigns(self._parts.redis).read(self.campaign.site, self.campaign.name)
        stopped = current is None or current.stopped_at is not None
        progress = await self.outbox.progress()
        if progress.state is State.DONE or not (stopped or self._past):
            return
        reason = progress.note.removeprefix(TRIED_AGAIN)
        if progress.total is None:
            await self._count_audience()
            progress = await self.outbox.progress()
        withdrawn = progress.state is State.WITHDRAWN
        state = State.STOPPED if stopped else State.WITHDRAWN if withdrawn else State.TOO_LATE
        left = max(progress.total or 0, progress.counts.candidates) - progress.counts.ended
        note = f"{left} not sent" if progress.total is not None else "not sent"
        if withdrawn or self.campaign.too_late:
            note = f"{MISSED if self.campaign.too_late else reason}: {note}"
        elif state is State.TOO_LATE and (reason or unattended):
            note = f"{note}: {reason}" if reason else f"{UNATTENDED}: {note}"
        if self._past:
            for row in await self.outbox.waiting():
                await self.outbox.skip(row, SKIPS[state])
        await self.outbox.finish(state, note)
        log.info(
            "campaign_ended", campaign=self.campaign.name, channel=self.channel.name, state=str(state), not_sent=left
        )

    async def _count_audience(self) -> None:
        """How many the tool names, for the progress; a tool that cannot say so is told when its pages are read."""
        with suppress(AudienceError):
            total = await self._stopping.unless(self.source.count())
            state, text = self._noted or (State.GATHERING, "")
            await self.outbox.note(state, text, total=total, passes=self._number)

    async def _missing_keys(self) -> str:
        """What to do where a key is missing under which somebody's opt-out, or this campaign's recipients, are hashed."""
        needed = {self.campaign.key, *await Suppressions(self._parts.redis).key_ids(self.campaign.site)}
        missing = sorted(needed - set(self._parts.keyring.ids))
        if not missing:
            return ""
        return f"NOTIFY_KEYS lacks a key by which recipients are known ({', '.join(missing)}): put it back behind the others"

    async def _look(self) -> None:
        self._offer = await self._parts.offer(self.campaign)
        self._look_at, self._messages = time.monotonic() + self._times.look, 0

    async def _note(self, state: State, text: str = "") -> None:
        if self._noted != (state, text):
            await self.outbox.note(state, text)
            self._noted = (state, text)

    @property
    def _past(self) -> bool:
        return self.campaign.too_late or self._clock() >= self.campaign.deadline

    async def _hold(self) -> None:
        """Extend the lease until the run has ended; claim nothing more after the deadline, or where the lease may be lost."""
        held_until = time.monotonic() + self._times.lease
        wait = 0.0
        while not await self._ended.within(wait):
            left = self.campaign.deadline - self._clock()
            if left <= 0:
                self._halt.set()
            wait = min(self._times.lease / 3, left) if left > 0 else self._times.lease / 3
            try:
                await self.outbox.extend()
                held_until = time.monotonic() + self._times.lease
            except LeaseLost as error:
                log.warning("lease_lost", campaign=self.campaign.name, error=str(error))
                self._halt.set()
                return
            except RedisUnavailable:
                if time.monotonic() > held_until:
                    self._halt.set()
