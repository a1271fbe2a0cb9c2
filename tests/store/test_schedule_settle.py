from typing import Any

import pytest

from server.counter import Rules
from server.model import Pace, TicketId
from server.store.claims import NextRead
from tests.rig.default_keys import key
from tests.rig.server import SITE
from tests.rig.stored_site import SITE_ID, A, B, StoredSite, about, held
from tests.rig.time_travel import aged

SETTLED: dict[str, tuple[dict[str, Any], float | None]] = {
    "nothing wants it": ({}, None),
    "hinted just now": ({"hint": 0}, 2),
    "hinted 3 s ago": ({"hint": 3}, 8 - 3),
    "hinted 9 s ago": ({"hint": 9}, 30 - 9),
    "hinted long ago": ({"hint": 31}, None),
    "watched": ({"watched": True}, 15),
    "watched, ended": ({"watched": True, "pace": Pace.SLOW}, 600),
    "watched, deleted": ({"watched": True, "pace": Pace.DEAD}, 600),
    "watched, never there": ({"watched": True, "pace": Pace.NEVER}, None),
    "everything": ({"everything": True}, 300),
    "everything, ended": ({"everything": True, "pace": Pace.SLOW}, 300),
    "everything, deleted": ({"everything": True, "pace": Pace.DEAD}, None),
    "everything, never there": ({"everything": True, "pace": Pace.NEVER}, None),
    "everything, watched": ({"everything": True, "watched": True}, 15),
    "everything, watched, hinted": ({"everything": True, "watched": True, "hint": 9}, 15),
    "never there, hinted": ({"pace": Pace.NEVER, "hint": 0}, 2),
    "sale starts": ({"start": 100}, 100),
    "sale starts after the reconciling read": ({"start": 400, "everything": True}, 300),
    "sale ends": ({"start": -1000, "end": 50}, 50),
    "sale has just started": ({"start": -1}, 2 - 1),
    "sale started 5 s ago": ({"start": -5}, 8 - 5),
    "sale started 10 s ago": ({"start": -10, "everything": True}, 30 - 10),
    "sale has just ended": ({"start": -1000, "end": -1}, 2 - 1),
    "sale is long over": ({"start": -1000, "end": -31}, None),
    "missing": ({"again": True}, 2),
    "missing, everything, hinted": ({"again": True, "everything": True, "hint": 7}, 8 - 7),
}


@pytest.mark.parametrize("case", SETTLED)
async def test_settle_schedules_the_next_read(site: StoredSite, case: str) -> None:
    """After a read a ticket is due at the earliest of: settle steps of a hint, sale start or end, viewers, reconciling."""
    given_, expected = SETTLED[case]
    await site.mark(A)
    lot = await site.lot()
    await site.schedule.add_site(SITE_ID, Rules(), everything=given_.get("everything", False))
    await site.store.do("DEL", key(SITE, "hinted"))
    if "hint" in given_:
        await site.store.do("ZADD", key(SITE, "hinted"), lot.version - given_["hint"] * 10**6, A)
    if "watched" in given_:
        await site.watch(A)
    moments = {f"{name}_us": lot.version + given_[name] * 10**6 for name in ("start", "end") if name in given_}

    await site.settle(lot, pace=given_.get("pace", Pace.LIVE), again=given_.get("again", False), **moments)

    assert expected == (None if (due := await site.due(A)) is None else about(due))


async def test_settle_steps_after_a_hint(site: StoredSite) -> None:
    """A hint is followed by reads 2, 8 and 30 s after it, as Wix may answer late; then it is forgotten."""
    await site.mark(A)
    reads = []
    passed = 0.0
    for _ in range(5):
        lot = await site.lot()
        reads.append(passed)
        await site.settle(lot)
        due = await site.due(A)
        assert due is not None
        await site.passes(due)
        passed += due

    assert [about(moment) for moment in (0, 2, 8, 30, 330)] == reads
    assert {} == await site.scores("hinted")


async def ends(site: StoredSite) -> list[tuple[str, float]]:
    """The stored ends of holds, as tickets and seconds from now."""
    now = await site.now()
    pairs = [one.rpartition(":") for one in await site.store.do("ZRANGE", key(SITE, "holds"), 0, -1)]
    return [(ticket, (int(moment) - now) / 1e6) for ticket, _, moment in pairs]


def within_5_s(seconds: float) -> Any:
    """A time that was rounded up by as much as 5 s, of which some may have passed."""
    return pytest.approx(seconds + 2.25, abs=2.75)


