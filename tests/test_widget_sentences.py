"""The widget's sentences, prices and dates in 12 languages: what may be said of a counter, and when."""

import json
from pathlib import Path
from typing import Any

import pytest
from babel import Locale
from playwright.async_api import Page

SAMPLES = json.loads((Path(__file__).parent / "samples" / "widget_sentences.json").read_text())
COUNTS, TEXTS = SAMPLES["counts"], SAMPLES["texts"]
LANGUAGES = ("ar", "cs", "de", "en", "es", "fr", "he", "it", "ja", "pl", "pt", "ru")

NOW = 1_900_000_000_000
START = "2030-03-01T18:30:00Z"  # before it is NOW
AT = 1_898_620_200_000  # START in ms
BERLIN = {"start": START, "end": None, "zone": "Europe/Berlin"}

SAY = """async (calls) => {
  const { sentence } = await import("/src/sentence.js");
  return calls.map(([counter, tag, how, own]) => sentence(counter, tag, how.now ?? Date.now(), how.option, own && ((key) => own[key])));
}"""

Said = tuple[str, str, str, str, float]


def price(amount: str, currency: str = "EUR", option: str | None = None, name: str | None = None) -> dict[str, Any]:
    """One price of a counter."""
    return {"amount": amount, "currency": currency, "option": option, "name": name}


OPTIONS = [price("20.00", option="a", name="Adult"), price("8.50", option="c", name="Child")]


def counter(**more: Any) -> dict[str, Any]:
    """A counter with three left at one price; *more* wins."""
    return {
        "state": "low",
        "unsold": 3,
        "prices": [price("25.00")],
        "shared": False,
        "fees": "none",
        "name": "General admission",
        "sale": {"start": None, "end": None, "zone": None},
        **more,
    }


async def say(page: Page, *calls: tuple[Any, ...]) -> list[Said]:
    """What is said of counters: (counter, tag), or with options, or with the organiser's wordings too."""
    filled = [[*[one, *rest, *({} for _ in range(2 - len(rest)))][:3], *rest[2:]] for one, *rest in calls]
    return [tuple(one) for one in await page.evaluate(SAY, filled)]


def test_samples_are_complete() -> None:
    """The written texts are of all 12 languages, and of all counts."""
    assert LANGUAGES == tuple(TEXTS)
    assert [0, 1, 2, 3, 5, 11, 21, 1_000_000] == COUNTS
    for texts in TEXTS.values():
        assert [8] * 4 == [len(texts[key]) for key in ("available", "available_here", "low", "low_here")]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_each_state_in_each_language(modules: Page, language: str, console_errors: list[str]) -> None:
    """Each state has its sentence in each language, with any number, with and without "at this price"."""
    texts = TEXTS[language]
    expected: list[str] = []
    calls: list[tuple[Any, ...]] = []
    for state in ("available", "low"):
        for shared, key in ((True, state), (False, f"{state}_here")):
            for index, unsold in enumerate(COUNTS):
                calls.append((counter(state=state, unsold=unsold, shared=shared), language))
                expected.append(texts[key][index])
    for key, one in (
        ("open", counter(state="available", unsold=None)),
        ("open", counter(unsold=None)),
        ("sold_out", counter(state="sold_out", unsold=0)),
        ("scheduled", counter(state="scheduled", sale=BERLIN)),
        ("soon", counter(state="scheduled")),
        ("closed", counter(state="closed", unsold=None, prices=[])),
        ("ended", counter(state="ended", unsold=None)),
    ):
        calls.append((one, language, {"now": AT - 1}))
        expected.append(texts[key])

    said = await say(modules, *calls)

    assert expected == [text for text, *_ in said]
    direction = "rtl" if language in {"ar", "he"} else "ltr"
    assert {(language, direction)} == {(lang, way) for _, _, lang, way, _ in said}
    assert [] == console_errors


@pytest.mark.parametrize("language", LANGUAGES)
async def test_price_in_each_language(modules: Page, language: str) -> None:
    """A price, the lowest of several, fees that are added, and no price, in each language."""
    texts = TEXTS[language]

    said = await say(
        modules,
        (counter(), language),
        (counter(shared=True), language),
        (counter(fees="added"), language),
        (counter(prices=[price("0.00")]), language),
    )

    assert [texts[key] for key in ("price", "least", "fees", "free")] == [one[1] for one in said]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_plural_categories(modules: Page, language: str) -> None:
    """Own wording is asked for by the plural category that CLDR has for the number, from a second source."""
    counts = [*range(1, 130), 1_000, 1_000_000, 2_000_000, 1_000_001]
    wordings = {f"low-{category}": category for category in ("zero", "one", "two", "few", "many", "other")}

    said = await say(modules, *((counter(unsold=one), language, {}, wordings) for one in counts))

    rule = Locale.parse(language).plural_form
    assert [rule(one) for one in counts] == [text for text, *_ in said]


