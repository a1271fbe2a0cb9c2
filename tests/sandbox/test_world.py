import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import Invalid, NotForSale, NotFound
from sandbox.model import EventStatus, HoldStatus, OrderStatus, Price, Pricing, Ticket
from sandbox.world import Item, World
from tests.rig.wix import ManualClock, RecordingObserver

PRICE = Price("10.00", "USD")
OPTIONS = (Price("20.00", "USD", "adult", "Adult"), Price("0", "USD", "child", "Child"))


class WorldRig:
    """A world with one event on its own clock; holds last 100 s."""

    def __init__(self) -> None:
        self.observer = RecordingObserver()
        self.clock = ManualClock()
        self.world = World(self.observer, clock=self.clock, hold_seconds=lambda: 100.0, rng=random.Random(1))
        now = self.clock()
        self.event = self.world.create_event("Fair", now + 10_000, now + 20_000)
        self.observer.recorded.clear()

    def ticket(self, **fields: Any) -> Ticket:
        given = {"name": "Seat", "pricing": Pricing.FIXED, "prices": (PRICE,), "limit": 10, **fields}
        ticket = self.world.create(self.event.id, **given)
        self.observer.recorded.clear()
        return ticket

    def stock(self, ticket: Ticket) -> tuple[int | None, int, int]:
        """Left, sold, reserved."""
        now = self.world.ticket(ticket.id)
        return now.left, now.sold, now.reserved


@pytest.fixture
def rig() -> WorldRig:
    return WorldRig()


def test_purchase_is_announced_in_order(rig: WorldRig) -> None:
    """A purchase is a hold, an initiated order, the hold confirmed, the order confirmed."""
    ticket = rig.ticket()

    order = rig.world.buy(ticket.id, 2)

    assert ["hold created", "order initiated", "hold updated", "order confirmed"] == [
        word for word, _ in rig.observer.recorded
    ]
    begun, paid = rig.observer.recorded[1][1], rig.observer.recorded[3][1]
    assert (OrderStatus.INITIATED, (), order) == (begun.status, begun.issued, paid)
    assert HoldStatus.CONFIRMED == rig.observer.recorded[2][1].status
    assert (8, 2, 0) == rig.stock(ticket)
    assert {} == rig.world.holds


def test_order_has_one_admission_per_ticket(rig: WorldRig) -> None:
    """Each ticket that was bought has its own number, which begins with that of its order."""
    one, other = rig.ticket(), rig.ticket(name="Table")

    order = rig.world.buy_hold(rig.world.reserve([Item(one.id, 2), Item(other.id)]).id)

    assert [one.id, one.id, other.id] == [admission.ticket for admission in order.issued]
    assert [f"{order.number}{n}" for n in ("01", "02", "03")] == [admission.number for admission in order.issued]
    assert (OrderStatus.PAID, 3) == (order.status, order.quantity)


def test_hold_takes_tickets_until_it_is_canceled(rig: WorldRig) -> None:
    """A hold takes tickets out of the stock until it is canceled."""
    ticket = rig.ticket()

    hold = rig.world.hold(ticket.id, 4)
    during = rig.stock(ticket)
    rig.world.cancel_hold(hold.id)

    assert (6, 0, 4) == during
    assert (10, 0, 0) == rig.stock(ticket)
    assert HoldStatus.CANCELED == rig.observer.recorded[-1][1].status
    with pytest.raises(NotFound):
        rig.world.cancel_hold(hold.id)


def test_hold_expires(rig: WorldRig) -> None:
    """A hold that was not paid ends by itself, and its tickets are available again."""
    ticket = rig.ticket()
    hold = rig.world.hold(ticket.id, 4)
    rig.observer.recorded.clear()

    rig.clock.advance(99)
    rig.world.tick()
    before = rig.stock(ticket)
    rig.clock.advance(1)
    rig.world.tick()

    assert ((6, 0, 4), (10, 0, 0)) == (before, rig.stock(ticket))
    [(word, ended)] = rig.observer.recorded
    assert ("hold updated", hold.id, HoldStatus.EXPIRED, 2) == (word, ended.id, ended.status, ended.revision)
    with pytest.raises(NotFound):
        rig.world.buy_hold(hold.id)


