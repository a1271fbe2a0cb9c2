"""Validates a ticket definition that a client sent, member by member.

In: the JSON of Create or Update. Out: fields of Ticket by name, or Invalid with the member's path as Wix has it.
Read-only and unknown members are ignored.
Source: Wix, "Ticket Definitions V3" (object, Create, Update).
"""

import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.clock import parse
from sandbox.entity import MAX_PER_CHECKOUT, OPTIONAL
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
    sent = mapping(json, root)
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


def tester_fields(json: Mapping[str, Any]) -> Fields:
    """Parse the members of a definition that only the control API sets. Raises Invalid.

    `sortIndex`; `limitPerCheckout`, null for the stock; and `missing`, members that are left out of the JSON.
    """
    root = "ticketDefinition"
    return {
        name: read(json[member], f"{root}.{member}")
        for member, (name, read) in _TESTER_READERS.items()
        if member in json
    }


def text(shortest: int, longest: int) -> Callable[[Any, str], str]:
    """A parser of strings between these lengths; null counts as empty."""

    def read(value: Any, field: str) -> str:
        found = "" if value is None else value
        if not isinstance(found, str):
            raise Invalid(field, "value is not a string", "FORMAT")
        if not shortest <= len(found) <= longest:
            rule = "MIN_LENGTH" if len(found) < shortest else "MAX_LENGTH"
            raise Invalid(field, f"size must be between {shortest} and {longest}", rule)
        return found

    return read


def flag(value: Any, field: str) -> bool:
    """A boolean. Raises Invalid."""
    if not isinstance(value, bool):
        raise Invalid(field, "value is not a boolean", "FORMAT")
    return value


def currency(value: Any, field: str) -> str:
    """A currency code. Raises Invalid."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value):
        raise Invalid(field, "value is not a currency code", "FORMAT")
    return value


def _integer(least: int, most: int) -> Callable[[Any, str], int]:
    def read(value: Any, field: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Invalid(field, "value is not an integer", "FORMAT")
        if not least <= value <= most:
            raise Invalid(field, f"must be between {least} and {most}", "MIN" if value < least else "MAX")
        return value

    return read


def _or_null(read: Callable[[Any, str], int]) -> Callable[[Any, str], int | None]:
    return lambda value, field: None if value is None else read(value, field)


def _fee(value: Any, field: str) -> str:
    if not isinstance(value, str) or value not in FEES:
        raise Invalid(field, f"must be one of {', '.join(sorted(FEES))}", "ENUM")
    return value


def mapping(value: Any, field: str) -> Mapping[str, Any]:
    """A JSON object. Raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid(field, "value is not an object", "REQUIRED_FIELD" if value is None else "FORMAT")
    return value


def names(known: Collection[str]) -> Callable[[Any, str], frozenset[str]]:
    """A parser of lists of names, all of them *known*."""

    def read(value: Any, field: str) -> frozenset[str]:
        if not isinstance(value, list) or not all(isinstance(one, str) and one in known for one in value):
            raise Invalid(field, f"must be a list of {', '.join(known)}", "ENUM")
        return frozenset(value)

    return read


def _pricing(value: Any, field: str, new_id: Callable[[], str]) -> Fields:
    method = mapping(value, field)
    [*chosen] = [name for name in _METHODS if method.get(name) is not None]
    if len(chosen) != 1:
        raise Invalid(field, f"set exactly one of {', '.join(_METHODS)}", "ONE_OF")
    name = chosen[0]
    field = f"{field}.{name}"
    if name != "pricingOptions":
        return {"pricing": _METHODS[name], "prices": (_money(method[name], field),)}
    options = mapping(method[name], field).get("optionDetails")
    field = f"{field}.optionDetails"
    if not isinstance(options, list) or not 1 <= len(options) <= MOST_OPTIONS:
        raise Invalid(field, f"size must be between 1 and {MOST_OPTIONS}", "MAX_SIZE")
    prices = []
    for place, one in enumerate(options):
        here = f"{field}[{place}]"
        option = mapping(one, here)
        id_ = option.get("optionId")
        price = _money(option.get("price"), f"{here}.price")
        prices.append(
            Price(
                price.value,
                price.currency,
                new_id() if id_ is None else guid(id_, f"{here}.optionId"),
                text(1, LONGEST_OPTION)(option.get("name"), f"{here}.name"),
            )
        )
    return {"pricing": Pricing.OPTIONS, "prices": tuple(prices)}


def _money(value: Any, field: str) -> Price:
    money = mapping(value, field)
    amount = money.get("value")
    try:
        number = Decimal(amount) if isinstance(amount, str) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise Invalid(f"{field}.value", "value is not a decimal string of zero or more", "DECIMAL_VALUE")
    return Price(str(amount), currency(money.get("currency"), f"{field}.currency"))


def _period(value: Any, field: str, *, keep_seconds: bool) -> Fields:
    period = mapping(value, field)
    dates = {}
    for member in ("startDate", "endDate"):
        text = period.get(member)
        try:
            moment = None if text is None else parse(text)
        except (ValueError, TypeError):
            raise Invalid(f"{field}.{member}", "value is not a date and time in UTC", "FORMAT") from None
        dates[member] = moment if moment is None or keep_seconds else moment - moment % MINUTE
    shown = flag(period.get("displayNotOnSale", True), f"{field}.displayNotOnSale")
    return {"start": dates["startDate"], "end": dates["endDate"], "shown_early": shown}


_READERS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "name": ("name", text(1, 30)),
    "description": ("description", text(0, 500)),
    "policyText": ("policy", text(0, 1000)),
    "hidden": ("hidden", flag),
    "initialLimit": ("limit", _or_null(_integer(0, LARGEST))),
    "feeType": ("fee", _fee),
    "extendedFields": ("extended", mapping),
}
"""Member of the JSON → field of Ticket, and its parser."""

_TESTER_READERS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "sortIndex": ("sort_index", _integer(-LARGEST, LARGEST)),
    "limitPerCheckout": ("checkout_limit", _or_null(_integer(0, MAX_PER_CHECKOUT))),
    "missing": ("missing", names(OPTIONAL)),
}