async def test_language_of_the_page(modules: Page, console_errors: list[str]) -> None:
    """The language is the page's, with its region; unknown and malformed tags are English, and none is an error."""
    one = counter(unsold=1200, state="available")
    english = ("1,200 left at this price.", "€25.00", "en", "ltr", float("inf"))
    for tag, expected in {
        "de_DE": ("Noch 1.200 Tickets zu diesem Preis.", "25,00\u00a0€", "de-DE", "ltr", float("inf")),
        "de-AT": ("Noch 1\u00a0200 Tickets zu diesem Preis.", "€\u00a025,00", "de-AT", "ltr", float("inf")),
        "pt-PT": ("Restam 1200 por este preço.", "25,00\u00a0€", "pt-PT", "ltr", float("inf")),
        "en-GB": (*english[:2], "en-GB", *english[3:]),
        "iw": ("נותרו 1,200 כרטיסים במחיר זה.", "\u200f25.00\u00a0\u200f€", "he", "rtl", float("inf")),
        "AR": ("تبقت 1,200 تذكرة بهذا السعر.", "\u200f25.00\u00a0€", "ar", "rtl", float("inf")),
        **dict.fromkeys(
            ("", "nl", "fa-IR", "xx", "no_SUCH_thing", "constructor", "de DE", "-", "\u0000", "🎟", "x-y"), english
        ),
    }.items():
        assert expected == (await say(modules, (one, tag)))[0], tag
    assert [] == console_errors


@pytest.mark.parametrize("tag", ["ar-EG", "ar-SA", "ar-u-nu-arab", "de-u-nu-deva-ca-buddhist"])
async def test_digits_are_latin(modules: Page, tag: str) -> None:
    """Number, price and date have the same digits and the same calendar in each engine, whatever the tag asks for."""
    future = counter(state="scheduled", sale=BERLIN)

    said = await say(modules, (counter(unsold=40), tag), (future, tag, {"now": 0}))

    texts = "".join(text + price for text, price, *_ in said)
    assert "40" in texts
    assert "2030" in texts
    assert set() == {one for one in texts if one.isdigit()} - set("0123456789")


async def test_nothing_is_said_of_what_is_not_known(modules: Page) -> None:
    """Of a counter that is gone or unknown, or in a state of later versions, nothing is said: no wording changes that."""
    wordings = dict.fromkeys(
        ("gone", "unknown", "later", "toString", "gone-other", "unknown-other", "later-other"), "Hurry!"
    )
    for state in ("gone", "unknown", "later", "toString", "__proto__", ""):
        said = (await say(modules, (counter(state=state), "en", {}, wordings)))[0]
        assert ("", "") == said[:2], state


async def test_price_is_the_least_that_a_buyer_pays(modules: Page) -> None:
    """One price is said as it is, the lowest of several or of a guest's own with "from", and 0 as free."""
    for prices, more, expected in (
        ([price("12345678901234567.89")], {}, "€12,345,678,901,234,567.89"),
        ([price("5.00")], {"shared": True}, "from €5.00"),
        (OPTIONS, {"shared": True}, "from €8.50"),
        (OPTIONS, {"shared": True, "fees": "added"}, "from €8.50 + fees"),
        (OPTIONS, {"shared": True, "fees": "included"}, "from €8.50"),
        ([price("9.00", option="a"), price("10.00", option="b")], {"shared": True}, "from €9.00"),
        ([price("7.00", option="a"), price("7.00", option="b")], {"shared": True}, "€7.00"),
        ([price("3000.00", "JPY")], {}, "¥3,000"),
        ([price("4.00", "")], {}, "4.00"),
        ([price("20.00", option="a"), price("0.00", option="b")], {"shared": True}, "Free"),
        ([price("0.00")], {"shared": True}, "Free"),
        ([price("0.00")], {"fees": "added"}, "Free"),
        ([], {}, ""),
    ):
        assert expected == (await say(modules, (counter(prices=prices, **more), "en")))[0][1], prices


async def test_option(modules: Page) -> None:
    """An option, by id or name, has its own price; the number stays that of all; one that is not found changes nothing."""
    one = counter(prices=OPTIONS, shared=True)
    expected = {"a": "€20.00", "Child": "€8.50", "Senior": "from €8.50", "": "from €8.50", None: "from €8.50"}

    said = await say(modules, *((one, "en", {"option": option}) for option in expected))

    assert [("Only 3 left.", text) for text in expected.values()] == [found[:2] for found in said]
    guest = await say(modules, (counter(shared=True), "en", {"option": "a"}))
    assert "from €25.00" == guest[0][1]


async def test_start_of_the_sale(modules: Page, console_errors: list[str]) -> None:
    """A start is said while it is ahead, and how long; one that has passed or cannot be read is no date."""
    never = float("inf")
    for sale, now, text, wait in (
        (BERLIN, AT - 1000, "On sale from March 1, 2030 at 7:30 PM GMT+1.", 1000),
        ({**BERLIN, "zone": "America/New_York"}, AT - 1, "On sale from March 1, 2030 at 1:30 PM EST.", 1),
        ({**BERLIN, "zone": "Moon/Tranquility"}, AT - 1, "On sale from March 1, 2030 at 6:30 PM UTC.", 1),
        (BERLIN, AT, "Not on sale yet.", never),
        (BERLIN, NOW, "Not on sale yet.", never),
        ({**BERLIN, "start": "soon"}, 0, "Not on sale yet.", never),
        ({**BERLIN, "start": None}, 0, "Not on sale yet.", never),
    ):
        said = (await say(modules, (counter(state="scheduled", sale=sale), "en", {"now": now})))[0]
        assert (text, wait) == (said[0], said[4]), sale
    assert never == (await say(modules, (counter(sale=BERLIN), "en", {"now": 0})))[0][4]
    assert [] == console_errors


