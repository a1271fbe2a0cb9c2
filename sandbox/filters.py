"""Wix's filters over tickets: the operators of each field, and which tickets match. Pure functions.

In: the `filter` of a request. Out: the matching tickets, or BadFilter if Wix would refuse the filter, for example
because of a field that cannot be filtered by or an operator it does not support.
Source: Wix, "Ticket Definitions V3: supported filters and sorting", "API query language".
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.clock import iso, parse
from sandbox.errors import BadFilter, Invalid
from sandbox.model import Pricing, Ticket
from sandbox.validation import guid

MAX_FACETS = 20
MAX_DEPTH = 20
"""Deepest nesting of filters."""

EQUALITY = frozenset({"$eq", "$ne", "$in", "$nin", "$exists"})
ORDERED = EQUALITY | {"$gt", "$gte", "$lt", "$lte"}

Predicate = Callable[[Ticket], bool]


def _date(value: Any) -> float:
    return parse(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("value is not a string")
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError("value is not a number")
    return int(value)


def _decimal(value: Any) -> Decimal:
    return Decimal(_text(value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("value is not a boolean")
    return value


def _id(value: Any) -> str:
    return guid(value, "id")


@dataclass(frozen=True, slots=True)
class Field:
    """A field to filter and sort by: how to get a ticket's value, how to parse a request's value, and the operators."""

    of: Callable[[Ticket], Any]
    read: Callable[[Any], Any]
    operators: frozenset[str] = ORDERED


def _fixed(ticket: Ticket) -> Any:
    return ticket.prices[0] if ticket.pricing is Pricing.FIXED else None


FIELDS: Mapping[str, Field] = {
    "createdDate": Field(lambda t: t.created, _date),
    "updatedDate": Field(lambda t: t.updated, _date),
    "id": Field(lambda t: t.id, _id),
    "eventId": Field(lambda t: t.event, _id),
    "name": Field(lambda t: t.name, _text),
    "description": Field(lambda t: t.description, _text),
    "initialLimit": Field(lambda t: t.limit, _number),
    "revision": Field(lambda t: t.revision, _number),
    "pricingMethod.fixedPrice.value": Field(lambda t: (p := _fixed(t)) and Decimal(p.value), _decimal),
    "pricingMethod.fixedPrice.currency": Field(lambda t: (p := _fixed(t)) and p.currency, _text),
    "feeType": Field(lambda t: t.fee, _text, EQUALITY),
    "hidden": Field(lambda t: t.hidden, _flag, EQUALITY),
    "saleStatus": Field(lambda t: t.status.value, _text, EQUALITY),
    "pricingMethod.free": Field(lambda t: t.free, _flag, EQUALITY),
    "pricingMethod.pricingType": Field(
        lambda t: "DONATION" if t.pricing is Pricing.GUEST else "STANDARD", _text, EQUALITY
    ),
}

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda a, b: a > b,
    "$gte": lambda a, b: a >= b,
    "$lt": lambda a, b: a < b,
    "$lte": lambda a, b: a <= b,
}


def matching(filter_: Any, tickets: Iterable[Ticket]) -> list[Ticket]:
    """The tickets that match a filter. Raises BadFilter."""
    test = _filter({} if filter_ is None else filter_, "filter", 0)
    return [ticket for ticket in tickets if test(ticket)]


def facets(names: Any, tickets: Sequence[Ticket]) -> dict[str, Any]:
    """How many tickets have each value of these fields. Raises Invalid."""
    asked = [] if names is None else names
    if not isinstance(asked, list) or len(asked) > MAX_FACETS:
        raise Invalid("facet", f"a list of at most {MAX_FACETS} fields", "MAX_SIZE")
    found = {}
    for name in asked:
        of = field(name, "facet").of
        values = (of(ticket) for ticket in tickets)
        found[name] = {"counts": dict(Counter(_shown(name, value) for value in values if value is not None))}
    return found


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return iso(value) if name.endswith("Date") else str(value)


def _filter(given: Any, where: str, depth: int) -> Predicate:
    if not isinstance(given, dict):
        raise BadFilter(where, "a filter is an object", "FORMAT")
    if depth > MAX_DEPTH:
        raise BadFilter(where, "the filter is too deep")
    tests: list[Predicate] = []
    for name, value in given.items():
        here = f"{where}.{name}"
        if name in {"$and", "$or"}:
            if not isinstance(value, list) or not value:
                raise BadFilter(here, "it takes a list of filters", "FORMAT")
            parts = [_filter(one, f"{here}[{place}]", depth + 1) for place, one in enumerate(value)]
            tests.append(_combine(parts, all if name == "$and" else any))
        elif name == "$not":
            tests.append(_negate(_filter(value, here, depth + 1)))
        else:
            tests.append(_condition(field(name, here), value, here))
    return _combine(tests, all)


def _condition(by: Field, value: Any, where: str) -> Predicate:
    if not isinstance(value, dict):
        return _operator(by, "$eq", value, where)
    if not value:
        raise BadFilter(where, "no operator")
    return _combine([_operator(by, name, operand, f"{where}.{name}") for name, operand in value.items()], all)


def _operator(by: Field, name: str, operand: Any, where: str) -> Predicate:
    if name not in by.operators:
        raise BadFilter(where, f"the operators are {', '.join(sorted(by.operators))}")
    of = by.of
    if name == "$exists":
        if not isinstance(operand, bool):
            raise BadFilter(where, "it takes true or false", "FORMAT")
        return lambda ticket: (of(ticket) is not None) is operand
    if name in {"$in", "$nin"}:
        if not isinstance(operand, list):
            raise BadFilter(where, "it takes a list", "FORMAT")
        some = {_read(by, one, where) for one in operand}
        return lambda ticket: (of(ticket) in some) is (name == "$in")
    wanted = _read(by, operand, where)
    if name in {"$eq", "$ne"}:
        return lambda ticket: (of(ticket) == wanted) is (name == "$eq")
    if wanted is None:
        raise BadFilter(where, "null has no order", "FORMAT")
    holds = _COMPARE[name]
    return lambda ticket: (found := of(ticket)) is not None and holds(found, wanted)


def _read(by: Field, operand: Any, where: str) -> Any:
    if operand is None:
        return None
    try:
        return by.read(operand)
    except Invalid as error:
        raise BadFilter(where, error.text, error.rule) from None
    except (ValueError, TypeError, InvalidOperation):
        raise BadFilter(where, f"{str(operand)[:60]!a} is not a value of this field", "FORMAT") from None


def field(name: Any, where: str) -> Field:
    """The field with this name. Raises BadFilter."""
    found = FIELDS.get(name) if isinstance(name, str) else None
    if found is None:
        raise BadFilter(where, "this field cannot be filtered or sorted by")
    return found


def _combine(tests: Sequence[Predicate], how: Callable[[Iterable[bool]], bool]) -> Predicate:
    return lambda ticket: how(test(ticket) for test in tests)


def _negate(test: Predicate) -> Predicate:
    return lambda ticket: not test(ticket)
