import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import Invalid, NotForSale, NotFound
from sandbox.model import EventStatus, HoldStatus, OrderStatus, Price, Pricing, Ticket
from sandbox.world import Item, World
from tests.rig.wix import Ears, Hand

PRICE = Price("10.00", "USD")
OPTIONS = (Price("20.00", "USD", "adult", "Adult"), Price("0", "USD", "child", "Child"))


class Shop:
    """A world with one event on a clock of its own; holds last 100 s."""

    def __init__(self) -> None:
        self.ears = Ears()
        self.hand = Hand()
        self.world = World(self.ears, clock=self.hand, hold_seconds=lambda: 100.0, rng=random.Random(1))
        now = self.hand()
        self.event = self.world.create_event("Fair", now + 10_000, now + 20_000)
        self.ears.heard.clear()

    def ticket(self, **fields: Any) -> Ticket:
        given = {"name": "Seat", "pricing": Pricing.FIXED, "prices": (PRICE,), "limit": 10, **fields}
        ticket = self.world.create(self.event.id, **given)
        self.ears.heard.clear()
        return ticket

    def stock(self, ticket: Ticket) -> tuple[int | None, int, int]:
        """Left, sold, reserved."""
        now = self.world.ticket(ticket.id)
        return now.left, now.sold, now.reserved


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_buying_says_everything_in_order(shop: Shop) -> None:
    """A purchase is a hold, an order begun, the hold confirmed, the order confirmed."""
    ticket = shop.ticket()

    order = shop.world.buy(ticket.id, 2)

    assert ["hold created", "order initiated", "hold updated", "order confirmed"] == [
        word for word, _ in shop.ears.heard
    ]
    begun, paid = shop.ears.heard[1][1], shop.ears.heard[3][1]
    assert (OrderStatus.INITIATED, (), order) == (begun.status, begun.issued, paid)
    assert HoldStatus.CONFIRMED == shop.ears.heard[2][1].status
    assert (8, 2, 0) == shop.stock(ticket)
    assert {} == shop.world.holds


def test_an_order_has_one_admission_a_ticket(shop: Shop) -> None:
    """Each ticket that was bought has a number of its own, below that of its order."""
    one, other = shop.ticket(), shop.ticket(name="Table")

    order = shop.world.buy_hold(shop.world.reserve([Item(one.id, 2), Item(other.id)]).id)

    assert [one.id, one.id, other.id] == [admission.ticket for admission in order.issued]
    assert [f"{order.number}{n}" for n in ("01", "02", "03")] == [admission.number for admission in order.issued]
    assert (OrderStatus.PAID, 3) == (order.status, order.quantity)


def test_a_hold_takes_out_and_gives_back(shop: Shop) -> None:
    """A hold takes tickets out of the stock until it is canceled."""
    ticket = shop.ticket()

    hold = shop.world.hold(ticket.id, 4)
    during = shop.stock(ticket)
    shop.world.cancel_hold(hold.id)

    assert (6, 0, 4) == during
    assert (10, 0, 0) == shop.stock(ticket)
    assert HoldStatus.CANCELED == shop.ears.heard[-1][1].status
    with pytest.raises(NotFound):
        shop.world.cancel_hold(hold.id)


def test_a_hold_expires(shop: Shop) -> None:
    """A hold that nobody paid ends by itself, and its tickets come back."""
    ticket = shop.ticket()
    hold = shop.world.hold(ticket.id, 4)
    shop.ears.heard.clear()

    shop.hand.move(99)
    shop.world.tick()
    before = shop.stock(ticket)
    shop.hand.move(1)
    shop.world.tick()

    assert ((6, 0, 4), (10, 0, 0)) == (before, shop.stock(ticket))
    [(word, ended)] = shop.ears.heard
    assert ("hold updated", hold.id, HoldStatus.EXPIRED, 2) == (word, ended.id, ended.status, ended.revision)
    with pytest.raises(NotFound):
        shop.world.buy_hold(hold.id)


