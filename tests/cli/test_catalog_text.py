import json

from server.catalog.catalog import Catalog, ReadFrom
from server.catalog.listed import ListedEvent, ListedTicket
from server.cli import catalog_text
from server.counter import State
from server.model import EventId, EventStatus, SiteId, TicketId
from tests.rig.server import OTHER, SITE, TICKET

FOREIGN = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
STANDING = ListedTicket(TicketId(TICKET), "Standing\n\x1b[2J", State.LOW, 3)
CREW = ListedTicket(TicketId(OTHER), "Crew", State.GONE, None, "hidden in Wix")
GALA = ListedEvent(
    SiteId(SITE),
    EventId("0b5f1a2e-4444-4444-8444-00000000e001"),
    "Spring gala",
    "spring-gala",
    EventStatus.UPCOMING,
    "not a time",
    (STANDING, CREW),
)
UNNAMED = ListedEvent(FOREIGN, EventId("0b5f1a2e-4444-4444-8444-00000000e002"), "")
CATALOG = Catalog((SiteId(SITE), FOREIGN), (GALA, UNNAMED), frozenset({ReadFrom.WIX}), ("a note",))


def test_ticket_lines() -> None:
    """Tickets stand in columns below their event, ids whole; a name cannot control the terminal."""
    assert [
        "Spring gala (spring-gala, upcoming)",
        f"  {TICKET}   low                        3 left      Standing  [2J",
        f"  {OTHER}   not shown: hidden in Wix   unlimited   Crew",
    ] == [*catalog_text.ticket_lines([GALA], [SiteId(SITE)])]


def test_several_sites() -> None:
    """Where there are several sites, each event names its own; one without a title is named by its id."""
    lines = [*catalog_text.ticket_lines([GALA, UNNAMED], CATALOG.sites)]

    assert f"Spring gala (spring-gala, upcoming, site {SITE})" == lines[0]
    assert ["", f"{UNNAMED.event} (site {FOREIGN})"] == lines[-2:]


def test_event_lines() -> None:
    """Each event is a line with its id and slug, a missing one as `-`."""
    assert [
        f"   upcoming   2 tickets   {GALA.event}   spring-gala   Spring gala (site {SITE})",
        f"              0 tickets   {UNNAMED.event}   -              (site {FOREIGN})",
    ] == [*catalog_text.event_lines([GALA, UNNAMED], CATALOG.sites)]


def test_ticket_json() -> None:
    """The JSON has every value, null for what is not known, and is ASCII on one line."""
    text = catalog_text.ticket_json(CATALOG, [GALA])

    assert text.isascii()
    assert "\n" not in text
    found = json.loads(text)
    assert (1, ["wix"], ["a note"], [SITE, FOREIGN]) == (
        found["format"],
        found["read_from"],
        found["notes"],
        found["sites"],
    )
    [event] = found["events"]
    assert ("spring-gala", "UPCOMING") == (event["slug"], event["status"])
    assert [
        {"ticket": TICKET, "name": STANDING.name, "state": "low", "why_gone": None, "unsold": 3},
        {"ticket": OTHER, "name": "Crew", "state": "gone", "why_gone": "hidden in Wix", "unsold": None},
    ] == event["tickets"]


def test_event_json() -> None:
    """The JSON of events has how many tickets each has."""
    found = json.loads(catalog_text.event_json(CATALOG))

    assert [2, 0] == [one["tickets"] for one in found["events"]]
    assert [SITE, FOREIGN] == [one["site"] for one in found["events"]]
