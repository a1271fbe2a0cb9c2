"""Wix's filter language: the operators of each field, and which objects match. Pure functions over any kind of object.

In: the `filter` of a request, and the fields of the objects (queryable.py). Out: the matching objects, or BadFilter if
Wix would refuse the filter, for example because of a field that cannot be filtered by or an operator it does not support.
Source: Wix, "API query language".
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

from sandbox.clock import iso, parse
from sandbox.errors import BadFilter, Invalid
from sandbox.validation import guid

MAX_FACETS = 20
MAX_DEPTH = 20
"""Deepest nesting of filters."""

EQUALITY = frozenset({"$eq", "$ne", "$in", "$nin", "$exists"})
ORDERED = EQUALITY | {"$gt", "$gte", "$lt", "$lte"}
OF_LISTS = frozenset({"$hasAll", "$hasSome"})
"""The operators of a field whose value is a list."""

T = TypeVar("T")

Predicate = Callable[[T], bool]


def date(value: Any) -> float:
    """A value as seconds since 1970. Raises ValueError, TypeError."""
    return parse(value)


def text(value: Any) -> str:
    """A value as text. Raises ValueError, TypeError."""
    if not isinstance(value, str):
        raise TypeError("value is not a string")
    return value


def number(value: Any) -> int:
    """A value as an integer, also of a string of digits. Raises ValueError, TypeError."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError("value is not a number")
    return int(value)


def decimal(value: Any) -> Decimal:
    """A value as a decimal number. Raises ValueError, TypeError, InvalidOperation."""
    return Decimal(text(value))


def flag(value: Any) -> bool:
    """A value as true or false. Raises ValueError, TypeError."""
    if not isinstance(value, bool):
        raise TypeError("value is not a boolean")
    return value


def id_(value: Any) -> str:
    """A value as a GUID in lower case. Raises ValueError, TypeError, Invalid."""
    return guid(value, "id")


@dataclass(frozen=True, slots=True)
class Field(Generic[T]):
    """A field to filter and sort by: how to get an object's value, how to parse a request's value, and the operators."""

    of: Callable[[T], Any]
    read: Callable[[Any], Any]
    operators: frozenset[str] = ORDERED
    sortable: bool = True


Fields = Mapping[str, Field[T]]

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda a, b: a > b,
    "$gte": lambda a, b: a >= b,
    "$lt": lambda a, b: a < b,
    "$lte": lambda a, b: a <= b,
}


def matching(filter_: Any, things: Iterable[T], fields: Fields[T]) -> list[T]:
    """The objects that match a filter over their *fields*. Raises BadFilter."""
    test = _filter({} if filter_ is None else filter_, fields, "filter", 0)
    return [thing for thing in things if test(thing)]


def facets(names: Any, things: Sequence[T], fields: Fields[T]) -> dict[str, Any]:
    """How many objects have each value of these fields. Raises Invalid."""
    asked = [] if names is None else names
    if not isinstance(asked, list) or len(asked) > MAX_FACETS:
        raise Invalid("facet", f"a list of at most {MAX_FACETS} fields", "MAX_SIZE")
    found = {}
    for name in asked:
        of = field(name, "facet", fields).of
        values = (of(thing) for thing in things)
        found[name] = {"counts": dict(Counter(_shown(name, value) for value in values if value is not None))}
    return found


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return iso(value) if name.endswith("Date") else str(value)


def _filter(given: Any, fields: Fields[T], where: str, depth: int) -> Predicate[T]:
    if not isinstance(given, dict):
        raise BadFilter(where, "a filter is an object", "FORMAT")
    if depth > MAX_DEPTH:
        raise BadFilter(where, "the filter is too deep")
    tests: list[Predicate[T]] = []
    for name, value in given.items():
        here = f"{where}.{name}"
        if name in {"$and", "$or"}:
            if not isinstance(value, list) or not value:
                raise BadFilter(here, "it takes a list of filters", "FORMAT")
            parts = [_filter(one, fields, f"{here}[{place}]", depth + 1) for place, one in enumerate(value)]
            tests.append(_combine(parts, all if name == "$and" else any))
        elif name == "$not":
            tests.append(_negate(_filter(value, fields, here, depth + 1)))
        else:
            tests.append(_condition(field(name, here, fields), value, here))
    return _combine(tests, all)


def _condition(by: Field[T], value: Any, where: str) -> Predicate[T]:
    if not isinstance(value, dict):
        return _operator(by, "$eq", value, where)
    if not value:
        raise BadFilter(where, "no operator")
    return _combine([_operator(by, name, operand, f"{where}.{name}") for name, operand in value.items()], all)


def _operator(by: Field[T], name: str, operand: Any, where: str) -> Predicate[T]:
    if name not in by.operators:
        raise BadFilter(where, f"the operators are {', '.join(sorted(by.operators))}")
    of = by.of
    if name == "$exists":
        if not isinstance(operand, bool):
            raise BadFilter(where, "it takes true or false", "FORMAT")
        return lambda thing: (of(thing) is not None) is operand
    if name in {"$in", "$nin"}:
        if not isinstance(operand, list):
            raise BadFilter(where, "it takes a list", "FORMAT")
        some = {_read(by, one, where) for one in operand}
        return lambda thing: (of(thing) in some) is (name == "$in")
    if name in OF_LISTS:
        if not isinstance(operand, list) or not operand:
            raise BadFilter(where, "it takes a list of values", "FORMAT")
        each, how = {_read(by, one, where) for one in operand}, all if name == "$hasAll" else any
        return lambda thing: how(one in of(thing) for one in each)
    wanted = _read(by, operand, where)
    if name in {"$eq", "$ne"}:
        return lambda thing: (of(thing) == wanted) is (name == "$eq")
    if wanted is None:
        raise BadFilter(where, "null has no order", "FORMAT")
    holds = _COMPARE[name]
    return lambda thing: (found := of(thing)) is not None and holds(found, wanted)


def _read(by: Field[T], operand: Any, where: str) -> Any:
    if operand is None:
        return None
    try:
        return by.read(operand)
    except Invalid as error:
        raise BadFilter(where, error.text, error.rule) from None
    except (ValueError, TypeError, InvalidOperation):
        raise BadFilter(where, f"{str(operand)[:60]!a} is not a value of this field", "FORMAT") from None


def field(name: Any, where: str, fields: Fields[T]) -> Field[T]:
    """The field with this name. Raises BadFilter."""
    found = fields.get(name) if isinstance(name, str) else None
    if found is None:
        raise BadFilter(where, "this field cannot be filtered or sorted by")
    return found


def _combine(tests: Sequence[Predicate[T]], how: Callable[[Iterable[bool]], bool]) -> Predicate[T]:
    return lambda thing: how(test(thing) for test in tests)


def _negate(test: Predicate[T]) -> Predicate[T]:
    return lambda thing: not test(thing)
