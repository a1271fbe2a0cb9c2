"""Columns of text, which know how wide a character is in a terminal: most emoji and Chinese two columns, accents none."""

from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size

GAP = 3
"""Blanks between two columns."""
NARROWEST_LAST = 20
"""Columns that the last cell of a row needs to be wrapped beside the others; with fewer it goes below them."""


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return cell_len(text)


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text with as many blanks as it takes to be that wide."""
    blanks = " " * max(0, width - columns_of(text))
    return blanks + text if right else text + blanks


def cut(text: str, width: int | None) -> str:
    """The text, or its beginning and `…` where it is wider; with None as it is."""
    if width is None or columns_of(text) <= width:
        return text
    return f"{set_cell_size(text, max(0, width - 1)).rstrip()}…"


def widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column is."""
    return [max(map(columns_of, column)) for column in zip_longest(*rows, fillvalue="")]


def lines(
    rows: Sequence[Sequence[str]], width: int | None = None, *, indent: int = 0, right: Collection[int] = ()
) -> Iterator[str]:
    """The rows as aligned lines, those columns of *right* on their right; the last cell is wrapped to *width* below itself."""
    wide = widths([row[:-1] for row in rows]) if rows else []
    for row in rows:
        cells = [pad(cell, wide[place], right=place in right) for place, cell in enumerate(row[:-1])]
        before = " " * indent + "".join(cell + " " * GAP for cell in cells)
        yield from hanging(before, row[-1], width)


def hanging(before: str, text: str, width: int | None) -> Iterator[str]:
    """The text after *before*, wrapped to *width* with its further lines below its first; neither may have colours."""
    start = columns_of(before)
    if width is None:
        yield (before + text).rstrip()
        return
    if width - start < NARROWEST_LAST and start + columns_of(text) > width:
        yield before.rstrip()
        before, start = " " * min(4, start), min(4, start)
    first, *rest = wrap(text, max(1, width - start))
    yield (before + first).rstrip()
    for line in rest:
        yield " " * start + line


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most that width, broken at blanks; a word that is wider is a line of its own, and not broken."""
    found: list[str] = [""]
    for word in text.split(" "):
        joined = f"{found[-1]} {word}" if found[-1] else word
        if columns_of(joined) <= width or not found[-1]:
            found[-1] = joined
        else:
            found.append(word)
    return found
