"""What may be said of a ticket: a pure function of its definition, its event and our rules.

In: model.py's Definition and Event, and the Rules. Out: a Counter, which wire.py writes. A counter offers a ticket only if Wix
would sell it now; docs/states.md has every combination, and a test walks it.
"""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from server.model import (
    NO_SALE,
    Definition,
    Event,
    EventId,
    EventStatus,
    Fees,
    Price,
    Registration,
    Sale,
    SaleStatus,
    TicketId,
)

CONTRACT = 2
"""The version of the public counter. It is part of the rules' hash, so a change of its shape has every ticket read again."""

OVER = frozenset({EventStatus.CANCELED, EventStatus.ENDED, EventStatus.DRAFT})
"""Events of which nothing is said: they are over, or not public yet."""


class State(StrEnum):
    """What a visitor is shown of a ticket."""

    AVAILABLE = "available"
    LOW = "low"
    SOLD_OUT = "sold_out"
    SCHEDULED = "scheduled"
    CLOSED = "closed"
    ENDED = "ended"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that shape a counter: `low_at` and `show_at_most` in tickets, the latter None for no limit."""

    low_at: int = 10
    show_at_most: int | None = None

    @property
    def hash(self) -> str:
        """A short hash of these rules: two processes with the same hash show the same counters."""
        text = f"{CONTRACT}:{self.low_at}:{self.show_at_most}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def allow(self, counter: "Counter") -> bool:
        """Whether `Counter.of` can make this counter by these rules, as far as its state decides what is shown with it.

        No read makes a counter `unknown`.
        """
        unsold = counter.unsold
        if unsold is not None and self.show_at_most is not None and unsold > self.show_at_most:
            return False
        match counter.state:
            case State.AVAILABLE:
                return unsold is None or unsold > self.low_at
            case State.LOW:
                return unsold is not None and 0 < unsold <= self.low_at
            case State.SOLD_OUT:
                return unsold == 0
            case State.SCHEDULED:
                return unsold is None or unsold >= 0
            case State.CLOSED:
                return unsold is None and not counter.prices
            case State.ENDED:
                return unsold is None
            case State.GONE:
                return counter == Counter.gone(counter.ticket)
            case State.UNKNOWN:
                return False


@dataclass(frozen=True, slots=True)
class Counter:
    """The public state of one ticket: what may be shown, and nothing more."""

    ticket: TicketId
    event: EventId | None = None
    state: State = State.UNKNOWN
    unsold: int | None = None
    prices: tuple[Price, ...] = ()
    shared: bool = False
    fees: Fees | None = None
    name: str | None = None
    sale: Sale = NO_SALE
    buy: str | None = None

    @classmethod
    def gone(cls, ticket: TicketId) -> "Counter":
        """The counter of a ticket that is deleted, hidden, over, or was never there: the same for all four."""
        return cls(ticket, state=State.GONE)

    @classmethod
    def of(cls, definition: Definition, event: Event | None, rules: Rules) -> "Counter":
        """Decide what may be shown; *event* is what was read of the event itself, None if that is nothing."""
        event = event or definition.event_details
        if _is_gone(definition, event):
            return cls.gone(definition.id)
        state, unsold = _state(definition, event.registration, rules)
        prices = () if state is State.CLOSED else definition.prices
        return cls(
            ticket=definition.id,
            event=definition.event,
            state=state,
            unsold=unsold,
            prices=prices,
            shared=definition.shared,
            fees=_fees(definition, event) if prices else None,
            name=definition.name,
            sale=definition.sale,
            buy=event.page,
        )


def is_draft(definition: Definition, event: Event | None) -> bool:
    """Whether the event is not published: then it is not even said that there is such an event."""
    return EventStatus.DRAFT in {definition.event_details.status, event.status if event else None}


def _is_gone(definition: Definition, event: Event) -> bool:
    # The definition was read at another time than the event: what either says is over is not offered.
    if definition.hidden or {event.status, definition.event_details.status} & OVER:
        return True
    return definition.status is not SaleStatus.STARTED and not definition.shown_off_sale


def _state(definition: Definition, registration: Registration, rules: Rules) -> tuple[State, int | None]:
    unsold = definition.unsold
    shown = unsold if unsold is None or rules.show_at_most is None or unsold <= rules.show_at_most else None
    if definition.status is SaleStatus.ENDED:
        # What is left after the end cannot be bought, so its number is not shown.
        return State.ENDED, None
    if registration is Registration.SOLD_OUT:
        return State.SOLD_OUT, 0
    if registration is Registration.CLOSED:
        return State.CLOSED, None
    if definition.status is SaleStatus.SCHEDULED:
        return State.SCHEDULED, shown
    if definition.sold_out or unsold == 0:
        return State.SOLD_OUT, 0
    if unsold is not None and unsold <= rules.low_at:
        return State.LOW, shown
    return State.AVAILABLE, shown


def _fees(definition: Definition, event: Event) -> Fees:
    """A free ticket has neither fee nor tax, and a price that the buyer chooses has tax only where the organiser says so."""
    if not any(Decimal(price.amount) for price in definition.prices):
        return Fees.NONE
    taxed = not definition.buyer_chooses or event.taxes_donations
    if definition.fee == "FEE_ADDED_AT_CHECKOUT" or (event.adds_tax and taxed):
        return Fees.ADDED
    return Fees.INCLUDED if definition.fee == "FEE_INCLUDED" or (event.includes_tax and taxed) else Fees.NONE
