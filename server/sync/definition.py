"""A ticket definition in the words that a mapping may use: `name`, `price`, `sale.start`, `option.price`, `event.title`.

In: what is stored of a ticket: its facts, which are members of Wix's JSON, and the tickets left. Out: a Source, whose fields are
texts, numbers and yes or no. Sources: Wix, "Ticket Definitions V3" (object) and "Events V3" (object).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from server.model import EventId, TicketId
from server.sync.model import NOT_KNOWN, Fields, Missing, Value
from server.wire import HALF
from server.wix.members import members, objects
from server.wix.members import text as text_of

FIELDS: Mapping[str, str] = {
    "id": "id",
    "name": "name",
    "description": "description",
    "policy_text": "policyText",
    "hidden": "hidden",
    "price": "pricingMethod",
    "guest_price": "pricingMethod",
    "free": "pricingMethod",
    "currency": "pricingMethod",
    "fee_type": "feeType",
    "limit": "initialLimit",
    "sale.start": "salePeriod",
    "sale.end": "salePeriod",
    "sale.shown_when_closed": "salePeriod",
    "sale.status": "saleStatus",
    "position": "sortIndex",
    "created": "createdDate",
    "event.id": "eventId",
    "event.title": "eventDetails",
    "event.status": "eventDetails",
    "event.page": "eventDetails",
    "event.start": "eventDetails",
    "event.end": "eventDetails",
    "event.zone": "eventDetails",
    "event.location": "eventDetails",
    "event.slug": "eventDetails",
    "event.registration": "eventDetails",
    "event.registration_paused": "eventDetails",
    "unsold": "salesDetails",
    "read_at": "salesDetails",
}
"""The fields of a definition (the `from` names of a mapping), by the member of Wix's JSON that each is made of.

What the event says of itself counts as `eventDetails`, which is what its tickets say of it.
"""

OPTION_FIELDS: Mapping[str, str] = {
    "option.id": "pricingMethod",
    "option.name": "pricingMethod",
    "option.price": "pricingMethod",
    "option.currency": "pricingMethod",
    "option.position": "pricingMethod",
}
"""The fields of one pricing option, in the same way; `option.position` is its place in Wix's list, from 0."""

WITHOUT_FIELD = frozenset({"limitPerCheckout", "extendedFields", "seatingDetails"})
"""Members of Wix's JSON of which no field is made: a mapping can only leave them out."""