async def test_end_of_a_hold_makes_a_ticket_due(watched: StoredSite) -> None:
    """The end of a hold is a due time of its own, followed by settle reads, without any viewer or webhook then."""
    await watched.watch(A)
    await watched.lot()
    await held(watched, A, 1200)
    reads = []
    passed = 0.0
    while (due := await watched.due(A)) is not None:
        await watched.passes(max(0.0, due))
        passed += max(0.0, due)
        lot = await watched.lot()
        if passed > 35:  # the viewer has left, and the hint's own steps are over
            reads.append(passed)
        await watched.settle(lot)

    assert within_5_s(1200) == reads[0]
    assert [about(reads[0] + step) for step in (2, 8, 30)] == reads[1:]
    assert [] == await ends(watched)


async def test_ends_of_many_holds_are_rounded(watched: StoredSite) -> None:
    """Many holds are one due time in 5 s, the same for all tickets, and each is kept until it has passed."""
    site = watched
    await site.watch(A, B)
    for second in range(300):
        await held(site, A, 600 + second / 10)
        await held(site, B, 600 + second / 10)

    found = await ends(site)
    its = [moment for ticket, moment in found if ticket == A]
    assert its == [moment for ticket, moment in found if ticket == B]
    assert 7 <= len(its) <= 8
    assert within_5_s(600) == its[0]

    await site.passes(its[2] + 1)
    await site.settle(await site.lot())
    assert [about(moment - its[2] - 1) for moment in its[2:]] == [at for ticket, at in await ends(site) if ticket == A]
    assert about(2 - 1) == await site.due(A)
    await site.passes(3.5)
    await site.settle(await site.lot())
    assert about(its[3] - its[2] - 4.5) == await site.due(A)


@pytest.mark.parametrize("seconds", [-1, 3601, 10**7])
async def test_hold_with_no_future_end_is_a_plain_hint(site: StoredSite, seconds: float) -> None:
    """A hold that is over, or that would end after more than an hour, is treated as any other hint."""
    assert 1 == await held(site, A, seconds)

    assert about(0) == await site.due(A)
    assert [] == await ends(site)


async def test_hold_of_an_untracked_ticket_is_not_stored(watched: StoredSite) -> None:
    """Law 9: A hold on an untracked ticket is not stored."""
    assert 0 == await held(watched, A, 600)

    assert [] == await ends(watched)


async def test_holds_of_tickets_with_a_common_prefix(site: StoredSite) -> None:
    """Each ticket has its own holds, even if its id is a prefix of another's."""
    one, ten = TicketId("ticket-1"), TicketId("ticket-10")
    await held(site, ten, 100)
    await site.mark(one)
    await site.passes(50)

    await site.settle(await site.lot())

    assert (about(300), within_5_s(50)) == (await site.due(one), await site.due(ten))
    await site.passes(60)
    await site.settle(await site.lot())
    assert about(240) == await site.due(one)
    assert [ten] == [ticket for ticket, _ in await ends(site)]


async def test_second_order_restarts_the_settle_steps(site: StoredSite) -> None:
    """Steps count from the last hint, and orders in between add no more of them."""
    await site.mark(A)
    await site.settle(await site.lot())
    await site.passes(5)
    for _ in range(20):
        await site.mark(A)

    await site.settle(await site.lot())

    assert about(2) == await site.due(A)


async def test_slow_read_does_not_complete_later_settle_steps(site: StoredSite) -> None:
    """A slow read does not complete the steps that passed while it waited: they are due at once."""
    await site.mark(A)
    lot = await site.lot()
    await site.passes(10)

    await site.settle(aged(lot, 10))

    assert about(2 - 10) == await site.due(A)


async def test_late_answer_does_not_settle_another_workers_lot(site: StoredSite) -> None:
    """A worker that answers after its lease ended does not settle tickets that another worker reads by now."""
    await site.mark(A)
    slow = await site.lot()
    await site.passes(30)
    await site.lot()

    await site.settle(aged(slow, 30))

    assert about(30) == await site.due(A)


async def test_track_schedules_only_new_tickets(site: StoredSite) -> None:
    """A listing gives a due time to tickets that had none, and changes none of the others."""
    await site.mark(A)

    await site.schedule.track(SITE_ID, await site.now(), [NextRead(A, Pace.LIVE), NextRead(B, Pace.LIVE)])

    assert {A: about(0), B: about(300)} == await site.scores()
    assert {A, B} == set(await site.schedule.tracked(SITE_ID))


async def test_viewers_are_forgotten_after_a_day(watched: StoredSite) -> None:
    """A ticket that was last watched more than a day ago is no longer stored as watched."""
    await watched.watch(A)
    await watched.passes(86_430)
    await watched.watch(B)

    await watched.settle(await watched.lot())

    assert {B} == set(await watched.scores("watched"))
