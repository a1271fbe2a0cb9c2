from pathlib import Path

import pytest

from server.model import SiteId
from server.notify import audience
from server.notify.audience import CLASSES, kinds, open_source, source_class
from server.notify.audience.csv_file import CsvFile
from server.notify.audience.source import SourceContext
from server.notify.config import EventAudience, Tool

CONTEXT = SourceContext(SiteId("5f0e4d3c-1111-4111-8111-00000000b001"), Path())


@pytest.mark.parametrize("kind", CLASSES)
def test_each_kind_says_what_it_is_asked_for(kind: str) -> None:
    """A kind has the name by which notify.toml calls it, and a sentence for each of its keys."""
    found = source_class(kind).KIND

    assert kind == found.name
    assert found == kinds()[kind]
    assert all((*found.tool.values(), *found.optional_tool.values(), *found.event.values()))


def test_source_of_an_event() -> None:
    """The tool of an event says which class reads its audience."""
    tool = Tool("people", "csv", own={"file": "people.csv"})

    assert isinstance(open_source(EventAudience("spring-gala", tool), CONTEXT), CsvFile)


def test_event_without_a_tool_has_no_source() -> None:
    """An event that only browsers hear of has no tool to open."""
    with pytest.raises(ValueError, match="no tool"):
        open_source(EventAudience("spring-gala", push=True), CONTEXT)


def test_a_line_that_names_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line with a name that is not there is told as soon as the kinds are read, and not when a sale starts."""
    monkeypatch.setitem(audience.CLASSES, "other", "server.notify.audience.source:Nothing")
    with pytest.raises(AttributeError, match="Nothing"):
        kinds()
