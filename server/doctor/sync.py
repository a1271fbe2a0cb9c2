"""Each target of sync.toml: reachable, its rights, its fields and its currency.

In: SYNC_FILE. Out: findings. A known event is planned as `sync plan` does, which writes nothing; of an event that is not known yet
the target alone is asked.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.errors import NotStarted, TargetError, TargetUnauthorized, TargetUnavailable
from server.store.sync_targets import Targets
from server.sync.budget import open_target
from server.sync.mapping import TargetSettings
from server.sync.model import Kind, Plan, Reason
from server.sync.reports import Workers
from server.sync.service import Sync
from server.worker import sync_targets

NAME = "sync"
WHY = "changes in Wix do not reach this target: it may sell what is sold out"
UNFIT = (Reason.CURRENCY, Reason.MAPPING, Reason.NEEDS_REPLACING)
"""Reasons of conflicts that a setting, or a value at the target, is the cause of."""

AWAY = (TargetUnavailable, TargetUnauthorized)
"""Errors of the whole target, which each of its events would meet, after a time-out of its own."""
MOST_NAMES = 3
"""Tickets that are named of those with the same fault."""


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Ask each target for each of its events."""
    try:
        targets = sync_targets(deployment.settings)
    except NotStarted as error:
        yield Finding.fault(NAME, str(error), "no target is kept in step until this is mended")
        return
    if not targets or deployment.redis is None:
        return
    async with aclosing(await Sync.opened(deployment.redis, targets)) as sync:
        for settings in targets.values():
            async for finding in _target(deployment, sync, settings):
                yield finding
        for status in await sync.status():
            if status.workers is not Workers.RUN and status.records:
                other = "with other settings" if status.workers is Workers.OTHER_SETTINGS else "at all"
                yield Finding.fault(
                    NAME,
                    f"no worker serves target {status.name} {other}",
                    WHY,
                    "restart the worker with this SYNC_FILE",
                )
            if status.parked:
                yield Finding.notice(
                    NAME,
                    f"tickets that wait for a person at {status.name}: {status.parked}",
                    WHY,
                    "see `ticket-counter sync parked`",
                )


async def _target(deployment: Deployment, sync: Sync, settings: TargetSettings) -> AsyncIterator[Finding]:
    name, good = settings.name, True
    for event, target_event in settings.events.items():
        try:
            plan = await sync.plan(name, event)
        except AWAY as error:
            yield _away(settings, error)
            return
        except TargetError as error:
            good = False
            yield Finding.fault(
                NAME, f"target {name}, event {event}: {error}", WHY, "see [targets] in the file of SYNC_FILE"
            )
            continue
        except NotStarted as error:
            good = False
            try:
                await _ask(deployment, settings, target_event)
            except AWAY as away:
                yield _away(settings, away)
                return
            except TargetError as refused:
                yield Finding.fault(
                    NAME, f"target {name}, event {event}: {refused}", WHY, "see [targets] in the file of SYNC_FILE"
                )
            yield Finding.notice(NAME, f"target {name}: {error}", "this event is not kept in step")
            continue
        for text, cure in _unfit(plan):
            good = False
            yield Finding.fault(NAME, f"target {name}, event {event}: {text}", WHY, cure)
    if good:
        yield Finding.ok(NAME, f"target {name} answers, and takes our fields")


def _away(settings: TargetSettings, error: TargetError) -> Finding:
    """What is said once, of a target that does not answer, or not to us; the error's text has the cure."""
    several = f" (told once for all {len(settings.events)} events)" if len(settings.events) > 1 else ""
    return Finding.fault(
        NAME, f"target {settings.name}: {error}{several}", WHY, "mend that; its address is in the file of SYNC_FILE"
    )


async def _ask(deployment: Deployment, settings: TargetSettings, event: str) -> None:
    """Ask the target alone; raises TargetError."""
    if deployment.redis is None:
        return
    async with aclosing(open_target(settings, Targets(deployment.redis))) as target:
        await target.event(event)


def _unfit(plan: Plan) -> Iterator[tuple[str, str]]:
    """What cannot be brought there, and what to do, each once."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in plan.operations:
        if one.kind is Kind.CONFLICT and one.reason in UNFIT:
            found.setdefault((one.text, one.cure), []).append(one.name)
    for (text, cure), names in found.items():
        shown = ", ".join(map(repr, names[:MOST_NAMES])) + (" and others" if len(names) > MOST_NAMES else "")
        yield f"{text} ({shown})", cure
