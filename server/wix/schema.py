"""Wix's JSON in our words: definitions, and what a webhook asks for.

In: parsed JSON whose optional members may be missing, as Wix's REST leaves out what has no value. Out: values of
model.py, or Malformed saying which member is wrong. Personal data in orders is not looked at.
Sources: Wix, "Ticket Definitions V3" (object and events), "Orders" (Order Confirmed), "Ticket Reservations",
"Events V3" (events), "App Installed", "App Removed".
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from server.errors import Malformed
from server.model import Definition, EventId, Hint, Install, Named, Price, Sale, SaleStatus, TicketId
from server.wire import guid

NOT_FACTS = frozenset({"salesDetails", "limitPerCheckout", "revision", "updatedDate", "seatingDetails"})
"""Members that move with sales or with every edit; the rest is what sync and notify act on."""

EVENT_OVER = frozenset({"ENDED", "CANCELED", "DRAFT"})
"""Event states in which nothing can be bought. A draft is one nobody may see yet."""

_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")

_ORDERS = {
    "wix.events.ticketing.events.OrderConfirmed": "order_confirmed",
    "wix.events.ticketing.events.OrderUpdated": "order_updated",
    "wix.events.ticketing.events.OrderInitiated": "order_initiated",
    "wix.events.ticketing.events.OrderPaid": "order_paid",
    "wix.events.ticketing.events.OrderDeleted": "order_deleted",
}
_RESERVATIONS = {
    "wix.events.v1.ticket_reservation_created": "reservation_created",
    "wix.events.v1.ticket_reservation_updated": "reservation_updated",
    "wix.events.v1.ticket_reservation_deleted": "reservation_deleted",
}
_OLD_RESERVATIONS = {
    "wix.events.ticketing.events.ReservationCreated": "reservation_created",
    "wix.events.ticketing.events.ReservationUpdated": "reservation_updated",
}
_DEFINITIONS = {
    f"wix.events.v3.ticket_definition_{slug}": f"definition_{slug}"
    for slug in ("created", "updated", "deleted", "sale_started", "sale_ended", "sale_period_updated")
}
_EVENTS = {f"wix.events.v3.event_{slug}": f"event_{slug}" for slug in ("updated", "canceled", "ended", "deleted")}
_INSTALLS = {"AppInstalled": True, "AppRemoved": False}

KNOWN = frozenset({*_ORDERS, *_RESERVATIONS, *_OLD_RESERVATIONS, *_DEFINITIONS, *_EVENTS, *_INSTALLS})
"""Every webhook type that we act on."""


def definition(json: Any) -> Definition:
    """Read one ticketDefinition that was asked for with SALES_DETAILS and EVENT_DETAILS.

    Raises Malformed where a claim could not be made from it.
    """
    entity = _object(json, "ticketDefinition")
    ticket = _id(entity.get("id"), "id")
    event = _id(entity.get("eventId"), "eventId")
    unsold, sold_out = _stock(entity, ticket)
    prices, shared = _prices(entity.get("pricingMethod"), ticket)
    details = _members(entity.get("eventDetails"))
    period = _members(entity.get("salePeriod"))
    start, end = _time(period.get("startDate"), ticket), _time(period.get("endDate"), ticket)
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


def meaning(type_: str, payload: Mapping[str, Any]) -> Hint | Install | None:
    """What a webhook of this type asks for; None for a type that is not for us, or one that names nothing."""
    if type_ in _INSTALLS:
        return Install(_INSTALLS[type_])
    if reason := _ORDERS.get(type_):
        return _order(reason, payload)
    if reason := _DEFINITIONS.get(type_):
        found = guid(str(payload.get("entityId")))
        return Hint(reason, (TicketId(found),)) if found else None
    if reason := _RESERVATIONS.get(type_):
        entity = _entity(payload)
        return _held(_named(reason, entity.get("tickets"), "ticketDefinitionId", None), entity, "expirationDate")
    if reason := _OLD_RESERVATIONS.get(type_):
        hint = _named(reason, payload.get("quantities"), "ticketDefinitionId", payload.get("eventId"))
        return _held(hint, payload, "expires")
    if reason := _EVENTS.get(type_):
        found = guid(str(payload.get("entityId")))
        return Hint(reason, event=EventId(found), named=Named.EVENT) if found else None
    return None


def _order(reason: str, payload: Mapping[str, Any]) -> Hint | None:
    # Tickets are made after payment, so an order may name them only by its invoice lines; whose ids equal the
    # definitions' in Wix's own example, but no page promises it.
    by_ticket = _named(reason, payload.get("tickets"), "ticketDefinitionId", payload.get("eventId"))
    if by_ticket and by_ticket.tickets:
        return Hint(reason, by_ticket.tickets, by_ticket.event, Named.TICKETS)
    invoice = payload.get("invoice")
    items = invoice.get("items") if isinstance(invoice, dict) else None
    by_line = _named(reason, items, "id", payload.get("eventId"))
    if by_line and by_line.event:
        return Hint(reason, by_line.tickets, by_line.event, Named.LINES if by_line.tickets else Named.EVENT)
    return None


def _named(reason: str, entries: Any, member: str, event: Any) -> Hint | None:
    ids: dict[TicketId, None] = {}
    for entry in entries if isinstance(entries, list) else ():
        found = guid(str(entry.get(member))) if isinstance(entry, dict) else None
        if found:
            ids[TicketId(found)] = None
    event_id = guid(str(event)) if event else None
    if not ids and not event_id:
        return None
    return Hint(
        reason,
        tuple(ids),
        EventId(event_id) if event_id else None,
        Named.TICKETS if ids else Named.EVENT,
    )


def _held(hint: Hint | None, reservation: Mapping[str, Any], member: str) -> Hint | None:
    """The same hint with the time at which the reservation gives its tickets back, if it is one that will."""
    if hint is None or not str(reservation.get("status")).endswith("PENDING"):
        return hint
    try:
        return replace(hint, hold_ends_us=_time(reservation.get(member), "of a reservation"))
    except Malformed:
        # It would only have been one more time to look.
        return hint


def _entity(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    for body, member in (
        ("createdEvent", "entity"),
        ("updatedEvent", "currentEntity"),
        ("deletedEvent", "deletedEntity"),
    ):
        holder = payload.get(body)
        if isinstance(holder, dict) and isinstance(holder.get(member), dict):
            return dict(holder[member])
    return {}


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
            # No number of a limited ticket is no knowledge; only an unlimited one may have none.
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
        # The buyer names the price, so no number of tickets is left "at this price".
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
    # Wix reads a free price back as "0" or as "0.00": one amount must be one text, or it would look like a change.
    whole, _, cents = str(value).partition(".")
    return Price(f"{int(whole)}.{cents.rstrip('0'):0<2}", _text(money.get("currency")) or "", option, name)


def _time(text: Any, ticket: str) -> int | None:
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
