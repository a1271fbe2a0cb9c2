"""What visitors asked of notify, encrypted, until a worker has done it: opt-outs and sign-ups on their way to a marketing tool.

In: contents that the keyring encrypted, and keyed hashes of recipients and senders; no address comes here. Out: claims, each for one
worker, which end by themselves if it dies. What could not be done in a week, or
never will be, is parked: its content is deleted. Scripts decide, by
Redis's clock. Every method raises RedisUnavailable when Redis does not take its command.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import uuid4

from server.model import EventId, SiteId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.wire import encodable

MOST_WAITING = {"opt-out": 100_000, "sign-up": 10_000}
"""Requests of a site that may wait. An opt-out needs a link that we made, so only those who got a mail can ask; anyone signs up."""
DAY, HOUR = 86_400, 3_600
SIGN_UPS_OF_RECIPIENT = 3
"""Events for which a recipient may be signed up in a day, once for each: who signs up strangers has them asked no more often."""
SIGN_UPS_OF_SENDER = 20
"""Sign-ups that are taken from one client's address in an hour: a school or an office shares one."""
PARKED_AFTER = 7 * DAY
REMEMBERED = 90 * DAY
"""Seconds that the id of a parked request, and the last reason of a tool, are remembered."""
DONE_LATELY = 600
"""Seconds in which an opt-out that is done is not kept again: a link can be opened any number of times."""
LASTS = 120
"""Seconds that a claim lasts: longer than the time-outs of all requests that one needs."""
FIRST_WAIT, LONGEST_WAIT = 5.0, HOUR
"""Seconds until the second try, and at most between two tries; each wait is twice the one before it."""


class RequestKind(StrEnum):
    """What was asked."""

    OPT_OUT = "opt-out"
    SIGN_UP = "sign-up"


class Kept(StrEnum):
    """What became of a request as it came."""

    KEPT = "kept"
    AGAIN = "again"  # it waits already, or was asked or done lately: nothing is left to do
    CROWDED = "crowded"  # too many from this sender
    FULL = "full"  # too many wait


