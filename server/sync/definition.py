"""A ticket definition in the words that a mapping may use: `name`, `price`, `sale.start`, `option.price`, `event.title`.

In: what is stored of a ticket: its facts, which are members of Wix's JSON, and the tickets left. Out: a Source, whose fields are
texts, numbers and yes or no. Sources: Wix, "Ticket Definitions V3" (object) and "Events V3" (object).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from server.model import EventId, TicketId
from server.sync.model import Fields, Value
from server.wix.members import members, objects, text

# `from` names of a mapping, each with the member of Wix's JSON that it is. One member may have several names, and a member
# that a mapping neither uses nor leaves out is an error (mapping.py): Wix's new members do not go missing in silence.
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
    "event.slug": "event",
    "event.registration": "event",
    "event.registration_paused": "event",
    "unsold": "salesDetails",
    "read_at": "salesDetails",
}
"""The fields of a definition, by the member of Wix's JSON that each is made of."""

OPTION_FIELDS = ("option.id", "option.name", "option.price", "option.currency")
"""The fields of one pricing option; they are made of `pricingMethod`."""

MEMBERS: Mapping[str, str] = {
    "id": "is the Wix id itself, which every target stores",
    "limited": "follows from the limit",
    "actualLimit": "is what `limit` takes where there is a seating plan",
}
"""Members of Wix's JSON that need no mapping, and why; those of `FIELDS`, and the ones that a mapping leaves out, are the rest."""


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
    options = tuple(_option(one) for one in objects(members(method.get("pricingOptions")).get("optionDetails")))
    money = fixed or guest
    found: dict[str, Value] = {
        "id": ticket,
        "name": text(facts.get("name")) or "",
        "description": text(facts.get("description")) or "",
        "policy_text": text(facts.get("policyText")) or "",
        "hidden": facts.get("hidden") is True,
        "guest_price": amount(guest) if guest else None,
        "position": _position(facts.get("sortIndex")),
        **_limit(facts),
        **_sale(facts),
        **_event(facts, event),
    }
    currencies = frozenset(one for one in (_currency(money), *(_currency(option) for option in _prices(method))) if one)
    if money:
        found["price"] = amount(money)
        found["free"] = amount(money) == "0.00" and not guest
    elif options:
        # The highest: where a target falls back to it, nothing is sold too cheap.
        found["price"] = max((str(one.fields["option.price"]) for one in options), key=float)
        found["free"] = all(one.fields["option.price"] == "0.00" for one in options)
    if currencies:
        found["currency"] = min(currencies)
    for name, member in (("fee_type", "feeType"), ("created", "createdDate")):
        if (value := text(facts.get(member))) is not None:
            found[name] = value
    if read_at is not None:
        found["unsold"] = unsold
        found["read_at"] = iso(read_at)
    return Source(ticket, event, str(found["name"]), found, options, currencies)


def amount(money: Mapping[str, Any]) -> str:
    """A price as a decimal text with two places or more, as counters have it: "0" and "0.00" are one amount."""
    value = str(money.get("amount") if money.get("value") is None else money["value"])
    whole, _, cents = value.partition(".")
    return f"{int(whole)}.{cents.rstrip('0'):0<2}"


def iso(at: float) -> str:
    """A time as `utc` writes it."""
    return _written(datetime.fromtimestamp(at, UTC))


def utc(value: str | None) -> str | None:
    """A time of ISO 8601 in UTC, without a fraction where it has none; raises ValueError for anything else."""
    if not value:
        return None
    moment = datetime.fromisoformat(value)
    return _written(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _option(json: Mapping[str, Any]) -> SourceOption:
    money = members(json.get("price"))
    id_, name = text(json.get("optionId")) or "", text(json.get("name")) or ""
    fields: dict[str, Value] = {"option.id": id_, "option.name": name, "option.price": amount(money)}
    if currency := _currency(money):
        fields["option.currency"] = currency
    return SourceOption(id_, name, fields)


def _prices(method: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [members(one.get("price")) for one in objects(members(method.get("pricingOptions")).get("optionDetails"))]


def _currency(money: Mapping[str, Any]) -> str | None:
    return text(money.get("currency"))


def _position(index: Any) -> int:
    """Wix's sortIndex, which is not documented; missing is 0."""
    return index if isinstance(index, int) and not isinstance(index, bool) else 0


def _limit(facts: Mapping[str, Any]) -> dict[str, Value]:
    """The limit: None only where Wix says that there is none, and left out where it does not say."""
    for name in ("actualLimit", "initialLimit"):
        value = facts.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return {"limit": value}
    return {} if facts.get("limited") is True else {"limit": None}


def _sale(facts: Mapping[str, Any]) -> dict[str, Value]:
    period = members(facts.get("salePeriod"))
    found: dict[str, Value] = {
        "sale.start": utc(text(period.get("startDate"))),
        "sale.end": utc(text(period.get("endDate"))),
        "sale.shown_when_closed": period.get("displayNotOnSale") is not False,
    }
    found["sale.status"] = text(facts.get("saleStatus")) or "SALE_STARTED"
    return found


def _event(facts: Mapping[str, Any], event: EventId) -> dict[str, Value]:
    """The event: what it says of itself wins over what its ticket says of it."""
    of_ticket, of_event = members(facts.get("eventDetails")), members(facts.get("event"))
    both = {**of_ticket, **of_event}
    dates, registration = members(both.get("dateAndTimeSettings")), members(of_event.get("registration"))
    page = members(both.get("eventPageUrl"))
    found: dict[str, Value] = {
        "event.id": event,
        "event.title": text(both.get("title")),
        "event.status": text(both.get("status")),
        "event.page": f"{text(page.get('base')) or ''}{text(page.get('path')) or ''}" or None,
        "event.start": utc(text(dates.get("startDate"))),
        "event.end": utc(text(dates.get("endDate"))),
        "event.zone": text(dates.get("timeZoneId")),
        "event.location": text(members(both.get("location")).get("name")),
        "event.slug": text(of_event.get("slug")),
        "event.registration": text(registration.get("status")),
    }
    known: dict[str, Value] = {name: value for name, value in found.items() if value is not None}
    if isinstance(paused := registration.get("registrationPaused"), bool):
        known["event.registration_paused"] = paused
    return known
