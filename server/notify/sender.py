"""Brings a message to one recipient: pace, consent, claim, message, and what came of it.

In: a recipient of a page of the audience. Out: a row in the outbox that says what became of them. Law 17: the row is claimed before
the message is handed over, and only a reply tells what became of it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

from server import logs, metrics
from server.campaign import Campaign, ChannelName, RowState, Skip
from server.errors import RedisUnavailable
from server.keyring import KeyRing, Purpose
from server.logs import RepeatedWarning, log_bug
from server.mail_address import folded
from server.notify.announcement import Announcement
from server.notify.audience.source import AudienceSource, Member
from server.notify.breaker import Breaker, Permit
from server.notify.channels.channel import Channel, Delivery, Reply, Result
from server.store.channel_servers import ServerState
from server.store.outbox import Claim, Outbox
from server.timed_event import TimedEvent

FIRST_WAIT = 60.0
"""Seconds until a recipient is tried again; they double with each try."""
JITTER = 0.25
"""The share of a wait by which it is shorter or longer, so that what failed together is not tried together."""
MARK_EVERY = 0.5
"""Seconds between two tries to mark a row while Redis does not answer."""
NO_ADDRESS = "no usable address"

ENDS = {Result.SENT: RowState.SENT, Result.FAILED: RowState.FAILED, Result.UNKNOWN: RowState.UNKNOWN}

log = logs.logger("notify")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Recipient:
    """A member with the folded address (None = it is none) and the id of their row."""

    member: Member
    address: str | None
    row: str


class Outcome(Enum):
    """What became of one recipient in one pass."""

    ENDED = auto()  # there is an end now
    WAITS = auto()  # tried, and to be tried again
    FAULT = auto()  # the same, by a fault of the server
    PASSED = auto()  # there was a row already
    HELD = auto()  # not claimed: the server is paused
    STALE = auto()  # not claimed: the page is too old to tell consent
    HALTED = auto()  # not claimed: nothing more may be


class Sender:
    """Messages of one campaign on one channel.

    *halt* is set where nothing more may be claimed; *language* answers the one with texts that is nearest to what a tool names;
    *clock* gives seconds since 1970 by Redis's clock, *chance* numbers in [0, 1). Methods raise RedisUnavailable.
    """

    def __init__(
        self,
        *,
        campaign: Campaign,
        source: AudienceSource,
        channel: Channel,
        outbox: Outbox,
        breaker: Breaker,
        keyring: KeyRing,
        public_url: str,
        language: Callable[[str], str],
        halt: TimedEvent,
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
        first_wait: float = FIRST_WAIT,
        mark_every: float = MARK_EVERY,
    ) -> None:
        self.campaign = campaign
        self.source = source
        self.channel = channel
        self.outbox = outbox
        self.breaker = breaker
        self._keyring = keyring
        self._public_url = public_url
        self._language = language
        self._halt = halt
        self._clock = clock
        self._chance = chance
        self._first_wait = first_wait
        self._mark_every = mark_every
        self._unavailable = RepeatedWarning(log, "store_unavailable")

    def recipient(self, member: Member) -> Recipient:
        """A member as a recipient. One whose address cannot be used has a row too, by what was written, so that it is counted."""
        address = folded(member.address) if self.channel.name is ChannelName.MAIL else member.address
        name = member.address if address is None else address
        parts = (self.campaign.name, self.channel.name, name)
        return Recipient(member, address, self._keyring.hash(Purpose.ROW, *parts, key=self.campaign.key))

    async def deliver(self, recipient: Recipient, announcement: Announcement, fresh_until: float) -> Outcome:
        """Bring the message to one recipient, who was read from a page that tells consent until *fresh_until*.

        Also raises what the source raises when it is asked for consent.
        """
        address = recipient.address
        if address is None:
            return await self._fail_unusable(recipient)
        server = self.channel.server(recipient.member)
        pace = await self.breaker.servers.pay(self.channel.name, self.channel.per_second)
        # No connection is held meanwhile.
        if pace > 0 and await self._halt.within(pace):
            return Outcome.HALTED
        language = await self._consent(recipient, fresh_until)
        if isinstance(language, Outcome):
            return language
        if await self.breaker.permit(server) is Permit.HELD:
            return Outcome.HELD
        # Between this look and the claim nothing is waited for.
        if self._halt.is_set():
            return Outcome.HALTED
        claim = await self._claim(recipient.row, self._keyring.hashes(Purpose.SUPPRESSION, self.source.place, address))
        if claim is Claim.CLAIMED:
            return await self._send(recipient, address, self._language(language), announcement)
        if claim in {Claim.STOPPED, Claim.TOO_LATE, Claim.LEASE_LOST}:
            self._halt.set()
            return Outcome.HALTED
        if claim is Claim.SUPPRESSED:
            self._count(RowState.SKIPPED)
        return Outcome.ENDED if claim is Claim.SUPPRESSED else Outcome.PASSED

    async def _consent(self, recipient: Recipient, fresh_until: float) -> str | Outcome:
        """The language of a recipient who consents still, or what becomes of the recipient."""
        if not self.source.asks_each:
            return Outcome.STALE if self._clock() > fresh_until else recipient.member.language
        consent = await self.source.consent(recipient.member)
        if consent.opted_in and not consent.delivery_off:
            return consent.language or recipient.member.language
        await self.outbox.skip(recipient.row, Skip.DELIVERY_OFF if consent.opted_in else Skip.OPTED_OUT)
        self._count(RowState.SKIPPED)
        return Outcome.ENDED

    async def _send(self, recipient: Recipient, address: str, language: str, announcement: Announcement) -> Outcome:
        delivery = Delivery(
            row=recipient.row,
            member=recipient.member,
            address=address,
            language=language,
            deadline=self.campaign.deadline,
            announcement=announcement,
            unsubscribe=self._unsubscribe(address),
            campaign=self.campaign.name,
        )
        try:
            reply = await self.channel.send(delivery)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message may have been handed over
            log_bug(log, "notify_bug", error, campaign=self.campaign.name)
            reply = Reply(Result.UNKNOWN, self.channel.server(recipient.member), "a bug: see the worker's log")
        return await self._settle(recipient, reply)

    async def _settle(self, recipient: Recipient, reply: Reply) -> Outcome:
        """Keep what came of it, however long Redis is away: only this process knows."""
        if (end := ENDS.get(reply.result)) is not None:
            await self._mark(recipient.row, end, _told(reply))
            await self._heard(reply)
            return Outcome.ENDED
        state = await self._heard(reply)
        # While its server is down, a recipient's tries are not used up. A single fault counts all the same: it may be
        # this message that makes the server break off.
        counts = reply.retry_after is None and (reply.result is Result.AGAIN or (state.faults <= 1 and not reply.pause))
        attempts = await self._persist(lambda: self.outbox.attempts(recipient.row))
        wait = self._first_wait * 2.0 ** max(0, attempts - 1) * (1 + JITTER * (2 * self._chance() - 1))
        at = self._clock() + max(wait, reply.retry_after or 0.0)
        if at >= self.campaign.deadline and reply.result is Result.AGAIN:
            await self._mark(recipient.row, RowState.FAILED, f"{_told(reply)}; no time is left for another try")
            return Outcome.ENDED
        await self._mark(recipient.row, RowState.WAITING, _told(reply), next_try=at, counts=counts)
        return Outcome.FAULT if reply.result is Result.SERVER_FAULT else Outcome.WAITS

    async def _fail_unusable(self, recipient: Recipient) -> Outcome:
        if await self._claim(recipient.row, ()) is not Claim.CLAIMED:
            return Outcome.PASSED
        await self._mark(recipient.row, RowState.FAILED, NO_ADDRESS)
        return Outcome.ENDED

    async def _claim(self, row: str, suppressions: Collection[str]) -> Claim:
        try:
            return await self.outbox.claim(row, tuple(suppressions))
        except RedisUnavailable:
            # The claim may have had its effect. Nothing was handed over, so whoever is next may try.
            await self._mark(row, RowState.WAITING, "Redis did not answer", next_try=None, counts=False)
            raise

    async def _mark(
        self, row: str, state: RowState, reason: str = "", *, next_try: float | None = None, counts: bool = True
    ) -> None:
        await self._persist(lambda: self.outbox.mark(row, state, reason, next_try=next_try, counts=counts))
        self._count(state)

    async def _heard(self, reply: Reply) -> ServerState:
        return await self._persist(lambda: self.breaker.heard(reply))

    async def _persist(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """The answer of Redis, asked again until there is one; the end of the process ends it."""
        while True:
            try:
                answer = await ask()
            except RedisUnavailable as error:
                self._unavailable.warn("redis", campaign=self.campaign.name, error=str(error))
                await asyncio.sleep(self._mark_every)
            else:
                self._unavailable.resolved("redis", campaign=self.campaign.name)
                return answer

    def _unsubscribe(self, address: str) -> str:
        content = {
            "s": self.campaign.site,
            "p": self.source.place,
            "e": self.campaign.event_name,
            "a": address,
        }
        return f"{self._public_url}/u/{self._keyring.encrypt(Purpose.UNSUBSCRIBE, content)}"

    def _count(self, state: RowState) -> None:
        metrics.notify_messages.labels(self.channel.name, state).inc()


def _told(reply: Reply) -> str:
    return "" if reply.result is Result.SENT else reply.reason or reply.code
