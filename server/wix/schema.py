"""Parses Wix's JSON of a ticket definition.

In: parsed JSON whose optional members may be missing, as Wix's REST leaves out what has no value. Out: model.py's
Definition, or Malformed naming the member that is wrong. Source: Wix, "Ticket Definitions V3" (object).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from server.errors import Malformed
from server.model import Definition, EventId, Price, Sale, SaleStatus, TicketId
from server.wire import guid

NOT_FACTS = frozenset({"salesDetails", "limitPerCheckout", "revision", "updatedDate", "seatingDetails"})
"""Members that change with sales or with every edit; sync and notify will act on the others."""

EVENT_OVER = frozenset({"ENDED", "CANCELED", "DRAFT"})
"""Event states in which nothing can be bought; a draft is not public yet."""

_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


def definition(json: Any) -> Definition:
    """Parse one ticketDefinition that was queried with SALES_DETAILS and EVENT_DETAILS.

    Raises Malformed where no true counter can be made from it.
    """
    entity = _object(json, "ticketDefinition")
    ticket = _id(entity.get("id"), "id")
    event = _id(entity.get("eventId"), "eventId")
    unsold, sold_out = _stock(entity, ticket)
    prices, shared = _prices(entity.get("pricingMethod"), ticket)
    details = _members(entity.get("eventDetails"))
    period = _members(entity.get("salePeriod"))
    start, end = parse_time(period.get("startDate"), ticket), parse_time(period.get("endDate"), ticket)
    status = str(entity.get("saleStatus"))
    return Definition(
        id=TicketId(ticket),
        event=EventId(event),
        name=_text(entity.get("name")) or "",
        visible=entity.get("hidden") is not True and str(details.get("status")) not in EVENT_OVER,
        status=SaleStatus(status) if status in set(SaleStatus) else SaleStatus.STARTED,
        unsold=unsold,
        sold_out=sold_out,
        prices=prices,
        shared=shared,
        sale=Sale(
            start=period.get("startDate") if start is not None else None,
            end=period.get("endDate") if end is not None else None,
            zone=_text(_members(details.get("dateAndTimeSettings")).get("timeZoneId")),
        ),
        start_us=start,
        end_us=end,
        facts={name: value for name, value in entity.items() if name not in NOT_FACTS},
    )


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


def _prices(method: Any, ticket: str) -> tuple[tuple[Price, ...], bool]:
    if not isinstance(method, dict):
        return (), False
    if isinstance(method.get("fixedPrice"), dict):
        return (_price(method["fixedPrice"], ticket),), False
    if isinstance(method.get("guestPrice"), dict):
        # The buyer chooses the price, so no number of tickets is left "at this price".
        return (_price(method["guestPrice"], ticket),), True
    details = _members(method.get("pricingOptions")).get("optionDetails")
    found = tuple(
        _price(_object(option.get("price"), "price"), ticket, _text(option.get("optionId")), _text(option.get("name")))
        for option in _objects(details)
    )
    return found, len(found) > 1


def _price(money: Mapping[str, Any], ticket: str, option: str | None = None, name: str | None = None) -> Price:
    value = money.get("amount") if money.get("value") is None else money["value"]
    if not _AMOUNT.fullmatch(str(value)):
        raise Malformed(f"ticket {ticket}: the price {str(value)[:40]!a} is not an amount of money")
    # Wix returns a free price as "0" or as "0.00": one amount must be one text, or it would look like a change.
    whole, _, cents = str(value).partition(".")
    return Price(f"{int(whole)}.{cents.rstrip('0'):0<2}", _text(money.get("currency")) or "", option, name)


def parse_time(text: Any, ticket: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 time, which is UTC where it names no zone; None for no text. Raises Malformed."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise Malformed(f"ticket {ticket}: {str(text)[:40]!a} is not an ISO 8601 time") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _object(json: Any, name: str) -> dict[str, Any]:
    if not isinstance(json, dict):
        raise Malformed(f"{name} is {type(json).__name__}, not an object")
    return json


def _members(json: Any) -> dict[str, Any]:
    """The members of an object that may be missing."""
    return json if isinstance(json, dict) else {}


def _text(json: Any) -> str | None:
    return json if isinstance(json, str) else None


def _objects(json: Any) -> Iterable[dict[str, Any]]:
    return [one for one in json if isinstance(one, dict)] if isinstance(json, list) else []


def _id(value: Any, name: str) -> str:
    found = guid(value) if isinstance(value, str) else None
    if found is None:
        raise Malformed(f"{name} is {str(value)[:60]!a}, not a GUID")
    return found
