"""A marketing tool and a way to send in memory, with the Protocols of notify; nothing of them is random.

ModelAudience   a list of subscribers, whose pages shift when somebody leaves, and which fails where its settings say so
ModelChannel    takes messages, and replies what a test has scripted for an address
people          addresses of so many subscribers
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from server.campaign import ChannelName
from server.errors import AudienceError
from server.notify.audience.source import Consent, Member, Page, SaleDate
from server.notify.channels.channel import Delivery, Reply, Result

SENT = Reply(Result.SENT, "mail", code="250")
REFUSED = Reply(Result.FAILED, "mail", "5.1.1 no such mailbox", "550")
GREYLISTED = Reply(Result.AGAIN, "mail", "4.2.0 try again later", "450")
NO_ANSWER = Reply(Result.UNKNOWN, "mail", "no answer after the message was handed over")
DOWN = Reply(Result.SERVER_FAULT, "mail", "the connection was refused", cure="start the relay")
REJECTS_US = Reply(
    Result.SERVER_FAULT, "mail", "it refuses our password", "535", pause=True, cure="correct NOTIFY_SMTP_URL"
)


def people(count: int, first: int = 0, domain: str = "example.org") -> list[str]:
    """Addresses of so many subscribers."""
    return [f"p{number}@{domain}" for number in range(first, first + count)]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One entry of the list; only `confirmed` ones are members."""

    member: Member
    confirmed: bool = True
    delivery_off: bool = False


class ModelAudience:
    """The model; all of its settings may be changed while it is used.

    `faults`: what the n-th request for a page raises, from 1; `down`: what every request raises. `on_page` gets the number of each
    request for a page after its answer was made: what it changes is not in that answer. `on_consent` gets the address before each
    answer to `consent`.
    """

    takes_sign_ups = True

    def __init__(
        self,
        addresses: Iterable[str] = (),
        *,
        place: str = "model:list",
        asks_each: bool = True,
        faults: Mapping[int, AudienceError] | None = None,
        on_page: Callable[[int], None] | None = None,
        on_consent: Callable[[str], None] | None = None,
    ) -> None:
        self.place = place
        self.asks_each = asks_each
        self.faults = dict(faults or {})
        self.down: AudienceError | None = None
        self.on_page = on_page
        self.on_consent = on_consent
        self.subscribers: dict[str, Subscriber] = {}
        self.pages: list[tuple[str | None, int]] = []
        """The cursor and size of each request for a page."""
        self.asked: list[str] = []
        """Whose consent was asked for."""
        self.signed_up: list[tuple[str, str]] = []
        self.dates: list[SaleDate] = []
        self.closed = False
        for address in addresses:
            self.subscribe(address)

    # -- what a person does in the tool --

    def subscribe(
        self, address: str, language: str = "", *, confirmed: bool = True, delivery_off: bool = False, id_: str = ""
    ) -> None:
        """One more subscriber."""
        self.subscribers[address] = Subscriber(Member(address, id_ or address, language), confirmed, delivery_off)

    def leave(self, address: str) -> None:
        """Somebody unsubscribes: all after them move up one place."""
        self.subscribers.pop(address, None)

    def turn_delivery_off(self, address: str) -> None:
        """Somebody wants no mail for the time being."""
        self.subscribers[address] = replace(self.subscribers[address], delivery_off=True)

    # -- the Protocol --

    async def count(self) -> int:
        """How many confirmed ones there are."""
        self._fail()
        return len(self._members())

    async def page(self, cursor: str | None, size: int) -> Page:
        """The next members by their place in the list, which is what the cursor says."""
        self.pages.append((cursor, size))
        number = len(self.pages)
        await asyncio.sleep(0)
        self._fail()
        if (fault := self.faults.pop(number, None)) is not None:
            raise fault
        members = self._members()
        first = int(cursor or 0)
        found = Page(tuple(members[first : first + size]), str(first + size) if first + size < len(members) else None)
        if self.on_page:
            self.on_page(number)
        return found

    async def consent(self, member: Member) -> Consent:
        """What the list says of a member now."""
        self._fail()
        self.asked.append(member.address)
        if self.on_consent:
            self.on_consent(member.address)
        found = self.subscribers.get(member.address)
        if found is None or not found.confirmed:
            return Consent(opted_in=False)
        return Consent(opted_in=True, delivery_off=found.delivery_off, language=found.member.language)

    async def opt_out(self, address: str) -> None:
        """Take an address off the list."""
        self._fail()
        self.leave(address)

    async def sign_up(self, address: str, language: str) -> None:
        """An address that is to be asked."""
        self._fail()
        self.signed_up.append((address, language))

    async def hold_date(self, date: SaleDate) -> None:
        """Remember a date."""
        self._fail()
        self.dates.append(date)

    async def aclose(self) -> None:
        """Nothing is open."""
        self.closed = True

    # -- inside --

    def _members(self) -> list[Member]:
        return [one.member for one in self.subscribers.values() if one.confirmed]

    def _fail(self) -> None:
        if self.down is not None:
            raise self.down


class ModelChannel:
    """The model.

    `script`: the replies to the first tries to an address, in their order; every other try gets `reply`. `gate`: while it is not set,
    no reply comes, and after it each takes `delay` seconds. Of push, the server is named by the host of the address.
    """

    def __init__(
        self,
        name: ChannelName = ChannelName.MAIL,
        *,
        per_second: float = 10_000.0,
        parallel: int = 4,
        reply: Reply = SENT,
        script: Mapping[str, Sequence[Reply]] | None = None,
        on_try: Callable[[Delivery], None] | None = None,
        delay: float = 0.0,
    ) -> None:
        self.delay = delay
        self.name = name
        self.per_second = per_second
        self.parallel = parallel
        self.reply = reply
        self.script = {address: list(replies) for address, replies in (script or {}).items()}
        self.on_try = on_try
        self.gate = asyncio.Event()
        self.gate.set()
        self.tries: list[Delivery] = []
        self.taken: list[Delivery] = []
        """What was accepted."""
        self.at_once = 0
        self.most_at_once = 0
        self.closed = False

    @property
    def addresses(self) -> list[str]:
        """To whom a message was accepted, in that order."""
        return [one.address for one in self.taken]

    def server(self, member: Member) -> str:
        """The relay, or the push service of an endpoint."""
        return "mail" if self.name is ChannelName.MAIL else f"push {urlsplit(member.address).hostname}"

    async def send(self, delivery: Delivery) -> Reply:
        """The next scripted reply to this address."""
        self.tries.append(delivery)
        if self.on_try:
            self.on_try(delivery)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            await asyncio.sleep(self.delay)
        finally:
            self.at_once -= 1
        replies = self.script.get(delivery.address)
        found = replace(replies.pop(0) if replies else self.reply, server=self.server(delivery.member))
        if found.result is Result.SENT:
            self.taken.append(delivery)
        return found

    async def aclose(self) -> None:
        """Nothing is open."""
        self.closed = True
