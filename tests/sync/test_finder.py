"""What a target has of a ticket, with as few requests as that takes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from server.store.sync_records import StoredRecord
from server.sync.finder import KEPT, Finder
from server.sync.model import Deleted, Wanted
from server.sync.work import NOTHING_MORE, Allowed, Work
from tests.rig.applier_rig import SITE_ID, TARGET_EVENT, ApplierRig, ticket_id

A = ticket_id(1)
WANTED = Wanted(A, "Gala", {"name": "Gala"})


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        yield found


def work(rig: ApplierRig, allowed: Allowed = NOTHING_MORE, memory: StoredRecord | None = None) -> Work:
    """A ticket on its way; its leases are not used."""
    leases: Any = None
    return Work(SITE_ID, A, rig.event, None, memory or StoredRecord(), leases, allowed)


async def test_record_with_the_id_is_found_by_one_request(rig: ApplierRig) -> None:
    """Nothing is listed where the search finds it."""
    key = rig.target.put(TARGET_EVENT, "Gala", {}, ticket=A)

    found = await Finder(rig.target, clock=rig.clock).found(work(rig), WANTED)

    assert (1, (key,), ()) == (rig.target.requests, tuple(one.key for one in found.bearing), found.same_name)


async def test_one_list_serves_for_a_minute_of_creations(rig: ApplierRig) -> None:
    """A list is read again after a minute, and at once for a ticket that had a record: somebody may have taken its id."""
    key = rig.target.put(TARGET_EVENT, "Gala", {})
    finder = Finder(rig.target, clock=rig.clock)

    for requests in (2, 3):
        found = await finder.found(work(rig), WANTED)
        assert (requests, (key,)) == (rig.target.requests, tuple(one.key for one in found.same_name))
    await finder.found(work(rig, memory=StoredRecord(record="7")), WANTED)
    assert 5 == rig.target.requests
    rig.clock.advance(KEPT + 1)
    await finder.found(work(rig), WANTED)
    assert 7 == rig.target.requests


async def test_deleted_ticket_and_replaced_record_have_no_namesake(rig: ApplierRig) -> None:
    """What is to go off sale is not looked for by its name, nor the record that a new one replaces."""
    rig.target.put(TARGET_EVENT, "Gala", {})
    finder = Finder(rig.target, clock=rig.clock)

    assert () == (await finder.found(work(rig), Deleted(A))).same_name
    assert () == (await finder.found(work(rig, Allowed(replace=True)), WANTED)).same_name


async def test_event_is_read_once_a_minute(rig: ApplierRig) -> None:
    """Its currency hardly ever changes."""
    finder = Finder(rig.target, clock=rig.clock)
    for _ in range(3):
        assert "EUR" == (await finder.event(TARGET_EVENT)).currency
    assert 1 == rig.target.requests
    rig.clock.advance(KEPT + 1)
    rig.target.currency = "USD"
    assert replace(await finder.event(TARGET_EVENT), currency="USD") == await finder.event(TARGET_EVENT)
    assert "USD" == (await finder.event(TARGET_EVENT)).currency
