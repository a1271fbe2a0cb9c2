from typing import Any

import pytest

from sandbox.catalog import MAX_TICKETS, Catalog
from sandbox.errors import InvalidSalePeriod, NotFound, StaleRevision, TooManyTickets
from sandbox.model import Event, EventStatus, Price, Pricing, SaleStatus, Ticket
from tests.rig.wix import ManualClock, RecordingObserver

FIXED: dict[str, Any] = {"name": "Seat", "pricing": Pricing.FIXED, "prices": (Price("10.00", "USD"),), "limit": 10}


class CatalogRig:
    """A catalog with one event, on its own clock."""

    def __init__(self) -> None:
        self.observer = RecordingObserver()
        self.clock = ManualClock()
        self.catalog = Catalog(self.observer, clock=self.clock)
        now = self.clock()
        self.event: Event = self.catalog.create_event("Fair", now + 1000, now + 2000, "Europe/Lisbon")

    def ticket(self, **fields: Any) -> Ticket:
        return self.catalog.create(self.event.id, **{**FIXED, **fields})


@pytest.fixture
def rig() -> CatalogRig:
    return CatalogRig()


def test_new_definition_has_revision_one(rig: CatalogRig) -> None:
    """A new definition is on sale unless its sale period says otherwise, and is announced."""
    rig.observer.recorded.clear()

    ticket = rig.ticket()

    assert (1, SaleStatus.STARTED, 10) == (ticket.revision, ticket.status, ticket.left)
    assert [("ticket created", ticket)] == rig.observer.recorded


def test_update_raises_the_revision(rig: CatalogRig) -> None:
    """Each update raises the revision by one, and the new value is announced."""
    ticket = rig.ticket()
    rig.observer.recorded.clear()
    rig.clock.advance(1)

    after = rig.catalog.update(ticket.id, 1, name="Chair")

    assert (2, "Chair", rig.clock()) == (after.revision, after.name, after.updated)
    assert [("ticket updated", after)] == rig.observer.recorded


def test_stale_revision_is_refused(rig: CatalogRig) -> None:
    """An update for a revision that is no longer the present one is refused."""
    ticket = rig.ticket()
    after = rig.catalog.update(ticket.id, 1, name="Chair")

    with pytest.raises(StaleRevision):
        rig.catalog.update(ticket.id, 1, name="Bench")

    assert after == rig.catalog.ticket(ticket.id)


def test_deleted_definition_is_gone(rig: CatalogRig) -> None:
    """A deletion is announced once, and the definition is not found afterwards."""
    ticket = rig.ticket()
    rig.observer.recorded.clear()

    rig.catalog.delete(ticket.id)

    assert [("ticket deleted", ticket)] == rig.observer.recorded
    with pytest.raises(NotFound):
        rig.catalog.update(ticket.id, name="Chair")


def test_sale_starts_and_ends_by_the_clock(rig: CatalogRig) -> None:
    """A scheduled sale starts and ends on time, each announced once, without a new revision."""
    now = rig.clock()
    ticket = rig.ticket(start=now + 60, end=now + 120)
    rig.observer.recorded.clear()
    seen = []

    for _ in range(5):
        due = rig.catalog.tick()
        seen.append((rig.catalog.ticket(ticket.id).status, None if due is None else due - rig.clock()))
        rig.clock.advance(30)

    scheduled, started, ended = SaleStatus.SCHEDULED, SaleStatus.STARTED, SaleStatus.ENDED
    assert [(scheduled, 60), (scheduled, 30), (started, 60), (started, 30), (ended, 880)] == seen
    assert ["ticket sale_started", "ticket sale_ended"] == rig.observer.words
    assert 1 == rig.catalog.ticket(ticket.id).revision


def test_moved_sale_starts_at_its_new_time(rig: CatalogRig) -> None:
    """A sale whose start was moved does not start at the old time."""
    now = rig.clock()
    ticket = rig.ticket(start=now + 60)
    rig.catalog.update(ticket.id, start=now + 600)
    rig.observer.recorded.clear()

    rig.clock.advance(61)
    rig.catalog.tick()
    then = rig.observer.words
    rig.clock.advance(600)
    rig.catalog.tick()

    assert ([], ["ticket sale_started"]) == (then, rig.observer.words)


def test_sale_opened_early_is_announced(rig: CatalogRig) -> None:
    """Moving a start into the past is an update, a new sale period and a sale that started."""
    ticket = rig.ticket(start=rig.clock() + 60)
    rig.observer.recorded.clear()

    rig.catalog.update(ticket.id, start=rig.clock() - 1)

    assert ["ticket updated", "ticket sale_period_updated", "ticket sale_started"] == rig.observer.words


