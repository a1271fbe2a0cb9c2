"""What a counter claims of a ticket, as a value to compare: as it must be by the world, and as a frame has it.

In: a ticket and its event of the local Wix, or the text of a counter. Out: one canonical text for each, without the
version; None for a counter that claims nothing. It is written anew from docs/contract.md and shares no line with the
server: a judge that reads the law in the accused's words proves nothing.
"""

import json
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sandbox.clock import short
from sandbox.model import Event, EventStatus, Pricing, SaleStatus, Ticket

LOW_AT = 10
"""The server's default: from so many tickets down the state is `low`."""

OVER = {EventStatus.ENDED, EventStatus.CANCELED, EventStatus.DRAFT}

CanonicalCounter = str


def of_ticket(ticket: Ticket | None, event: Event | None, id_: str) -> CanonicalCounter:
    """What may be said of a ticket as it is now; of one that is not there, is hidden or over: that it is gone."""
    if ticket is None or event is None or ticket.hidden or event.status in OVER:
        return _text(id_, None, "gone", None)
    state, unsold = _state(ticket)
    prices = [
        {
            "amount": f"{Decimal(price.value):.2f}",
            "currency": price.currency,
            "option": price.option,
            "name": price.name,
        }
        for price in ticket.prices
    ]
    sale = {
        "start": None if ticket.start is None else short(ticket.start),
        "end": None if ticket.end is None else short(ticket.end),
        "zone": event.zone,
    }
    shared = ticket.pricing is Pricing.GUEST or len(ticket.prices) > 1
    return _text(id_, ticket.event, state, unsold, prices=prices, shared=shared, name=ticket.name, sale=sale)


@lru_cache(maxsize=10_000)  # every viewer of a ticket gets the same
def of_frame(text: str) -> tuple[str, CanonicalCounter | None] | None:
    """The ticket and the claim of a counter as it was sent; None for a frame that is no counter."""
    said = json.loads(text)
    if "ticket" not in said:
        return None
    del said["v"]
    return said["ticket"], None if said["state"] == "unknown" else _canonical(said)


def retry_ms(text: str) -> tuple[int, int]:
    """The milliseconds after which a `bye` asks to come back: at the least, and at the most."""
    low, high = json.loads(text)["bye"]["retry_ms"]
    return low, high


def _state(ticket: Ticket) -> tuple[str, int | None]:
    left = ticket.left
    match ticket.status:
        case SaleStatus.ENDED:
            return "ended", None
        case SaleStatus.SCHEDULED:
            return "scheduled", left
    if left == 0:
        return "sold_out", 0
    return "low" if left is not None and left <= LOW_AT else "available", left


def _text(
    id_: str,
    event: str | None,
    state: str,
    unsold: int | None,
    *,
    prices: list[dict[str, str | None]] | None = None,
    shared: bool = False,
    name: str | None = None,
    sale: dict[str, str | None] | None = None,
) -> CanonicalCounter:
    return _canonical(
        {
            "ticket": id_,
            "event": event,
            "state": state,
            "unsold": unsold,
            "prices": prices or [],
            "shared": shared,
            "name": name,
            "sale": sale or {"start": None, "end": None, "zone": None},
        }
    )


def _canonical(value: dict[str, Any]) -> CanonicalCounter:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
