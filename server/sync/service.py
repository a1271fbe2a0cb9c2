"""What the commands do: plan, apply, diff, status, and decisions of a person.

In: names of targets, events and tickets, as a person writes them. Out: values of model.py. A plan writes nothing; what writes does
so under the same leases as the workers, so that both may run at once.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from server.errors import NotStarted
from server.model import EventId, SiteId, TicketId
from server.redis.client import RedisClient
from server.store.redis_clock import RedisClock
from server.store.sync_records import FollowedEvent
from server.sync.applier import Applier
from server.sync.attended import Attended
from server.sync.audit import Audit
from server.sync.budget import open_target
from server.sync.mapped_events import MappedEvent
from server.sync.mapping import Mode, TargetSettings
from server.sync.model import Kind, Operation, Outcome, Plan, Reason, State
from server.sync.planner import Comparison
from server.sync.reports import Diff, Parked, Summary, TargetStatus, TicketDiff
from server.sync.status import Statuses
from server.sync.stores import Stores
from server.sync.work import Allowed
from server.wire import guid

Progress = Callable[[Outcome, int, int], None]
"""Called with what became of each operation, how many are done, and of how many."""


class Sync:
    """The facade for commands; *targets* are those of sync.toml. Its methods raise TicketCounterError, with what to do."""

    def __init__(
        self, redis: RedisClient, targets: Mapping[str, TargetSettings], *, clock: Callable[[], float]
    ) -> None:
        self.stores = Stores.of(redis)
        self.targets = targets
        self._clock = clock
        self._statuses = Statuses(targets, self.stores, clock=clock)
        self.attended = Attended(self.stores, clock=clock)
        self._appliers: dict[str, Applier] = {}
        self._known: list[SiteId] = []

    @classmethod
    async def opened(cls, redis: RedisClient, targets: Mapping[str, TargetSettings]) -> "Sync":
        """Sync with Redis's time. Raises RedisUnavailable."""
        clock = RedisClock(redis)
        await clock.ask()
        return cls(redis, targets, clock=clock)

    async def aclose(self) -> None:
        """Close the connections to the targets."""
        for applier in self._appliers.values():
            await applier.target.aclose()

    # -- plans --

    async def plan(self, target: str, event: str, *, site: str | None = None) -> Plan:
        """What would be done to an event; *event* is an id or a slug."""
        return (await self._compare(target, event, site)).plan

    async def diff(self, target: str, event: str, *, site: str | None = None) -> Diff:
        """Field by field, where the records of an event differ from Wix."""
        comparison = await self._compare(target, event, site)
        tickets = [
            TicketDiff(
                one.ticket,
                one.operation.name,
                one.operation.record or "",
                one.memory.applied_at if one.memory.applied is not None else None,
                one.operation.fields,
                one.operation.options,
            )
            for one in comparison.tickets
            if one.operation and one.operation.kind is Kind.UPDATE
        ]
        plan = comparison.plan
        return Diff(plan, tuple(tickets), plan.equal, len(plan.operations) - len(tickets))

    async def apply(
        self,
        plan: Plan,
        *,
        adopt: bool = False,
        replace: frozenset[str] = frozenset(),
        deactivate: int | None = None,
        progress: Progress | None = None,
    ) -> Summary:
        """Do what a plan says, and follow the event from then on.

        *adopt*: records of the same name are adopted. *replace*: tickets whose record is replaced by a new one. *deactivate*: how
        many records may be taken off sale, where that is more than happens by itself.
        """
        applier = self._applier(plan.target)
        await self._refuse_to_write(plan.target)
        # Before anything is written: what is there now was applied before Redis lost that, what comes is not yet.
        self._known = await self._sites()
        await self.attended.asking(applier, self._audit(applier).look_for_lost)
        await self.stores.records.add_site(plan.target, SiteId(plan.site))
        began = self._clock()
        site, event = SiteId(plan.site), EventId(plan.event)
        key = plan.target_event.key
        mapped = MappedEvent(site, event, plan.title, key, applier.settings.place(key))
        count = plan.count(Kind.DEACTIVATE)
        may_deactivate = deactivate is not None and deactivate >= count
        if deactivate is not None and not may_deactivate:
            raise NotStarted(
                f"the plan takes {count} {'record' if count == 1 else 'records'} off sale, more than {deactivate}: look at it, and say {count}"
            )
        needed = {one.ticket for one in plan.operations if one.reason is Reason.NEEDS_REPLACING}
        if needless := sorted(replace - needed):
            raise NotStarted(
                f"the record of ticket {needless[0]} needs no replacing: leave out --replace {needless[0]}"
            )
        outcomes: list[Outcome] = []
        for operation in plan.operations:
            allowed = Allowed(True, adopt, operation.ticket in replace, may_deactivate)
            if operation.reason is Reason.COPIED:
                outcome = Outcome(operation, State.CONFLICT, operation.text, operation.record)
            else:
                outcome = await self.attended.bring(applier, site, TicketId(operation.ticket), allowed)
                outcome = _of_plan(outcome, operation)
            outcomes.append(outcome)
            if progress:
                progress(outcome, len(outcomes), len(plan.operations))
        await self._follow(applier, mapped)
        ended = (State.EQUAL, State.GONE)
        done = Counter(one.operation.kind for one in outcomes if one.state in ended)
        left = tuple(one for one in outcomes if one.state not in ended)
        workers = (await self._statuses.of(plan.target)).workers
        return Summary(dict(done), left, self._clock() - began, workers)

    # -- status --

    async def status(self) -> tuple[TargetStatus, ...]:
        """The status of each target."""
        return await self._statuses.all()

    async def parked(self, target: str | None = None) -> tuple[Parked, ...]:
        """What is parked or in conflict, oldest first."""
        if target is not None:
            self._settings(target)
        return await self._statuses.parked(target)

    # -- decisions --

    async def retry(self, target: str | None = None, ticket: str | None = None) -> int:
        """Make parked tickets due, or a certain one; answers how many."""
        count = 0
        for one in await self.parked(target):
            if ticket is None or one.ticket == guid(ticket):
                memory = await self.stores.records.read(SiteId(one.site), one.target, TicketId(one.ticket))
                await self.stores.records.write(
                    SiteId(one.site), one.target, TicketId(one.ticket), replace(memory, tries=0, state=State.DUE)
                )
                await self.stores.due.mark(SiteId(one.site), one.target, [TicketId(one.ticket)])
                count += 1
        return count

    async def adopt(self, target: str, ticket: str, record: str) -> Outcome:
        """Give a record the id of a ticket, which other records lose, and bring the ticket to it."""
        applier = self._applier(target)
        await self._refuse_to_write(target)
        id_ = TicketId(guid(ticket) or _no_ticket(ticket))
        site, event = await self._event_of(applier, id_)
        records = await applier.target.list(event.target_event)
        chosen = next((one for one in records if one.key == record), None)
        if chosen is None:
            raise NotStarted(f"event {event.target_event} of {target} has no record {record}")
        if chosen.ticket and chosen.ticket != id_:
            raise NotStarted(f"record {record} bears the id of ticket {chosen.ticket}: clear that in the target first")
        async with self.stores.leases.held(applier.settings.server) as lease:
            former = [one for one in records if one.ticket == id_ and one.key != record]
            for other in former:
                await applier.target.mark(event.target_event, other, None, lease.extend)
            if not chosen.ticket:
                await applier.target.mark(event.target_event, chosen, id_, lease.extend)
        outcome = await self.attended.bring(applier, site, id_, Allowed(by_person=True, adopt=True))
        still = " and ".join(one.key for one in former if one.active)
        if still and outcome.state is State.EQUAL:
            text = f"record {still} lost its id and is still on sale: take it off sale in the target if it is a copy"
            return replace(outcome, text=text)
        return outcome

    async def pause(self, target: str, reason: str) -> None:
        """Write nothing to a target until `resume`; what changes meanwhile stays due."""
        self._settings(target)
        await self.stores.targets.pause(target, reason, self._clock())

    async def resume(self, target: str) -> None:
        """Go on, at once."""
        self._settings(target)
        await self.stores.targets.resume(target)

    # -- parts --

    async def _compare(self, target: str, event: str, site: str | None) -> Comparison:
        applier = self._applier(target)
        mapped = await applier.events.find(await self._sites(site), event)
        return await applier.planner.compare(mapped)

    async def _follow(self, applier: Applier, event: MappedEvent) -> None:
        """Follow the event; what changed since the plan was made, or was equal then, is compared once more."""
        name = applier.settings.name
        known = (await self.stores.records.followed(event.site, name)).get(event.event)
        if not event.is_followed(known):
            followed = FollowedEvent(event.event, event.target_event, event.title, self._clock(), event.place)
            await self.stores.records.follow(event.site, name, followed)
        audit = self._audit(applier)
        comparison = await applier.planner.compare(event)
        await audit.record(comparison)
        await audit.mark(comparison)
        await self.stores.records.change_event(
            event.site,
            name,
            event.event,
            title=event.title,
            audit_at=self._clock(),
            left_alone=comparison.plan.left_alone,
        )

    def _audit(self, applier: Applier) -> Audit:
        return Audit(applier, lambda: self._known, targets=tuple(self.targets), clock=self._clock)

    async def _event_of(self, applier: Applier, ticket: TicketId) -> tuple[SiteId, MappedEvent]:
        for site in await self._sites():
            stored = await self.stores.definitions.read(site, ticket)
            if stored and stored.event:
                event = await applier.events.of(site, stored.event)
                if event:
                    return site, event
        raise NotStarted(f"no ticket {ticket} is known of an event that {applier.settings.name} has")

    async def _sites(self, only: str | None = None) -> list[SiteId]:
        known = sorted(await self.stores.schedule.sites())
        if only is None:
            return known
        wanted = guid(only)
        if wanted not in known:
            raise NotStarted(f"no site {only!r} is known: {', '.join(known) or 'there is none yet'}")
        return [SiteId(wanted)] if wanted else []

    def _settings(self, target: str) -> TargetSettings:
        if target not in self.targets:
            named = ", ".join(self.targets) or "it has none"
            raise NotStarted(f"sync.toml has no target {target!r}; its targets: {named}")
        return self.targets[target]

    async def _refuse_to_write(self, target: str) -> None:
        if self.targets[target].mode is Mode.OBSERVE:
            raise NotStarted(f'target {target} has mode = "observe": nothing is written to it')
        state = await self.stores.targets.read(target)
        if state.paused is not None:
            raise NotStarted(f"target {target} is paused ({state.paused}): end that first with sync resume {target}")

    def _applier(self, target: str) -> Applier:
        if target not in self._appliers:
            settings = self._settings(target)
            self._appliers[target] = Applier(
                settings, open_target(settings, self.stores.targets), self.stores, clock=self._clock
            )
        return self._appliers[target]


def _of_plan(outcome: Outcome, operation: Operation) -> Outcome:
    """The outcome with the operation of the plan; a conflict that was solved is what solved it."""
    if outcome.state not in {State.EQUAL, State.GONE}:
        return outcome
    if operation.kind is not Kind.CONFLICT:
        return replace(outcome, operation=operation)
    if operation.reason is not Reason.NEEDS_REPLACING:
        return outcome
    text = f"replaces record {operation.record}, which is off sale"
    return replace(outcome, operation=replace(operation, kind=Kind.CREATE, record=None), text=text)


def _no_ticket(text: str) -> str:
    raise NotStarted(f"{text!r} is not a ticket definition id (a GUID)")
