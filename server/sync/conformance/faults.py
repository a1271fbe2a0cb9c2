"""Checks of what goes wrong on the way: answers lost, late, unreadable or refused."""

from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from server.errors import (
    TargetError,
    TargetForbidden,
    TargetRefused,
    TargetUnauthorized,
    TargetUnavailable,
    TargetUnsure,
)
from server.model import TicketId
from server.sync.conformance.bench import Bench, Fault, keys
from server.sync.conformance.check import check, checks
from server.sync.conformance.expectation import NotOffered, Unmet, expect
from server.sync.conformance.records import equal, id_of, made
from server.sync.conformance.stops import TWO, Call, to_the_end, writes_of
from server.sync.model import Record

UNANSWERED = (
    Fault.TOO_LATE,
    Fault.TOO_MANY,
    Fault.BROKEN,
    Fault.DOWN,
    Fault.REDIRECT,
    Fault.HTML,
    Fault.NOT_JSON,
    Fault.CUT,
    Fault.SILENT,
    Fault.LOST,
)
"""Faults after which it is not known whether a write was done."""


@check
async def refused_write(bench: Bench) -> None:
    """A write that is refused says why, in the target's words, and changes nothing; the next one works."""
    await _refused(bench, Fault.REFUSED)


@check
async def forbidden_write(bench: Bench) -> None:
    """403 to a write concerns this record only: it is refused."""
    await _refused(bench, Fault.FORBIDDEN)


@check
async def unauthorized(bench: Bench) -> None:
    """401 says that our credentials are refused, to reads and writes; once they are taken, all goes on."""
    _offered(bench, Fault.UNAUTHORIZED)
    record = await made(bench)
    for done, call, writes in _calls(bench, id_of(record), record):
        await bench.fail(Fault.UNAUTHORIZED, writes=writes)
        await _raises(call, TargetUnauthorized, f"answered 401 to {done}")
    await _goes_on(bench, id_of(record), "401")


@check
async def forbidden_event(bench: Bench) -> None:
    """403 to a read of the event says that the event is not ours to read."""
    _offered(bench, Fault.FORBIDDEN)
    await bench.fail(Fault.FORBIDDEN, writes=False)
    await _raises(lambda: bench.target.event(bench.event), TargetForbidden, "answered 403 to a read of the event")
    await bench.target.event(bench.event)


@check
async def failed_reads(bench: Bench) -> None:
    """A read that fails, in whatever way, says that the target is unavailable, and never that it has no records."""
    record = await made(bench)
    ticket = id_of(record)
    for fault in _those_offered(bench, UNANSWERED):
        for done, call, writes in _calls(bench, ticket, record):
            if writes:
                continue
            await bench.fail(fault, writes=False)
            error = await _raises(call, TargetUnavailable, f"met “{fault}” in a read ({done})")
            expect(not isinstance(error, TargetUnsure), f"met “{fault}” in a read ({done})", "TargetUnavailable", error)
            if fault is Fault.TOO_MANY:
                _waits(error, done)
    await _goes_on(bench, ticket, "failed reads")


@check
async def unanswered_create(bench: Bench) -> None:
    """A creation that is not answered, in whatever way, is unsure; looked up and tried again, it makes one record."""
    for fault in _those_offered(bench, UNANSWERED):
        wanted = await bench.wanted(await bench.ticket(), options=TWO)
        await bench.fail(fault, writes=True)
        done = f"met “{fault}” in create"
        error = await _raises(partial(bench.create, wanted, f"try-{wanted.ticket}"), TargetUnsure, done)
        if fault is Fault.TOO_MANY:
            _waits(error, "create")
        await to_the_end(bench, wanted, f"try-{wanted.ticket}")
        await equal(bench, wanted.ticket, f"{done}, and went on", options=TWO)


@check
async def unanswered_update(bench: Bench) -> None:
    """An update that is not answered is unsure; tried again, it ends equal."""
    for fault in _those_offered(bench, UNANSWERED):
        ticket = await bench.ticket()
        await bench.create(await bench.wanted(ticket))
        await bench.one(ticket, "created a record")
        wanted = await bench.wanted(ticket, name="Evening ticket", limit=60)
        await bench.fail(fault, writes=True)
        done = f"met “{fault}” in update"
        await _raises(partial(bench.bring, wanted), TargetUnsure, done)
        await to_the_end(bench, wanted, "again")
        await equal(bench, ticket, f"{done}, and went on", name="Evening ticket", limit=60)


