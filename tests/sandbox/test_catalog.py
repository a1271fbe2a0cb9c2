from typing import Any

import pytest

from sandbox.catalog import MAX_TICKETS, Catalog
from sandbox.errors import InvalidSalePeriod, NotFound, StaleRevision, TooManyTickets
from sandbox.model import Event, EventStatus, Price, Pricing, SaleStatus, Ticket
from tests.rig.wix import ManualClock, RecordingHerald

FIXED: dict[str, Any] = {"name": "Seat", "pricing": Pricing.FIXED, "prices": (Price("10.00", "USD"),), "limit": 10}


class ProgrammeRig:
    """A programme with one event, on a clock of its own."""

    def __init__(self) -> None:
        self.herald = RecordingHerald()
        self.clock = ManualClock()
        self.programme = Catalog(self.herald, clock=self.clock)
        now = self.clock()
        self.event: Event = self.programme.create_event("Fair", now + 1000, now + 2000, "Europe/Lisbon")

    def ticket(self, **fields: Any) -> Ticket:
        return self.programme.create(self.event.id, **{**FIXED, **fields})


@pytest.fixture
def rig() -> ProgrammeRig:
    return ProgrammeRig()


def test_a_definition_begins_at_revision_one(rig: ProgrammeRig) -> None:
    """A new definition is on sale unless its period says otherwise, and is told of."""
    rig.herald.recorded.clear()

    ticket = rig.ticket()

    assert (1, SaleStatus.STARTED, 10) == (ticket.revision, ticket.status, ticket.left)
    assert [("ticket created", ticket)] == rig.herald.recorded


def test_an_update_counts_the_revision(rig: ProgrammeRig) -> None:
    """Each update raises the revision by one, and the new value is told of."""
    ticket = rig.ticket()
    rig.herald.recorded.clear()
    rig.clock.advance(1)

    after = rig.programme.update(ticket.id, 1, name="Chair")

    assert (2, "Chair", rig.clock()) == (after.revision, after.name, after.updated)
    assert [("ticket updated", after)] == rig.herald.recorded


def test_a_stale_revision_changes_nothing(rig: ProgrammeRig) -> None:
    """An update for a revision that is no longer the present one is refused."""
    ticket = rig.ticket()
    after = rig.programme.update(ticket.id, 1, name="Chair")

    with pytest.raises(StaleRevision):
        rig.programme.update(ticket.id, 1, name="Bench")

    assert after == rig.programme.ticket(ticket.id)


def test_a_deleted_definition_is_gone(rig: ProgrammeRig) -> None:
    """What is deleted is told of once, and is not there afterwards."""
    ticket = rig.ticket()
    rig.herald.recorded.clear()

    rig.programme.delete(ticket.id)

    assert [("ticket deleted", ticket)] == rig.herald.recorded
    with pytest.raises(NotFound):
        rig.programme.update(ticket.id, name="Chair")


def test_a_sale_starts_and_ends_by_the_clock(rig: ProgrammeRig) -> None:
    """A scheduled sale starts at its start and ends at its end, each told of once, without a new revision."""
    now = rig.clock()
    ticket = rig.ticket(start=now + 60, end=now + 120)
    rig.herald.recorded.clear()
    seen = []

    for _ in range(5):
        due = rig.programme.tick()
        seen.append((rig.programme.ticket(ticket.id).status, None if due is None else due - rig.clock()))
        rig.clock.advance(30)

    scheduled, started, ended = SaleStatus.SCHEDULED, SaleStatus.STARTED, SaleStatus.ENDED
    assert [(scheduled, 60), (scheduled, 30), (started, 60), (started, 30), (ended, 880)] == seen
    assert ["ticket sale_started", "ticket sale_ended"] == rig.herald.words
    assert 1 == rig.programme.ticket(ticket.id).revision


def test_a_moved_sale_starts_when_it_says_now(rig: ProgrammeRig) -> None:
    """A sale whose start was moved does not start at the old time."""
    now = rig.clock()
    ticket = rig.ticket(start=now + 60)
    rig.programme.update(ticket.id, start=now + 600)
    rig.herald.recorded.clear()

    rig.clock.advance(61)
    rig.programme.tick()
    then = rig.herald.words
    rig.clock.advance(600)
    rig.programme.tick()

    assert ([], ["ticket sale_started"]) == (then, rig.herald.words)


def test_a_sale_opened_early_says_all_of_it(rig: ProgrammeRig) -> None:
    """Moving a start into the past is an update, a new sale period and a sale that started."""
    ticket = rig.ticket(start=rig.clock() + 60)
    rig.herald.recorded.clear()

    rig.programme.update(ticket.id, start=rig.clock() - 1)

    assert ["ticket updated", "ticket sale_period_updated", "ticket sale_started"] == rig.herald.words


