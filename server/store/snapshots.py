"""The snapshots: what the last accepted read said of each ticket.

In: the results of one read, with its version. Out: what keeping them did. Whether a result is stored, published and logged
is decided in lua/keep.lua, in one step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag, StrEnum

from server import metrics
from server.counter import Counter, Rules, State, is_draft
from server.model import Definition, Event, EventId, Pace, SiteId, TicketId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.budget import Priority
from server.store.keys import Keys
from server.store.rules_warning import RulesWarning
from server.store.timing import TWO_DAYS, Timing, micros
from server.wire import canonical, counter_body

WEEK_MS = 7 * 86_400_000
DRAFT = "draft"
"""The place of a ticket whose event is not published."""


class Kept(IntFlag):
    """What became of one result; OTHER_RULES = refused because the site's rules are not ours.

    CHANGED = its facts changed. UNREPORTED = its stock fell since the read before, and no webhook came that may have reported it.
    """

    REFUSED = 0
    KEPT = 1
    ANNOUNCED = 2
    CHANGED = 4
    OTHER_RULES = 8
    UNREPORTED = 16


class Cause(StrEnum):
    """What caused a read, as the history tells it."""

    HINT = "hint"  # a webhook, or the reads that follow one
    VIEWERS = "viewers"
    CLOCK = "clock"
    LISTING = "listing"

    @classmethod
    def of(cls, priority: Priority) -> "Cause":
        """The cause of a lot of this priority."""
        return {Priority.HINTED: cls.HINT, Priority.WATCHED: cls.VIEWERS, Priority.REST: cls.CLOCK}[priority]


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a read says of one ticket: its counter without `v`, and its facts, as JSON ('' = there is no such ticket).

    `place`: where it stands among the tickets of its event that are shown (lua/shown.lua).
    """

    ticket: TicketId
    pace: Pace
    body: str
    facts: str = ""
    unsold: int | None = None
    held: int | None = None
    event: EventId | None = None
    place: str = ""

    @classmethod
    def of(cls, definition: Definition, event: Event | None, rules: Rules) -> "ReadResult":
        """The result for a definition in Wix's answer, and what is known of its *event*, whose facts stand in the ticket's."""
        facts = {**definition.facts, "event": event.facts} if event else definition.facts
        counter = Counter.of(definition, event, rules)
        place = DRAFT if is_draft(definition, event) else "" if counter.state is State.GONE else definition.position
        return cls(
            definition.id,
            definition.pace,
            counter_body(counter),
            canonical(facts),
            definition.unsold,
            definition.held,
            definition.event,
            place,
        )

    @classmethod
    def never_there(cls, ticket: TicketId) -> "ReadResult":
        """The result for a ticket that neither Wix nor we ever knew: kept for a short time only, as a negative cache."""
        return cls(ticket, Pace.NEVER, counter_body(Counter.gone(ticket)))

    @classmethod
    def deleted(cls, ticket: TicketId, event: EventId | None) -> "ReadResult":
        """The result for a ticket that was stored and for which Wix answered 404."""
        return cls(ticket, Pace.DEAD, counter_body(Counter.gone(ticket)), event=event)


@dataclass(frozen=True, slots=True)
class StoredTicket:
    """What is stored of a ticket that Wix's answer left out; `missing` = the answer before did so too."""

    ticket: TicketId
    event: EventId | None
    pace: Pace
    missing: bool


class Snapshots:
    """The snapshots in Redis. Every method raises RedisUnavailable when Redis does not take its command."""

    def __init__(
        self, redis: RedisClient, rules: Rules, timing: Timing | None = None, *, history_days: float = 30.0
    ) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)
        self.rules = rules
        self.timing = timing or Timing()
        self.history_ms = int(history_days * 86_400_000)
        self.rules_warning = RulesWarning()

    async def keep(
        self, site: SiteId, version: int, results: Sequence[ReadResult], cause: Cause = Cause.HINT
    ) -> list[Kept]:
        """Store what is newer, publish counters that differ, log what changed; answer what became of each result.

        *version* is that of the read: when it was claimed, in microseconds, unless Redis's clock was set back.
        """
        if not results:
            return []
        keys = [self.keys.key(site, name) for name in ("site", "changes", "history", "heard", "watched")]
        args: list[str | int] = [
            version,
            self.rules.hash,
            self.redis.publish_command,
            WEEK_MS,
            self.history_ms,
            TWO_DAYS,
            round(self.timing.gone_for),
            micros(self.timing.webhook_ahead),
            micros(self.timing.max_stale),
            micros(self.timing.reconcile + self.timing.max_stale),
            cause,
            self.keys.event_channel(site, ""),
        ]
        for one in results:
            keys += [
                self.keys.key(site, "ticket", one.ticket),
                self.keys.key(site, "event", one.event or "-"),
                self.keys.channel(site, one.ticket),
            ]
            unsold = "" if one.unsold is None else one.unsold
            held = "" if one.held is None else one.held
            args += [one.ticket, one.pace, unsold, held, one.body, one.facts, one.event or "", one.place]
        answer = [Kept(done) for done in await self.redis.run(scripts.KEEP, keys, args)]
        for done in answer:
            outcome = "refused" if not done & Kept.KEPT else "announced" if done & Kept.ANNOUNCED else "same"
            metrics.kept.labels(outcome).inc()
        if Kept.OTHER_RULES in answer:
            self.rules_warning.warn(site, refused=answer.count(Kept.OTHER_RULES))
        return answer

    async def stored(self, site: SiteId, tickets: Sequence[TicketId]) -> list[StoredTicket]:
        """Those of the tickets that Wix has ever had."""
        found = []
        for ticket in tickets:
            pace, event, missing = await self.redis.do(
                "HMGET", self.keys.key(site, "ticket", ticket), "pace", "event", "missing"
            )
            if pace and pace != Pace.NEVER:
                found.append(StoredTicket(ticket, EventId(event) if event else None, Pace(pace), missing == "1"))
        return found

    async def miss(self, site: SiteId, ticket: TicketId) -> None:
        """Remember that Wix's answer left this known ticket out, until the next read of it is kept."""
        await self.redis.run(scripts.MISS, [self.keys.key(site, "ticket", ticket)], [])
