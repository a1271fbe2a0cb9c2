"""Validates an event that a tester sent to the control API, member by member. Wix itself has other requests for this.

In: the JSON of a new event, or of changes to one. Out: fields of Event by name, or Invalid with the member's path.
Unknown members are refused: a test with a misspelt one would prove nothing.
Source of the limits: Wix, "Events V3" (object, Create Event).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.clock import parse
from sandbox.errors import Invalid
from sandbox.event_entity import OPTIONAL
from sandbox.model import EventStatus, Registration, Tax
from sandbox.validation import flag, guid, mapping, names, text

TAX_TYPES = ("INCLUDED_IN_PRICE", "ADDED_AT_CHECKOUT")
LEAST_RATE, MOST_RATE, RATE_DIGITS = Decimal("0.001"), Decimal(100), 3

SLUG = re.compile(r"[\w-]{1,100}")
STATUS = re.compile(r"[A-Z][A-Z_]{0,59}")
"""Of registration: also one that Wix does not have yet."""

Fields = dict[str, Any]


def new_event(json: Any) -> Fields:
    """Parse a new event: `title` is required, `draft` and `id` are possible too. Raises Invalid."""
    sent = {**mapping(json, "event")}
    more: Fields = {}
    if "draft" in sent:
        more["draft"] = flag(sent.pop("draft"), "draft")
    if "id" in sent:
        more["id_"] = guid(sent.pop("id"), "id")
    if "status" in sent:
        raise Invalid("status", "a new event has none: set draft, or change the event afterwards")
    if "title" not in sent:
        raise Invalid("title", "value is required", "REQUIRED_FIELD")
    return {**event_changes(sent, Registration()), **more}


def event_changes(json: Any, registration: Registration) -> Fields:
    """Parse changes to an event; *registration* is the present one, of which only some members may be sent.

    Raises Invalid.
    """
    fields: Fields = {}
    for member, value in mapping(json, "event").items():
        if member == "registration":
            fields[member] = _registration(value, registration)
        elif member in _READERS:
            name, read = _READERS[member]
            fields[name] = read(value, member)
        else:
            raise Invalid(member, f"there is no such member: use {', '.join((*_READERS, 'registration'))}")
    return fields


def _registration(value: Any, registration: Registration) -> Registration:
    changes: Fields = {}
    for member, one in mapping(value, "registration").items():
        where = f"registration.{member}"
        match member:
            case "paused" | "disabled":
                changes[member] = flag(one, where)
            case "status":
                changes["override"] = (
                    None if one is None else _matching(STATUS, "a status such as OPEN_RSVP")(one, where)
                )
            case _:
                raise Invalid(where, "there is no such member: use paused, disabled or status")
    return replace(registration, **changes)


def _tax(value: Any, field: str) -> Tax | None:
    if value is None:
        return None
    sent = mapping(value, field)
    type_, rate = sent.get("type"), sent.get("rate")
    if type_ not in TAX_TYPES:
        raise Invalid(f"{field}.type", f"must be one of {', '.join(TAX_TYPES)}", "ENUM")
    name = text(1, 10)(sent.get("name"), f"{field}.name")
    try:
        number = Decimal(rate) if isinstance(rate, str) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > RATE_DIGITS or not LEAST_RATE <= number <= MOST_RATE:
        raise Invalid(f"{field}.rate", f"a decimal string from {LEAST_RATE} to {MOST_RATE}", "DECIMAL_VALUE")
    on_donations = flag(sent.get("appliedToDonations", False), f"{field}.appliedToDonations")
    return Tax(str(type_), name, str(rate), on_donations)


def _status(value: Any, field: str) -> EventStatus:
    if value not in list(EventStatus):
        raise Invalid(field, f"must be one of {', '.join(EventStatus)}", "ENUM")
    return EventStatus(value)


def _date(value: Any, field: str) -> float:
    try:
        return parse(value)
    except (ValueError, TypeError):
        raise Invalid(field, "value is not a date and time in UTC", "FORMAT") from None


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Any, str], str]:
    def read(value: Any, field: str) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Invalid(field, f"value is not {what}", "FORMAT")
        return value

    return read


_READERS: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
    "title": ("title", text(1, 120)),
    "start": ("start", _date),
    "end": ("end", _date),
    "zone": ("zone", text(1, 100)),
    "status": ("status", _status),
    "slug": ("slug", _matching(SLUG, "letters, digits and dashes")),
    "tax": ("tax", _tax),
    "hideEventDetailsPage": ("page_hidden", flag),
    "pageBase": ("page_base", text(0, 2000)),
    "missing": ("missing", names(OPTIONAL)),
}
"""Member of the JSON → field of Event, and its parser."""
