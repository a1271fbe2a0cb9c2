"""The sentences of each language that a message can be written in: a language is one file, such as texts/de.toml.

In: our folder texts/, and the organiser's own, whose files replace ours of the same name and may add languages. Out: Languages,
which chooses one for a subscriber. All files are checked together at the start: each has the sentences of our en.toml, with the
same names in braces. Sources: BCP 47 (names of languages), CLDR by Babel (how dates, times and prices are written).
"""

import re
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError

from server.errors import NotStarted
from server.toml_file.faults import Faults, did_you_mean, quoted
from server.toml_file.lines import lines

OURS = Path(__file__).parent / "texts"
PATTERN = "en"
"""The language of ours that says which sentences there are."""
LOCALE = "locale"
_NAME = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_OLD_NAMES = {"iw": "he", "in": "id", "ji": "yi"}
"""Names that ISO 639 withdrew, and that tools still write."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its name as in `lang` of HTML, and its sentences, in which names stand in braces."""

    name: str
    locale: Locale
    sentences: Mapping[str, str]

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`, as in `dir` of HTML."""
        return self.locale.text_direction


class Languages:
    """All languages that there are texts of; raises NotStarted with every fault of the files.

    *own* is the organiser's folder, *default* the language of a subscriber whose language is not known or has no texts.
    """

    def __init__(self, own: Path | None = None, default: str = PATTERN) -> None:
        files = text_files(own)
        wanted = {
            key: _names(text) for key, text in tomllib.loads((OURS / f"{PATTERN}.toml").read_text("utf-8")).items()
        }
        found: list[str] = []
        self._languages: dict[str, Language] = {}
        for name, file in files.items():
            language, faults = _read(name, file, wanted)
            found += faults
            if language is not None:
                self._languages[name.lower()] = language
        if not found and (fault := unknown_language(default, files)):
            found.append(fault)
        if found:
            raise NotStarted("\n".join(found))
        self._default = default.lower()

    @property
    def all(self) -> tuple[Language, ...]:
        """Every language, the default first."""
        first = self._languages[self._default]
        return (first, *(one for one in self._languages.values() if one is not first))

    def choose(self, wanted: str) -> Language:
        """The language for a subscriber, as a tool writes theirs ("" = not known): `de-AT` and `de_AT` find `de`."""
        name = wanted.strip().replace("_", "-").lower()
        first = name.partition("-")[0]
        for one in (name, first, _OLD_NAMES.get(first, "")):
            if one in self._languages:
                return self._languages[one]
        return self._languages[self._default]


def text_files(own: Path | None) -> Mapping[str, Path]:
    """The files of texts by the names of their languages."""
    return {file.stem: file for folder in (OURS, own) if folder for file in sorted(folder.glob("*.toml"))}


def unknown_language(name: str, files: Mapping[str, Path]) -> str:
    """What is wrong with a default of this name; "" where there are texts of it."""
    if name.lower() in {one.lower() for one in files}:
        return ""
    return f"language = {quoted(name)}: there are no texts of it. There are {', '.join(files)}."


def _read(name: str, file: Path, wanted: Mapping[str, frozenset[str]]) -> tuple[Language | None, list[str]]:
    """The language of a file, or None and what is wrong with it."""
    try:
        text = file.read_text("utf-8")
        content: dict[str, Any] = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return None, [f"{file}: it cannot be read: {error}"]
    faults = Faults(str(file), lines(text))
    if not _NAME.fullmatch(name):
        faults.add("a file of texts is named after its language, such as de.toml or pt-BR.toml")
    for key in content.keys() - wanted.keys():
        faults.add(f"there is no sentence {quoted(key)}. {did_you_mean(key, wanted)}", key)
    for key in wanted.keys() - content.keys():
        faults.add(f"the sentence {quoted(key)} is missing: {PATTERN}.toml has it")
    for key in wanted.keys() & content.keys():
        if fault := _fault(content[key], wanted[key]):
            faults.add(f"{key}: {fault}", key)
    locale = _locale(content.get(LOCALE))
    if locale is None and LOCALE in content:
        faults.add(f"{LOCALE}: {quoted(content[LOCALE])} is not known. It is one of CLDR, such as de_DE", LOCALE)
    if len(faults) or locale is None:
        return None, faults.texts()
    return Language(name, locale, {key: value for key, value in content.items() if key != LOCALE}), []


def _fault(text: Any, wanted: frozenset[str]) -> str:
    """What is wrong with a sentence; "" for nothing."""
    if not isinstance(text, str) or not text.strip():
        return "it is no text"
    try:
        names = _names(text)
    except ValueError as error:
        return f"{error}: a brace that is no name is written twice"
    if names != wanted:
        braces = " and ".join(f"{{{one}}}" for one in sorted(wanted)) or "no name in braces"
        return f"it needs {braces}, and no other"
    return ""


def _names(text: str) -> frozenset[str]:
    """The names in braces; raises ValueError where there is more than a name in them."""
    found = set()
    for _, name, form, conversion in string.Formatter().parse(text):
        if name is not None:
            if form or conversion or not name.isidentifier():
                raise ValueError(f"{{{name}}} is no plain name")
            found.add(name)
    return frozenset(found)


def _locale(name: Any) -> Locale | None:
    try:
        return Locale.parse(name) if isinstance(name, str) else None
    except (UnknownLocaleError, ValueError):
        return None
