"""What is wrong in a file of settings in TOML: all faults, each with its line.

In: places, as paths of keys, and what is wrong there. Out: lines such as `sync.toml:16: default_price: a definition has no "prise".
Did you mean price?`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from server.toml_file.lines import Path, line_of

_SIGNING_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")


class Faults:
    """The faults of one file, of which *lines* has the line of each key (lines.py)."""

    def __init__(self, file: str, lines: Mapping[Path, int]) -> None:
        self._file = file
        self._lines = lines
        self._found: list[tuple[int, str]] = []
        self._secrets: list[str] = []

    def hide(self, secret: str) -> None:
        """Show this secret in no fault, wherever it stands in the file."""
        if secret:
            self._secrets.append(secret)

    def add(self, text: str, *path: str) -> None:
        """Note what is wrong at this key, or what its table lacks."""
        self._found.append((line_of(self._lines, *path), text))

    def __len__(self) -> int:
        return len(self._found)

    def texts(self) -> list[str]:
        """The faults in the order of their lines."""
        found = sorted(dict.fromkeys(self._found), key=lambda one: one[0])
        return [f"{self._file}:{line}: {_printable(self._hidden(text))}" for line, text in found]

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return _SIGNING_SECRET.sub("whsec_…", text)


def _printable(text: str) -> str:
    """The text without characters that control a terminal, which a name in the file may have: they are written as in TOML."""
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in text)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The cure for a misspelt word: the choice that is most like it, or all of them."""
    known = sorted(choices)
    if like := get_close_matches(word.lower(), known, 1) or get_close_matches(word, known, 1):
        return f"Did you mean {like[0]}?"
    return f"There are {', '.join(known)}."


def quoted(value: object) -> str:
    """A value of the file in an error, as TOML writes it; of a text at most 40 characters are shown."""
    if isinstance(value, int | float):
        return str(value).lower()
    text = str(value)
    return json.dumps(text if len(text) <= 40 else f"{text[:39]}…", ensure_ascii=False)
