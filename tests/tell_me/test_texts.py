import re

import pytest

from server.tell_me.page import _IN_SCRIPT, _MAIL, _PAGE, _PUSH
from server.tell_me.texts import languages, of_header


@pytest.mark.parametrize("name", ["en", "de", "he"])
def test_each_language_has_every_sentence(name: str) -> None:
    """Each language has the sentences of the others, with the same names in braces, and each that the page shows."""
    sentences = languages()[name].sentences
    english = languages()["en"].sentences

    assert english.keys() == sentences.keys()
    for key, text in english.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", sentences[key])), key
        assert name == "en" or key == "tickets" or text != sentences[key], key
    assert set(_IN_SCRIPT) <= sentences.keys()
    assert set(re.findall(r"{(\w+)}", _PUSH + _MAIL)) <= sentences.keys()
    assert {"privacy", "no_script", "tickets", "reading"} <= set(re.findall(r"{(\w+)}", _PAGE)) & sentences.keys()


@pytest.mark.parametrize(
    ("header", "language", "direction"),
    [
        (None, "en", "ltr"),
        ("", "en", "ltr"),
        ("fr, de;q=0.5", "de", "ltr"),
        ("he-IL", "he", "rtl"),
        ("iw", "he", "rtl"),
    ],
)
def test_the_reader_s_language_is_taken(header: str | None, language: str, direction: str) -> None:
    """The page is in the language that the browser asks for, as far as there are texts of it."""
    languages.cache_clear()
    found = of_header(header)

    assert (language, direction) == (found.name, found.direction)
    assert found["title"]
