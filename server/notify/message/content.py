"""What a message says of an announcement, in one language: names, prices and times as texts, in the order in which they stand.

In: an Announcement, whose names are as the organiser typed them, and a Language. Out: a Message, which renderer.py puts into
templates. Times are in the event's zone, which is named. Sources: CLDR by Babel (dates, times, prices), UAX #9 (bidirectional text).
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time, get_timezone_name
from babel.numbers import format_currency

from server.model import Price
from server.notify.announcement import AnnouncedTicket, Announcement
from server.notify.message.languages import Language
from server.single_line import clean

LONGEST_SUBJECT = 150
MOST_TICKETS = 30
MOST_PRICES = 4
"""Prices of one ticket that are listed; of more, only the lowest and the highest are told."""

_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"


@dataclass(frozen=True, slots=True)
class TicketLine:
    """One ticket: `prices` are none where none is known; `when`: that it can be bought now, or from when on."""

    name: str
    prices: tuple[str, ...]
    when: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is said. `page` is "" where there is no address of the web; `begins` and `zone` are "" where no start is known.

    `subject` can stand in a header; `summary` names the tickets in a few words, for a push message.
    """

    language: Language
    title: str
    page: str
    tickets: tuple[TicketLine, ...]
    more: bool
    begins: str
    zone: str
    place: str
    subject: str
    summary: str


def message(announcement: Announcement, language: Language) -> Message:
    """What is said of this announcement in this language."""
    zone = _zone(announcement.zone)
    title = clean(announcement.title)
    listed = announcement.tickets[:MOST_TICKETS]
    first = min((ticket.start for ticket in announcement.tickets), default=0.0)
    names = ", ".join(isolated(clean(ticket.name), language) for ticket in announcement.tickets[:3])
    names += ", …" if len(announcement.tickets) > 3 else ""
    return Message(
        language,
        title,
        announcement.page if re.match(r"https?://[^\s\"<>]+$", announcement.page) else "",
        tuple(_line(ticket, language, zone, first, named=announcement.begins is not None) for ticket in listed),
        len(announcement.tickets) > len(listed),
        "" if announcement.begins is None else _moment(announcement.begins, language, zone),
        "" if announcement.begins is None else _zone_name(zone, language),
        clean(announcement.location),
        header_text(say(language, "subject", event=title), LONGEST_SUBJECT),
        say(language, "summary", tickets=names),
    )


def say(language: Language, key: str, **names: str) -> str:
    """A sentence with its names filled in, each of which keeps its own direction of writing."""
    return language.sentences[key].format(**{name: isolated(value, language) for name, value in names.items()})


def header_text(text: str, longest: int) -> str:
    """A text for a header: on one line, and nothing in it can be read as an encoded word (RFC 2047).

    Some versions of Python decode `=?utf-8?q?a=0D=0ABcc:…?=` when they write a header, which makes a header of it.
    """
    return clean(text, longest).replace("=?", "= ?")


def isolated(text: str, language: Language) -> str:
    """A name that is written in the other direction than the language, so that it moves nothing around it (UAX #9, 2.4)."""
    directions = {unicodedata.bidirectional(one) for one in text}
    other = {"L"} if language.direction == "rtl" else {"R", "AL"}
    return f"{_ISOLATE}{text}{_END_ISOLATE}" if directions & other else text


def _line(ticket: AnnouncedTicket, language: Language, zone: tzinfo, first: float, *, named: bool) -> TicketLine:
    """*first*: the earliest start, in whose day a time needs no date. *named*: the zone is named elsewhere."""
    when = say(language, "now")
    if not ticket.on_sale:
        start = _local(ticket.start, zone)
        time = format_time(start, "short", locale=language.locale)
        if start.date() != _local(first, zone).date():
            time = _moment(ticket.start, language, zone)
        when = language.sentences["from"].format(time=time if named else f"{time} ({_zone_name(zone, language)})")
    return TicketLine(clean(ticket.name), _prices(ticket, language), when)


def _prices(ticket: AnnouncedTicket, language: Language) -> tuple[str, ...]:
    """The prices of one ticket, each of its options by name where there are few."""
    prices = ticket.prices
    texts = tuple(_amount(price, language) for price in prices)
    if len(set(texts)) <= 1:
        # One price that is shared is the lowest that the buyer may choose.
        chosen = ticket.shared and len(texts) == 1 and Decimal(prices[0].amount)
        return (say(language, "at_least", price=texts[0]),) if chosen else texts[:1]
    if len(texts) <= MOST_PRICES and all(price.name for price in prices):
        named = (isolated(clean(price.name or "", 60), language) for price in prices)
        return tuple(f"{name} {text}" for name, text in zip(named, texts, strict=True))
    if len({price.currency for price in prices}) > 1:
        return tuple(dict.fromkeys(texts))
    by_amount = sorted(prices, key=lambda price: Decimal(price.amount))
    lowest, highest = (_amount(price, language) for price in (by_amount[0], by_amount[-1]))
    return (language.sentences["between"].format(lowest=lowest, highest=highest),)


def _amount(price: Price, language: Language) -> str:
    if not Decimal(price.amount):
        return say(language, "free")
    return format_currency(price.amount, clean(price.currency, 8), locale=language.locale)


def _zone(name: str | None) -> tzinfo:
    """The zone of this IANA name; UTC where it is not known."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ValueError, OSError, KeyError):  # what is not found is a ZoneInfoNotFoundError, which is a KeyError
        return UTC


def _zone_name(zone: tzinfo, language: Language) -> str:
    """Its name without summer or winter, since a sale and its event may be in different ones.

    Zones that are no place, such as UTC and Etc/GMT+3, are named as they are.
    """
    area, _, name = getattr(zone, "key", "UTC").rpartition("/")
    if area in {"", "Etc"}:
        return name
    return get_timezone_name(zone, "long", locale=language.locale)


def _moment(at: float, language: Language, zone: tzinfo) -> str:
    """A date and a time of day."""
    moment = _local(at, zone)
    day = format_date(moment.date(), "full", language.locale)
    return f"{day}, {format_time(moment, 'short', locale=language.locale)}"


def _local(at: float, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at, zone)
