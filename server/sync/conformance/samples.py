"""The tickets that the checks bring to a target, as Wix's JSON. Source: Wix, "Ticket Definitions V3" (object)."""

from collections.abc import Sequence
from typing import Any

CHANGES: dict[str, dict[str, Any]] = {
    "name": {"name": "Evening ticket"},
    "description": {"description": "Doors open at seven.\nNo seats."},
    "policy text": {"policy_text": "No refunds."},
    "hidden": {"hidden": True},
    "price": {"price": "27.50"},
    "guest price": {"guest": True},
    "free": {"price": "0.00"},
    "limit": {"limit": 60},
    "no limit": {"limit": None},
    "limit of 0": {"limit": 0},
    "start of sale": {"start": "2027-02-01T10:00:00Z"},
    "end of sale": {"end": "2027-03-02T20:00:00Z"},
    "no end of sale": {"end": None},
    "hidden when not on sale": {"shown": False},
    "position": {"position": 7},
}
"""One change each of the sample ticket, for checks that change one thing at a time."""

TEXTS = {
    "emoji": "Gala 🎟️ 👩‍👩‍👧",
    "right to left": "כרטיס כניסה לאירוע",
    "30 letters": "A ticket of exactly 30 letters",
    "markup": "<b>Early</b> & 'late' \"bird\" &amp; <script>",
    "braces": "{name} {0} {{x}} %s $1",
    "spaces at the ends": "  two at each end  ",
    "accents that combine": "Cafe\u0301 Zu\u0308rich",
    "digits": "007",
    "a line": "-",
    "200 letters": "Long " * 39 + "Names",
}
"""Names that systems cut, escape, trim or take for something else."""

PRICES = ("0", "0.00", "0.5", "12.50", "19.99", "100000.00")
"""Amounts as Wix may write them."""

TIMES = (
    "2027-03-01T18:00:00Z",
    "2027-03-01T18:00:00.000Z",
    "2027-03-28T02:30:00+01:00",
    "2027-10-31T02:30:00.123Z",
    "2028-02-29T23:59:59-11:00",
)
"""Times as Wix may write them: zones, a fraction, the night in which a zone's clock changes, a leap day."""


def facts(
    ticket: str,
    *,
    name: str = "General admission",
    description: str = "",
    policy_text: str = "",
    price: str = "25.00",
    currency: str = "EUR",
    guest: bool = False,
    options: Sequence[tuple[str, str, str]] = (),
    limit: int | None = 100,
    hidden: bool = False,
    start: str | None = "2027-01-10T09:00:00Z",
    end: str | None = "2027-03-01T18:00:00Z",
    shown: bool = True,
    position: int = 1,
) -> dict[str, Any]:
    """A ticket definition; *options*: the id, name and price of each; *end* None: it has none; *limit* None: unlimited."""
    if options:
        prices = [
            {"optionId": id_, "name": said, "price": {"value": of, "currency": currency}} for id_, said, of in options
        ]
        method: dict[str, Any] = {"pricingOptions": {"optionDetails": prices}, "pricingType": "STANDARD", "free": False}
    else:
        kind = "guestPrice" if guest else "fixedPrice"
        method = {
            kind: {"value": price, "currency": currency},
            "pricingType": "DONATION" if guest else "STANDARD",
            "free": not guest and float(price) == 0,
        }
    period = {"startDate": start, "endDate": end, "displayNotOnSale": shown}
    stock = {} if limit is None else {"initialLimit": limit, "actualLimit": limit}
    return {
        "id": ticket,
        "name": name,
        "description": description,
        "policyText": policy_text,
        "hidden": hidden,
        "limited": limit is not None,
        "pricingMethod": method,
        "feeType": "FEE_ADDED_AT_CHECKOUT",
        "salePeriod": {name: value for name, value in period.items() if value is not None},
        "saleStatus": "SALE_STARTED",
        "sortIndex": position,
        "createdDate": "2026-11-01T10:00:00Z",
        "eventDetails": {"title": "Conformance", "status": "UPCOMING"},
        **stock,
    }
