"""Validates a ticket definition that a client sent, member by member.

In: the JSON of Create or Update. Out: fields of Ticket by name, or Invalid with the member's path as Wix has it.
Read-only and unknown members are ignored.
Source: Wix, "Ticket Definitions V3" (object, Create, Update).
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.clock import parse
from sandbox.errors import Invalid
from sandbox.model import Price, Pricing

FEES = frozenset({"FEE_INCLUDED", "FEE_ADDED_AT_CHECKOUT", "NO_FEE"})
LONGEST_OPTION = 200
MOST_OPTIONS = 100
LARGEST = 2**31 - 1
MINUTE = 60.0
"""Sale dates are rounded down to the minute."""

_METHODS = {"fixedPrice": Pricing.FIXED, "guestPrice": Pricing.GUEST, "pricingOptions": Pricing.OPTIONS}
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_REQUIRED = ("eventId", "name", "feeType", "pricingMethod")

Fields = dict[str, Any]


def guid(value: Any, field: str) -> str:
    """A GUID in lower case. Raises Invalid."""
    text = value.lower() if isinstance(value, str) else ""
    if not _GUID.fullmatch(text):
        raise Invalid(field, "value is not a valid GUID", "FORMAT")
    return text


def ticket_fields(json: Any, new_id: Callable[[], str], *, complete: bool, keep_seconds: bool = False) -> Fields:
    """Parse a definition. *complete*: required members must be set; *keep_seconds*: do not round sale dates."""
    root = "ticketDefinition"
    sent = _mapping(json, root)
    for member in _REQUIRED if complete else ():
        if sent.get(member) is None:
            raise Invalid(f"{root}.{member}", "value is required", "REQUIRED_FIELD")
    fields: Fields = {}
    for member, (name, read) in _READERS.items():
        if member in sent:
            fields[name] = read(sent[member], f"{root}.{member}")
    if "pricingMethod" in sent:
        fields |= _pricing(sent["pricingMethod"], f"{root}.pricingMethod", new_id)
    if "salePeriod" in sent:
        fields |= _period(sent["salePeriod"], f"{root}.salePeriod", keep_seconds=keep_seconds)
    return fields


def _text(shortest: int, longest: int) -> Callable[[Any, str], str]:
    def read(value: Any, field: str) -> str:
        text = "" if value is None else value
        if not isinstance(text, str):
            raise Invalid(field, "value is not a string", "FORMAT")
        if not shortest <= len(text) <= longest:
            rule = "MIN_LENGTH" if len(text) < shortest else "MAX_LENGTH"
            raise Invalid(field, f"size must be between {shortest} and {longest}", rule)
        return text

    return read


def _flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise Invalid(field, "value is not a boolean", "FORMAT")
    return value


def _limit(value: Any, field: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(field, "value is not an integer", "FORMAT")
    if not 0 <= value <= LARGEST:
        raise Invalid(field, f"must be between 0 and {LARGEST}", "MIN" if value < 0 else "MAX")
    return value


def _fee(value: Any, field: str) -> str:
    if not isinstance(value, str) or value not in FEES:
        raise Invalid(field, f"must be one of {', '.join(sorted(FEES))}", "ENUM")
    return value


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(field, "value is not an object", "REQUIRED_FIELD" if value is None else "FORMAT")
    return value


def _pricing(value: Any, field: str, new_id: Callable[[], str]) -> Fields:
    method = _mapping(value, field)
    [*chosen] = [name for name in _METHODS if method.get(name) is not None]
    if len(chosen) != 1:
        raise Invalid(field, f"set exactly one of {', '.join(_METHODS)}", "ONE_OF")
    name = chosen[0]
    field = f"{field}.{name}"
    if name != "pricingOptions":
        return {"pricing": _METHODS[name], "prices": (_money(method[name], field),)}
    options = _mapping(method[name], field).get("optionDetails")
    field = f"{field}.optionDetails"
    if not isinstance(options, list) or not 1 <= len(options) <= MOST_OPTIONS:
        raise Invalid(field, f"size must be between 1 and {MOST_OPTIONS}", "MAX_SIZE")
    prices = []
    for place, one in enumerate(options):
        here = f"{field}[{place}]"
        option = _mapping(one, here)
        id_ = option.get("optionId")
        price = _money(option.get("price"), f"{here}.price")
        prices.append(
            Price(
                price.value,
                price.currency,
                new_id() if id_ is None else guid(id_, f"{here}.optionId"),
                _text(1, LONGEST_OPTION)(option.get("name"), f"{here}.name"),
            )
        )
    return {"pricing": Pricing.OPTIONS, "prices": tuple(prices)}


def _money(value: Any, field: str) -> Price:
    money = _mapping(value, field)
    amount, currency = money.get("value"), money.get("currency")
    try:
        number = Decimal(amount) if isinstance(amount, str) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise Invalid(f"{field}.value", "value is not a decimal string of zero or more", "DECIMAL_VALUE")
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Z]{3}", currency):
        raise Invalid(f"{field}.currency", "value is not a currency code", "FORMAT")
    return Price(str(amount), currency)


def _period(value: Any, field: str, *, keep_seconds: bool) -> Fields:
    period = _mapping(value, field)
    dates = {}
    for member in ("startDate", "endDate"):
        text = period.get(member)
        try:
            moment = None if text is None else parse(text)
        except (ValueError, TypeError):
            raise Invalid(f"{field}.{member}", "value is not a date and time in UTC", "FORMAT") from None
        dates[member] = moment if moment is None or keep_seconds else moment - moment % MINUTE
    shown = _flag(period.get("displayNotOnSale", True), f"{field}.displayNotOnSale")
    return {"start": dates["startDate"], "end": dates["endDate"], "shown_early": shown}


_READERS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "name": ("name", _text(1, 30)),
    "description": ("description", _text(0, 500)),
    "policyText": ("policy", _text(0, 1000)),
    "hidden": ("hidden", _flag),
    "initialLimit": ("limit", _limit),
    "feeType": ("fee", _fee),
    "extendedFields": ("extended", _mapping),
}
"""Member of the JSON → field of Ticket, and its parser."""
