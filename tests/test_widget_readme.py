"""widget/README.md tells what the widget does: its attributes, parts, sentences and console messages are those of the code."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.rig.host_site import LOADED, TAG, HostSite, counter, shows, text

WIDGET = Path(__file__).parent.parent / "widget"
README = (WIDGET / "README.md").read_text()
SOURCES = "\n".join(path.read_text() for path in sorted(WIDGET.glob("src/*.js")))
ELEMENT = (WIDGET / "src" / "element.js").read_text()


def table(head: str) -> list[list[str]]:
    """The rows of the table with this first heading."""
    found = re.search(rf"^\| {re.escape(head)} \|.*\n\|[- |]+\|\n((?:\|.*\n?)+)", README, re.MULTILINE)
    assert found, head
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in found[1].splitlines()]


def code(cell: str) -> str:
    """The first code of a cell."""
    found = re.search(r"`([^`]+)`", cell)
    return found[1] if found else ""


def test_attributes() -> None:
    """The README has each attribute that the element reads, and no other."""
    [several] = re.findall(r"\[((?:\"\w+\", )+\"\w+\")\]\.map\(\(name\) => this\.getAttribute", ELEMENT)
    read = {
        *re.findall(r'"(\w+)"', several),
        *re.findall(r'(?:get|has)Attribute(?:\?\.)?\("([\w-]+)"\)', ELEMENT),
        *(f"show-{part}" for part in re.findall(r'shown\("(\w+)"\)', ELEMENT)),
        *(f"{start}…" for start in re.findall(r"getAttribute\(`(text-)\$\{", ELEMENT)),
    }

    assert read == {code(row[0]) for row in table("attribute")}


def test_parts() -> None:
    """The README has each part that the element makes, and no other."""
    [several] = re.findall(r"\[((?:\"\w+\", )+\"\w+\")\]\.map\(\(name\) => made", ELEMENT)
    made = {*re.findall(r'"(\w+)"', several), *re.findall(r'made\([^()]*, "(\w+)"\)', ELEMENT)}

    assert made == {code(row[0]) for row in table("part")}


def test_messages() -> None:
    """The README has each message that the sources can print to the console, and no other."""
    printed = {re.sub(r"\$\{[^}]*\}", "…", one) for one in re.findall(r"(?<!\.)warn\(`([^`]+)`\)", SOURCES)}

    assert printed == {code(row[0]) for row in table("message")}


SHARED = {"shared": True}
START = {"start": "2030-03-01T18:30:00Z", "end": None, "zone": "Europe/Berlin"}
UNKNOWN: dict[str, Any] = {"unsold": None, "prices": []}


@pytest.mark.parametrize(
    ("state", "counters"),
    [
        ("low", [{}, SHARED]),
        ("available", [{"unsold": 48}, {"unsold": 48, **SHARED}, {"unsold": None}]),
        ("sold_out", [{"unsold": 0}]),
        ("scheduled", [{"sale": START}, {}]),
        ("closed", [UNKNOWN]),
        ("ended", [{"unsold": None}]),
    ],
)
async def test_sentences(site: HostSite, page: Page, state: str, counters: list[dict[str, Any]]) -> None:
    """Each sentence of the README is said in its state, in the cases that it tells, in their order."""
    [sentences] = [re.findall(r'"([^"]+)"', cell) for name, cell in table("`data-state`") if code(name) == state]
    assert len(counters) == len(sentences)
    await page.clock.install(time="2029-06-01T12:00:00Z")
    await page.goto(site.put("/", LOADED + TAG))
    socket = await site.socket(1)

    for more, expected in zip(counters, sentences, strict=True):
        await socket.send(counter(state=state, **more))
        await shows(page, expected)


async def test_wordings(site: HostSite, page: Page) -> None:
    """Exactly the wordings of the README are used: none where nothing may be said."""
    states = ["available", "low", "sold_out", "scheduled", "closed", "ended", "gone", "unknown"]
    wordings = " ".join(f"text-{state}=Own" for state in states)
    await page.goto(site.put("/", LOADED + TAG.replace(">", f" {wordings}>", 1)))
    socket = await site.socket(1)
    used = []
    for state in states:
        await socket.send(counter(state=state, **UNKNOWN))
        await page.wait_for_function(f"document.querySelector('ticket-counter').counter?.state === '{state}'")
        if await text(page) == "Own":
            used.append(f"text-{state}")

    assert used == [code(row[0]) for row in wording_table()]


def wording_table() -> list[list[str]]:
    """The rows of the table of own wordings."""
    return [
        row
        for row in (line.strip("|").split("|") for line in README.splitlines())
        if row[0].startswith(" `text-") and "…" not in row[0]
    ]
