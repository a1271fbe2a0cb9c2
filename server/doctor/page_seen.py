"""What was seen of a page in a browser, as values: its documents, their scripts and elements, and what went wrong in them.

In: what the browser answered, in which a page of others may have put anything. Out: texts and flags, for page_findings.py and
page_errors.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

NAME = "site"
FOLDER = "/widget/v1/"
SCRIPT_MENU = "in the site's dashboard: Settings, Custom Code; or the server URL of the Custom Element (Choose Source)"
NOTHING = "visitors see no number on this page"


@dataclass(frozen=True, slots=True)
class Element:
    """One <ticket-counter>, by its attributes: of a ticket, or of all tickets of an event; `state` is empty while it has no counter."""

    ticket: str
    site: str
    server: str
    state: str
    event: str = ""

    @property
    def named(self) -> str:
        """What it shows, in words."""
        return f"event {self.event}" if self.event else f"ticket {self.ticket}"

    @property
    def query(self) -> Mapping[str, str]:
        """What it asks of the server."""
        asked = {"event": self.event} if self.event else {"ticket": self.ticket}
        return {**asked, **({"site": self.site} if self.site else {})}

    @property
    def shows(self) -> bool:
        """Whether its number is verified, so that it shows something, or knows that there is nothing to show."""
        return self.state not in {"", "unknown"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A document of the page: the scripts of the widget in it, its elements, and what its Content-Security-Policy refused.

    `knows_events`: the script says that it reads the attribute `event`.
    """

    url: str
    origin: str
    scripts: tuple[str, ...] = ()
    elements: tuple[Element, ...] = ()
    defined: bool = False
    violations: tuple[str, ...] = ()
    knows_events: bool = False

    @classmethod
    def read(cls, url: str, found: Mapping[str, Any]) -> Self:
        """By what the browser answered, in which a page of others may have put anything."""
        elements = (
            Element(*(str(one[name]) for name in ("ticket", "site", "server", "state", "event")))
            for one in found["elements"]
        )
        return cls(
            url,
            str(found["origin"]),
            tuple(map(str, found["scripts"])),
            tuple(elements),
            bool(found["defined"]),
            tuple(map(str, found["violations"])),
            bool(found["knowsEvents"]),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A page: `fault` is why it did not open, `answers` the status of each address that it asked for, or why it had none.

    `errors` are what its scripts raised and nothing caught, each with the place where it was raised.
    """

    url: str
    fault: str = ""
    frames: tuple[Frame, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    console: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
