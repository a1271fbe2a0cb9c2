"""The widget's attributes and parts stand in several places, which are to name the same."""

import json
import re
from pathlib import Path

WIDGET = Path(__file__).parent.parent / "widget"
OWN_WORDING = "text-"
"""What attributes for wording of one's own begin with: the types have them as a pattern, the other places not at all."""


def manifest() -> dict[str, list[dict[str, str]]]:
    """The element's declaration in custom-elements.json."""
    [module] = json.loads((WIDGET / "custom-elements.json").read_text())["modules"]
    [declaration] = module["declarations"]
    found: dict[str, list[dict[str, str]]] = declaration
    return found


def readme(heading: str) -> str:
    """A chapter of the widget's README."""
    return (WIDGET / "README.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_attributes() -> None:
    """The types, the manifest and the README name the same attributes, in the same order."""
    types = (WIDGET / "ticket-counter.d.ts").read_text()
    typed = re.findall(
        r'^  "?([\w-]+)"?\?: ',
        types.partition("interface TicketCounterAttributes ")[2].partition("\n}")[0],
        re.MULTILINE,
    )
    documented = re.findall(r"^\| `([\w-]+)` ", readme("Attributes"), re.MULTILINE)

    named = [one["name"] for one in manifest()["attributes"]]
    assert (named, named) == (typed, [one for one in documented if not one.startswith(OWN_WORDING)])


def test_states() -> None:
    """The types and the manifest have the same states, which are those of the public contract."""
    types = (WIDGET / "ticket-counter.d.ts").read_text()
    [line] = re.findall(r"^export type TicketState = (.*);$", types, re.MULTILINE)
    contract = (WIDGET.parent / "docs" / "contract.md").read_text().partition("| `state` | what may be said |")[2]

    states = [one["name"] for one in manifest()["cssStates"]]
    assert states == re.findall(r'"(\w+)"', line)
    assert states == re.findall(r"^\| `(\w+)` ", contract.partition("\n\n")[0], re.MULTILINE)
