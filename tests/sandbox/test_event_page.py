from dataclasses import replace
from typing import Any

import pytest

from sandbox.event_page import price_text, shown
from sandbox.knobs import Knobs
from sandbox.model import Event, EventStatus, Price, Pricing, Registration, SaleStatus, Tax, Ticket

EVENT = Event("e", "Fair", EventStatus.UPCOMING, 0.0, 60.0, "Asia/Tokyo", 0.0, 0.0, slug="fair")
TICKET = Ticket(
    "t", "e", "", "Seat", Pricing.FIXED, (Price("25.00", "USD"),), 10, 0.0, 0.0, 1, start=1_770_804_000.0, sold=7
)

HIDDEN = {"hidden": True}
NOT_EARLY = {"shown_early": False}
SCHEDULED, ENDED = {"status": SaleStatus.SCHEDULED}, {"status": SaleStatus.ENDED}
SOLD_OUT = Registration(sold_out=True)


@pytest.mark.parametrize(
    ("ticket", "event", "state", "text"),
    [
        ({}, {}, "on_sale", "3 left"),
        ({"limit": None}, {}, "on_sale", "On sale"),
        # The event is over, or the ticket is not on the page.
        ({}, {"status": EventStatus.STARTED}, "on_sale", "3 left"),
        ({}, {"status": EventStatus.DRAFT}, "not_shown", "Not shown: the event is not published"),
        ({}, {"status": EventStatus.CANCELED}, "not_shown", "Not shown: the event is canceled"),
        (ENDED, {"status": EventStatus.ENDED}, "not_shown", "Not shown: the event has ended"),
        (HIDDEN, {"registration": SOLD_OUT}, "not_shown", "Not shown: the ticket is hidden"),
        ({**SCHEDULED, **NOT_EARLY}, {}, "not_shown", "Not shown: its sale has not begun"),
        ({**ENDED, **NOT_EARLY}, {}, "not_shown", "Not shown: its sale is over"),
        (
            {**SCHEDULED, **NOT_EARLY, "missing": frozenset({"salePeriod.displayNotOnSale"})},
            {},
            "scheduled",
            "Goes on sale 11 Feb 2026, 19:00",
        ),
        (NOT_EARLY, {}, "on_sale", "3 left"),
        # Its sale, then registration.
        (ENDED, {"registration": SOLD_OUT}, "sale_ended", "Sale ended"),
        (ENDED, {"registration": Registration(paused=True)}, "sale_ended", "Sale ended"),
        (SCHEDULED, {"registration": SOLD_OUT}, "sold_out", "Sold out"),
        ({}, {"registration": Registration(sold_out=True, paused=True)}, "sold_out", "Sold out"),
        ({}, {"registration": Registration(sold_out=True, disabled=True)}, "closed", "Registration is closed"),
        ({}, {"registration": Registration(paused=True)}, "closed", "Registration is closed"),
        (SCHEDULED, {"registration": Registration(disabled=True)}, "closed", "Registration is closed"),
        ({}, {"registration": Registration(override="OPEN_RSVP")}, "closed", "Registration is closed"),
        ({}, {"registration": Registration(override="SCHEDULED_RSVP")}, "closed", "Registration is closed"),
        # Registration that says nothing closes nothing.
        ({}, {"registration": Registration(override="UNKNOWN_REGISTRATION_STATUS")}, "on_sale", "3 left"),
        ({}, {"registration": Registration(override="OPEN_LATER")}, "on_sale", "3 left"),
        ({}, {"registration": SOLD_OUT, "missing": frozenset({"registration"})}, "on_sale", "3 left"),
        (
            {},
            {"registration": Registration(disabled=True), "missing": frozenset({"registration.status"})},
            "on_sale",
            "3 left",
        ),
        # The ticket alone.
        (SCHEDULED, {}, "scheduled", "Goes on sale 11 Feb 2026, 19:00"),
        (SCHEDULED, {"zone": "Nowhere/Else"}, "scheduled", "Goes on sale 11 Feb 2026, 10:00 UTC"),
        ({**SCHEDULED, "sold": 10}, {}, "scheduled", "Goes on sale 11 Feb 2026, 19:00"),
        ({**SCHEDULED, "missing": frozenset({"saleStatus"})}, {}, "on_sale", "3 left"),
        ({"sold": 10}, {}, "sold_out", "Sold out"),
        ({"checkout_limit": 0}, {}, "sold_out", "Sold out"),
        ({"checkout_limit": 0, "missing": frozenset({"limitPerCheckout"})}, {}, "on_sale", "3 left"),
        ({"sold": 10, "missing": frozenset({"limitPerCheckout"})}, {}, "sold_out", "Sold out"),
    ],
)
def test_page_says_what_wix_would_sell(ticket: dict[str, Any], event: dict[str, Any], state: str, text: str) -> None:
    """The first that matches counts: the event, the ticket's visibility, its sale, registration, its stock."""
    found = shown(replace(TICKET, **ticket), replace(EVENT, **event), Knobs())

    assert (state, text) == (found.state, found.text)