def test_a_deleted_sale_does_not_start(rig: ProgrammeRig) -> None:
    """Nothing is said of a ticket that was deleted before its sale."""
    ticket = rig.ticket(start=rig.clock() + 60)
    rig.programme.delete(ticket.id)
    rig.herald.recorded.clear()

    rig.clock.advance(61)
    rig.programme.tick()

    assert [] == rig.herald.words


@pytest.mark.parametrize("length", [0, -60])
def test_a_sale_must_end_after_it_starts(rig: ProgrammeRig, length: float) -> None:
    """A period without length is refused in creating and in updating, and changes nothing."""
    now = rig.clock()
    ticket = rig.ticket()

    with pytest.raises(InvalidSalePeriod):
        rig.ticket(start=now, end=now + length)
    with pytest.raises(InvalidSalePeriod):
        rig.programme.update(ticket.id, start=now, end=now + length)

    assert {ticket.id: ticket} == rig.programme.tickets


def test_an_event_has_a_hundred_definitions(rig: ProgrammeRig) -> None:
    """The hundred and first definition of an event is refused, that of another event is not."""
    for _ in range(MAX_TICKETS):
        rig.ticket()

    with pytest.raises(TooManyTickets):
        rig.ticket()
    other = rig.programme.create_event("Other", rig.clock() + 1, rig.clock() + 2)
    assert other.id == rig.programme.create(other.id, **FIXED).event


def test_an_event_goes_its_way(rig: ProgrammeRig) -> None:
    """An event starts and ends by the clock."""
    rig.herald.recorded.clear()

    rig.clock.advance(1001)
    rig.programme.tick()
    started = rig.programme.event(rig.event.id).status
    rig.clock.advance(1000)
    rig.programme.tick()

    assert (EventStatus.STARTED, EventStatus.ENDED) == (started, rig.programme.event(rig.event.id).status)
    assert ["event started", "event ended"] == rig.herald.words


def test_a_canceled_event_stays_so(rig: ProgrammeRig) -> None:
    """An event that was canceled neither starts nor ends."""
    rig.programme.cancel_event(rig.event.id)

    rig.clock.advance(5000)
    rig.programme.tick()

    assert EventStatus.CANCELED == rig.programme.event(rig.event.id).status
    assert ["event created", "event canceled"] == rig.herald.words


def test_a_deleted_event_takes_its_tickets_along(rig: ProgrammeRig) -> None:
    """Only of the event it is said that it is gone; its tickets just are."""
    ticket = rig.ticket()
    rig.herald.recorded.clear()

    rig.programme.delete_event(rig.event.id)
    rig.clock.advance(5000)
    rig.programme.tick()

    assert ["event deleted"] == rig.herald.words
    for find in (lambda: rig.programme.ticket(ticket.id), lambda: rig.programme.event(rig.event.id)):
        with pytest.raises(NotFound):
            find()


def test_an_update_of_an_event_is_told(rig: ProgrammeRig) -> None:
    """An event's new title is the event's, one revision on."""
    rig.herald.recorded.clear()

    event = rig.programme.update_event(rig.event.id, title="Fête")

    assert ("Fête", 2) == (rig.programme.event(rig.event.id).title, event.revision)
    assert [("event updated", event)] == rig.herald.recorded


def test_a_view_lags_behind(rig: ProgrammeRig) -> None:
    """A lagging view shows events and tickets as they were: old names, what is deleted now, and nothing new."""
    old, doomed = rig.ticket(), rig.ticket()
    rig.clock.advance(10)
    rig.programme.update(old.id, name="Chair")
    rig.programme.delete(doomed.id)
    fresh = rig.ticket()
    rig.programme.update_event(rig.event.id, title="Fête")
    rig.clock.advance(2)

    late, now = rig.programme.view(3), rig.programme.view()

    assert {old.id: "Seat", doomed.id: "Seat"} == {id_: one.name for id_, one in late.tickets.items()}
    assert {old.id: "Chair", fresh.id: "Seat"} == {id_: one.name for id_, one in now.tickets.items()}
    assert ("Fair", "Fête") == (late.events[rig.event.id].title, now.events[rig.event.id].title)


def test_a_settled_world_has_no_yesterday(rig: ProgrammeRig) -> None:
    """After settle, even the slowest read sees what is there now."""
    ticket = rig.ticket()

    rig.programme.reset_history()

    assert {ticket.id: ticket} == rig.programme.view(60).tickets


def test_who_waits_is_woken(rig: ProgrammeRig) -> None:
    """A new due time wakes whoever lets time pass."""
    woken: list[bool] = []
    rig.programme.wake = lambda: woken.append(True)

    rig.ticket(start=rig.clock() + 60)

    assert woken
