"""What notify needs of a marketing tool: who has confirmed that they want to hear of an event, page by page.

An audience source is one list, tag or segment of one tool. Addresses that it answers are kept no longer than their page. Its
methods raise AudienceUnavailable where a later try may help, and AudienceRefused where only a person can. docs/adding-an-audience.md
says how to add one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from server.model import SiteId
from server.store.schedule import Schedule
from server.wix.client import Wix


@dataclass(frozen=True, slots=True)
class Kind:
    """What notify.toml has to say of one kind of tool; each key goes with what it means, for errors and for the first file.

    `tool` and `event` are the keys that [tools.X] and [events.X] need, `optional_tool` and `optional_event` those that they may have,
    beside those of every kind. `secret`: the key of [tools.X] that names the variable with the secret, such as "password_env", None
    = it has none. `one_of`: sets of optional keys of which exactly one is needed. `date_field`: what that key names, "" = this kind
    holds no date; `date_fields`: the only values that it may have, () = any. `plain`: keys whose values are letters (a-z) and digits
    only, such as what becomes a part of an address.
    """

    name: str
    title: str
    tool: Mapping[str, str] = field(default_factory=dict)
    optional_tool: Mapping[str, str] = field(default_factory=dict)
    secret: str | None = None
    event: Mapping[str, str] = field(default_factory=dict)
    optional_event: Mapping[str, str] = field(default_factory=dict)
    one_of: tuple[frozenset[str], ...] = ()
    date_field: str = ""
    date_fields: tuple[str, ...] = ()
    plain: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source may need beside its settings: the event's site, the folder of notify.toml, and Wix, None = no site is known.

    `schedule` is what pays for calls to Wix.
    """

    site: SiteId
    folder: Path
    wix: Wix | None = None
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One subscriber who has confirmed the subscription, as the tool knows them: `address` is not folded yet.

    `id` is the tool's own name of the member ("" = none). `language` is as the tool writes it ("" = not known).
    """

    address: str
    id: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some members, and where the next page begins: None after the last one.

    `unreadable`: the numbers of lines on this page that cannot be read; only where the members stand in a file of lines.
    """

    members: tuple[Member, ...]
    next: str | None = None
    unreadable: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Consent:
    """What the tool says of one member now. `delivery_off`: still a member, who wants no mail for the time being."""

    opted_in: bool
    delivery_off: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True)
class SaleDate:
    """When tickets of an event go on sale next: seconds since 1970, None = no start is known; and the event's IANA zone."""

    at: float | None
    zone: str | None = None
    event: str = ""

    @property
    def text(self) -> str:
        """The date as programs and people read it, in the event's zone: `2026-12-01T18:00:00+01:00`; "" = no start is known."""
        if self.at is None:
            return ""
        try:
            zone = ZoneInfo(self.zone or "UTC")
        except (ValueError, OSError, KeyError):  # no zone that is known here
            zone = ZoneInfo("UTC")
        return datetime.fromtimestamp(self.at, zone).isoformat(timespec="seconds")


class AudienceSource(Protocol):
    """One list, tag or segment of one marketing tool.

    `place` names it for good, and does not change when notify.toml calls it otherwise: an opt-out is of this place. `asks_each`: the
    consent of one member can be asked for, which is then done just before each message; else a page that was read less than 60 s
    ago has to do. `takes_sign_ups`: the tool can be given an address, whose owner it then asks to confirm (double opt-in).
    """

    place: str
    asks_each: bool
    takes_sign_ups: bool

    async def count(self) -> int:
        """How many members there are about; raises AudienceRefused where there is no such list, with those that there are."""
        ...

    async def page(self, cursor: str | None, size: int) -> Page:
        """About *size* members who have confirmed, from *cursor* on (None: the first page).

        A change of the list may shift what follows: a reader passes over all pages again until a pass finds no one new.
        """
        ...

    async def consent(self, member: Member) -> Consent:
        """What the tool says of this member now; only where `asks_each`."""
        ...

    async def opt_out(self, address: str) -> None:
        """Take this address off the list; one that is not on it is no error."""
        ...

    async def sign_up(self, address: str, language: str) -> None:
        """Have the tool ask the owner of this address whether they want to hear of it; only where `takes_sign_ups`.

        Raises RequestRefused where the tool does not take this address, now or later.
        """
        ...

    async def hold_date(self, date: SaleDate) -> None:
        """Write this date where the tool's own automations find it; only where notify.toml names the field."""
        ...

    async def aclose(self) -> None:
        """Close the connections to the tool."""
        ...
