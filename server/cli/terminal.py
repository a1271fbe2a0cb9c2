"""What is known of where text goes, and how it gets there.

On a terminal lines have its width, ids are short and symbols have colours; everywhere else ids are whole and nothing is cut.
"""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TextIO

import typer

SHORT_ID = 8
"""Characters of an id on a terminal, where no two that are shown begin with the same ones."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """A place for text: *width* in columns, None where it is not a terminal; *colour*: whether it may have colours."""

    width: int | None = None
    colour: bool = False

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str] | None = None) -> "Terminal":
        """What this stream is. NO_COLOR (no-color.org), set to anything, and TERM=dumb turn colours off."""
        given = os.environ if environment is None else environment
        if not stream.isatty():
            return cls()
        return cls(shutil.get_terminal_size().columns, not given.get("NO_COLOR") and given.get("TERM") != "dumb")

    @classmethod
    def of_output(cls) -> "Terminal":
        """What standard output is."""
        return cls.of(sys.stdout)

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, where there are colours."""
        return typer.style(text, fg=colour) if self.colour else text

    def short(self, ids: Collection[str]) -> Mapping[str, str]:
        """Each id as it is shown: its beginning on a terminal, as long as no other one of them begins with the same."""
        if self.width is None:
            return {one: one for one in ids}
        beginnings = Counter(one[:SHORT_ID] for one in set(ids))
        return {one: one[:SHORT_ID] if beginnings[one[:SHORT_ID]] == 1 else one for one in ids}


def write(text: str) -> None:
    """Print to standard output; a character that its encoding lacks is written as an escape, and does not end the program."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)  # noqa: T201 - what a command is for
