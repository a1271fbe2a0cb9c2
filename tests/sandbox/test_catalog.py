from typing import Any

import pytest

from sandbox.catalog import MAX_TICKETS, Catalog
from sandbox.errors import InvalidSalePeriod, NotFound, StaleRevision, TooManyTickets
from sandbox.model import Event, EventStatus, Price, Pricing, SaleStatus, Ticket
from tests.rig.wix import Ears, Hand

FIXED: dict[str, Any] = {"name": "Seat", "pricing": Pricing.FIXED, "prices": (Price("10.00", "USD"),), "limit": 10}


class Stage:
    """A programme with one event, on a clock of its own."""

    def __init__(self) -> None:
        self.ears = Ears()
        self.hand = Hand()
        self.programme = Catalog(self.ears, clock=self.hand)
        now = self.hand()
        self.event: Event = self.programme.create_event("Fair", now + 1000, now + 2000, "Europe/Lisbon")

    def ticket(self, **fields: Any) -> Ticket:
        return self.programme.create(self.event.id, **{**FIXED, **fields})


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_definition_begins_at_revision_one(stage: Stage) -> None:
    """A new definition is on sale unless its period says otherwise, and is told of."""
    stage.ears.heard.clear()

    ticket = stage.ticket()

    assert (1, SaleStatus.STARTED, 10) == (ticket.revision, ticket.status, ticket.left)
    assert [("ticket created", ticket)] == stage.ears.heard


def test_an_update_counts_the_revision(stage: Stage) -> None:
    """Each update raises the revision by one, and the new value is told of."""
    ticket = stage.ticket()
    stage.ears.heard.clear()
    stage.hand.move(1)

    after = stage.programme.update(ticket.id, 1, name="Chair")

    assert (2, "Chair", stage.hand()) == (after.revision, after.name, after.updated)
    assert [("ticket updated", after)] == stage.ears.heard


def test_a_stale_revision_changes_nothing(stage: Stage) -> None:
    """An update for a revision that is no longer the present one is refused."""
    ticket = stage.ticket()
    after = stage.programme.update(ticket.id, 1, name="Chair")

    with pytest.raises(StaleRevision):
        stage.programme.update(ticket.id, 1, name="Bench")

    assert after == stage.programme.ticket(ticket.id)


def test_a_deleted_definition_is_gone(stage: Stage) -> None:
    """What is deleted is told of once, and is not there afterwards."""
    ticket = stage.ticket()
    stage.ears.heard.clear()

    stage.programme.delete(ticket.id)

    assert [("ticket deleted", ticket)] == stage.ears.heard
    with pytest.raises(NotFound):
        stage.programme.update(ticket.id, name="Chair")


def test_a_sale_starts_and_ends_by_the_clock(stage: Stage) -> None:
    """A scheduled sale starts at its start and ends at its end, each told of once, without a new revision."""
    now = stage.hand()
    ticket = stage.ticket(start=now + 60, end=now + 120)
    stage.ears.heard.clear()
    seen = []

    for _ in range(5):
        due = stage.programme.tick()
        seen.append((stage.programme.ticket(ticket.id).status, None if due is None else due - stage.hand()))
        stage.hand.move(30)

    scheduled, started, ended = SaleStatus.SCHEDULED, SaleStatus.STARTED, SaleStatus.ENDED
    assert [(scheduled, 60), (scheduled, 30), (started, 60), (started, 30), (ended, 880)] == seen
    assert ["ticket sale_started", "ticket sale_ended"] == stage.ears.words
    assert 1 == stage.programme.ticket(ticket.id).revision


def test_a_moved_sale_starts_when_it_says_now(stage: Stage) -> None:
    """A sale whose start was moved does not start at the old time."""
    now = stage.hand()
    ticket = stage.ticket(start=now + 60)
    stage.programme.update(ticket.id, start=now + 600)
    stage.ears.heard.clear()

    stage.hand.move(61)
    stage.programme.tick()
    then = stage.ears.words
    stage.hand.move(600)
    stage.programme.tick()

    assert ([], ["ticket sale_started"]) == (then, stage.ears.words)


def test_a_sale_opened_early_says_all_of_it(stage: Stage) -> None:
    """Moving a start into the past is an update, a new sale period and a sale that started."""
    ticket = stage.ticket(start=stage.hand() + 60)
    stage.ears.heard.clear()

    stage.programme.update(ticket.id, start=stage.hand() - 1)

    assert ["ticket updated", "ticket sale_period_updated", "ticket sale_started"] == stage.ears.words


