"""The public contract as bytes: counters, heartbeats, close codes and come-back times.

In: values of counter.py and model.py. Out: JSON text that is the same for the same value, byte for byte, since
the ETag, the comparison in keep.lua and the redaction all depend on that; and the counter of such a text.
"""

import json
import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

from server.counter import Counter, State
from server.model import EventId, Fees, Price, Sale, TicketId

# When clients that are sent away come back. A range spreads them, or all would come at the same moment.

RESTART_RETRY_MS = (500, 5_000)
"""Milliseconds, told by the `bye` before a restart."""
CROWDED_RETRY_MS = (1_000, 10_000)
"""Milliseconds, told by the `bye` to viewers that make room for others."""
LIST_RETRY_MS = (0, 3_000)
"""Milliseconds, told by the `bye` to viewers of an event whose list of tickets has changed."""
CROWDED_RETRY_AFTER = range(1, 11)
"""Seconds, one of them told by Retry-After where a handshake or a connection is refused."""
RETRY_AFTER = 5
"""Seconds, told by Retry-After where a request for counters is refused; few clients poll, so they need no spread."""
WEBHOOK_RETRY_AFTER = 1
"""Seconds, told by Retry-After to Wix where a webhook could not be taken."""

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HALF = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair, which JSON can hold and UTF-8 cannot."""
_V = re.compile(r'\{"v":([1-9][0-9]{0,15}),')
_FORBIDDEN = r"\s\x00-\x1f\x7f-\x9f\ud800-\udfff\"'<>\\"
_ADDRESS = re.compile(rf"https?://[^/?#{_FORBIDDEN}]+[^{_FORBIDDEN}]{{0,2000}}")
_AMOUNT = re.compile(r"[0-9]{1,20}\.[0-9]{2,20}")
MOST_LISTED = 100
"""Tickets in the list of an event (lua/shown.lua)."""
LONGEST_COUNTER = 65_536
"""Characters of a counter's text: far more than Wix's names and options make."""


class Close(IntEnum):
    """Why a socket is closed (RFC 6455, section 7.4): after 1012 and 4000-4499 a client comes back, after the others not."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    BINARY = 1003
    INVALID_UTF8 = 1007
    TOO_MUCH = 1008
    TOO_BIG = 1009
    RESTART = 1012
    FULL = 4000
    BAD_REQUEST = 4500
    ORIGIN = 4501


def dumps(value: Any, *, sort: bool = False) -> str:
    """JSON without white space that can be encoded as UTF-8; members keep their order, or are sorted."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort)
    return encodable(text)


def encodable(text: str) -> str:
    """Text that can be encoded as UTF-8: a name that was cut inside an emoji ends in half a surrogate pair, which cannot."""
    return HALF.sub("\N{REPLACEMENT CHARACTER}", text)


def canonical(value: Any) -> str:
    """JSON that is equal exactly when the values are: members sorted."""
    return dumps(value, sort=True)


def counter_body(counter: Counter) -> str:
    """A counter without its `v`, which keep.lua puts in front: `"ticket":…}`."""
    text = dumps(
        {
            "ticket": counter.ticket,
            "event": counter.event,
            "state": counter.state,
            "unsold": counter.unsold,
            "prices": [_price(price) for price in counter.prices],
            "shared": counter.shared,
            "fees": counter.fees,
            "name": counter.name,
            "sale": _sale(counter.sale),
            "buy": counter.buy,
        }
    )
    return text[1:]


def with_v(v: int, body: str) -> str:
    """The whole public text of a counter; keep.lua builds the same."""
    return f'{{"v":{v},{body}'


def counter_of(text: str) -> Counter | None:
    """The counter that `with_v` wrote as this text; None for a text that it did not write, whatever it is.

    Anyone who may write to Redis can publish or store any text, and what this answers is shown to visitors: a text counts only
    if its counter is written as the same bytes again.
    """
    v = v_of(text)
    if not v or len(text) > LONGEST_COUNTER:
        return None
    try:
        members = json.loads(text)
        counter = Counter(**{name: read(members[name]) for name, read in _MEMBERS.items()})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return counter if text == with_v(v, counter_body(counter)) else None


def list_of(text: str) -> tuple[EventId, tuple[TicketId, ...]] | None:
    """The event and the tickets of a list that lua/shown.lua wrote as this text; None for a text that it did not write."""
    if len(text) > LONGEST_COUNTER:
        return None
    try:
        members = json.loads(text)
        tickets = tuple(TicketId(ticket) for ticket in members["tickets"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    ids = (members.get("event"), *tickets)
    if len(tickets) > MOST_LISTED or any(not isinstance(one, str) or not _GUID.fullmatch(one) for one in ids):
        return None
    event = EventId(members["event"])
    return (event, tickets) if text == event_list(event, tickets) else None


def event_list(event: EventId, tickets: Sequence[TicketId]) -> str:
    """The list of an event's tickets; shown.lua builds the same."""
    return dumps({"event": event, "tickets": tickets})


