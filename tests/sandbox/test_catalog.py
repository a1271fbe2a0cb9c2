from itertools import count
from typing import Any

import pytest

from sandbox.catalog import MAX_TICKETS, Catalog
from sandbox.errors import BadReorder, InvalidSalePeriod, NotFound, StaleRevision, TooManyTickets
from sandbox.model import Event, EventStatus, Price, Pricing, Registration, SaleStatus, Ticket
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


def test_sale_that_starts_while_it_is_changed_is_not_lost(rig: CatalogRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is to come when the status is decided, and has passed a moment later, is a sale that starts."""
    ticket = rig.ticket()
    before = rig.clock()
    looks = count(before)
    monkeypatch.setattr(rig.catalog, "_clock", lambda: next(looks))
    rig.catalog.update(ticket.id, start=before + 2)

    assert SaleStatus.SCHEDULED is rig.catalog.tickets[ticket.id].status

    rig.catalog.tick()

    assert SaleStatus.STARTED is rig.catalog.tickets[ticket.id].status


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
    """The event's deletion is announced after that of its tickets, which are gone too."""
    ticket = rig.ticket()
    rig.observer.recorded.clear()

    rig.catalog.delete_event(rig.event.id)
    rig.clock.advance(5000)
    rig.catalog.tick()

    assert ["ticket deleted_with_event", "event deleted"] == rig.observer.words
    for find in (lambda: rig.catalog.ticket(ticket.id), lambda: rig.catalog.event(rig.event.id)):
        with pytest.raises(NotFound):
            find()


def test_update_of_an_event_is_announced(rig: CatalogRig) -> None:
    """An event's new title is stored and announced, with the time of the update; its slug stays."""
    rig.observer.recorded.clear()
    rig.clock.advance(1)

    event = rig.catalog.update_event(rig.event.id, title="Fête")

    assert event == rig.catalog.event(rig.event.id)
    assert ("Fête", "fair", rig.clock()) == (event.title, event.slug, event.updated)
    assert [("event updated", event)] == rig.observer.recorded


def registration(rig: CatalogRig) -> str:
    """The status of registration."""
    return rig.catalog.event(rig.event.id).registration.status


def test_registration_closes_when_all_is_sold_out(rig: CatalogRig) -> None:
    """Registration closes when the last visible ticket is sold out, and opens again when there is stock."""
    first, last = rig.ticket(limit=0), rig.ticket(limit=5)
    rig.ticket(hidden=True)
    rig.observer.recorded.clear()
    seen = [registration(rig)]

    for limit in (0, 5, None):
        rig.catalog.update(last.id, limit=limit)
        seen.append(registration(rig))
    rig.catalog.delete(last.id)
    seen.append(registration(rig))
    rig.catalog.update(first.id, hidden=True)
    seen.append(registration(rig))

    opened, closed = "OPEN_TICKETS", "CLOSED_AUTOMATICALLY"
    assert [opened, closed, opened, opened, closed, opened] == seen
    assert ["event sold_out_changed"] * 4 == [word for word in rig.observer.words if word.startswith("event")]


def test_new_ticket_opens_registration(rig: CatalogRig) -> None:
    """An event without tickets is not sold out, one with a sold-out ticket is, and a new ticket ends that."""
    seen = [registration(rig)]
    for limit in (0, 1):
        rig.ticket(limit=limit)
        seen.append(registration(rig))

    assert ["OPEN_TICKETS", "CLOSED_AUTOMATICALLY", "OPEN_TICKETS"] == seen


def test_organiser_cannot_undo_sold_out(rig: CatalogRig) -> None:
    """What is sold out stays closed, whatever the organiser does to registration."""
    rig.ticket(limit=0)
    rig.catalog.disable_registration(rig.event.id)
    during = registration(rig)

    rig.catalog.open_registration(rig.event.id)
    rig.catalog.update_event(rig.event.id, registration=Registration())

    assert ("CLOSED_MANUALLY", "CLOSED_AUTOMATICALLY") == (during, registration(rig))


def test_lagging_view_has_the_registration_of_then(rig: CatalogRig) -> None:
    """A lagging view shows registration as it was, also where it closed by itself."""
    ticket = rig.ticket()
    rig.clock.advance(10)
    rig.catalog.update(ticket.id, limit=0)
    rig.clock.advance(2)

    late, now = (rig.catalog.view(lag).events[rig.event.id].registration for lag in (3, 0))

    assert ("OPEN_TICKETS", "CLOSED_AUTOMATICALLY") == (late.status, now.status)


def test_tickets_of_an_event_are_in_the_order_of_its_page(rig: CatalogRig) -> None:
    """A new ticket is the last; the order is by sortIndex, equal ones by age."""
    a, b, c = (rig.ticket().id for _ in range(3))
    before = [ticket.id for ticket in rig.catalog.tickets_of(rig.event.id)]
    rig.catalog.update(c, sort_index=0)

    assert ([a, b, c], [a, c, b]) == (before, [ticket.id for ticket in rig.catalog.tickets_of(rig.event.id)])
    assert [] == rig.catalog.tickets_of(rig.catalog.new_id())


@pytest.mark.parametrize(
    ("moved", "where", "order"),
    [(2, {"before": 0}, "201"), (0, {"after": 2}, "120"), (0, {"after": 1}, "102"), (1, {"before": 2}, "012")],
)
def test_reorder_moves_one_ticket(rig: CatalogRig, moved: int, where: dict[str, int], order: str) -> None:
    """A ticket is moved before or after another; only those whose place changes are announced, with a new revision."""
    ids = [rig.ticket().id for _ in range(3)]
    rig.observer.recorded.clear()

    rig.catalog.reorder(rig.event.id, ids[moved], **{name: ids[place] for name, place in where.items()})

    after = rig.catalog.tickets_of(rig.event.id)
    assert order == "".join(str(ids.index(ticket.id)) for ticket in after)
    assert [0, 1, 2] == [ticket.sort_index for ticket in after]
    changed = [ticket for ticket in after if ticket.revision == 2]
    assert sorted(place for place, was in enumerate(order) if int(was) != place) == [one.sort_index for one in changed]
    assert ["ticket reordered"] * len(changed) == rig.observer.words


def test_reorder_needs_two_tickets_of_the_event(rig: CatalogRig) -> None:
    """A ticket is not moved beside itself, nor beside one of another event, and nothing is changed then."""
    one = rig.ticket().id
    other_event = rig.catalog.create_event("Other", rig.clock() + 1, rig.clock() + 2).id
    other = rig.catalog.create(other_event, **FIXED).id
    rig.observer.recorded.clear()

    for anchor in (one, other):
        with pytest.raises(BadReorder):
            rig.catalog.reorder(rig.event.id, one, before=anchor)
    with pytest.raises(BadReorder):
        rig.catalog.reorder(rig.event.id, one)
    for event, ticket in ((rig.catalog.new_id(), one), (rig.event.id, rig.catalog.new_id())):
        with pytest.raises(NotFound):
            rig.catalog.reorder(event, ticket, after=other)

    assert [] == rig.observer.words


def test_view_groups_tickets_by_event(rig: CatalogRig) -> None:
    """The tickets of a view are grouped by their events."""
    ticket = rig.ticket()

    assert {rig.event.id: [ticket]} == rig.catalog.view().by_event()


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
