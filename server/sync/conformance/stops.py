"""Checks of a process that ends, of a lost lease and of a spent budget: they need nothing but the Protocol."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from server.errors import LeaseLost, TargetUnavailable, TargetUnsure
from server.model import TicketId
from server.sync.conformance.bench import Bench, keys
from server.sync.conformance.check import check, checks
from server.sync.conformance.expectation import Stopped, Unmet, expect
from server.sync.conformance.records import equal, id_of, made
from server.sync.model import Kind, Record, Wanted

MOST_REQUESTS = 60
"""No write of one record needs as many requests: a check that stops before each ends there."""

TWO: tuple[tuple[str, str, str], ...] = (
    ("5a1b8a52-0000-4000-8000-00000000000a", "Child", "10.00"),
    ("5a1b8a52-0000-4000-8000-00000000000b", "Adult", "20.00"),
)
"""The options of a ticket; another ticket may have the same, for their ids count within one."""

Call = Callable[[], Awaitable[object]]


@check
async def stopped_in_create(bench: Bench) -> None:
    """A process that ends between any two requests of a creation leaves nothing half made on sale; the next one completes it."""
    await _stopped(bench, {}, {})


@check
async def stopped_in_create_with_options(bench: Bench) -> None:
    """The same for a ticket with options."""
    await _stopped(bench, {"options": TWO}, {"options": TWO})


@check
async def stopped_in_update(bench: Bench) -> None:
    """A process that ends between any two requests of an update is followed by one that completes it."""
    change: dict[str, Any] = {"name": "Evening ticket", "limit": 60, "position": 7, "description": "Doors at seven"}
    change["options"] = (
        TWO[0],
        (TWO[1][0], "Grown-up", "25.00"),
        ("5a1b8a52-0000-4000-8000-00000000000c", "Senior", "9.00"),
    )
    for request in range(1, MOST_REQUESTS):
        ticket = await bench.ticket()
        key = await bench.create(await bench.wanted(ticket, options=TWO))
        await bench.one(ticket, "created a record")
        wanted = await bench.wanted(ticket, **change)
        ended = await _until(bench, request, partial(bench.bring, wanted))
        await bench.bring(wanted)
        done = f"stopped before request {request} of an update, and went on"
        record = await equal(bench, ticket, done, **change)
        expect(record.key == key, done, f"its id in record {key}", f"it in record {record.key}")
        if ended:
            return


@check
async def stopped_in_deactivate(bench: Bench) -> None:
    """A process that ends between any two requests of a deactivation is followed by one that completes it."""
    for delete in (False, True):
        for request in range(1, MOST_REQUESTS):
            record = await made(bench)

            off = partial(_off, bench, record, delete=delete)
            ended = await _until(bench, request, off)
            await off()
            left = [one.key for one in await bench.target.list(bench.event) if one.active]
            done = f"stopped before request {request} of a deactivation, and went on"
            expect(record.key not in left, done, "the record off sale", "it on sale")
            if ended:
                break


@check
async def lost_lease(bench: Bench) -> None:
    """Nothing is written without the lease: create, update, deactivate and mark ask for it before each write."""
    record = await made(bench)
    ticket = id_of(record)
    new = await bench.wanted(await bench.ticket())
    create: tuple[str, Call] = ("create", partial(bench.create, new))
    for done, call in (create, *writes_of(bench, ticket, record)):
        bench.meter.lease_lost = True
        try:
            seen = await call()
        except LeaseLost:
            seen = None
        else:
            raise Unmet(f"called {done} without the lease", "LeaseLost", seen)
        finally:
            bench.meter.lease_lost = False
    found = await bench.target.find(bench.event, new.ticket, None)
    expect(not found, "called create without the lease", "no record", keys(found))
    after = await bench.one(ticket, "called update, deactivate and mark without the lease")
    expect(after == record, "called update, deactivate and mark without the lease", "the record as before", after)


@check
async def each_request_is_paid(bench: Bench) -> None:
    """Each request is paid from the budget before it is made, and each one that writes is announced."""
    paid, seen = bench.meter.paid, await bench.requests()
    record = await made(bench)
    for _, call in writes_of(bench, id_of(record), record):
        writes = bench.meter.writes
        await call()
        expect(bench.meter.writes > writes, "wrote a record", "before_write called", "that it was not")
    await bench.target.list(bench.event)
    paid, seen = bench.meter.paid - paid, await bench.requests() - seen
    expect(paid >= seen, f"made {seen} requests", f"{seen} paid from the budget", paid)


@check
async def no_request_without_budget(bench: Bench) -> None:
    """Where the budget gives no request, none is made."""
    record = await made(bench)
    ticket = id_of(record)
    reads: tuple[tuple[str, Call], ...] = (
        ("event", lambda: bench.target.event(bench.event)),
        ("find", lambda: bench.target.find(bench.event, ticket, None)),
        ("list", lambda: bench.target.list(bench.event)),
    )
    for done, call in (*reads, *writes_of(bench, ticket, record)):
        try:
            await _stop(bench, 1, call)
        except Stopped:
            continue
        raise Unmet(f"called {done} without a budget", "that it waits for the budget", "that it did not ask for it")
    after = await bench.one(ticket, "gave no budget")
    expect(after == record, "gave no budget", "the record as before", after)


async def _off(bench: Bench, record: Record, *, delete: bool) -> None:
    for one in await bench.target.find(bench.event, id_of(record), record.key):
        await bench.target.deactivate(bench.event, one, bench.meter.before_write, delete=delete)


def writes_of(bench: Bench, ticket: TicketId, record: Record) -> Iterable[tuple[str, Call]]:
    """Each method that writes a record, once."""

    async def update() -> None:
        for name in ("Evening ticket", "General admission"):
            await bench.bring(await bench.wanted(ticket, name=name))

    async def mark() -> None:
        await bench.target.mark(bench.event, record, ticket, bench.meter.before_write)

    async def deactivate() -> None:
        await bench.target.deactivate(bench.event, record, bench.meter.before_write)

    return (("update", update), ("mark", mark), ("deactivate", deactivate))


async def to_the_end(bench: Bench, wanted: Wanted, attempt: str) -> None:
    """Bring a ticket until nothing is left to do, or nothing changes."""
    for _ in range(4):
        try:
            operation = await bench.bring(wanted, attempt)
        except TargetUnavailable as error:
            if isinstance(error, TargetUnsure) and error.replayed:
                attempt = f"{attempt}-again"
            continue
        if operation is None or operation.kind is Kind.CONFLICT:
            return


async def _stopped(bench: Bench, change: dict[str, Any], again: dict[str, Any]) -> None:
    for request in range(1, MOST_REQUESTS):
        wanted = await bench.wanted(await bench.ticket(), **change)
        attempt = f"try-{wanted.ticket}"
        ended = await _until(bench, request, partial(bench.create, wanted, attempt))
        done = f"stopped before request {request} of a creation"
        found = await bench.target.find(bench.event, wanted.ticket, None)
        if any(one.active for one in found):
            operation = await bench.plan(wanted)
            seen = operation and ", ".join(
                [one.name for one in operation.fields] + [one.name for one in operation.options]
            )
            expect(operation is None, done, "nothing on sale that is not complete", f"on sale without {seen}")
        await to_the_end(bench, wanted, attempt)
        record = await equal(bench, wanted.ticket, f"{done}, and went on", **again)
        expect(record.active, f"{done}, and went on", "that it is on sale", "that it is not")
        if ended:
            return


async def _until(bench: Bench, request: int, call: Call) -> bool:
    """Whether the call ended before this request."""
    try:
        await _stop(bench, request, call)
    except Stopped:
        return False
    return True


async def _stop(bench: Bench, request: int, call: Call) -> object:
    bench.meter.stop_at = bench.meter.paid + request
    try:
        return await call()
    finally:
        bench.meter.stop_at = None


CHECKS = checks(globals())
