import pytest

from server.model import (
    Named,
    TicketId,
)
from server.store.budget import Priority, Wait
from tests.rig.default_keys import WAKE
from tests.rig.server import SITE
from tests.rig.stored_site import EVENT, ORDER, SITE_ID, A, B, C, StoredSite, about


async def test_unknown_site_writes_nothing(unknown: StoredSite) -> None:
    """Law 9: A hint, a viewer, a claim and a payment for an unknown site write nothing at all."""
    assert await unknown.mark(A, event=EVENT) is None
    assert await unknown.schedule.watch(SITE_ID, [A], counters=True) is None
    assert Wait(1.0) == await unknown.claim()
    assert Wait(1.0) == await unknown.schedule.spend(SITE_ID, Priority.HINTED)
    assert 0.0 == await unknown.schedule.pause(SITE_ID, None, 5.0)

    assert [] == await unknown.keys()


async def test_mark_is_one_round_trip(site: StoredSite) -> None:
    """Law 1: A hint of any number of tickets is one command."""

    async def asked() -> int:
        stats = await site.store.do("INFO", "commandstats")
        return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("eval", "evalsha"))

    await site.mark(A)
    before = await asked()

    await site.mark(*(TicketId(f"ticket-{n}") for n in range(100)))

    assert before + 1 == await asked()


async def test_mark_takes_new_tickets_where_all_are_tracked(site: StoredSite) -> None:
    """Where every ticket is tracked a hint takes new ones too, and the webhook's type and time are stored."""
    assert 2 == await site.mark(A, B)

    assert {A: about(0), B: about(0)} == await site.scores("due")
    assert {A: about(0), B: about(0)} == await site.scores("hinted")
    heard = await site.schedule.heard(SITE_ID)
    assert "1" == heard[f"{ORDER}:count"]
    assert about(0) == (await site.now() - int(heard[f"{ORDER}:at"])) / 1e6


async def test_mark_takes_tickets_watched_within_a_day(watched: StoredSite) -> None:
    """Where only watched tickets are tracked a hint takes those that were watched within a day, and no others."""
    await watched.watch(A)
    await watched.passes(86_300)
    await watched.watch(B)
    assert 2 == await watched.mark(A, B, C)

    await watched.passes(200)

    assert 1 == await watched.mark(A, B, C)


@pytest.mark.parametrize("named", Named)
async def test_mark_falls_back_on_the_event(watched: StoredSite, named: Named) -> None:
    """An order that names no tracked ticket marks its event's tracked tickets, whatever kind of ids it has."""
    await watched.knows(A, B)
    await watched.watch(A)

    marked = await watched.mark(*([] if named is Named.EVENT else [C]), event=EVENT, named=named)

    assert (1, {A}) == (marked, set(await watched.scores("hinted")))


async def test_invoice_lines_count_only_if_the_event_has_them(site: StoredSite) -> None:
    """Of invoice lines those count that name tickets of the event; if none does, all its tickets are marked."""
    await site.knows(A, B)

    assert 1 == await site.mark(A, C, event=EVENT, named=Named.LINES)
    assert {A} == set(await site.scores("hinted"))
    assert 2 == await site.mark(C, event=EVENT, named=Named.LINES)
    assert {A, B} == set(await site.scores("hinted"))


async def test_repeated_hints_never_delay_a_ticket(site: StoredSite) -> None:
    """Law 4: A thousand orders are one member of the schedule, due when the first of them came."""
    await site.mark(A)
    await site.passes(5)
    for _ in range(50):
        assert 1 == await site.mark(A)

    assert {A: about(-5)} == await site.scores("due")
    assert {A: about(0)} == await site.scores("hinted")


async def test_hint_wakes_only_if_it_made_something_due(site: StoredSite) -> None:
    """A worker is woken by a hint that makes a ticket due, and not by one for a ticket that is due already."""
    async with site.store.listener() as listener:
        await listener.subscribe_all_nodes(WAKE)
        assert await listener.receive(2)

        await site.mark(A)
        await site.mark(A)
        await site.mark(B)
        await site.store.do("PUBLISH", WAKE, "end")

        heard = [await listener.receive(2) for _ in range(3)]
    assert [SITE, SITE, "end"] == [one.text for one in heard if one]


async def test_mark_during_a_read_causes_another_read(site: StoredSite) -> None:
    """An order that comes during a read makes the ticket due at once, and the end of that read leaves it due."""
    await site.mark(A, B)
    lot = await site.lot()
    assert (about(30), about(30)) == (await site.due(A), await site.due(B))

    assert 1 == await site.mark(A)
    await site.settle(lot)

    assert (about(0), about(2)) == (await site.due(A), await site.due(B))
    assert (A,) == (await site.lot()).tickets
