"""The sentences of the page in each language: a language is one file of texts/, such as texts/de.toml.

In: the header Accept-Language. Out: the Language that the reader prefers.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from server.accept_language import preferred

FOLDER = Path(__file__).parent / "texts"


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its name as in `lang` of HTML, its direction as in `dir`, and its sentences."""

    name: str
    direction: str
    sentences: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        """A sentence."""
        return self.sentences[key]


@cache
def languages() -> Mapping[str, Language]:
    """Every language, by name."""
    return {file.stem: _read(file) for file in sorted(FOLDER.glob("*.toml"))}


def of_header(accept_language: str | None) -> Language:
    """The language for a reader whose browser sends this header."""
    return languages()[preferred(accept_language or "", languages())]


def _read(file: Path) -> Language:
    content: dict[str, str] = tomllib.loads(file.read_text("utf-8"))
    return Language(file.stem, content.pop("direction"), content)