def test_unpaid_order_ends_with_its_hold(rig: WorldRig) -> None:
    """An order whose hold expires is canceled, and cannot be paid afterwards."""
    ticket = rig.ticket()
    order = rig.world.initiate(rig.world.hold(ticket.id).id)
    rig.observer.recorded.clear()

    rig.clock.advance(101)
    rig.world.tick()

    assert ["hold updated", "order updated"] == rig.observer.words
    assert OrderStatus.CANCELED == rig.world.order(order.number).status
    with pytest.raises(NotForSale):
        rig.world.pay(order.number)


def test_confirmed_hold_does_not_expire(rig: WorldRig) -> None:
    """A paid ticket stays sold when the hold's time is over."""
    ticket = rig.ticket()
    rig.world.buy(ticket.id)
    rig.observer.recorded.clear()

    rig.clock.advance(101)
    rig.world.tick()

    assert ((9, 1, 0), []) == (rig.stock(ticket), rig.observer.words)


def test_hold_has_one_order(rig: WorldRig) -> None:
    """A second order for the same hold is refused, and the first can still be paid."""
    ticket = rig.ticket()
    hold = rig.world.hold(ticket.id)
    order = rig.world.initiate(hold.id)

    with pytest.raises(NotForSale):
        rig.world.initiate(hold.id)

    assert order.number == rig.world.buy_hold(hold.id).number


def test_buying_more_than_is_left_is_refused(rig: WorldRig) -> None:
    """A request for more than is left is refused with the number left, and changes nothing."""
    ticket = rig.ticket(limit=3)
    rig.world.hold(ticket.id, 1)

    with pytest.raises(NotForSale, match="2 left"):
        rig.world.buy(ticket.id, 3)

    assert (2, 0, 1) == rig.stock(ticket)


def test_lines_of_one_ticket_count_together(rig: WorldRig) -> None:
    """Two lines for the same ticket cannot take more together than is left."""
    ticket = rig.ticket(limit=3, pricing=Pricing.OPTIONS, prices=OPTIONS)

    with pytest.raises(NotForSale, match="3 left"):
        rig.world.reserve([Item(ticket.id, 2, "adult"), Item(ticket.id, 2, "child")])

    assert (3, 0, 0) == rig.stock(ticket)


def test_unlimited_ticket_never_sells_out(rig: WorldRig) -> None:
    """A ticket without limit never sells out."""
    ticket = rig.ticket(limit=None)

    for _ in range(30):
        rig.world.buy(ticket.id, 50)

    assert (None, 1500, 0) == rig.stock(ticket)


def test_canceled_order_returns_its_tickets(rig: WorldRig) -> None:
    """Canceling an order puts its tickets on sale again, once."""
    ticket = rig.ticket()
    order = rig.world.buy(ticket.id, 3)
    rig.observer.recorded.clear()

    canceled = rig.world.cancel_order(order.number)

    assert [("order updated", canceled)] == rig.observer.recorded
    assert (10, 0, 0) == rig.stock(ticket)
    assert all(admission.canceled for admission in canceled.issued)
    with pytest.raises(NotForSale):
        rig.world.cancel_order(order.number)


def test_unpaid_order_can_be_canceled(rig: WorldRig) -> None:
    """Canceling an order that was only initiated releases its hold."""
    ticket = rig.ticket()
    order = rig.world.initiate(rig.world.hold(ticket.id, 2).id)

    canceled = rig.world.cancel_order(order.number)

    assert (OrderStatus.CANCELED, (10, 0, 0)) == (canceled.status, rig.stock(ticket))