@check
async def unanswered_deactivate(bench: Bench) -> None:
    """A deactivation that is not answered is unsure; tried again, the record is off sale."""
    for fault in _those_offered(bench, UNANSWERED):
        record = await made(bench)
        await bench.fail(fault, writes=True)
        call = partial(bench.target.deactivate, bench.event, record, bench.meter.before_write)
        await _raises(call, TargetUnsure, f"met “{fault}” in deactivate")
        for one in await bench.target.find(bench.event, id_of(record), record.key):
            await bench.target.deactivate(bench.event, one, bench.meter.before_write)
        left = await bench.target.find(bench.event, id_of(record), record.key)
        expect(
            not any(one.active for one in left), f"met “{fault}” in deactivate, and went on", "none on sale", keys(left)
        )


@check
async def late_create(bench: Bench) -> None:
    """A creation that ends after our time-out and a second try makes one record."""
    _offered(bench, Fault.LATE)
    wanted = await bench.wanted(await bench.ticket())
    attempt = f"try-{wanted.ticket}"
    await bench.fail(Fault.LATE, writes=True)
    await _raises(partial(bench.create, wanted, attempt), TargetUnsure, "a creation that ends later")
    with suppress(TargetUnavailable):
        await bench.create(wanted, attempt)  # nothing was found yet
    await bench.settled()
    await to_the_end(bench, wanted, attempt)
    await equal(bench, wanted.ticket, "created a record again whose first creation ended later")


@check
async def no_secret_in_errors(bench: Bench) -> None:
    """No error has the secret in its text, and neither have the settings."""
    secret = bench.settings.secret.get_secret_value()
    if not secret or not bench.faults:
        raise NotOffered("a secret and faults")
    record = await made(bench)
    texts = [repr(bench.settings), str(bench.settings), repr(bench.target)]
    for fault in sorted(bench.faults - {Fault.LATE}):
        for _, call, writes in _calls(bench, id_of(record), record):
            await bench.fail(fault, writes=writes)
            try:
                await call()
            except TargetError as error:
                texts += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    for part in secret.split():
        for text in texts:
            expect(
                part not in text,
                "looked for the secret in errors and settings",
                "that it is not there",
                text.replace(part, "SECRET"),
            )


def _calls(bench: Bench, ticket: TicketId, record: Record) -> Iterable[tuple[str, Call, bool]]:
    """Each method, and whether it writes."""
    yield "event", lambda: bench.target.event(bench.event), False
    yield "find", lambda: bench.target.find(bench.event, ticket, record.key), False
    yield "list", lambda: bench.target.list(bench.event), False
    for done, call in writes_of(bench, ticket, record):
        yield done, call, True


async def _refused(bench: Bench, fault: Fault) -> None:
    _offered(bench, fault)
    record = await made(bench)
    ticket = id_of(record)
    for done, call in writes_of(bench, ticket, record):
        await bench.fail(fault, writes=True)
        error = await _raises(call, TargetRefused, f"answered {fault} to {done}")
        expect(bool(str(error).strip()), f"answered {fault} to {done}", "the target's own words", repr(str(error)))
    after = await bench.one(ticket, f"answered {fault} to all writes")
    expect(after == record, f"answered {fault} to all writes", "the record as before", after)
    wanted = await bench.wanted(await bench.ticket())
    await bench.fail(fault, writes=True)
    await _raises(lambda: bench.create(wanted), TargetRefused, f"answered {fault} to create")
    found = await bench.target.find(bench.event, wanted.ticket, None)
    expect(not found, f"answered {fault} to create", "no record", keys(found))
    await _goes_on(bench, ticket, fault)


async def _goes_on(bench: Bench, ticket: TicketId, after: str) -> None:
    await bench.bring(await bench.wanted(ticket, name="Goes on"))
    await equal(bench, ticket, f"updated a record after {after}", name="Goes on")


async def _raises(call: Call, kind: type[TargetError], done: str) -> TargetError:
    try:
        seen = await call()
    except kind as error:
        return error
    except TargetError as error:
        raise Unmet(done, kind.__name__, f"{type(error).__name__}: {error}") from error
    raise Unmet(done, kind.__name__, f"success ({seen!r:.80})")


def _waits(error: TargetError, done: str) -> None:
    seconds = error.retry_after if isinstance(error, TargetUnavailable) else None
    expect(seconds == 7, f"answered 429 with Retry-After: 7 to {done}", "that it waits for 7 s", f"{seconds} s")


def _offered(bench: Bench, fault: Fault) -> None:
    if fault not in bench.faults:
        raise NotOffered(f"the fault “{fault}”")


def _those_offered(bench: Bench, faults: Iterable[Fault]) -> list[Fault]:
    if found := [one for one in faults if one in bench.faults]:
        return found
    raise NotOffered("faults")


CHECKS = checks(globals())