def test_an_unpaid_order_ends_with_its_hold(shop: Shop) -> None:
    """An order whose hold expires is canceled, and cannot be paid afterwards."""
    ticket = shop.ticket()
    order = shop.world.initiate(shop.world.hold(ticket.id).id)
    shop.ears.heard.clear()

    shop.hand.move(101)
    shop.world.tick()

    assert ["hold updated", "order updated"] == shop.ears.words
    assert OrderStatus.CANCELED == shop.world.order(order.number).status
    with pytest.raises(NotForSale):
        shop.world.pay(order.number)


def test_a_confirmed_hold_does_not_expire(shop: Shop) -> None:
    """What is paid stays sold when the hold's time comes."""
    ticket = shop.ticket()
    shop.world.buy(ticket.id)
    shop.ears.heard.clear()

    shop.hand.move(101)
    shop.world.tick()

    assert ((9, 1, 0), []) == (shop.stock(ticket), shop.ears.words)


def test_a_hold_has_one_order(shop: Shop) -> None:
    """A second order for the same hold is refused, and the first can still be paid."""
    ticket = shop.ticket()
    hold = shop.world.hold(ticket.id)
    order = shop.world.initiate(hold.id)

    with pytest.raises(NotForSale):
        shop.world.initiate(hold.id)

    assert order.number == shop.world.buy_hold(hold.id).number


def test_more_than_is_left_is_refused(shop: Shop) -> None:
    """Who asks for more than is left is told how many there are, and nothing moves."""
    ticket = shop.ticket(limit=3)
    shop.world.hold(ticket.id, 1)

    with pytest.raises(NotForSale, match="2 left"):
        shop.world.buy(ticket.id, 3)

    assert (2, 0, 1) == shop.stock(ticket)


def test_lines_of_one_ticket_count_together(shop: Shop) -> None:
    """Two lines for the same ticket cannot take more than is left between them."""
    ticket = shop.ticket(limit=3, pricing=Pricing.OPTIONS, prices=OPTIONS)

    with pytest.raises(NotForSale, match="3 left"):
        shop.world.reserve([Item(ticket.id, 2, "adult"), Item(ticket.id, 2, "child")])

    assert (3, 0, 0) == shop.stock(ticket)


def test_without_limit_there_is_always_one_more(shop: Shop) -> None:
    """A ticket without limit sells on."""
    ticket = shop.ticket(limit=None)

    for _ in range(30):
        shop.world.buy(ticket.id, 50)

    assert (None, 1500, 0) == shop.stock(ticket)


def test_a_canceled_order_comes_back(shop: Shop) -> None:
    """Canceling an order puts its tickets on sale again, once."""
    ticket = shop.ticket()
    order = shop.world.buy(ticket.id, 3)
    shop.ears.heard.clear()

    canceled = shop.world.cancel_order(order.number)

    assert [("order updated", canceled)] == shop.ears.heard
    assert (10, 0, 0) == shop.stock(ticket)
    assert all(admission.canceled for admission in canceled.issued)
    with pytest.raises(NotForSale):
        shop.world.cancel_order(order.number)


def test_an_order_that_is_not_paid_can_be_canceled(shop: Shop) -> None:
    """Canceling an order that was only begun gives its hold back."""
    ticket = shop.ticket()
    order = shop.world.initiate(shop.world.hold(ticket.id, 2).id)

    canceled = shop.world.cancel_order(order.number)

    assert (OrderStatus.CANCELED, (10, 0, 0)) == (canceled.status, shop.stock(ticket))


def test_one_ticket_of_an_order_can_be_canceled(shop: Shop) -> None:
    """A ticket that is taken back is on sale again; the order is canceled when its last one is."""
    ticket = shop.ticket()
    order = shop.world.buy(ticket.id, 2)
    first, second = (admission.number for admission in order.issued)

    after = shop.world.cancel_ticket(order.number, first)
    then = shop.stock(ticket)
    last = shop.world.cancel_ticket(order.number, second)

    assert (OrderStatus.PAID, [True, False]) == (after.status, [one.canceled for one in after.issued])
    assert ((9, 1, 0), (10, 0, 0)) == (then, shop.stock(ticket))
    assert OrderStatus.CANCELED == last.status
    with pytest.raises(NotForSale):
        shop.world.cancel_ticket(order.number, first)
    with pytest.raises(NotFound):
        shop.world.cancel_ticket(order.number, "none")