def test_one_ticket_of_an_order_can_be_canceled(rig: WorldRig) -> None:
    """A canceled ticket is on sale again; the order is canceled with its last one."""
    ticket = rig.ticket()
    order = rig.world.buy(ticket.id, 2)
    first, second = (admission.number for admission in order.issued)

    after = rig.world.cancel_ticket(order.number, first)
    then = rig.stock(ticket)
    last = rig.world.cancel_ticket(order.number, second)

    assert (OrderStatus.PAID, [True, False]) == (after.status, [one.canceled for one in after.issued])
    assert ((9, 1, 0), (10, 0, 0)) == (then, rig.stock(ticket))
    assert OrderStatus.CANCELED == last.status
    with pytest.raises(NotForSale):
        rig.world.cancel_ticket(order.number, first)
    with pytest.raises(NotFound):
        rig.world.cancel_ticket(order.number, "none")


def test_order_of_a_deleted_ticket_can_be_canceled(rig: WorldRig) -> None:
    """An order of a ticket that is deleted can still be canceled."""
    ticket = rig.ticket()
    order = rig.world.buy(ticket.id)
    rig.world.delete(ticket.id)

    assert OrderStatus.CANCELED == rig.world.cancel_order(order.number).status


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda rig, ticket: rig.world.update(ticket.id, hidden=True), "hidden"),
        (lambda rig, ticket: rig.world.update(ticket.id, start=rig.clock() + 10), "yet to start"),
        (lambda rig, ticket: rig.world.update(ticket.id, end=rig.clock() - 10), "over"),
        (lambda rig, ticket: rig.world.cancel_event(rig.event.id), "canceled"),
        (lambda rig, ticket: rig.world.update_event(rig.event.id, status=EventStatus.DRAFT), "draft"),
        (lambda rig, ticket: rig.world.buy(ticket.id, 10), "0 left"),
        (lambda rig, ticket: rig.world.pause_registration(rig.event.id), "registration is paused"),
        (lambda rig, ticket: rig.world.disable_registration(rig.event.id), "registration is closed"),
        (lambda rig, ticket: rig.world.set_registration(rig.event.id, override="OPEN_RSVP"), "RSVP"),
        (lambda rig, ticket: rig.world.set_registration(rig.event.id, override="OPEN_EXTERNAL"), "another site"),
        (lambda rig, ticket: rig.world.update(ticket.id, checkout_limit=0), "may have none of it"),
    ],
)
def test_buying_a_ticket_not_on_sale_is_refused(
    rig: WorldRig, spoil: Callable[[WorldRig, Ticket], Any], why: str
) -> None:
    """A ticket that is hidden, too early, too late, canceled or sold out is refused with the reason."""
    ticket = rig.ticket()
    spoil(rig, ticket)

    with pytest.raises(NotForSale, match=why):
        rig.world.buy(ticket.id)


@pytest.mark.parametrize("quantity", [0, -1, 51])
def test_quantity_of_a_line_is_one_to_fifty(rig: WorldRig, quantity: int) -> None:
    """At most fifty tickets of one kind are sold at once."""
    ticket = rig.ticket(limit=None)

    with pytest.raises(Invalid):
        rig.world.buy(ticket.id, quantity)


def test_option_has_its_own_price(rig: WorldRig) -> None:
    """With several prices the buyer must choose an existing one; a free one makes a free order."""
    ticket = rig.ticket(pricing=Pricing.OPTIONS, prices=OPTIONS)

    adult, child = rig.world.buy(ticket.id, 1, "adult"), rig.world.buy(ticket.id, 1, "child")

    assert ["20.00", "0"] == [order.lines[0].price.value for order in (adult, child)]
    assert [OrderStatus.PAID, OrderStatus.FREE] == [adult.status, child.status]
    assert (8, 2, 0) == rig.stock(ticket)
    for option in (None, "dog"):
        with pytest.raises(Invalid):
            rig.world.buy(ticket.id, 1, option)


def test_single_option_need_not_be_chosen(rig: WorldRig) -> None:
    """With one option there is nothing to choose, and without options nothing may be chosen."""
    single = rig.ticket(pricing=Pricing.OPTIONS, prices=OPTIONS[:1])

    assert "adult" == rig.world.buy(single.id).lines[0].price.option
    with pytest.raises(Invalid):
        rig.world.buy(rig.ticket().id, 1, "adult")


