"""What a webhook asks for.

In: the type of a webhook, and its payload as parsed JSON. Out: model.py's Hint or Install, or None. Personal data in orders is
not read. Sources: Wix, "Ticket Definitions V3" (events), "Orders" (Order Confirmed), "Ticket Reservations",
"Events V3" (events), "App Installed", "App Removed".
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from server.errors import Malformed
from server.model import EventId, Hint, Install, Named, TicketId
from server.wire import guid
from server.wix.members import parse_time

_Payload = Mapping[str, Any]

UNKNOWN = "unknown"
"""The type of every webhook that we do not handle: a name that Wix sends may not become the label of a metric."""

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
_EVENT_SLUGS = ("updated", "published", "started", "canceled", "ended", "deleted")
_EVENTS = {f"wix.events.v3.event_{slug}": f"event_{slug}" for slug in _EVENT_SLUGS}
_INSTALLS = {"AppInstalled": True, "AppRemoved": False}


def _order(reason: str, payload: _Payload) -> Hint | None:
    # Tickets are created after payment, so an order may name them only by its invoice lines. Their ids equal the
    # definitions' in Wix's own example, but no page documents that.
    by_ticket = _named(reason, payload.get("tickets"), "ticketDefinitionId", payload.get("eventId"))
    if by_ticket and by_ticket.tickets:
        return Hint(reason, by_ticket.tickets, by_ticket.event, Named.TICKETS)
    invoice = payload.get("invoice")
    items = invoice.get("items") if isinstance(invoice, dict) else None
    by_line = _named(reason, items, "id", payload.get("eventId"))
    if by_line and by_line.event:
        return Hint(reason, by_line.tickets, by_line.event, Named.LINES if by_line.tickets else Named.EVENT)
    return None


def _definition(reason: str, payload: _Payload) -> Hint | None:
    found = guid(str(payload.get("entityId")))
    event = guid(str(_entity(payload).get("eventId")))
    return Hint(reason, (TicketId(found),), EventId(event) if event else None) if found else None


def _event(reason: str, payload: _Payload) -> Hint | None:
    found = guid(str(payload.get("entityId")))
    return Hint(reason, event=EventId(found), named=Named.EVENT, of_event=True) if found else None


def _reservation(reason: str, payload: _Payload) -> Hint | None:
    entity = _entity(payload)
    return _held(_named(reason, entity.get("tickets"), "ticketDefinitionId", None), entity, "expirationDate")


def _old_reservation(reason: str, payload: _Payload) -> Hint | None:
    hint = _named(reason, payload.get("quantities"), "ticketDefinitionId", payload.get("eventId"))
    return _held(hint, payload, "expires")


def _install(installed: bool, _: _Payload) -> Install:
    return Install(installed)


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


def _held(hint: Hint | None, reservation: _Payload, member: str) -> Hint | None:
    """The same hint with the end of the reservation, if it is pending: its tickets come back then."""
    if hint is None or not str(reservation.get("status")).endswith("PENDING"):
        return hint
    try:
        return replace(hint, hold_ends_us=parse_time(reservation.get(member), "of a reservation"))
    except Malformed:
        # The hint is enough: the end would only have been one more time to read.
        return hint


def _entity(payload: _Payload) -> _Payload:
    for body, member in (
        ("createdEvent", "entity"),
        ("updatedEvent", "currentEntity"),
        ("deletedEvent", "deletedEntity"),
    ):
        holder = payload.get(body)
        if isinstance(holder, dict) and isinstance(holder.get(member), dict):
            return dict(holder[member])
    return {}


KNOWN: Mapping[str, Callable[[_Payload], Hint | Install | None]] = {
    **{type_: partial(_order, reason) for type_, reason in _ORDERS.items()},
    **{type_: partial(_reservation, reason) for type_, reason in _RESERVATIONS.items()},
    **{type_: partial(_old_reservation, reason) for type_, reason in _OLD_RESERVATIONS.items()},
    **{type_: partial(_definition, reason) for type_, reason in _DEFINITIONS.items()},
    **{type_: partial(_event, reason) for type_, reason in _EVENTS.items()},
    **{type_: partial(_install, installed) for type_, installed in _INSTALLS.items()},
}
"""Every webhook type that we handle, with the function that reads from its payload what it asks for (None: nothing)."""
