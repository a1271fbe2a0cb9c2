"""The status of targets: what is equal, due, parked, and how a target answers.

In: what Redis has of each target. Out: TargetStatus and Parked, which commands and metrics show. It asks no target.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from server.model import EventId
from server.store.sync_records import FollowedEvent
from server.store.sync_targets import TargetState
from server.sync.mapped_events import MappedEvent, MappedEvents
from server.sync.mapping import TargetSettings
from server.sync.model import PARKED, State
from server.sync.reports import Parked, TargetStatus, Workers
from server.sync.stores import Stores

SERVED_WITHIN = 30.0
"""Seconds within which a worker has said that it brings tickets to a target; it does so every 10 s."""


@dataclass(slots=True)
class _Sum:
    """What all sites have of one target, together; `notes`: what a person should do, or know."""

    due: int = 0
    oldest: float | None = None
    states: list[str] = field(default_factory=list)
    events: list[FollowedEvent] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Statuses:
    """The statuses of *targets*. Every method raises RedisUnavailable; *clock* gives seconds since 1970."""

    def __init__(self, targets: Mapping[str, TargetSettings], stores: Stores, *, clock: Callable[[], float]) -> None:
        self.targets = targets
        self.stores = stores
        self._clock = clock

    async def all(self) -> tuple[TargetStatus, ...]:
        """The status of each target."""
        return tuple([await self.of(name) for name in self.targets])

    async def of(self, name: str) -> TargetStatus:
        """The status of one target."""
        state = await self.stores.targets.read(name)
        found = await self._sum(name)
        now = self._clock()
        workers = self._workers(name, state)
        # Nothing is called equal that is not looked after.
        known = state.answered_at > 0 and not state.faults and workers is not Workers.NONE
        audits = [event.audit_at for event in found.events]
        return TargetStatus(
            name=name,
            mode=self.targets[name].mode,
            records=len(found.states) - found.states.count(State.GONE),
            equal=found.states.count(State.EQUAL) if known else None,
            answer=state.error if state.faults else "",
            latency_ms=state.latency * 1000 if known else None,
            faults=state.faults,
            due=found.due,
            oldest=found.oldest,
            parked=sum(one in PARKED for one in found.states),
            conflicts=found.states.count(State.CONFLICT),
            audit_age=now - min(audits) if audits and min(audits) > 0 else None,
            wait=max(0.0, state.wait_until - now) or None,
            paused=state.paused,
            paused_for=now - state.paused_at if state.paused is not None else None,
            events=tuple(event.title or event.event for event in found.events),
            limited=tuple(found.notes),
            workers=workers,
        )

    async def parked(self, target: str | None = None) -> tuple[Parked, ...]:
        """What is parked or in conflict at one target, or at all, oldest first."""
        found = []
        for name in [target] if target else self.targets:
            for site in sorted(await self.stores.records.sites(name)):
                for ticket, (state, event) in (await self.stores.records.states(site, name)).items():
                    if state not in PARKED and state != State.CONFLICT:
                        continue
                    memory = await self.stores.records.read(site, name, ticket)
                    at, tries = memory.state_at, memory.tries
                    found.append(
                        Parked(
                            name, site, ticket, memory.name, State(state), at, tries, memory.text, memory.cure, event
                        )
                    )
        return tuple(sorted(found, key=lambda one: (one.at, one.ticket)))

    def _workers(self, name: str, state: TargetState) -> Workers:
        if self._clock() - state.served_at > SERVED_WITHIN:
            return Workers.NONE
        same = state.served_digest == self.targets[name].digest
        return Workers.RUN if same else Workers.OTHER_SETTINGS

    async def _sum(self, name: str) -> _Sum:
        found = _Sum()
        mapped = MappedEvents(self.targets[name], self.stores.definitions)
        for site in sorted(await self.stores.records.sites(name)):
            backlog = await self.stores.due.backlog(site, name)
            found.due += backlog.due
            if backlog.oldest is not None:
                found.oldest = max(found.oldest or 0.0, backlog.oldest)
            states = await self.stores.records.states(site, name)
            followed = await self.stores.records.followed(site, name)
            for event in sorted({*followed, *(its for _, its in states.values())}):
                of_event = [state for state, its in states.values() if its == event]
                its_place = await mapped.of(site, event)
                known = followed.get(event)
                if its_place and known and its_place.is_followed(known):
                    found.events.append(known)
                    found.states += of_event
                apply = f"ticket-counter sync apply {event} --to {name}"
                found.notes += _notes(event, its_place, known, of_event, apply)
        return found


def _notes(
    event: EventId, mapped: MappedEvent | None, known: FollowedEvent | None, states: Sequence[str], apply: str
) -> list[str]:
    """What a person should do, or know, of one event; *apply* is the command that applies it."""
    title = (known.title if known else mapped.title if mapped else "") or event
    if mapped is None:
        gone = f"{title}: the file does not name it any more, so its records are left as they are"
        return [gone] if known else []
    if known is None:
        return [f"{title}: its first apply has not ended, so nothing of it is followed: {apply}"]
    if not mapped.is_followed(known):
        return [
            f"{title}: it was applied to another event or address than the file has now, so nothing is written: {apply}"
        ]
    waiting = states.count(State.LIMIT)
    notes = [f"{title}: {waiting} deactivations wait for a person: {apply} --deactivate {waiting}"]
    return [*(notes if waiting else ()), *([f"{title}: {known.error}"] if known.error else ())]
