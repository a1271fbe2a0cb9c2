"""The files of texts, ours and an organiser's."""

import re
from pathlib import Path

import pytest

from server.errors import NotStarted
from server.notify.message.languages import OURS, Languages

ENGLISH = (OURS / "en.toml").read_text("utf-8")


def refused(folder: Path, text: str, name: str = "fr.toml", default: str = "en") -> str:
    (folder / name).write_text(text, "utf-8")
    with pytest.raises(NotStarted) as error:
        Languages(folder, default)
    return str(error.value)


def test_we_bring_three_languages() -> None:
    """English comes first, and Hebrew is written from right to left."""
    found = Languages().all

    assert [("en", "ltr"), ("de", "ltr"), ("he", "rtl")] == [(one.name, one.direction) for one in found]


def test_each_of_ours_says_the_same() -> None:
    """Every language of ours has every sentence, and none is left in English."""
    english, *others = Languages().all

    assert {"subject", "leave", "sold_out"} <= english.sentences.keys()
    for other in others:
        assert english.sentences.keys() == other.sentences.keys()
        assert not set(english.sentences.values()) & set(other.sentences.values())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("de_AT", "de"),
        (" DE ", "de"),
        ("iw", "he"),
        ("iw-IL", "he"),
        ("en-US", "en"),
        ("fr", "en"),
        ("", "en"),
        ("c", "en"),
    ],
)
def test_a_subscriber_gets_the_nearest_language(wanted: str, expected: str) -> None:
    """A language is found however a tool writes it; one without texts is the default."""
    assert expected == Languages().choose(wanted).name


def test_an_organiser_adds_and_replaces_languages(tmp_path: Path) -> None:
    """A file of the organiser's adds a language, or replaces ours of the same name; a default may be any of them."""
    (tmp_path / "pt-BR.toml").write_text(ENGLISH.replace('"free"', '"grátis"').replace("en_GB", "pt_BR"), "utf-8")
    (tmp_path / "de.toml").write_text(ENGLISH.replace('"free"', '"gratis"'), "utf-8")
    found = Languages(tmp_path, "pt-BR")

    assert ["pt-BR", "de", "en", "he"] == [one.name for one in found.all]
    assert "grátis" == found.choose("pt_br").sentences["free"]
    assert "gratis" == found.choose("de").sentences["free"]
    assert "pt-BR" == found.choose("xx").name


def test_a_fault_names_its_file_and_line(tmp_path: Path) -> None:
    """All faults of a file are told at once, each with its line and what was meant."""
    text = ENGLISH.replace("free =", "fre =").replace("{sender}, {address}", "{sender}").replace("{price} or", "{0} or")
    told = refused(tmp_path, text)
    line = 1 + text[: text.index("fre =")].count("\n")

    assert f'{tmp_path}/fr.toml:{line}: there is no sentence "fre". Did you mean free?' in told
    assert 'fr.toml:1: the sentence "free" is missing' in told
    assert "sender: it needs {address} and {sender}, and no other" in told
    assert "at_least: {0} is no plain name" in told


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("{event}", "{event.__class__}", "is no plain name"),
        ("{event}", "{event!r}", "is no plain name"),
        ("{event}", "{event:>9999}", "is no plain name"),
        ("{event}", "{event", "a brace that is no name is written twice"),
        ("{event}", "{evnt}", "it needs {event}, and no other"),
        ('"free"', "7", "free: it is no text"),
        ('"free"', '" "', "free: it is no text"),
        ('"on sale now"', '"{event}"', "now: it needs no name in braces, and no other"),
        ('"en_GB"', '"xx_YY"', '"xx_YY" is not known'),
        ('"en_GB"', "7", "7 is not known"),
        ('locale = "en_GB"', "", 'the sentence "locale" is missing'),
        ("free =", "free", "it cannot be read"),
    ],
)
def test_texts_that_cannot_be_used_are_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """A sentence has the names of ours in plain braces, and nothing that a template language would run."""
    assert expected in refused(tmp_path, ENGLISH.replace(old, new))


def test_a_file_is_named_after_its_language(tmp_path: Path) -> None:
    """A file with another name is refused, since no subscriber would find it."""
    assert "is named after its language" in refused(tmp_path, ENGLISH, "French.toml")


def test_a_default_without_texts_is_refused(tmp_path: Path) -> None:
    """The language for all others must be one that there is."""
    with pytest.raises(NotStarted, match=re.escape('language = "fr": there are no texts of it. There are de, en, he.')):
        Languages(None, "fr")