def test_a_deleted_sale_does_not_start(stage: Stage) -> None:
    """Nothing is said of a ticket that was deleted before its sale."""
    ticket = stage.ticket(start=stage.hand() + 60)
    stage.programme.delete(ticket.id)
    stage.ears.heard.clear()

    stage.hand.move(61)
    stage.programme.tick()

    assert [] == stage.ears.words


@pytest.mark.parametrize("length", [0, -60])
def test_a_sale_must_end_after_it_starts(stage: Stage, length: float) -> None:
    """A period without length is refused in creating and in updating, and changes nothing."""
    now = stage.hand()
    ticket = stage.ticket()

    with pytest.raises(InvalidSalePeriod):
        stage.ticket(start=now, end=now + length)
    with pytest.raises(InvalidSalePeriod):
        stage.programme.update(ticket.id, start=now, end=now + length)

    assert {ticket.id: ticket} == stage.programme.tickets


def test_an_event_has_a_hundred_definitions(stage: Stage) -> None:
    """The hundred and first definition of an event is refused, that of another event is not."""
    for _ in range(MAX_TICKETS):
        stage.ticket()

    with pytest.raises(TooManyTickets):
        stage.ticket()
    other = stage.programme.create_event("Other", stage.hand() + 1, stage.hand() + 2)
    assert other.id == stage.programme.create(other.id, **FIXED).event


def test_an_event_goes_its_way(stage: Stage) -> None:
    """An event starts and ends by the clock."""
    stage.ears.heard.clear()

    stage.hand.move(1001)
    stage.programme.tick()
    started = stage.programme.event(stage.event.id).status
    stage.hand.move(1000)
    stage.programme.tick()

    assert (EventStatus.STARTED, EventStatus.ENDED) == (started, stage.programme.event(stage.event.id).status)
    assert ["event started", "event ended"] == stage.ears.words


def test_a_canceled_event_stays_so(stage: Stage) -> None:
    """An event that was canceled neither starts nor ends."""
    stage.programme.cancel_event(stage.event.id)

    stage.hand.move(5000)
    stage.programme.tick()

    assert EventStatus.CANCELED == stage.programme.event(stage.event.id).status
    assert ["event created", "event canceled"] == stage.ears.words


def test_a_deleted_event_takes_its_tickets_along(stage: Stage) -> None:
    """Only of the event it is said that it is gone; its tickets just are."""
    ticket = stage.ticket()
    stage.ears.heard.clear()

    stage.programme.delete_event(stage.event.id)
    stage.hand.move(5000)
    stage.programme.tick()

    assert ["event deleted"] == stage.ears.words
    for find in (lambda: stage.programme.ticket(ticket.id), lambda: stage.programme.event(stage.event.id)):
        with pytest.raises(NotFound):
            find()


def test_an_update_of_an_event_is_told(stage: Stage) -> None:
    """An event's new title is the event's, one revision on."""
    stage.ears.heard.clear()

    event = stage.programme.update_event(stage.event.id, title="Fête")

    assert ("Fête", 2) == (stage.programme.event(stage.event.id).title, event.revision)
    assert [("event updated", event)] == stage.ears.heard


def test_a_view_lags_behind(stage: Stage) -> None:
    """A lagging view shows events and tickets as they were: old names, what is deleted now, and nothing new."""
    old, doomed = stage.ticket(), stage.ticket()
    stage.hand.move(10)
    stage.programme.update(old.id, name="Chair")
    stage.programme.delete(doomed.id)
    fresh = stage.ticket()
    stage.programme.update_event(stage.event.id, title="Fête")
    stage.hand.move(2)

    late, now = stage.programme.view(3), stage.programme.view()

    assert {old.id: "Seat", doomed.id: "Seat"} == {id_: one.name for id_, one in late.tickets.items()}
    assert {old.id: "Chair", fresh.id: "Seat"} == {id_: one.name for id_, one in now.tickets.items()}
    assert ("Fair", "Fête") == (late.events[stage.event.id].title, now.events[stage.event.id].title)


def test_a_settled_world_has_no_yesterday(stage: Stage) -> None:
    """After settle, even the slowest read sees what is there now."""
    ticket = stage.ticket()

    stage.programme.reset_history()

    assert {ticket.id: ticket} == stage.programme.view(60).tickets


def test_who_waits_is_woken(stage: Stage) -> None:
    """A new due time wakes whoever lets time pass."""
    woken: list[bool] = []
    stage.programme.wake = lambda: woken.append(True)

    stage.ticket(start=stage.hand() + 60)

    assert woken
