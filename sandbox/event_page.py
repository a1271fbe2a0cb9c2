"""What Wix's page of an event shows a visitor of one ticket, in a sentence and a price. Pure functions.

In: a ticket, its event, the knobs. Out: a state and texts, for the shop page and for tests, which compare them with what
a counter says. The page knows what the API returns: members that are left out of it are missing here too.
Source: Wix's published template of an events site (which statuses accept registrations, displayNotOnSale,
limitPerCheckout, how prices, fees and tax are written).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sandbox.entity import per_checkout, sales
from sandbox.knobs import Knobs
from sandbox.model import Event, EventStatus, Pricing, Registration, RegistrationStatus, SaleStatus, Tax, Ticket
from sandbox.payloads import CENT, RATE

OVER = {
    EventStatus.DRAFT: "the event is not published",
    EventStatus.CANCELED: "the event is canceled",
    EventStatus.ENDED: "the event has ended",
}


class PageState(StrEnum):
    """What can be done with the ticket on the page."""

    NOT_SHOWN = "not_shown"
    SALE_ENDED = "sale_ended"
    SOLD_OUT = "sold_out"
    CLOSED = "closed"
    SCHEDULED = "scheduled"
    ON_SALE = "on_sale"


@dataclass(frozen=True, slots=True)
class Shown:
    """A state in words; *price* is empty where the page shows none."""

    state: PageState
    text: str
    price: str = ""


def shown(ticket: Ticket, event: Event, knobs: Knobs) -> Shown:
    """What the page shows of a ticket; what is said first in this order counts."""
    status = SaleStatus.STARTED if "saleStatus" in ticket.missing else ticket.status
    registration = _registration(event)
    reason = _hidden(ticket, event, status)
    if reason:
        return Shown(PageState.NOT_SHOWN, f"Not shown: {reason}")
    if status is SaleStatus.ENDED:
        return Shown(PageState.SALE_ENDED, "Sale ended")
    price = price_text(ticket, event.tax)
    if registration.status == RegistrationStatus.CLOSED_AUTOMATICALLY:
        return Shown(PageState.SOLD_OUT, "Sold out", price)
    if registration.closed_because:
        return Shown(PageState.CLOSED, "Registration is closed")
    if status is SaleStatus.SCHEDULED:
        return Shown(PageState.SCHEDULED, f"Goes on sale {_moment(ticket.start or 0.0, event.zone)}", price)
    unsold = sales(ticket, knobs).get("unsoldCount")
    none_to_check_out = "limitPerCheckout" not in ticket.missing and per_checkout(ticket, knobs) == 0
    if unsold == 0 or none_to_check_out:
        return Shown(PageState.SOLD_OUT, "Sold out", price)
    return Shown(PageState.ON_SALE, "On sale" if unsold is None else f"{unsold} left", price)


def price_text(ticket: Ticket, tax: Tax | None) -> str:
    """Price, fee and tax as the page writes them: `25.00 USD + 0.63 USD service fee`."""
    amounts = sorted(Decimal(price.value) for price in ticket.prices)
    currency = ticket.prices[0].currency
    least, most = amounts[0], amounts[-1]
    single = least == most and ticket.pricing is not Pricing.GUEST
    text = _money(least, currency)
    if ticket.pricing is Pricing.GUEST:
        text = "Free, or what you like to pay" if least == 0 else f"{text} or more"
    elif least != most:
        text = f"{text} to {_money(most, currency)}"
    added, note = _tax(ticket, tax, amounts, currency)
    if ticket.fee == "FEE_ADDED_AT_CHECKOUT" and most > 0:
        fee = _money(_percent(least + added, RATE), currency) if single else f"{RATE}%"
        return f"{text}{note} + {fee} service fee"
    return text + note


def _hidden(ticket: Ticket, event: Event, status: SaleStatus) -> str:
    """Why the ticket is not on the page; empty if it is."""
    if event.status in OVER:
        return OVER[event.status]
    if ticket.hidden:
        return "the ticket is hidden"
    shown_early = ticket.shown_early or "salePeriod.displayNotOnSale" in ticket.missing
    if not shown_early and status is not SaleStatus.STARTED:
        return "its sale is over" if status is SaleStatus.ENDED else "its sale has not begun"
    return ""


def _registration(event: Event) -> Registration:
    """Registration as far as the API tells it; one that is missing closes nothing."""
    if "registration" in event.missing:
        return Registration()
    if "registration.status" in event.missing:
        return Registration(paused=event.registration.paused)
    return event.registration


def _tax(ticket: Ticket, tax: Tax | None, amounts: Sequence[Decimal], currency: str) -> tuple[Decimal, str]:
    """The tax that is added to a single price, and the words."""
    donation = ticket.pricing is Pricing.GUEST
    if tax is None or amounts[-1] == 0 or (donation and not tax.on_donations):
        return Decimal(0), ""
    if tax.type == "INCLUDED_IN_PRICE":
        return Decimal(0), f", {tax.name} included"
    if donation or amounts[0] != amounts[-1]:
        return Decimal(0), f" + {tax.rate}% {tax.name}"
    added = _percent(amounts[0], Decimal(tax.rate))
    return added, f" + {_money(added, currency)} {tax.name}"


def _percent(amount: Decimal, rate: Decimal) -> Decimal:
    return (amount * rate / 100).quantize(CENT, ROUND_HALF_UP)


def _money(amount: Decimal, currency: str) -> str:
    return f"{amount:.2f} {currency}" if amount else "Free"


def _moment(at: float, zone: str) -> str:
    try:
        there = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"{datetime.fromtimestamp(at, UTC):%d %b %Y, %H:%M} UTC"
    return f"{datetime.fromtimestamp(at, there):%d %b %Y, %H:%M}"