def unknown(ticket: TicketId) -> str:
    """The counter of a ticket whose number cannot be verified."""
    return with_v(0, counter_body(Counter(ticket)))


def v_of(counter: str) -> int:
    """The version at the start of a counter's text; 0 for a text that is no counter, or has no version that Redis's clock gives."""
    found = _V.match(counter)
    return int(found[1]) if found else 0


def stays_true(counter: str) -> bool:
    """Whether the counter is gone or ended, which stays true without another read.

    A ticket's name cannot forge this: its quotes are escaped in JSON.
    """
    return is_gone(counter) or '"state":"ended"' in counter


def is_gone(counter: str) -> bool:
    """Whether the counter says that there is no such ticket, for any reason."""
    return '"state":"gone"' in counter


def beat(unix_ms: int) -> str:
    """The heartbeat: the server's time, for countdowns."""
    return f'{{"beat":{unix_ms}}}'


def bye(low_ms: int, high_ms: int) -> str:
    """The message before a planned close: when to come back."""
    return f'{{"bye":{{"retry_ms":[{low_ms},{high_ms}]}}}}'


def ws_text(text: str) -> bytes:
    """One unmasked, unfragmented text frame (RFC 6455, section 5.2): built once, written to every socket."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def sse_data(text: str) -> bytes:
    """One server-sent event without a name (HTML, section 9.2): JSON without blanks holds no line break."""
    return b"data: " + text.encode() + b"\n\n"


def sse_event(name: str, text: str) -> bytes:
    """One named server-sent event."""
    return f"event: {name}\ndata: {text}\n\n".encode()


def is_address(text: str) -> bool:
    """Whether this is the address of a web page, to which a page may link as it is."""
    return _ADDRESS.fullmatch(text) is not None


def _price(price: Price) -> dict[str, str | None]:
    return {"amount": price.amount, "currency": price.currency, "option": price.option, "name": price.name}


def _sale(sale: Sale) -> dict[str, str | None]:
    return {"start": sale.start, "end": sale.end, "zone": sale.zone}


def guid(text: str) -> str | None:
    """The GUID in lower case, or None if the text is no GUID."""
    lowered = text.lower()
    return lowered if _GUID.fullmatch(lowered) else None


# -- reading counters: each function gives the value of a member, or raises ValueError, TypeError or KeyError --


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _whole_or_none(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _prices_of(value: Any) -> tuple[Price, ...]:
    return tuple(map(_price_of, value))


def _price_of(value: Any) -> Price:
    price = Price(
        _text(value["amount"]), _text(value["currency"]), _text_or_none(value["option"]), _text_or_none(value["name"])
    )
    if not _AMOUNT.fullmatch(price.amount):
        raise ValueError
    return price


def _sale_of(value: Any) -> Sale:
    return Sale(_text_or_none(value["start"]), _text_or_none(value["end"]), _text_or_none(value["zone"]))


def _fees_of(value: Any) -> Fees | None:
    return None if value is None else Fees(value)


def _address_or_none(value: Any) -> str | None:
    address = _text_or_none(value)
    if address is not None and not is_address(address):
        raise ValueError
    return address


_MEMBERS: dict[str, Callable[[Any], Any]] = {
    "ticket": _text,
    "event": _text_or_none,
    "state": State,
    "unsold": _whole_or_none,
    "prices": _prices_of,
    "shared": _bool,
    "fees": _fees_of,
    "name": _text_or_none,
    "sale": _sale_of,
    "buy": _address_or_none,
}
"""How each member of a counter's JSON is read; its `v` is not a part of the counter."""
