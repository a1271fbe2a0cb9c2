"""Wix's queries over tickets: filter, sort, and one page of the result. Pure functions.

In: the `query` of a request, and the tickets. Out: a page with its metadata, or Invalid if Wix would refuse the query.
A cursor contains the sort values of the last ticket, so pages do not shift when tickets are added or deleted.
Source: Wix, "Ticket Definitions V3" (Query), "API query language".
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from sandbox.errors import Invalid
from sandbox.filters import FIELDS, field, matching
from sandbox.model import Ticket

MAX_LIMIT = 100
"""Most definitions in a page."""
MAX_SORTS = 10

Sorting = tuple[tuple[str, bool], ...]
"""Fields to sort by, each with whether it is descending."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of tickets and Wix's metadata."""

    tickets: tuple[Ticket, ...]
    metadata: dict[str, Any]


def page(query: Any, tickets: Iterable[Ticket]) -> Page:
    """Answer one query. Raises Invalid, BadFilter."""
    asked = _object({} if query is None else query, "query")
    paging, by_cursor = asked.get("paging"), asked.get("cursorPaging")
    if paging is not None and by_cursor is not None:
        raise Invalid("query", "set paging or cursorPaging, not both", "ONE_OF")
    if by_cursor is not None:
        return _by_cursor(asked, _object(by_cursor, "query.cursorPaging"), tickets)
    window = _object(paging or {}, "query.paging")
    limit, offset = _limit(window, "query.paging"), window.get("offset", 0)
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise Invalid("query.paging.offset", "must be 0 or more", "MIN")
    found = _sorted(matching(asked.get("filter"), tickets), _sorting(asked.get("sort")))
    shown = tuple(found[offset : offset + limit])
    return Page(shown, {"count": len(shown), "offset": offset, "total": len(found), "tooManyToCount": False})


def _sorting(sort: Any) -> Sorting:
    given = [] if sort is None else sort
    if not isinstance(given, list) or len(given) > MAX_SORTS:
        raise Invalid("query.sort", f"a list of at most {MAX_SORTS} fields", "MAX_SIZE")
    found = []
    for place, one in enumerate(given):
        where = f"query.sort[{place}]"
        sorting = _object(one, where)
        field(sorting.get("fieldName"), f"{where}.fieldName")
        if sorting.get("order", "ASC") not in ("ASC", "DESC"):
            raise Invalid(f"{where}.order", "must be one of ASC, DESC", "ENUM")
        found.append((sorting["fieldName"], sorting.get("order") == "DESC"))
    return tuple(found) or (("createdDate", False),)


def _sort_key(ticket: Ticket, sorting: Sorting) -> list[Any]:
    """The values a ticket is sorted by, as JSON for cursors; the position last, so that the order is unique."""
    values = [FIELDS[name].of(ticket) for name, _ in sorting]
    return [float(value) if isinstance(value, Decimal) else value for value in values] + [ticket.position]


def _comparator(sorting: Sorting) -> Callable[[Sequence[Any], Sequence[Any]], int]:
    backwards = [down for _, down in sorting] + [False]

    def compare(one: Sequence[Any], other: Sequence[Any]) -> int:
        for a, b, down in zip(one, other, backwards, strict=True):
            if a != b:
                less = b is not None and (a is None or a < b)
                return -1 if less is not down else 1
        return 0

    return compare


def _sorted(tickets: Iterable[Ticket], sorting: Sorting) -> list[Ticket]:
    key = cmp_to_key(_comparator(sorting))
    return sorted(tickets, key=lambda ticket: key(_sort_key(ticket, sorting)))


def _by_cursor(asked: Mapping[str, Any], paging: Mapping[str, Any], tickets: Iterable[Ticket]) -> Page:
    limit = _limit(paging, "query.cursorPaging")
    if paging.get("cursor") is None:
        filter_, sorting, edge, forward = asked.get("filter"), _sorting(asked.get("sort")), None, True
    else:
        if asked.get("filter") or asked.get("sort"):
            raise Invalid("query", "with a cursor, neither filter nor sort may be set")
        filter_, sorting, edge, forward = _decode_cursor(paging["cursor"])
    found = _sorted(matching(filter_, tickets), sorting)
    compare = _comparator(sorting)
    if edge is None:
        shown, before, after = found[:limit], False, len(found) > limit
    elif not _comparable(edge, found, sorting):
        raise Invalid("query.cursorPaging.cursor", "it is not a valid cursor", "FORMAT")
    elif forward:
        rest = [one for one in found if compare(_sort_key(one, sorting), edge) > 0]
        shown, before, after = rest[:limit], len(rest) < len(found), len(rest) > limit
    else:
        rest = [one for one in found if compare(_sort_key(one, sorting), edge) < 0]
        shown, before, after = rest[-limit:], len(rest) > limit, len(rest) < len(found)
    cursors = {}
    if shown and after:
        cursors["next"] = _encode_cursor(filter_, sorting, _sort_key(shown[-1], sorting), forward=True)
    if shown and before:
        cursors["prev"] = _encode_cursor(filter_, sorting, _sort_key(shown[0], sorting), forward=False)
    return Page(tuple(shown), {"count": len(shown), "cursors": cursors})


def _comparable(edge: Sequence[Any], found: Sequence[Ticket], sorting: Sorting) -> bool:
    """Whether the values of a cursor, which a client sent, can be compared with those of the tickets."""
    columns = zip(edge, *(_sort_key(one, sorting) for one in found), strict=True)
    return all(len({type(value) for value in column} - {type(None)}) <= 1 for column in columns)


def _encode_cursor(filter_: Any, sorting: Sorting, edge: list[Any], *, forward: bool) -> str:
    text = json.dumps([filter_, sorting, edge, forward], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_cursor(cursor: Any) -> tuple[Any, Sorting, list[Any], bool]:
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        filter_, sorting, edge, forward = json.loads(text)
        found = tuple((name, down) for name, down in sorting)
        valid = len(edge) == len(found) + 1 and all(name in FIELDS for name, _ in found)
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        valid = False
    if not valid:
        raise Invalid("query.cursorPaging.cursor", "it is not a valid cursor", "FORMAT")
    return filter_, found, edge, forward is True


def _limit(paging: Mapping[str, Any], where: str) -> int:
    limit = paging.get("limit", MAX_LIMIT)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"{where}.limit", f"must be between 1 and {MAX_LIMIT}", "MAX")
    return limit


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(where, "value is not an object", "FORMAT")
    return value
