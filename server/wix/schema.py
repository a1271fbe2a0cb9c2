"""Parses Wix's JSON of a ticket definition.

In: parsed JSON whose optional members may be missing, as Wix's REST leaves out what has no value. Out: model.py's
Definition, or Malformed naming the member that is wrong. Source: Wix, "Ticket Definitions V3" (object).
"""

import re
from collections.abc import Mapping
from typing import Any

from server.errors import Malformed
from server.model import Definition, Event, EventId, EventStatus, Price, Sale, SaleStatus, TicketId
from server.wix.members import id_of, members, object_of, objects, one_of, page, parse_time, text

NOT_FACTS = frozenset({"salesDetails", "limitPerCheckout", "revision", "updatedDate", "seatingDetails"})
"""Members that change with sales or with every edit; sync and notify will act on the others."""

FIRST, LAST = -(2**31), 2**31 - 1
"""The least and the largest `sortIndex`, a whole number of 32 bits."""

_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


def definition(json: Any) -> Definition:
    """Parse one ticketDefinition that was queried with SALES_DETAILS and EVENT_DETAILS.

    Raises Malformed where no true counter can be made from it.
    """
    entity = object_of(json, "ticketDefinition")
    ticket = id_of(entity.get("id"), "id")
    event = id_of(entity.get("eventId"), "eventId")
    unsold, sold_out = _stock(entity, ticket)
    # Wix lowers the limit to what can be bought: 0 is sold out, also where a seating plan keeps places back.
    sold_out = sold_out or entity.get("limitPerCheckout") == 0
    prices, shared = _prices(entity.get("pricingMethod"), ticket)
    details = members(entity.get("eventDetails"))
    period = members(entity.get("salePeriod"))
    start, end = parse_time(period.get("startDate"), ticket), parse_time(period.get("endDate"), ticket)
    return Definition(
        id=TicketId(ticket),
        event=EventId(event),
        event_details=_event(EventId(event), details),
        name=text(entity.get("name")) or "",
        hidden=entity.get("hidden") is True,
        shown_off_sale=period.get("displayNotOnSale") is not False,
        status=one_of(SaleStatus, entity.get("saleStatus")) or SaleStatus.STARTED,
        unsold=unsold,
        sold_out=sold_out,
        held=_held(entity),
        prices=prices,
        shared=shared,
        fee=text(entity.get("feeType")),
        sale=Sale(
            start=period.get("startDate") if start is not None else None,
            end=period.get("endDate") if end is not None else None,
            zone=text(members(details.get("dateAndTimeSettings")).get("timeZoneId")),
        ),
        start_us=start,
        end_us=end,
        position=position(entity),
        facts={name: value for name, value in entity.items() if name not in NOT_FACTS},
    )


def _event(event: EventId, details: Mapping[str, Any]) -> Event:
    """The event as its ticket tells it: without registration."""
    return Event(
        event,
        status=one_of(EventStatus, details.get("status")),
        page=page(details.get("eventPageUrl")),
    )


def position(entity: Mapping[str, Any]) -> str:
    """Its place among the event's tickets: by `sortIndex`, where a missing one is 0, and then by age."""
    index = entity.get("sortIndex")
    index = index if isinstance(index, int) and not isinstance(index, bool) else 0
    return f"{min(max(index, FIRST), LAST) - FIRST:010} {text(entity.get('createdDate')) or ''}"


def _stock(entity: Mapping[str, Any], ticket: str) -> tuple[int | None, bool]:
    sales = entity.get("salesDetails")
    limited = entity.get("limited") is True
    if not isinstance(sales, dict):
        if limited:
            raise Malformed(
                f"ticket {ticket}: no salesDetails; the app needs the permission to manage ticket definitions"
            )
        return None, False
    unsold = sales.get("unsoldCount")
    if unsold is None:
        if limited:
            # Only an unlimited ticket may lack a number; of a limited one it is not known.
            raise Malformed(f"ticket {ticket}: limited, but salesDetails has no unsoldCount")
        return None, sales.get("soldOut") is True
    if isinstance(unsold, bool) or not isinstance(unsold, int):
        raise Malformed(f"ticket {ticket}: unsoldCount is {type(unsold).__name__}, not a number")
    return max(0, unsold), sales.get("soldOut") is True


def _held(entity: Mapping[str, Any]) -> int | None:
    held = members(entity.get("salesDetails")).get("reservedCount")
    return held if isinstance(held, int) and not isinstance(held, bool) else None


def _prices(method: Any, ticket: str) -> tuple[tuple[Price, ...], bool]:
    if not isinstance(method, dict):
        return (), False
    if isinstance(method.get("fixedPrice"), dict):
        return (_price(method["fixedPrice"], ticket),), False
    if isinstance(method.get("guestPrice"), dict):
        # The buyer chooses the price, so no number of tickets is left "at this price".
        return (_price(method["guestPrice"], ticket),), True
    details = members(method.get("pricingOptions")).get("optionDetails")
    found = tuple(
        _price(object_of(option.get("price"), "price"), ticket, text(option.get("optionId")), text(option.get("name")))
        for option in objects(details)
    )
    return found, len(found) > 1


def _price(money: Mapping[str, Any], ticket: str, option: str | None = None, name: str | None = None) -> Price:
    value = money.get("amount") if money.get("value") is None else money["value"]
    if not _AMOUNT.fullmatch(str(value)):
        raise Malformed(f"ticket {ticket}: the price {str(value)[:40]!a} is not an amount of money")
    # Wix returns a free price as "0" or as "0.00": one amount must be one text, or it would look like a change.
    whole, _, cents = str(value).partition(".")
    return Price(f"{int(whole)}.{cents.rstrip('0'):0<2}", text(money.get("currency")) or "", option, name)