@pytest.mark.parametrize(
    ("state", "priced"), [("on_sale", True), ("scheduled", True), ("sold_out", True), ("closed", False)]
)
def test_price_is_shown_where_tickets_are(state: str, *, priced: bool) -> None:
    """A price is shown with each ticket that the page lists, and none while registration is closed."""
    ticket, event = {
        "on_sale": (TICKET, EVENT),
        "scheduled": (replace(TICKET, status=SaleStatus.SCHEDULED), EVENT),
        "sold_out": (replace(TICKET, sold=10), EVENT),
        "closed": (TICKET, replace(EVENT, registration=Registration(paused=True))),
    }[state]
    found = shown(ticket, event, Knobs())

    assert (state, "25.00 USD + 0.63 USD service fee" if priced else "") == (found.state, found.price)


ADDED, INCLUDED = Tax("ADDED_AT_CHECKOUT", "VAT", "20"), Tax("INCLUDED_IN_PRICE", "VAT", "20")


@pytest.mark.parametrize(
    ("values", "pricing", "fee", "tax", "text"),
    [
        (["25.00"], Pricing.FIXED, "FEE_ADDED_AT_CHECKOUT", None, "25.00 USD + 0.63 USD service fee"),
        (["25.00"], Pricing.FIXED, "FEE_INCLUDED", None, "25.00 USD"),
        (["25.00"], Pricing.FIXED, "NO_FEE", ADDED, "25.00 USD + 5.00 USD VAT"),
        (["25.00"], Pricing.FIXED, "FEE_ADDED_AT_CHECKOUT", ADDED, "25.00 USD + 5.00 USD VAT + 0.75 USD service fee"),
        (["25.00"], Pricing.FIXED, "FEE_ADDED_AT_CHECKOUT", INCLUDED, "25.00 USD, VAT included + 0.63 USD service fee"),
        (["0"], Pricing.FIXED, "FEE_ADDED_AT_CHECKOUT", ADDED, "Free"),
        (["20", "8.50"], Pricing.OPTIONS, "FEE_INCLUDED", None, "8.50 USD to 20.00 USD"),
        (["20", "0.00"], Pricing.OPTIONS, "FEE_ADDED_AT_CHECKOUT", None, "Free to 20.00 USD + 2.5% service fee"),
        (["20", "8.50"], Pricing.OPTIONS, "FEE_INCLUDED", ADDED, "8.50 USD to 20.00 USD + 20% VAT"),
        (["7", "7.00"], Pricing.OPTIONS, "FEE_ADDED_AT_CHECKOUT", None, "7.00 USD + 0.18 USD service fee"),
        (["5"], Pricing.GUEST, "FEE_ADDED_AT_CHECKOUT", ADDED, "5.00 USD or more + 2.5% service fee"),
        (["5"], Pricing.GUEST, "FEE_INCLUDED", replace(ADDED, on_donations=True), "5.00 USD or more + 20% VAT"),
        (["5"], Pricing.GUEST, "FEE_INCLUDED", replace(INCLUDED, on_donations=True), "5.00 USD or more, VAT included"),
        (["0"], Pricing.GUEST, "FEE_ADDED_AT_CHECKOUT", None, "Free, or what you like to pay"),
    ],
)
def test_price_is_written_as_by_wix(values: list[str], pricing: Pricing, fee: str, tax: Tax | None, text: str) -> None:
    """Fee and added tax stand beside the price, the fee of price and tax; free and given prices have their own words."""
    prices = tuple(Price(value, "USD") for value in values)

    assert text == price_text(replace(TICKET, pricing=pricing, prices=prices, fee=fee), tax)
