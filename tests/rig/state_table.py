"""The table in docs/states.md: what a counter says of each combination of what Wix can say of an event and a ticket.

A combination is a value for each of the table's first columns, by the column's name.
"""

import re
from pathlib import Path

Combination = dict[str, str]

PAGE = Path(__file__).parent.parent.parent / "docs" / "states.md"

NUMBERS = {"0": 0, "low": 3, "many": 50, "unlimited": None, "limit 0": 50}
"""Tickets left, by the values of the column *left*."""

SAID = ("state", "unsold")
"""The last columns: what a counter says. The others are combined."""


def table() -> list[Combination]:
    """The rows of the table, each a value by column."""
    text = re.split(r"<!-- /?states -->\n", PAGE.read_text())[1]
    head, _, *rows = ([cell.strip() for cell in line.strip("|\n ").split("|")] for line in text.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def listed(row: Combination) -> dict[str, tuple[str, ...]]:
    """The columns in which the row does not take any value, each with the values that it takes."""
    return {name: tuple(cell.split(", ")) for name, cell in row.items() if name not in SAID and cell != "any"}


def expected(combination: Combination) -> tuple[str, int | None]:
    """What the first row that matches says: a state and a number."""
    for row in table():
        if all(combination[name] in values for name, values in listed(row).items()):
            number = (
                NUMBERS[combination["left"]] if row["unsold"] == "the number" else {"null": None, "0": 0}[row["unsold"]]
            )
            return row["state"], number
    raise AssertionError(f"no row matches {combination}")