MEMBERS: Mapping[str, str] = {
    "id": "is the Wix id itself, which every target stores",
    "eventId": "is what `events` is looked up by",
    "event": "is the event as it describes itself: its fields are those of `eventDetails`",
    "limited": "follows from the limit",
    "actualLimit": "is what `limit` takes where there is a seating plan",
    "revision": "counts edits, and says nothing of the ticket",
    "updatedDate": "says when it was edited, and nothing of the ticket",
}
"""Members that need no mapping, and why. All others are mapped or left out: Wix's members do not go missing in silence."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "sale.status": ("SALE_SCHEDULED", "SALE_STARTED", "SALE_ENDED"),
    "fee_type": ("FEE_INCLUDED", "FEE_ADDED_AT_CHECKOUT", "NO_FEE"),
    "event.status": ("UPCOMING", "STARTED", "ENDED", "CANCELED", "DRAFT"),
}
"""Fields with few possible values, as Wix documents them."""

YES_OR_NO = frozenset({"hidden", "free", "sale.shown_when_closed", "event.registration_paused"})
"""Fields that are yes or no."""


@dataclass(frozen=True, slots=True)
class SourceOption:
    """One pricing option: its Wix id, its name, and its fields."""

    id: str
    name: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Source:
    """A ticket definition as a mapping sees it; a field that Wix did not say is missing."""

    ticket: TicketId
    event: EventId
    name: str
    fields: Fields
    options: tuple[SourceOption, ...] = ()
    currencies: frozenset[str] = field(default_factory=frozenset)


def source(
    ticket: TicketId,
    event: EventId,
    facts: Mapping[str, Any],
    *,
    unsold: int | None = None,
    read_at: float | None = None,
) -> Source:
    """The definition of which these facts are stored; *read_at* in seconds since 1970, None where its stock is not known."""
    method = members(facts.get("pricingMethod"))
    fixed, guest = members(method.get("fixedPrice")), members(method.get("guestPrice"))
    listed = objects(members(method.get("pricingOptions")).get("optionDetails"))
    options = tuple(_option(one, position) for position, one in enumerate(listed))
    money = fixed or guest
    name = text(facts.get("name"))
    found: dict[str, Value | Missing] = {
        "id": ticket,
        "name": NOT_KNOWN if name is None else name,
        "description": text(facts.get("description")) or "",
        "policy_text": text(facts.get("policyText")) or "",
        "hidden": facts.get("hidden") is True,
        "position": _position(facts.get("sortIndex")),
        **_limit(facts),
        **_sale(facts),
        **_event(facts, event),
    }
    monies = (money, *(members(one.get("price")) for one in listed))
    currencies = frozenset(one for one in map(_currency, monies) if one)
    if money:
        found["price"] = amount(money)
        found["free"] = amount(money) == "0.00" and not guest
    elif options:
        # The highest: where a target falls back to it, nothing is sold too cheap.
        found["price"] = max((str(one.fields["option.price"]) for one in options), key=Decimal)
        found["free"] = all(one.fields["option.price"] == "0.00" for one in options)
    if method:
        found["guest_price"] = amount(guest) if guest else None
    if currencies:
        found["currency"] = min(currencies)
    if fee := text(facts.get("feeType")):
        found["fee_type"] = fee
    if created := _time(facts.get("createdDate")):
        found["created"] = created
    if read_at is not None:
        found["read_at"] = iso(read_at)
        # Without a number a ticket is unlimited only where Wix says so.
        if unsold is not None or facts.get("limited") is False:
            found["unsold"] = unsold
    return Source(ticket, event, name or "", _known(found), options, currencies)


def text(json: Any) -> str | None:
    """The text, where half a character, which no target could take, is replaced; None where there is none."""
    found = text_of(json)
    return found and HALF.sub("\N{REPLACEMENT CHARACTER}", found)


def amount(money: Mapping[str, Any]) -> str:
    """A price as a decimal text with two places or more, as counters have it: "0" and "0.00" are one amount."""
    value = str(money.get("amount") if money.get("value") is None else money["value"])
    whole, _, cents = value.partition(".")
    return f"{int(whole)}.{cents.rstrip('0'):0<2}"


def iso(at: float) -> str:
    """A time as `utc` writes it."""
    return _written(datetime.fromtimestamp(at, UTC))


def utc(value: str | None) -> str | None:
    """A time of ISO 8601 in UTC, without a fraction where it has none; raises ValueError, or OverflowError."""
    if not value:
        return None
    moment = datetime.fromisoformat(value)
    return _written(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _time(json: Any) -> str | Missing | None:
    """The time, None where there is none, and not known where it cannot be read."""
    try:
        return utc(text(json))
    except (ValueError, OverflowError):
        return NOT_KNOWN


def _known(found: Mapping[str, Value | Missing]) -> dict[str, Value]:
    return {name: value for name, value in found.items() if not isinstance(value, Missing)}


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _option(json: Mapping[str, Any], position: int) -> SourceOption:
    money = members(json.get("price"))
    id_, name = text(json.get("optionId")) or "", text(json.get("name")) or ""
    fields: dict[str, Value] = {
        "option.id": id_,
        "option.name": name,
        "option.price": amount(money),
        "option.position": position,
    }
    if currency := _currency(money):
        fields["option.currency"] = currency
    return SourceOption(id_, name, fields)


def _currency(money: Mapping[str, Any]) -> str | None:
    return text(money.get("currency"))


def _position(index: Any) -> int:
    """Wix's sortIndex, which is not documented; missing is 0."""
    return index if isinstance(index, int) and not isinstance(index, bool) else 0


def _limit(facts: Mapping[str, Any]) -> dict[str, Value]:
    """The limit: None only where Wix says that there is none, and left out where it does not say.

    Source: Wix, "Ticket Definitions V3" (object: `limited`).
    """
    for name in ("actualLimit", "initialLimit"):
        value = facts.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return {"limit": value}
    return {"limit": None} if facts.get("limited") is False else {}


def _sale(facts: Mapping[str, Any]) -> dict[str, Value | Missing]:
    """The sale period; what is missing there has Wix's default: no start, no end, shown, started."""
    period = members(facts.get("salePeriod"))
    return {
        "sale.start": _time(period.get("startDate")),
        "sale.end": _time(period.get("endDate")),
        "sale.shown_when_closed": period.get("displayNotOnSale") is not False,
        "sale.status": text(facts.get("saleStatus")) or "SALE_STARTED",
    }


def _event(facts: Mapping[str, Any], event: EventId) -> dict[str, Value]:
    """The event: what it says of itself wins over what its ticket says of it."""
    of_ticket, of_event = members(facts.get("eventDetails")), members(facts.get("event"))
    both = {**of_ticket, **of_event}
    dates, registration = members(both.get("dateAndTimeSettings")), members(of_event.get("registration"))
    page = members(both.get("eventPageUrl"))
    found: dict[str, Value | Missing] = {
        "event.id": event,
        "event.title": text(both.get("title")),
        "event.status": text(both.get("status")),
        "event.page": f"{text(page.get('base')) or ''}{text(page.get('path')) or ''}" or None,
        "event.start": _time(dates.get("startDate")),
        "event.end": _time(dates.get("endDate")),
        "event.zone": text(dates.get("timeZoneId")),
        "event.location": text(members(both.get("location")).get("name")),
        "event.slug": text(of_event.get("slug")),
        "event.registration": text(registration.get("status")),
    }
    known = {name: value for name, value in found.items() if value is not None}
    if isinstance(paused := registration.get("registrationPaused"), bool):
        known["event.registration_paused"] = paused
    return _known(known)
