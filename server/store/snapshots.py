"""What the last accepted read said of each ticket.

In: findings of one read with its version. Out: what keeping them did. Whether a finding is stored, published and
logged is decided in lua/keep.lua, in one step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

from server import metrics
from server.model import Counter, Definition, EventId, Pace, Rules, SiteId, TicketId
from server.redis.client import RedisClient
from server.store.keys import channel, key
from server.store.rules_warning import RulesWarning
from server.store.timing import Timing, micros
from server.wire import canonical, counter_body

TWO_DAYS = 172_800
WEEK_MS = 7 * 86_400_000


class Kept(IntFlag):
    """What became of one finding; FOREIGN = refused because the site's rules are not ours.

    UNREPORTED = its stock fell since the read before, and no webhook of the site came that may have told of it.
    """

    REFUSED = 0
    KEPT = 1
    ANNOUNCED = 2
    CHANGED = 4
    OTHER_RULES = 8
    UNREPORTED = 16


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a read says of one ticket: its public body, and its facts as text ('' = there is no such ticket)."""

    ticket: TicketId
    pace: Pace
    body: str
    facts: str = ""
    unsold: int | None = None
    event: EventId | None = None

    @classmethod
    def of(cls, definition: Definition, rules: Rules) -> "ReadResult":
        """Wix answered this definition."""
        return cls(
            definition.id,
            definition.pace,
            counter_body(Counter.of(definition, rules)),
            canonical(definition.facts),
            definition.unsold,
            definition.event,
        )

    @classmethod
    def never_there(cls, ticket: TicketId) -> "ReadResult":
        """Wix does not know it and we never did: remembered for a short while only."""
        return cls(ticket, Pace.NEVER, counter_body(Counter.gone(ticket)))

    @classmethod
    def deleted(cls, ticket: TicketId, event: EventId | None) -> "ReadResult":
        """Wix said 404 of a ticket that we knew."""
        return cls(ticket, Pace.DEAD, counter_body(Counter.gone(ticket)), event=event)


@dataclass(frozen=True, slots=True)
class StoredTicket:
    """What is stored of a ticket that Wix's answer left out."""

    ticket: TicketId
    event: EventId | None
    pace: Pace
    missing: bool


class Snapshots:
    """The stored snapshots. Every method raises RedisUnavailable when Redis does not take it."""

    def __init__(
        self, redis: RedisClient, rules: Rules, timing: Timing | None = None, *, history_days: float = 30.0
    ) -> None:
        self.redis = redis
        self.rules = rules
        self.timing = timing or Timing()
        self.history_ms = int(history_days * 86_400_000)
        self.rules_warning = RulesWarning()

    async def keep(self, site: SiteId, version: int, findings: Sequence[ReadResult]) -> list[Kept]:
        """Store what is newer, publish what is shown differently, log what changed.

        *version* is that of the read: when it was claimed, in microseconds, unless Redis's clock was set back.
        """
        if not findings:
            return []
        keys = [key(site, name) for name in ("site", "changes", "history", "heard")]
        args: list[str | int] = [
            version,
            self.rules.hash,
            self.redis.publish_command,
            WEEK_MS,
            self.history_ms,
            TWO_DAYS,
            round(self.timing.gone_for),
            micros(self.timing.webhook_ahead),
        ]
        for one in findings:
            keys += [key(site, "ticket", one.ticket), key(site, "event", one.event or "-"), channel(site, one.ticket)]
            unsold = "" if one.unsold is None else one.unsold
            args += [one.ticket, one.pace, unsold, one.body, one.facts, one.event or ""]
        answer = [Kept(done) for done in await self.redis.run("keep", keys, args)]
        for done in answer:
            outcome = "refused" if not done & Kept.KEPT else "announced" if done & Kept.ANNOUNCED else "same"
            metrics.kept.labels(outcome).inc()
        if Kept.OTHER_RULES in answer:
            self.rules_warning.warn(site, refused=answer.count(Kept.OTHER_RULES))
        return answer

    async def stored(self, site: SiteId, tickets: Sequence[TicketId]) -> list[StoredTicket]:
        """Those of the tickets that were ever read and found, and whether the last answer missed them too."""
        found = []
        for ticket in tickets:
            pace, event, missing = await self.redis.do("HMGET", key(site, "ticket", ticket), "pace", "event", "missing")
            if pace and pace != Pace.NEVER:
                found.append(StoredTicket(ticket, EventId(event) if event else None, Pace(pace), missing == "1"))
        return found

    async def miss(self, site: SiteId, ticket: TicketId) -> None:
        """Remember that an answer left this known ticket out; the next accepted read forgets it."""
        await self.redis.run("miss", [key(site, "ticket", ticket)], [])
