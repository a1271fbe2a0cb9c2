"""Reads members of Wix's JSON, any of which may be missing: REST leaves out what has no value.

In: parsed JSON. Out: values, or Malformed naming what is wrong. Source: Wix, "Troubleshooting" (fields without value).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from server.errors import Malformed
from server.wire import HALF, guid, is_address

E = TypeVar("E", bound=StrEnum)


def parse_time(text: Any, ticket: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 time, which is UTC where it names no zone; None for no text. Raises Malformed."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise Malformed(f"ticket {ticket}: {str(text)[:40]!a} is not an ISO 8601 time") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def object_of(json: Any, name: str) -> dict[str, Any]:
    """The object of this name; raises Malformed where it is anything else."""
    if not isinstance(json, dict):
        raise Malformed(f"{name} is {type(json).__name__}, not an object")
    return json


def members(json: Any) -> dict[str, Any]:
    """The members of an object that may be missing."""
    return json if isinstance(json, dict) else {}


def text(json: Any) -> str | None:
    """The text, or None where there is none."""
    return json if isinstance(json, str) else None


def name_of(json: Any) -> str | None:
    """The text, or None where there is none or it cannot be encoded as UTF-8, and so cannot name anything."""
    found = text(json)
    return found if found and not HALF.search(found) else None


def one_of(kind: type[E], json: Any) -> E | None:
    """The value of this enumeration, or None where there is none, or one that is not known here."""
    return kind(json) if isinstance(json, str) and json in set(kind) else None


def objects(json: Any) -> Iterable[dict[str, Any]]:
    """The objects of a list that may be missing."""
    return [one for one in json if isinstance(one, dict)] if isinstance(json, list) else []


def id_of(value: Any, name: str) -> str:
    """The GUID in lower case; raises Malformed naming the member."""
    found = guid(value) if isinstance(value, str) else None
    if found is None:
        raise Malformed(f"{name} is {str(value)[:60]!a}, not a GUID")
    return found


def page(json: Any) -> str | None:
    """The address of Wix's `{base, path}`, if it is one of the web; a page may link to it as it is."""
    parts = members(json)
    address = f"{text(parts.get('base')) or ''}{text(parts.get('path')) or ''}"
    return address if is_address(address) else None
