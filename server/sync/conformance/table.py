"""The tables of docs/adding-a-target.md: what each target says of itself, and what all must do."""

from collections.abc import Iterable, Mapping
from dataclasses import fields

from server.sync.conformance.check import Check
from server.sync.targets.target import Abilities

HEADS = {
    "parallel": "records written at once",
    "changes_options": "one price ↔ options",
    "deletes": "deletes records",
    "limits": "has a number of tickets to sell",
}
"""The abilities, each with its head in the table."""


def table(abilities: Mapping[str, Abilities]) -> str:
    """A row for each target."""
    rows = [["target", *(HEADS[field.name] for field in fields(Abilities))]]
    rows.append(["---"] * len(rows[0]))
    rows += [
        [name, *(_said(getattr(one, field.name)) for field in fields(Abilities))] for name, one in abilities.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def checks_table(checks: Iterable[Check]) -> str:
    """A row for each check."""
    rows = [["check", "what a target must do"], ["---", "---"], *([one.name, one.about] for one in checks)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