def test_guest_names_the_price(rig: WorldRig) -> None:
    """A guest pays the minimum or more; less, or no valid amount, is refused before anything is held."""
    ticket = rig.ticket(pricing=Pricing.GUEST)

    orders = [rig.world.buy(ticket.id), rig.world.buy(ticket.id, price="12.50")]

    assert ["10.00", "12.50"] == [order.lines[0].price.value for order in orders]
    for price in ("9.99", "much", "Infinity", "NaN", "1e9999999", "-20", "+20", "1_000", "20.", "", "²0", "1" * 13):
        with pytest.raises(Invalid):
            rig.world.buy(ticket.id, price=price)
    assert (8, 2, 0) == rig.stock(ticket)
    assert [] == [*rig.world.holds]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 5)), max_size=60))
def test_stock_is_conserved(steps: list[tuple[int, int]]) -> None:
    """Whatever buyers do in any order, left + sold + held is the limit, and none of them is below zero."""
    rig = WorldRig()
    ticket = rig.ticket(limit=12)
    world = rig.world
    for act, number in steps:
        holds, orders = list(world.holds), list(world.orders)
        try:
            match act:
                case 0:
                    world.buy(ticket.id, number)
                case 1:
                    world.hold(ticket.id, number)
                case 2 if holds:
                    world.cancel_hold(holds[number % len(holds)])
                case 3 if holds:
                    world.buy_hold(holds[number % len(holds)])
                case 4 if orders:
                    world.cancel_order(orders[number % len(orders)])
                case 5 if holds:
                    world.initiate(holds[number % len(holds)])
                case _:
                    rig.clock.advance(30 * number)
        except (NotForSale, NotFound):  # sold out, or the hold has expired meanwhile
            pass

        left, sold, reserved = rig.stock(ticket)
        assert left is not None
        assert min(left, sold, reserved) >= 0
        assert 12 == left + sold + reserved
        assert reserved == sum(hold.quantity for hold in world.holds.values())


def test_held_tickets_are_paid_after_registration_closed(rig: WorldRig) -> None:
    """What was held before registration closed can be paid afterwards; nothing more can be held."""
    ticket = rig.ticket()
    hold = rig.world.hold(ticket.id, 2)
    rig.world.disable_registration(rig.event.id)

    assert OrderStatus.PAID == rig.world.buy_hold(hold.id).status
    with pytest.raises(NotForSale):
        rig.world.hold(ticket.id)


@pytest.mark.parametrize("status", ["UNKNOWN_REGISTRATION_STATUS", "OPEN_LATER"])
def test_unknown_registration_status_sells(rig: WorldRig, status: str) -> None:
    """Behind a status that says nothing, registration is as it is: open until it is closed."""
    ticket = rig.ticket()
    rig.world.set_registration(rig.event.id, override=status)

    assert 1 == rig.world.buy(ticket.id).quantity
    rig.world.disable_registration(rig.event.id)
    with pytest.raises(NotForSale):
        rig.world.buy(ticket.id)


def test_registration_follows_the_stock(rig: WorldRig) -> None:
    """Registration closes with the last ticket that is held or sold, and opens when one comes back."""
    ticket = rig.ticket(limit=2)
    order = rig.world.buy(ticket.id)
    hold = rig.world.hold(ticket.id)
    seen = []
    for act in (
        lambda: rig.world.cancel_hold(hold.id),
        lambda: rig.world.buy(ticket.id),
        lambda: rig.world.cancel_order(order.number),
        lambda: None,
    ):
        seen.append(rig.world.event(rig.event.id).registration.status)
        act()

    opened, closed = "OPEN_TICKETS", "CLOSED_AUTOMATICALLY"
    assert [closed, opened, closed, opened] == seen


def test_limit_per_checkout_is_kept(rig: WorldRig) -> None:
    """An order has at most as many tickets as the organiser's limit per checkout allows."""
    ticket = rig.ticket(checkout_limit=2)

    assert 2 == rig.world.buy(ticket.id, 2).quantity
    with pytest.raises(NotForSale, match="may have 2 of it"):
        rig.world.buy(ticket.id, 3)
