import pytest

from sandbox.catalog import MAX_TICKETS
from sandbox.errors import TooManyTickets
from sandbox.model import Pricing, SaleStatus
from sandbox.seed import KINDS_OF_FILL, fill, plain, seed
from sandbox.site import KINDS
from sandbox.world import World
from tests.rig.wix import IDS, ManualClock, RecordingObserver


@pytest.fixture
def world() -> World:
    clock = ManualClock()
    found = World(RecordingObserver(), clock=clock)
    seed(found, IDS, clock())
    return found


def test_seed_has_one_ticket_of_each_kind(world: World) -> None:
    """The seed has every kind of ticket under its id, with the promised price and stock."""
    by_kind = {ticket.kind: ticket for ticket in world.tickets.values()}

    assert set(KINDS) == by_kind.keys()
    assert {
        "fixed": (["25.00"], 120),
        "options": (["20.00", "8.50", "0"], 40),
        "guest": (["5.00"], 60),
        "free": (["0"], 15),
        "unlimited": (["9.00"], None),
        "scheduled": (["30.00"], 20),
        "low": (["45.00"], 3),
        "hidden": (["25.00"], 10),
    } == {kind: ([price.value for price in one.prices], one.left) for kind, one in by_kind.items()}
    for kind, ticket in by_kind.items():
        assert IDS.tickets[kind] == ticket.id
    assert IDS.options == tuple(price.option for price in by_kind["options"].prices)
    assert (Pricing.GUEST, True, True) == (by_kind["guest"].pricing, by_kind["free"].free, by_kind["hidden"].hidden)


def test_first_event_has_the_same_address_in_every_run(world: World) -> None:
    """The first event is published, open, and has the slug of its title; its tickets are in the order of the seed."""
    event = world.event(IDS.event)

    assert ("harbour-lights-festival", "UPCOMING", "OPEN_TICKETS") == (
        event.slug,
        event.status,
        event.registration.status,
    )
    assert list(KINDS) == [ticket.kind for ticket in world.tickets_of(IDS.event)]


def test_seed_has_one_scheduled_ticket() -> None:
    """The one scheduled sale starts a minute after the seed."""
    clock = ManualClock()
    world = World(RecordingObserver(), clock=clock)
    seed(world, IDS, clock())
    late = IDS.tickets["scheduled"]

    before = {ticket.id for ticket in world.tickets.values() if ticket.status is not SaleStatus.STARTED}
    clock.advance(59)
    world.tick()
    nearly = world.ticket(late).status
    clock.advance(1)
    world.tick()

    assert ({late}, SaleStatus.SCHEDULED, SaleStatus.STARTED) == (before, nearly, world.ticket(late).status)


def test_seed_is_visible_to_lagging_reads(world: World) -> None:
    """A read with the largest lag finds the tickets of the seed."""
    assert set(IDS.tickets.values()) == world.view(60).tickets.keys()


def test_load_tickets_are_spread_over_events(world: World) -> None:
    """More tickets than an event may have are put into several events; each can be bought."""
    made = plain(world, 250, limit=7)

    events = [world.ticket(id_).event for id_ in made]
    assert (250, 3) == (len(set(made)), len(set(events)))
    assert MAX_TICKETS == max(events.count(event) for event in events)
    assert 7 == world.buy(made[-1], 7).quantity


def test_event_is_filled_with_all_kinds(world: World) -> None:
    """An event gets so many tickets, of each kind in turn, in its currency and with a name each, also when filled twice."""
    event = world.create_event("Gala", world.now() + 9e6, world.now() + 9.1e6).id
    made = [*fill(world, event, 70, "EUR"), *fill(world, event, 30, "EUR")]

    tickets = [world.ticket(id_) for id_ in made]
    assert 100 == len({ticket.name for ticket in tickets}) == len(world.tickets_of(event))
    assert KINDS_OF_FILL == len({ticket.kind for ticket in tickets[:KINDS_OF_FILL]})
    assert max(len(ticket.name) for ticket in tickets) <= 30
    assert {"EUR"} == {price.currency for ticket in tickets for price in ticket.prices}
    assert {1, 3, 5} == {len(ticket.prices) for ticket in tickets if ticket.pricing is Pricing.OPTIONS}
    assert set(SaleStatus) == {ticket.status for ticket in tickets}
    assert set(Pricing) == {ticket.pricing for ticket in tickets}
    differing = [(ticket.limit is None, ticket.hidden, ticket.shown_early, ticket.start is None) for ticket in tickets]
    assert [{True, False}] * 4 == [set(values) for values in zip(*differing, strict=True)]
    with pytest.raises(TooManyTickets):
        fill(world, event, 1)
