"""What a message says, in each language."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.model import Price
from server.notify.message.content import Message, header_text, isolated, message, say
from server.notify.message.languages import Language, Languages
from tests.rig.mail_samples import EVIL_NAMES, PAGE, STARTS, announcement, ticket

LANGUAGES = Languages()
ENGLISH, GERMAN, HEBREW = LANGUAGES.all
OPENS, CLOSES = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068", "\u202c\u2069"
NAMES = st.lists(st.characters() | st.sampled_from(f"{OPENS}{CLOSES}=?\r\n\u2028"), max_size=300).map("".join)


def said(language: Language = ENGLISH, **changes: Any) -> Message:
    return message(announcement(**changes), language)


def price(amount: str, currency: str = "EUR", name: str | None = None) -> Price:
    return Price(amount, currency, name, name)


def test_a_message_says_what_is_on_sale_and_when_the_event_is() -> None:
    """Names, prices and times stand as the language writes them, and the event's zone is named."""
    found = said()

    assert ("Spring Gala", PAGE, "Old Hall") == (found.title, found.page, found.place)
    assert [("Early bird", "€45.00", "on sale now"), ("Balcony", "€30.00", "on sale from 18:30")] == [
        (one.name, *one.prices, one.when) for one in found.tickets
    ]
    assert ("Saturday, 6 March 2027, 20:00", "Central European Time") == (found.begins, found.zone)
    assert "Tickets are on sale: Spring Gala" == found.subject
    assert "Early bird, Balcony. The page shows what is left." == found.summary


def test_each_language_writes_dates_and_prices_in_its_own_way() -> None:
    """German has a comma in prices, Hebrew its own months, and names keep their direction."""
    german, hebrew = said(GERMAN), said(HEBREW)

    assert ("Samstag, 6. März 2027, 20:00", "Mitteleuropäische Zeit") == (german.begins, german.zone)
    assert ("45,00\xa0€", "im Verkauf ab 18:30") == (*german.tickets[0].prices, german.tickets[1].when)
    assert "יום שבת, 6 במרץ 2027, 20:00" == hebrew.begins
    assert "הכרטיסים במכירה: \u2068Spring Gala\u2069" == hebrew.subject


@pytest.mark.parametrize(
    ("prices", "shared", "expected"),
    [
        ((), False, ""),
        ((price("0"),), False, "free"),
        ((price("0.00"),), True, "free"),
        ((price("10"),), True, "€10.00 or more"),
        ((price("30", name="Adult"), price("0.00", name="Child")), True, "Adult €30.00, Child free"),
        ((price("30", name="A"), price("30", name="B")), True, "€30.00"),
        ((price("30"), price("9.50"), price("100")), True, "€9.50 to €100.00"),
        (tuple(price(str(one), name=f"N{one}") for one in range(5)), True, "free to €4.00"),
        ((price("30"), price("30", "USD")), True, "€30.00, US$30.00"),
        ((price("1234.5", "ILS"),), False, "₪1,234.50"),
    ],
)
def test_prices_are_told_as_one_text(prices: tuple[Price, ...], shared: bool, expected: str) -> None:
    """One price, several options, one that the buyer chooses, or none."""
    assert expected == ", ".join(said(tickets=(ticket(prices=prices, shared=shared),)).tickets[0].prices)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("America/New_York", "Saturday, 6 March 2027, 14:00 (Eastern Time)"),
        ("Asia/Jerusalem", "Saturday, 6 March 2027, 21:00 (Israel Time)"),
        ("Etc/UTC", "Saturday, 6 March 2027, 19:00 (UTC)"),
        ("UTC", "Saturday, 6 March 2027, 19:00 (UTC)"),
        (None, "Saturday, 6 March 2027, 19:00 (UTC)"),
        ("No/Such_Zone", "Saturday, 6 March 2027, 19:00 (UTC)"),
        ("../../etc/passwd", "Saturday, 6 March 2027, 19:00 (UTC)"),
    ],
)
def test_times_are_in_the_events_zone(zone: str | None, expected: str) -> None:
    """A zone that is not known is UTC, and is named as such."""
    found = said(zone=zone)

    assert expected == f"{found.begins} ({found.zone})"


def test_an_event_without_a_date_names_the_zone_at_the_ticket() -> None:
    """Where no start of the event is known, a later start of a sale names the zone itself."""
    found = said(begins=None)

    assert ("", "") == (found.begins, found.zone)
    assert "on sale from 18:30 (Central European Time)" == found.tickets[1].when


def test_a_sale_of_the_next_day_names_the_day() -> None:
    """A ticket that starts after midnight is not on sale from 00:15 of the same day."""
    late = ticket(start=STARTS + 6.25 * 3600, on_sale=False)

    assert "on sale from Wednesday, 2 December 2026, 00:15" == said(tickets=(ticket(), late)).tickets[1].when


def test_many_tickets_are_not_all_listed() -> None:
    """Of a hundred tickets thirty are listed, and the message says that there are more."""
    found = said(tickets=tuple(ticket(f"T{one}") for one in range(100)))

    assert (30, True) == (len(found.tickets), found.more)
    assert "T0, T1, T2, …. The page shows what is left." == found.summary
    assert False is said().more


def test_only_an_address_of_the_web_is_a_link() -> None:
    """A page that is no address of the web is left out."""
    assert "" == said(page="javascript:alert(1)").page
    assert "" == said(page='https://x/" onclick="y').page
    assert "" == said(page="").page


@pytest.mark.parametrize("name", EVIL_NAMES)
@pytest.mark.parametrize("language", LANGUAGES.all, ids=lambda one: one.name)
def test_nothing_of_a_name_can_leave_its_line(name: str, language: Language) -> None:
    """Names of attackers stand on one line, and are no encoded words in a subject."""
    found = said(language, title=name, location=name, tickets=(ticket(name),))

    for text in (found.title, found.place, found.tickets[0].name, found.subject, found.summary):
        assert [text] == (text.splitlines() or [""])
        assert not {unicodedata.category(one) for one in text} & {"Cc", "Cs", "Zl", "Zp"}
    assert "=?" not in found.subject


@given(NAMES)
def test_a_text_for_a_header_has_no_encoded_word(name: str) -> None:
    """However `=?` is put together from what is left out, it does not stand in a header."""
    assert "=?" not in header_text(name, 150)


def test_a_name_is_isolated_only_where_directions_meet() -> None:
    """An English name in a Hebrew sentence is isolated, and the other way round; figures turn nothing."""
    assert "\u2068Gala\u2069" == isolated("Gala", HEBREW)
    assert "\u2068גאלה\u2069" == isolated("גאלה", ENGLISH)
    assert "Gala" == isolated("Gala", ENGLISH)
    assert "2027" == isolated("2027", HEBREW)


def test_braces_in_a_name_fill_nothing_in() -> None:
    """A name with braces is a name."""
    assert "Tickets are on sale: {event} {0}" == say(ENGLISH, "subject", event="{event} {0}")