async def test_own_wording(modules: Page) -> None:
    """The organiser's wording is said where all that it asks for is known; it changes the words, never the number."""
    wordings = {
        "low-one": "One seat.",
        "low": "{n} seats for {price}: {name}",
        "available": "{n} seats",
        "scheduled": "From {when}",
        "closed": "Was {price}",
        "sold_out": "",
        "ended": "Over",
    }
    name = "\u2068General admission\u2069"
    for more, expected in (
        ({"unsold": 1}, "One seat."),
        ({"unsold": 1200}, f"1,200 seats for €25.00: {name}"),
        ({"name": None}, "Only 3 left at this price."),
        ({"state": "available"}, "3 seats"),
        ({"state": "available", "unsold": None}, "Available."),
        ({"state": "scheduled", "sale": BERLIN}, "From March 1, 2030 at 7:30 PM GMT+1"),
        ({"state": "scheduled"}, "Not on sale yet."),
        ({"state": "closed", "prices": []}, "Registration is closed."),
        ({"state": "sold_out", "unsold": 0}, "Sold out."),
        ({"state": "ended"}, "Over"),
    ):
        said = await say(modules, (counter(**more), "en", {"now": AT - 1}, wordings))
        assert expected == said[0][0], more


async def test_own_wording_in_another_language(modules: Page) -> None:
    """Own wording is in the page's language, also where the widget has no words of it; without it that is English."""
    for tag, wordings, expected in (
        ("nl", {"low": "Nog {n}"}, ("Nog 1.200", "nl", "auto")),
        ("nl", {}, ("Only 1,200 left at this price.", "en", "ltr")),
        ("he-IL", {"low": "VIP {n}"}, ("VIP 1,200", "he-IL", "rtl")),
        ("not a tag", {"low": "{n}!"}, ("1,200!", "en", "auto")),
    ):
        text, _, lang, direction, _ = (await say(modules, (counter(unsold=1200), tag, {}, wordings)))[0]
        assert expected == (text, lang, direction)


async def test_unknown_placeholder(modules: Page) -> None:
    """A placeholder that is not known is told once, and our own sentence is said."""
    lines: list[str] = []
    modules.on("console", lambda message: lines.append(message.text))
    call: tuple[Any, ...] = (counter(), "en", {}, {"low": "{count} of {total} left", "low-other": "{ n } left"})

    said = await say(modules, call, call)

    assert ["Only 3 left at this price."] * 2 == [text for text, *_ in said]
    assert [
        '<ticket-counter>: unknown { n } in "{ n } left"',
        '<ticket-counter>: unknown {count} in "{count} of {total} left"',
        '<ticket-counter>: unknown {total} in "{count} of {total} left"',
    ] == lines


async def test_names_are_text(modules: Page) -> None:
    """A name is said as it is, with "$&" and braces; it cannot turn the digits of the number."""
    name = "<b>$& {n}\u202e\u2069"

    said = await say(modules, (counter(name=name), "en", {}, {"low": "{name}: {n}"}))

    assert "\u2068<b>$& {n}\u2069: 3" == said[0][0]


async def test_formatters_are_made_once(modules: Page) -> None:
    """A formatter is made when it is needed, and once."""
    made = """async ([counter, tag]) => {
      const { sentence } = await import("/src/sentence.js");
      const made = [];
      for (const kind of ["NumberFormat", "PluralRules", "DateTimeFormat"])
        Intl[kind] = new Proxy(Intl[kind], { construct: (type, all) => (made.push(kind), new type(...all)) });
      for (let i = 0; i < 20; i++) sentence({ ...counter, unsold: i }, tag, 0);
      return made;
    }"""

    assert [] == await modules.evaluate(made, [counter(state="closed", prices=[]), "de"])
    assert ["NumberFormat", "PluralRules"] == await modules.evaluate(made, [counter(prices=[]), "pl"])


@pytest.mark.parametrize(
    ("ms", "tag", "expected"),
    [
        (183_845_999, "en", "2 days 03:04:05"),
        (97_445_000, "en", "1 day 03:04:05"),
        (86_399_999, "en", "23:59:59"),
        (-5, "en", "00:00:00"),
        (183_845_000, "de-AT", "2 Tage 03:04:05"),
        (183_845_000, "ar", "يومان 03:04:05"),
        (183_845_000, "not a tag", "2 days 03:04:05"),
    ],
)
async def test_countdown(modules: Page, ms: int, tag: str, expected: str) -> None:
    """The rest of the time until the start, in the language."""
    code = """async ([ms, tag]) => (await import("/src/sentence.js")).countdown(ms, tag)"""

    assert expected == await modules.evaluate(code, [ms, tag])
