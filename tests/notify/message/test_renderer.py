"""The text and the HTML of a message, by our templates and an organiser's."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from server.errors import NotStarted
from server.notify.message.folder import HTML, OURS, TEXT
from server.notify.message.renderer import Renderer
from tests.rig.mail_samples import ADDRESS, EVIL_NAMES, PAGE, SENDER, UNSUBSCRIBE, announcement, renderer, ticket

RENDERER = renderer()
LANGUAGES = [one.name for one in RENDERER.languages.all]
ORDER = {
    "en": [
        "Early bird",
        "€45.00",
        "20:00 (Central European Time)",
        PAGE,
        "sold out",
        "because you asked",
        SENDER,
        ADDRESS,
        UNSUBSCRIBE,
    ],
    "de": [
        "Early bird",
        "45,00\xa0€",
        "20:00 (Mitteleuropäische Zeit)",
        PAGE,
        "ausverkauft",
        "weil Sie",
        SENDER,
        ADDRESS,
        UNSUBSCRIBE,
    ],
    "he": ["Early bird", "45.00", "20:00 (שעון מרכז אירופה)", PAGE, "אזלו", "כי ביקשת", SENDER, ADDRESS, UNSUBSCRIBE],
}
"""What a message says, in its order: what is on sale, when and where, one link, that it may be sold out, why, from whom, how to leave."""


class Page(HTMLParser):
    """The elements of a page, its links and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str | None]:
        return [one["href"] for one in self.of("a")]


def in_order(parts: list[str], text: str) -> bool:
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_text_says_all_in_its_order(language: str) -> None:
    """The text alone says everything, since some readers see nothing else."""
    text = RENDERER.render(announcement(), language, UNSUBSCRIBE).text

    assert in_order(ORDER[language], text)
    assert "\n\n\n\n" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_html_says_the_same_in_the_same_order(language: str) -> None:
    """The HTML has two links, the page and the way to leave, and says the rest as the text does."""
    rendered = RENDERER.render(announcement(), language, UNSUBSCRIBE)
    page = Page(rendered.html)
    words = re.sub(r"[ \n]+", " ", "".join(page.words))

    assert [PAGE, UNSUBSCRIBE] == page.links
    assert in_order([one for one in ORDER[language] if one not in {PAGE, UNSUBSCRIBE}], words)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_html_keeps_its_direction_in_mail_programs(language: str) -> None:
    """Language and direction are at html and at a div, tables are for layout, and names of others are in bdi."""
    page = Page(RENDERER.render(announcement(), language, UNSUBSCRIBE).html)
    direction = "rtl" if language == "he" else "ltr"

    assert (language, direction) == (page.of("html")[0]["lang"], page.of("html")[0]["dir"])
    assert (language, direction) == (page.of("div")[0]["lang"], page.of("div")[0]["dir"])
    assert {("presentation", direction)} == {(one["role"], one["dir"]) for one in page.of("table")}
    assert {"light dark"} == {one["content"] for one in page.of("meta") if "color-scheme" in (one.get("name") or "")}
    assert 2 == sum("color-scheme" in (one.get("name") or "") for one in page.of("meta"))
    assert len(page.of("bdi")) >= 6


