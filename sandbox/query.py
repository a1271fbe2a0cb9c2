"""Wix's queries: filter, sort, and one page of the result. Pure functions over any kind of object.

In: the `query` of a request, the objects, and their kind (queryable.py). Out: a page with its metadata, or Invalid if
Wix would refuse the query. A cursor contains the sort values of the last object, so pages do not shift when objects are
added or deleted.
Sources: Wix, "Ticket Definitions V3" (Query), "Events V3" (Query), "API query language".
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cmp_to_key
from typing import Any, Generic

from sandbox.errors import Invalid
from sandbox.filters import field, matching
from sandbox.queryable import Queryable, T

Sorting = tuple[tuple[str, bool], ...]
"""Fields to sort by, each with whether it is descending."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of objects and Wix's metadata."""

    items: tuple[T, ...]
    metadata: dict[str, Any]


def page(query: Any, things: Iterable[T], kind: Queryable[T]) -> Page[T]:
    """Answer one query. Raises Invalid, BadFilter."""
    asked = _object({} if query is None else query, "query")
    paging, by_cursor = asked.get("paging"), asked.get("cursorPaging")
    if paging is not None and by_cursor is not None:
        raise Invalid("query", "set paging or cursorPaging, not both", "ONE_OF")
    if by_cursor is not None:
        if not kind.by_cursor:
            raise Invalid("query.cursorPaging", "this query has no cursors: use paging")
        return _by_cursor(asked, _object(by_cursor, "query.cursorPaging"), things, kind)
    window = _object(paging or {}, "query.paging")
    limit, offset = _limit(window, "query.paging", kind), window.get("offset", 0)
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise Invalid("query.paging.offset", "must be 0 or more", "MIN")
    found = _sorted(matching(asked.get("filter"), things, kind.fields), _sorting(asked.get("sort"), kind), kind)
    shown = tuple(found[offset : offset + limit])
    return Page(shown, {"count": len(shown), "offset": offset, "total": len(found), "tooManyToCount": False})


def _sorting(sort: Any, kind: Queryable[T]) -> Sorting:
    given = [] if sort is None else sort
    if not isinstance(given, list) or len(given) > kind.most_sorts:
        raise Invalid("query.sort", f"a list of at most {kind.most_sorts} fields", "MAX_SIZE")
    found = []
    for place, one in enumerate(given):
        where = f"query.sort[{place}]"
        sorting = _object(one, where)
        if not field(sorting.get("fieldName"), f"{where}.fieldName", kind.fields).sortable:
            raise Invalid(f"{where}.fieldName", "this field cannot be sorted by")
        if sorting.get("order", "ASC") not in ("ASC", "DESC"):
            raise Invalid(f"{where}.order", "must be one of ASC, DESC", "ENUM")
        found.append((sorting["fieldName"], sorting.get("order") == "DESC"))
    return tuple(found) or (("createdDate", False),)


def _sort_key(thing: T, sorting: Sorting, kind: Queryable[T]) -> list[Any]:
    """The values an object is sorted by, as JSON for cursors; the position last, so that the order is unique."""
    values = [kind.fields[name].of(thing) for name, _ in sorting]
    return [float(value) if isinstance(value, Decimal) else value for value in values] + [thing.position]


def _comparator(sorting: Sorting) -> Callable[[Sequence[Any], Sequence[Any]], int]:
    backwards = [down for _, down in sorting] + [False]

    def compare(one: Sequence[Any], other: Sequence[Any]) -> int:
        for a, b, down in zip(one, other, backwards, strict=True):
            if a != b:
                less = b is not None and (a is None or a < b)
                return -1 if less is not down else 1
        return 0

    return compare


def _sorted(things: Iterable[T], sorting: Sorting, kind: Queryable[T]) -> list[T]:
    key = cmp_to_key(_comparator(sorting))
    return sorted(things, key=lambda thing: key(_sort_key(thing, sorting, kind)))


def _by_cursor(asked: Mapping[str, Any], paging: Mapping[str, Any], things: Iterable[T], kind: Queryable[T]) -> Page[T]:
    limit = _limit(paging, "query.cursorPaging", kind)
    if paging.get("cursor") is None:
        filter_, sorting, edge, forward = asked.get("filter"), _sorting(asked.get("sort"), kind), None, True
    else:
        if asked.get("filter") or asked.get("sort"):
            raise Invalid("query", "with a cursor, neither filter nor sort may be set")
        filter_, sorting, edge, forward = _decode_cursor(paging["cursor"], kind)
    found = _sorted(matching(filter_, things, kind.fields), sorting, kind)
    compare = _comparator(sorting)
    if edge is None:
        shown, before, after = found[:limit], False, len(found) > limit
    elif not _comparable(edge, found, sorting, kind):
        raise Invalid("query.cursorPaging.cursor", "it is not a valid cursor", "FORMAT")
    elif forward:
        rest = [one for one in found if compare(_sort_key(one, sorting, kind), edge) > 0]
        shown, before, after = rest[:limit], len(rest) < len(found), len(rest) > limit
    else:
        rest = [one for one in found if compare(_sort_key(one, sorting, kind), edge) < 0]
        shown, before, after = rest[-limit:], len(rest) > limit, len(rest) < len(found)
    cursors = {}
    if shown and after:
        cursors["next"] = _encode_cursor(filter_, sorting, _sort_key(shown[-1], sorting, kind), forward=True)
    if shown and before:
        cursors["prev"] = _encode_cursor(filter_, sorting, _sort_key(shown[0], sorting, kind), forward=False)
    return Page(tuple(shown), {"count": len(shown), "cursors": cursors})


def _comparable(edge: Sequence[Any], found: Sequence[T], sorting: Sorting, kind: Queryable[T]) -> bool:
    """Whether the values of a cursor, which a client sent, can be compared with those of the objects."""
    columns = zip(edge, *(_sort_key(one, sorting, kind) for one in found), strict=True)
    return all(len({type(value) for value in column} - {type(None)}) <= 1 for column in columns)


def _encode_cursor(filter_: Any, sorting: Sorting, edge: list[Any], *, forward: bool) -> str:
    text = json.dumps([filter_, sorting, edge, forward], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_cursor(cursor: Any, kind: Queryable[T]) -> tuple[Any, Sorting, list[Any], bool]:
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        filter_, sorting, edge, forward = json.loads(text)
        found = tuple((name, down) for name, down in sorting)
        valid = len(edge) == len(found) + 1 and all(name in kind.fields for name, _ in found)
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        valid = False
    if not valid:
        raise Invalid("query.cursorPaging.cursor", "it is not a valid cursor", "FORMAT")
    return filter_, found, edge, forward is True


def _limit(paging: Mapping[str, Any], where: str, kind: Queryable[T]) -> int:
    limit = paging.get("limit", kind.default_limit)
    if isinstance(limit, bool) or not isinstance(limit, int) or not kind.least_limit <= limit <= kind.most_limit:
        raise Invalid(f"{where}.limit", f"must be between {kind.least_limit} and {kind.most_limit}", "MAX")
    return limit


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(where, "value is not an object", "FORMAT")
    return value