def test_a_deleted_ticket_s_orders_live_on(shop: Shop) -> None:
    """An order of a ticket that is deleted can still be canceled."""
    ticket = shop.ticket()
    order = shop.world.buy(ticket.id)
    shop.world.delete(ticket.id)

    assert OrderStatus.CANCELED == shop.world.cancel_order(order.number).status


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda shop, ticket: shop.world.update(ticket.id, hidden=True), "hidden"),
        (lambda shop, ticket: shop.world.update(ticket.id, start=shop.hand() + 10), "yet to start"),
        (lambda shop, ticket: shop.world.update(ticket.id, end=shop.hand() - 10), "over"),
        (lambda shop, ticket: shop.world.cancel_event(shop.event.id), "canceled"),
        (lambda shop, ticket: shop.world.update_event(shop.event.id, status=EventStatus.DRAFT), "draft"),
        (lambda shop, ticket: shop.world.buy(ticket.id, 10), "0 left"),
    ],
)
def test_what_is_not_on_sale_is_refused(shop: Shop, spoil: Callable[[Shop, Ticket], Any], why: str) -> None:
    """Hidden, too early, too late, canceled, sold out: each is refused and says why."""
    ticket = shop.ticket()
    spoil(shop, ticket)

    with pytest.raises(NotForSale, match=why):
        shop.world.buy(ticket.id)


@pytest.mark.parametrize("quantity", [0, -1, 51])
def test_a_line_is_of_one_to_fifty(shop: Shop, quantity: int) -> None:
    """No more than fifty tickets of one kind are sold at once."""
    ticket = shop.ticket(limit=None)

    with pytest.raises(Invalid):
        shop.world.buy(ticket.id, quantity)


def test_an_option_has_its_price(shop: Shop) -> None:
    """With several prices the buyer must choose one that is there; a free one makes a free order."""
    ticket = shop.ticket(pricing=Pricing.OPTIONS, prices=OPTIONS)

    adult, child = shop.world.buy(ticket.id, 1, "adult"), shop.world.buy(ticket.id, 1, "child")

    assert ["20.00", "0"] == [order.lines[0].price.value for order in (adult, child)]
    assert [OrderStatus.PAID, OrderStatus.FREE] == [adult.status, child.status]
    assert (8, 2, 0) == shop.stock(ticket)
    for option in (None, "dog"):
        with pytest.raises(Invalid):
            shop.world.buy(ticket.id, 1, option)


def test_an_only_option_needs_no_choice(shop: Shop) -> None:
    """With one option there is nothing to choose, and without options nothing may be chosen."""
    single = shop.ticket(pricing=Pricing.OPTIONS, prices=OPTIONS[:1])

    assert "adult" == shop.world.buy(single.id).lines[0].price.option
    with pytest.raises(Invalid):
        shop.world.buy(shop.ticket().id, 1, "adult")


def test_a_guest_names_the_price(shop: Shop) -> None:
    """A guest pays the minimum or more, and no less; what is no amount is refused before anything is held."""
    ticket = shop.ticket(pricing=Pricing.GUEST)

    orders = [shop.world.buy(ticket.id), shop.world.buy(ticket.id, price="12.50")]

    assert ["10.00", "12.50"] == [order.lines[0].price.value for order in orders]
    for price in ("9.99", "much", "Infinity", "NaN", "1e9999999", "-20", "+20", "1_000", "20.", "", "²0", "1" * 13):
        with pytest.raises(Invalid):
            shop.world.buy(ticket.id, price=price)
    assert (8, 2, 0) == shop.stock(ticket)
    assert [] == [*shop.world.holds]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 5)), max_size=60))
def test_stock_is_never_lost_nor_made(steps: list[tuple[int, int]]) -> None:
    """Whatever buyers do in whatever order: left + sold + held is the limit, and none of them is below nothing."""
    shop = Shop()
    ticket = shop.ticket(limit=12)
    world = shop.world
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
                    shop.hand.move(30 * number)
        except (NotForSale, NotFound):  # sold out, or the hold has expired meanwhile
            pass

        left, sold, reserved = shop.stock(ticket)
        assert left is not None
        assert min(left, sold, reserved) >= 0
        assert 12 == left + sold + reserved
        assert reserved == sum(hold.quantity for hold in world.holds.values())
