"""Texts of others on one line: names of events and tickets, as anyone may have typed them.

In: a text. Out: the same text, which adds no line and changes the direction of nothing around it. Source: UAX #9 (bidirectional text).
"""

import re
import unicodedata

LONGEST_NAME = 200
"""Characters of a name in a text; what is longer ends in an ellipsis."""

_OPENS = {"\u202a": "\u202c", "\u202b": "\u202c", "\u202d": "\u202c", "\u202e": "\u202c"}
_OPENS |= dict.fromkeys("\u2066\u2067\u2068", "\u2069")
"""Characters that begin an embedding, an override or an isolate, and what ends it (UAX #9, section 2)."""
_BLANKS = re.compile(r"\s+")


def printable(text: str) -> str:
    """The text with a blank for each character that is not printable: it may be shown on a terminal, or be a word of an error."""
    return "".join(one if one.isprintable() else " " for one in text)


def clean(text: str, longest: int = LONGEST_NAME) -> str:
    """A name of others on one line: without control characters, and with every change of direction ended where it ends."""
    kept = []
    for one in _BLANKS.sub(" ", text):
        kind = unicodedata.category(one)
        if kind == "Cs":
            kept.append("\N{REPLACEMENT CHARACTER}")  # half a character
        elif kind not in {"Cc", "Zl", "Zp"}:
            kept.append(one)
    found = "".join(kept).strip()
    return _balanced(found if len(found) <= longest else f"{found[: longest - 1].rstrip()}…").strip()


def _balanced(text: str) -> str:
    """The text with an end for each embedding, override and isolate that it begins, and without ends of what it did not begin."""
    kept: list[str] = []
    ends: list[str] = []
    for one in text:
        if one in _OPENS:
            ends.append(_OPENS[one])
        elif one in _OPENS.values():
            if one not in ends:
                continue
            while ends[-1] != one:  # the end of an isolate ends the embeddings in it, and the other way round here
                kept.append(ends.pop())
            ends.pop()
        kept.append(one)
    return "".join((*kept, *reversed(ends)))
