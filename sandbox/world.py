"""The truth: a site's programme and what buyers do to it, which are holds and orders.

In: purchases as plain calls. Out: new values, and words to the Herald. Stock never goes below nothing: who asks for
more than is left is refused.
Sources: Wix, "Ticketing: introduction" (reservations take tickets out and give them back), "Orders".
"""

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sandbox.catalog import Programme, find
from sandbox.clock import Clock
from sandbox.errors import Invalid, NotForSale
from sandbox.model import (
    Admission,
    EventStatus,
    Hold,
    HoldStatus,
    Line,
    Order,
    OrderStatus,
    Price,
    Pricing,
    SaleStatus,
    Ticket,
)
from sandbox.observer import Herald, What

MOST_A_LINE = 50
"""Tickets of one kind in one order (limitPerCheckout)."""

AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
"""A price that a guest names. Decimal reads more, such as Infinity, of which no sum can be made."""

LETTERS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Want:
    """What a buyer asks for: an *option* where there are several, a *price* where the buyer names it."""

    ticket: str
    quantity: int = 1
    option: str | None = None
    price: str | None = None


class World(Programme):
    """One site with its buyers. *hold_seconds* is asked at each hold."""

    def __init__(
        self,
        herald: Herald,
        *,
        clock: Clock = time.time,
        hold_seconds: Callable[[], float] = lambda: 1200.0,
        dice: random.Random | None = None,
    ) -> None:
        super().__init__(herald, clock=clock, dice=dice)
        self.holds: dict[str, Hold] = {}
        self.orders: dict[str, Order] = {}
        self._hold_seconds = hold_seconds
        self._begun: dict[str, str] = {}  # hold -> the order that is to be paid

    # -- holds --

    def hold(self, ticket: str, quantity: int = 1, option: str | None = None, price: str | None = None) -> Hold:
        """Keep some tickets for a buyer. Raises NotThere, Invalid, NotForSale."""
        return self.reserve([Want(ticket, quantity, option, price)])

    def reserve(self, wants: Sequence[Want]) -> Hold:
        """Keep tickets of several kinds for a buyer: all or none."""
        self.tick()
        taken: dict[str, int] = {}
        lines = []
        for want in wants:
            ticket = self.ticket(want.ticket)
            lines.append(self._line(ticket, want))
            taken[ticket.id] = taken.get(ticket.id, 0) + want.quantity
            if ticket.left is not None and taken[ticket.id] > ticket.left:
                raise NotForSale(f"{ticket.name}: {taken[ticket.id]} wanted, {ticket.left} left")
        now = self.now()
        hold = Hold(self.new_id(), tuple(lines), now, now, now + self._hold_seconds(), self.new_id())
        for id_, quantity in taken.items():
            self._move(id_, reserved=quantity)
        self.holds[hold.id] = hold
        self._later(hold.expires, self._expire, hold.id)
        self._herald.hold(What.CREATED, hold, self.tickets)
        return hold

    def cancel_hold(self, id_: str) -> None:
        """Give a hold's tickets back. Raises NotThere where it has ended already."""
        self.tick()
        self._release(find(self.holds, id_, "hold"), HoldStatus.CANCELED)

    def _line(self, ticket: Ticket, want: Want) -> Line:
        if not 1 <= want.quantity <= MOST_A_LINE:
            raise Invalid("quantity", f"it must be from 1 to {MOST_A_LINE}")
        event = self.event(ticket.event)
        if event.status not in {EventStatus.UPCOMING, EventStatus.STARTED}:
            raise NotForSale(f"{event.title}: the event is {event.status.lower()}")
        if ticket.hidden:
            raise NotForSale(f"{ticket.name}: it is hidden")
        if ticket.status is not SaleStatus.STARTED:
            over = ticket.status is SaleStatus.ENDED
            raise NotForSale(f"{ticket.name}: its sale {'is over' if over else 'is yet to start'}")
        price = _price(ticket, want)
        return Line(self.new_id(), ticket.id, ticket.event, ticket.name, want.quantity, price, ticket.fee)

    def _expire(self, id_: str, _: float) -> None:
        hold = self.holds.get(id_)
        if hold is not None:
            self._release(hold, HoldStatus.EXPIRED)

    def _release(self, hold: Hold, status: HoldStatus) -> None:
        self._end(hold, status, sold=False)
        number = self._begun.pop(hold.id, None)
        if number is not None:
            self._change(self.orders[number], OrderStatus.CANCELED)

    def _end(self, hold: Hold, status: HoldStatus, *, sold: bool) -> None:
        del self.holds[hold.id]
        for line in hold.lines:
            self._move(line.ticket, reserved=-line.quantity, sold=line.quantity if sold else 0)
        ended = replace(hold, status=status, updated=self.now(), revision=hold.revision + 1)
        self._herald.hold(What.UPDATED, ended, self.tickets)

    def _move(self, id_: str, *, sold: int = 0, reserved: int = 0) -> None:
        before = self.tickets.get(id_)
        if before is None:  # deleted meanwhile: its buyers keep their orders
            return
        after = replace(before, sold=before.sold + sold, reserved=before.reserved + reserved)
        self._put(after)
        self._herald.ticket(What.STOCK_MOVED, after, before)

    # -- orders --

    def order(self, number: str) -> Order:
        """The order of this number. Raises NotThere."""
        return find(self.orders, number, "order")

    def buy(self, ticket: str, quantity: int = 1, option: str | None = None, price: str | None = None) -> Order:
        """All of a purchase in one go: hold, begin, pay. Raises NotThere, Invalid, NotForSale."""
        return self.buy_hold(self.hold(ticket, quantity, option, price).id)

    def buy_hold(self, id_: str) -> Order:
        """Begin an order for a hold, if that is yet to be, and pay it. Raises NotThere where the hold has ended."""
        return self.pay(self._begun.get(id_) or self.initiate(id_).number)

    def initiate(self, hold: str) -> Order:
        """Begin an order for a hold, which goes on until it is paid or ends."""
        self.tick()
        held = find(self.holds, hold, "hold")
        if hold in self._begun:
            raise NotForSale(f"order {self._begun[hold]} is for this hold already")
        now = self.now()
        event = held.lines[0].event
        order = Order(self._number(), event, held.id, held.lines, self.new_id(), held.visitor, now, now)
        self.orders[order.number] = order
        self._begun[hold] = order.number
        self._herald.order(What.INITIATED, order)
        return order

    def pay(self, number: str) -> Order:
        """Confirm an order: what was held is sold. Raises NotThere; NotForSale where its hold has ended."""
        self.tick()
        order = self.order(number)
        if self._begun.pop(order.hold, None) is None:
            raise NotForSale(f"order {number} is {order.status.lower()}, there is nothing to pay")
        self._end(self.holds[order.hold], HoldStatus.CONFIRMED, sold=True)
        free = all(Decimal(line.price.value) == 0 for line in order.lines)
        units = [line for line in order.lines for _ in range(line.quantity)]
        order = replace(
            order,
            status=OrderStatus.FREE if free else OrderStatus.PAID,
            updated=self.now(),
            admissions=tuple(
                Admission(f"{number}{place:02}", line.ticket, line.name, line.price)
                for place, line in enumerate(units, 1)
            ),
        )
        self.orders[number] = order
        self._herald.order(What.CONFIRMED, order)
        return order

    def cancel_order(self, number: str) -> Order:
        """Take an order back: what of it is sold can be sold again. Raises NotThere, NotForSale."""
        self.tick()
        order = self.order(number)
        if order.status is OrderStatus.CANCELED:
            raise NotForSale(f"order {number} is canceled already")
        if order.status is OrderStatus.INITIATED:
            self._release(self.holds[order.hold], HoldStatus.CANCELED)
            return self.orders[number]
        for admission in order.admissions:
            if not admission.canceled:
                self._move(admission.ticket, sold=-1)
        gone = tuple(replace(admission, canceled=True) for admission in order.admissions)
        return self._change(replace(order, admissions=gone), OrderStatus.CANCELED)

    def cancel_ticket(self, number: str, ticket_number: str) -> Order:
        """Take one ticket of an order back. Raises NotThere, NotForSale."""
        self.tick()
        order = self.order(number)
        admission = find({one.number: one for one in order.admissions}, ticket_number, "ticket")
        if admission.canceled:
            raise NotForSale(f"ticket {ticket_number} is canceled already")
        self._move(admission.ticket, sold=-1)
        left = tuple(replace(one, canceled=True) if one is admission else one for one in order.admissions)
        every = all(one.canceled for one in left)
        return self._change(replace(order, admissions=left), OrderStatus.CANCELED if every else order.status)

    def _change(self, order: Order, status: OrderStatus) -> Order:
        order = replace(order, status=status, updated=self.now())
        self.orders[order.number] = order
        self._herald.order(What.UPDATED, order)
        return order

    def _number(self) -> str:
        signs = "".join(self._dice.choices(LETTERS, k=11))
        number = f"{signs[:4]}-{signs[4:8]}-{signs[8:]}"
        return number if number not in self.orders else self._number()


def _price(ticket: Ticket, want: Want) -> Price:
    if ticket.pricing is Pricing.OPTIONS:
        if want.option is None and len(ticket.prices) > 1:
            raise Invalid("option", f"{ticket.name} has {len(ticket.prices)} prices: say which option")
        chosen = [price for price in ticket.prices if want.option in (None, price.option)]
        if not chosen:
            raise Invalid("option", f"{ticket.name} has no option {want.option}")
        return chosen[0]
    if want.option is not None:
        raise Invalid("option", f"{ticket.name} has no options")
    if ticket.pricing is not Pricing.GUEST or want.price is None:
        return ticket.prices[0]
    if not AMOUNT.fullmatch(want.price):
        raise Invalid("price", f"{want.price[:40]!r} is not an amount")
    if Decimal(want.price) < Decimal(ticket.prices[0].value):
        raise Invalid("price", f"{ticket.name} costs at least {ticket.prices[0].value}")
    return replace(ticket.prices[0], value=want.price)