def test_sale_of_a_deleted_ticket_does_not_start(rig: CatalogRig) -> None:
    """A ticket that was deleted before its sale is not announced."""
    ticket = rig.ticket(start=rig.clock() + 60)
    rig.catalog.delete(ticket.id)
    rig.observer.recorded.clear()

    rig.clock.advance(61)
    rig.catalog.tick()

    assert [] == rig.observer.words


@pytest.mark.parametrize("length", [0, -60])
def test_sale_must_end_after_it_starts(rig: CatalogRig, length: float) -> None:
    """An empty sale period is refused in creating and in updating, and changes nothing."""
    now = rig.clock()
    ticket = rig.ticket()

    with pytest.raises(InvalidSalePeriod):
        rig.ticket(start=now, end=now + length)
    with pytest.raises(InvalidSalePeriod):
        rig.catalog.update(ticket.id, start=now, end=now + length)

    assert {ticket.id: ticket} == rig.catalog.tickets


def test_event_has_at_most_a_hundred_definitions(rig: CatalogRig) -> None:
    """The hundred and first definition of an event is refused, that of another event is not."""
    for _ in range(MAX_TICKETS):
        rig.ticket()

    with pytest.raises(TooManyTickets):
        rig.ticket()
    other = rig.catalog.create_event("Other", rig.clock() + 1, rig.clock() + 2)
    assert other.id == rig.catalog.create(other.id, **FIXED).event


def test_event_starts_and_ends_by_the_clock(rig: CatalogRig) -> None:
    """An event starts and ends by the clock."""
    rig.observer.recorded.clear()

    rig.clock.advance(1001)
    rig.catalog.tick()
    started = rig.catalog.event(rig.event.id).status
    rig.clock.advance(1000)
    rig.catalog.tick()

    assert (EventStatus.STARTED, EventStatus.ENDED) == (started, rig.catalog.event(rig.event.id).status)
    assert ["event started", "event ended"] == rig.observer.words


def test_canceled_event_stays_canceled(rig: CatalogRig) -> None:
    """An event that was canceled neither starts nor ends."""
    rig.catalog.cancel_event(rig.event.id)

    rig.clock.advance(5000)
    rig.catalog.tick()

    assert EventStatus.CANCELED == rig.catalog.event(rig.event.id).status
    assert ["event created", "event canceled"] == rig.observer.words


def test_deleted_event_deletes_its_tickets(rig: CatalogRig) -> None:
    """Only the event's deletion is announced; its tickets are gone too."""
    ticket = rig.ticket()
    rig.observer.recorded.clear()

    rig.catalog.delete_event(rig.event.id)
    rig.clock.advance(5000)
    rig.catalog.tick()

    assert ["event deleted"] == rig.observer.words
    for find in (lambda: rig.catalog.ticket(ticket.id), lambda: rig.catalog.event(rig.event.id)):
        with pytest.raises(NotFound):
            find()


def test_update_of_an_event_is_announced(rig: CatalogRig) -> None:
    """An event's new title is stored and announced, with the next revision."""
    rig.observer.recorded.clear()

    event = rig.catalog.update_event(rig.event.id, title="Fête")

    assert ("Fête", 2) == (rig.catalog.event(rig.event.id).title, event.revision)
    assert [("event updated", event)] == rig.observer.recorded


def test_lagging_view_shows_an_earlier_state(rig: CatalogRig) -> None:
    """A lagging view shows events and tickets as they were: with old names, since deleted ones, and no new ones."""
    old, doomed = rig.ticket(), rig.ticket()
    rig.clock.advance(10)
    rig.catalog.update(old.id, name="Chair")
    rig.catalog.delete(doomed.id)
    fresh = rig.ticket()
    rig.catalog.update_event(rig.event.id, title="Fête")
    rig.clock.advance(2)

    late, now = rig.catalog.view(3), rig.catalog.view()

    assert {old.id: "Seat", doomed.id: "Seat"} == {id_: one.name for id_, one in late.tickets.items()}
    assert {old.id: "Chair", fresh.id: "Seat"} == {id_: one.name for id_, one in now.tickets.items()}
    assert ("Fair", "Fête") == (late.events[rig.event.id].title, now.events[rig.event.id].title)


def test_reset_history(rig: CatalogRig) -> None:
    """After the history was reset, even the most lagging read sees the present state."""
    ticket = rig.ticket()

    rig.catalog.reset_history()

    assert {ticket.id: ticket} == rig.catalog.view(60).tickets


def test_new_due_time_wakes_the_timer(rig: CatalogRig) -> None:
    """A new due time wakes the task that waits for the next one."""
    woken: list[bool] = []
    rig.catalog.wake = lambda: woken.append(True)

    rig.ticket(start=rig.clock() + 60)

    assert woken