def test_the_html_asks_no_one_for_anything() -> None:
    """No picture, no script, no font and no sheet of others: opening a mail tells no one."""
    page = Page(RENDERER.render(announcement(), "en", UNSUBSCRIBE).html)

    assert not {"img", "script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    assert "url(" not in "".join(page.words)
    assert "@import" not in "".join(page.words)


@pytest.mark.parametrize("name", EVIL_NAMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_adds_no_element_and_no_line(name: str, language: str) -> None:
    """A name of an attacker is text in the HTML, and stays on its line of the text."""
    plain = RENDERER.render(announcement(title="x", location="x", tickets=(ticket("x"),)), language, UNSUBSCRIBE)
    evil = RENDERER.render(announcement(title=name, location=name, tickets=(ticket(name),)), language, UNSUBSCRIBE)
    place = 0 if name.strip() else 1  # an empty place has no line

    assert {tag for tag, _ in Page(plain.html).elements} == {tag for tag, _ in Page(evil.html).elements}
    assert len(plain.text.split("\n")) - place == len(evil.text.split("\n"))
    assert Page(plain.html).links == Page(evil.html).links
    assert "49" not in evil.text.replace(UNSUBSCRIBE, "")


def test_a_test_is_marked_in_the_subject_alone() -> None:
    """The mark of a test stands in front of its subject."""
    rendered = RENDERER.render(announcement(), "en", UNSUBSCRIBE, test=True)

    assert "[test] Tickets are on sale: Spring Gala" == rendered.subject
    assert "[test]" not in rendered.text


def test_a_message_without_a_date_a_place_or_a_page_leaves_them_out() -> None:
    """What is not known has no line of its own."""
    rendered = RENDERER.render(announcement(begins=None, location="", page=""), "en", UNSUBSCRIBE)

    assert "When:" not in rendered.text
    assert "Where:" not in rendered.text
    assert [UNSUBSCRIBE] == Page(rendered.html).links


def test_languages_are_chosen_for_subscribers() -> None:
    """A subscriber's language is found as the tool writes it, and the values of a message can be had alone."""
    assert ("de", "en") == (RENDERER.language("de_CH"), RENDERER.language("fr"))
    assert "Der Vorverkauf läuft: Spring Gala" == RENDERER.message(announcement(), "de").subject


def test_an_organisers_template_replaces_ours_alone(tmp_path: Path) -> None:
    """A template of the organiser's replaces ours of the same name; the other one stays."""
    (tmp_path / TEXT).write_text("{{ title }} {{ page }} {{ address }} {{ unsubscribe }}\n", "utf-8")
    rendered = renderer(own=tmp_path).render(announcement(), "en", UNSUBSCRIBE)

    assert f"Spring Gala {PAGE} {ADDRESS} {UNSUBSCRIBE}\n" == rendered.text
    assert "<!DOCTYPE html>" in rendered.html


def test_an_organisers_language_is_used_and_checked(tmp_path: Path) -> None:
    """A further language is rendered with our templates, and may be the default."""
    text = (
        (OURS.parent / "texts" / "en.toml")
        .read_text("utf-8")
        .replace("en_GB", "fr_FR")
        .replace("Unsubscribe", "Se désinscrire")
    )
    (tmp_path / "fr.toml").write_text(text, "utf-8")
    found = renderer(own=tmp_path, default="fr")

    assert ("fr", "fr") == (found.language("fr-CA"), found.language("xx"))
    assert "Se désinscrire:" in found.render(announcement(), "fr", UNSUBSCRIBE).text


ALL = "{{ page }}{{ address }}{{ unsubscribe }}\n"


@pytest.mark.parametrize(
    ("name", "template", "expected"),
    [
        (TEXT, "one\n{% if %}", f"{TEXT}:2: "),
        (TEXT, "one\ntwo\n{{ nam }}", f"{TEXT}:3: UndefinedError: 'nam' is undefined"),
        (TEXT, "{{ ''.__class__.__mro__ }}", f"{TEXT}:1: SecurityError"),
        (TEXT, "\n{{ tickets.append(1) }}", f"{TEXT}:2: "),
        (TEXT, "{{ say('nothing') }}", "there is no sentence 'nothing'. There are subject"),
        (TEXT, "\n{{ say('heading') }}", f"{TEXT}:2: TemplateError: the sentence 'heading' needs a name for 'event'"),
        (TEXT, "{% include 'other' %}", f"{TEXT}:1: TemplateNotFound: other"),
        (TEXT, "{% for a in range(1000000) %}{% endfor %}", "OverflowError"),
        (TEXT, "{% for a in range(9999) %}{{ 'x' * 99 }}{% endfor %}", "it makes more than 256 kB"),
        (TEXT, "one\n{{ 'x' * 10 ** 10 }}", f"{TEXT}:2: it needs too much memory"),
        (TEXT, "one\n{{ title|center(10 ** 10) }}", f"{TEXT}:2: it needs too much memory"),
        (TEXT, "{{ page }}{{ address }}", "it says nothing of {{ unsubscribe }} (in en)"),
        (TEXT, "{{ page }}{{ unsubscribe }}", "it says nothing of {{ address }}"),
        (TEXT, "{{ address }}{{ unsubscribe }}", "it says nothing of {{ page }}"),
        (HTML, "{{ title }}", "it says nothing of {{ unsubscribe }} (in en)"),
        (HTML, f"{ALL}{{{{ title|safe }}}}", "a name is written as HTML: leave out |safe"),
        (HTML, f"{ALL}{{% autoescape false %}}{{{{ title }}}}{{% endautoescape %}}", "a name is written as HTML"),
    ],
)
def test_a_template_that_cannot_be_used_is_told_at_the_start(
    tmp_path: Path, name: str, template: str, expected: str
) -> None:
    """Each fault is told with its file and line before the first mail, and nothing outside the sandbox is reached."""
    (tmp_path / name).write_text(template, "utf-8")
    with pytest.raises(NotStarted) as error:
        renderer(own=tmp_path)

    assert expected in str(error.value)
    assert str(tmp_path) in str(error.value)
    if "memory" not in expected:
        # The same without a process of its own, which alone has a limit of memory.
        with pytest.raises(NotStarted) as here:
            Renderer(SENDER, ADDRESS, own=tmp_path).check()
        assert str(error.value) == str(here.value)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A folder of templates that does not exist is a misspelt setting."""
    with pytest.raises(NotStarted, match="is no folder"):
        renderer(own=tmp_path / "nothing")


def test_the_style_is_small_and_the_width_limited() -> None:
    """Mail programs drop a style of over 16 kB, and the mail is at most 600 px wide."""
    html = RENDERER.render(announcement(), "en", UNSUBSCRIBE).html
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))

    assert 0 < len(styles) < 16_000
    assert html.startswith("<!DOCTYPE html>\n<html")
    assert {"600"} == set(re.findall(r"max-width:(\d+)px", html))
    assert not re.search(r"#(fff|000)(fff|000)?\b", html, re.IGNORECASE)
