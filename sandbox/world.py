"""The state of a site: its catalog, and the holds and orders of buyers.

In: purchases as plain calls. Out: new values, and notifications to the Observer. Stock never goes below zero: a request
for more than is left is refused.
Sources: Wix, "Ticketing: introduction" (reservations take stock and return it), "Orders".
"""

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sandbox.catalog import Catalog
from sandbox.clock import Clock
from sandbox.errors import Invalid, NotForSale
from sandbox.events import find
from sandbox.model import (
    EventStatus,
    Hold,
    HoldStatus,
    IssuedTicket,
    Line,
    Order,
    OrderStatus,
    Price,
    Pricing,
    SaleStatus,
    Ticket,
)
from sandbox.observer import ChangeType, Observer

MAX_PER_LINE = 50
"""Most tickets of one definition in an order (limitPerCheckout)."""

AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
"""A price that the buyer chooses. Decimal accepts more, such as Infinity, which cannot be added up."""

LETTERS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Item:
    """What a buyer asks for; *option* if there are several, *price* if the buyer chooses it."""

    ticket: str
    quantity: int = 1
    option: str | None = None
    price: str | None = None


class World(Catalog):
    """One site with its buyers. *hold_seconds* is called for each hold."""

    def __init__(
        self,
        observer: Observer,
        *,
        clock: Clock = time.time,
        hold_seconds: Callable[[], float] = lambda: 1200.0,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(observer, clock=clock, rng=rng)
        self.holds: dict[str, Hold] = {}
        self.orders: dict[str, Order] = {}
        self._hold_seconds = hold_seconds
        self._open_orders: dict[str, str] = {}  # hold -> unpaid order

    # -- holds --

    def hold(self, ticket: str, quantity: int = 1, option: str | None = None, price: str | None = None) -> Hold:
        """Hold tickets for a buyer. Raises NotFound, Invalid, NotForSale."""
        return self.reserve([Item(ticket, quantity, option, price)])

    def reserve(self, items: Sequence[Item]) -> Hold:
        """Hold tickets of several definitions for a buyer: all or none."""
        self.tick()
        taken: dict[str, int] = {}
        lines = []
        for item in items:
            ticket = self.ticket(item.ticket)
            lines.append(self._line(ticket, item))
            taken[ticket.id] = taken.get(ticket.id, 0) + item.quantity
            if ticket.left is not None and taken[ticket.id] > ticket.left:
                raise NotForSale(f"{ticket.name}: {taken[ticket.id]} wanted, {ticket.left} left")
        now = self.now()
        hold = Hold(self.new_id(), tuple(lines), now, now, now + self._hold_seconds(), self.new_id())
        for id_, quantity in taken.items():
            self._adjust_stock(id_, reserved=quantity)
        self.holds[hold.id] = hold
        self._schedule(hold.expires, self._expire, hold.id)
        self._observer.hold(ChangeType.CREATED, hold, self.tickets)
        return hold

    def cancel_hold(self, id_: str) -> None:
        """Return a hold's tickets to the stock. Raises NotFound if the hold has ended."""
        self.tick()
        self._release(find(self.holds, id_, "hold"), HoldStatus.CANCELED)

    def _line(self, ticket: Ticket, item: Item) -> Line:
        if not 1 <= item.quantity <= MAX_PER_LINE:
            raise Invalid("quantity", f"it must be from 1 to {MAX_PER_LINE}")
        event = self.event(ticket.event)
        if event.status not in {EventStatus.UPCOMING, EventStatus.STARTED}:
            raise NotForSale(f"{event.title}: the event is {event.status.lower()}")
        if ticket.hidden:
            raise NotForSale(f"{ticket.name}: it is hidden")
        if ticket.status is not SaleStatus.STARTED:
            over = ticket.status is SaleStatus.ENDED
            raise NotForSale(f"{ticket.name}: its sale {'is over' if over else 'is yet to start'}")
        if ticket.checkout_limit is not None and item.quantity > ticket.checkout_limit:
            raise NotForSale(f"{ticket.name}: an order may have {ticket.checkout_limit or 'none'} of it")
        if event.registration.closed_because and ticket.left != 0:  # what is sold out is refused as such
            raise NotForSale(f"{event.title}: {event.registration.closed_because}")
        price = _price(ticket, item)
        return Line(self.new_id(), ticket.id, ticket.event, ticket.name, item.quantity, price, ticket.fee)

    def _expire(self, id_: str, _: float) -> None:
        hold = self.holds.get(id_)
        if hold is not None:
            self._release(hold, HoldStatus.EXPIRED)

    def _release(self, hold: Hold, status: HoldStatus) -> None:
        self._end(hold, status, sold=False)
        number = self._open_orders.pop(hold.id, None)
        if number is not None:
            self._update_order(self.orders[number], OrderStatus.CANCELED)

    def _end(self, hold: Hold, status: HoldStatus, *, sold: bool) -> None:
        del self.holds[hold.id]
        for line in hold.lines:
            self._adjust_stock(line.ticket, reserved=-line.quantity, sold=line.quantity if sold else 0)
        ended = replace(hold, status=status, updated=self.now(), revision=hold.revision + 1)
        self._observer.hold(ChangeType.UPDATED, ended, self.tickets)

    def _adjust_stock(self, id_: str, *, sold: int = 0, reserved: int = 0) -> None:
        before = self.tickets.get(id_)
        if before is None:  # deleted meanwhile; its orders remain
            return
        after = replace(before, sold=before.sold + sold, reserved=before.reserved + reserved)
        self._put(after)
        self._observer.ticket(ChangeType.STOCK_MOVED, after, before)
        self._check_sold_out(after.event)

    # -- orders --

    def order(self, number: str) -> Order:
        """The order with this number. Raises NotFound."""
        return find(self.orders, number, "order")

    def buy(self, ticket: str, quantity: int = 1, option: str | None = None, price: str | None = None) -> Order:
        """A whole purchase: hold, initiate, pay. Raises NotFound, Invalid, NotForSale."""
        return self.buy_hold(self.hold(ticket, quantity, option, price).id)

    def buy_hold(self, id_: str) -> Order:
        """Pay the order of a hold; create the order if there is none. Raises NotFound if the hold has ended."""
        return self.pay(self._open_orders.get(id_) or self.initiate(id_).number)

    def initiate(self, hold: str) -> Order:
        """Create an unpaid order for a hold. The hold lasts until it is paid, canceled or expired."""
        self.tick()
        held = find(self.holds, hold, "hold")
        if hold in self._open_orders:
            raise NotForSale(f"order {self._open_orders[hold]} is for this hold already")
        now = self.now()
        event = held.lines[0].event
        order = Order(self._new_number(), event, held.id, held.lines, self.new_id(), held.visitor, now, now)
        self.orders[order.number] = order
        self._open_orders[hold] = order.number
        self._observer.order(ChangeType.INITIATED, order)
        return order

    def pay(self, number: str) -> Order:
        """Confirm an order: the held tickets are sold. Raises NotFound; NotForSale if the hold has ended."""
        self.tick()
        order = self.order(number)
        if self._open_orders.pop(order.hold, None) is None:
            raise NotForSale(f"order {number} is {order.status.lower()}, there is nothing to pay")
        self._end(self.holds[order.hold], HoldStatus.CONFIRMED, sold=True)
        free = all(Decimal(line.price.value) == 0 for line in order.lines)
        units = [line for line in order.lines for _ in range(line.quantity)]
        order = replace(
            order,
            status=OrderStatus.FREE if free else OrderStatus.PAID,
            updated=self.now(),
            issued=tuple(
                IssuedTicket(f"{number}{place:02}", line.ticket, line.name, line.price)
                for place, line in enumerate(units, 1)
            ),
        )
        self.orders[number] = order
        self._observer.order(ChangeType.CONFIRMED, order)
        return order

    def cancel_order(self, number: str) -> Order:
        """Cancel an order: its tickets return to the stock. Raises NotFound, NotForSale."""
        self.tick()
        order = self.order(number)
        if order.status is OrderStatus.CANCELED:
            raise NotForSale(f"order {number} is canceled already")
        if order.status is OrderStatus.INITIATED:
            self._release(self.holds[order.hold], HoldStatus.CANCELED)
            return self.orders[number]
        for issued in order.issued:
            if not issued.canceled:
                self._adjust_stock(issued.ticket, sold=-1)
        canceled = tuple(replace(issued, canceled=True) for issued in order.issued)
        return self._update_order(replace(order, issued=canceled), OrderStatus.CANCELED)

    def cancel_ticket(self, number: str, ticket_number: str) -> Order:
        """Cancel one ticket of an order. Raises NotFound, NotForSale."""
        self.tick()
        order = self.order(number)
        issued = find({one.number: one for one in order.issued}, ticket_number, "ticket")
        if issued.canceled:
            raise NotForSale(f"ticket {ticket_number} is canceled already")
        self._adjust_stock(issued.ticket, sold=-1)
        tickets = tuple(replace(one, canceled=True) if one is issued else one for one in order.issued)
        all_canceled = all(one.canceled for one in tickets)
        status = OrderStatus.CANCELED if all_canceled else order.status
        return self._update_order(replace(order, issued=tickets), status)

    def _update_order(self, order: Order, status: OrderStatus) -> Order:
        order = replace(order, status=status, updated=self.now())
        self.orders[order.number] = order
        self._observer.order(ChangeType.UPDATED, order)
        return order

    def _new_number(self) -> str:
        signs = "".join(self._rng.choices(LETTERS, k=11))
        number = f"{signs[:4]}-{signs[4:8]}-{signs[8:]}"
        return number if number not in self.orders else self._new_number()


def _price(ticket: Ticket, item: Item) -> Price:
    if ticket.pricing is Pricing.OPTIONS:
        if item.option is None and len(ticket.prices) > 1:
            raise Invalid("option", f"{ticket.name} has {len(ticket.prices)} prices: say which option")
        chosen = [price for price in ticket.prices if item.option in (None, price.option)]
        if not chosen:
            raise Invalid("option", f"{ticket.name} has no option {item.option}")
        return chosen[0]
    if item.option is not None:
        raise Invalid("option", f"{ticket.name} has no options")
    if ticket.pricing is not Pricing.GUEST or item.price is None:
        return ticket.prices[0]
    if not AMOUNT.fullmatch(item.price):
        raise Invalid("price", f"{item.price[:40]!r} is not an amount")
    if Decimal(item.price) < Decimal(ticket.prices[0].value):
        raise Invalid("price", f"{ticket.name} costs at least {ticket.prices[0].value}")
    return replace(ticket.prices[0], value=item.price)
