"""Counters in a canonical form to compare: what a ticket's counter must be, and what a frame contains.

In: a ticket and its event of the sandbox, or the text of a counter. Out: one canonical text for each, without the
version; None for a counter in the state `unknown`. It is implemented from docs/contract.md and shares no code with the
server, whose mistakes it would repeat.
"""

import json
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sandbox.clock import short
from sandbox.model import Event, EventStatus, Pricing, SaleStatus, Ticket

LOW_AT = 10
"""The server's default: with so many tickets or fewer the state is `low`."""

OVER = {EventStatus.ENDED, EventStatus.CANCELED, EventStatus.DRAFT}

CanonicalCounter = str


def of_ticket(ticket: Ticket | None, event: Event | None, id_: str) -> CanonicalCounter:
    """The counter of a ticket as it is now; `gone` where the ticket is deleted or hidden, or its event is over."""
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


@lru_cache(maxsize=10_000)  # all viewers of a ticket get the same text
def of_frame(text: str) -> tuple[str, CanonicalCounter | None] | None:
    """The ticket and the canonical text of a counter as it was sent; None for a frame that is no counter."""
    found = json.loads(text)
    if "ticket" not in found:
        return None
    del found["v"]
    return found["ticket"], None if found["state"] == "unknown" else _canonical(found)


def retry_ms(text: str) -> tuple[int, int]:
    """The least and the most milliseconds after which a `bye` asks the client to reconnect."""
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