@dataclass(frozen=True, slots=True)
class Request:
    """A request, as a rule one that this worker has claimed. `about`: the place of an opt-out, the event of a sign-up. `asked_at` in seconds."""

    site: SiteId
    kind: RequestKind
    id: str
    content: str
    about: str
    asked_at: float = 0.0
    tries: int = 0
    claim: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The requests of one kind of a site. `oldest`: since when the one waits that waits longest (seconds since 1970).

    `parked` counts those of the last 90 days that were given up, and `given_up` has the last reason of each place or event for that.
    `faults`: what each place or event said last, where it failed and is tried again.
    """

    waiting: int = 0
    oldest: float | None = None
    parked: int = 0
    faults: Mapping[str, str] = field(default_factory=dict)
    given_up: Mapping[str, str] = field(default_factory=dict)


class NotifyRequests:
    """The requests of all sites."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def opt_out(self, site: SiteId, place: str, encrypted: str, recipient_hash: str) -> Kept:
        """Keep an opt-out: `KEPT`, `AGAIN` or `FULL`.

        *encrypted* has the address. *recipient_hash* is of place and address, the first of `KeyRing.hashes` of a suppression.
        """
        return await self._keep(Request(site, RequestKind.OPT_OUT, recipient_hash, encrypted, place), recipient_hash)

    async def sign_up(
        self, site: SiteId, event: EventId, encrypted: str, recipient_hash: str, sender_hash: str
    ) -> Kept:
        """Keep a sign-up for an event, once a day for a recipient.

        *encrypted* has the address and the language. *recipient_hash* and *sender_hash* are keyed hashes of the e-mail address, and of
        the client's address.
        """
        request = Request(site, RequestKind.SIGN_UP, f"{event}:{recipient_hash}", encrypted, event)
        most = (SIGN_UPS_OF_RECIPIENT, SIGN_UPS_OF_SENDER, DAY, HOUR)
        return await self._keep(request, recipient_hash, sender_hash, most)

    async def claim(self, site: SiteId, kind: RequestKind) -> Request | None:
        """The request that is longest due, for this worker alone for `LASTS` seconds; None where none is due."""
        claim = uuid4().hex
        keys = [self._key(site, kind), self._key(site, kind, "due")]
        found = await self.redis.run(scripts.NOTIFY_REQUEST_CLAIM, keys, [claim, LASTS])
        if not found:
            return None
        name, text = found
        asked_at, tries, _, content, about = text.split(" ", 4)
        return Request(site, kind, name, content, about, float(asked_at), int(tries), claim)

    async def done(self, request: Request) -> bool:
        """It is done, and nothing is kept of it; answers whether this worker still had it."""
        lately = DONE_LATELY if request.kind is RequestKind.OPT_OUT else 0
        return await self._settle(request, "done", lately) != "lost"

    async def failed(
        self, request: Request, reason: str, retry_after: float | None = None, *, for_good: bool = False
    ) -> bool:
        """It could not be done, for a *reason* without personal data: it is due again later, or parked after a week.

        *retry_after*: seconds that the tool asked for. *for_good*: it is parked at once. Answers whether it was parked now.
        """
        wait = min(LONGEST_WAIT, max(FIRST_WAIT * 2 ** min(request.tries, 20), retry_after or 0.0))
        most = 0 if for_good else PARKED_AFTER
        return await self._settle(request, "failed", encodable(reason), wait, most, REMEMBERED) == "parked"

    async def backlog(self, site: SiteId, kind: RequestKind) -> Backlog:
        """What waits, and what was given up."""
        waiting = self._key(site, kind, "waiting")
        first = await self.redis.do("ZRANGE", waiting, 0, 0, "WITHSCORES")
        faults = await self.redis.do("HGETALL", self._key(site, kind, "faults"))
        return Backlog(
            int(await self.redis.do("ZCARD", waiting)),
            float(dict(first).popitem()[1]) if first else None,
            int(await self.redis.do("ZCARD", self._key(site, kind, "parked"))),
            dict(faults),
            dict(await self.redis.do("HGETALL", self._key(site, kind, "given-up"))),
        )

    async def forget(self, site: SiteId, kind: RequestKind, recipient_hashes: Collection[str]) -> int:
        """Delete what is kept of a person under these hashes; answers how many requests that were."""
        rows = self._key(site, kind)
        count = 0
        for name in await self.redis.do("HKEYS", rows):
            if str(name).rpartition(":")[2] in recipient_hashes:
                count += int(await self.redis.do("HDEL", rows, name))
                for part in ("due", "waiting"):
                    await self.redis.do("ZREM", self._key(site, kind, part), name)
        parked = self._key(site, kind, "parked")
        for name in await self.redis.do("ZRANGE", parked, 0, -1):
            if str(name).rpartition(":")[2] in recipient_hashes:
                count += int(await self.redis.do("ZREM", parked, name))
        for one in recipient_hashes:
            await self.redis.do("DEL", self._key(site, kind, "lately", one))
        return count

    async def _keep(self, request: Request, recipient: str, sender: str = "", more: tuple[int, ...] = ()) -> Kept:
        site, kind = request.site, request.kind
        keys = [self._key(site, kind), *(self._key(site, kind, part) for part in ("due", "waiting", "parked"))]
        keys += [self._key(site, kind, "lately", recipient), self._key(site, kind, "sender", sender)]
        args: list[str | int] = [kind, request.id, request.content, encodable(request.about), MOST_WAITING[kind], *more]
        return Kept(await self.redis.run(scripts.NOTIFY_REQUEST, keys, args))

    async def _settle(self, request: Request, how: str, *more: str | float) -> str:
        site, kind = request.site, request.kind
        parts = ("due", "waiting", "parked", "faults", "given-up")
        keys = [self._key(site, kind), *(self._key(site, kind, part) for part in parts)]
        keys.append(self._key(site, kind, "lately", request.id.rpartition(":")[2]))
        args: list[str | float] = [request.id, request.claim, how, *more]
        return str(await self.redis.run(scripts.NOTIFY_REQUEST_SETTLE, keys, args))

    def _key(self, site: SiteId, kind: RequestKind, *parts: str) -> str:
        return self.keys.key(site, "notify", "requests", kind, *parts)
