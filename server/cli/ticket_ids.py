"""Tickets as a person names them in a command: by their ids, or by how an id begins.

In: what was typed, and the tickets that are stored. Out: the id; or NotStarted, with the tickets that may be meant. Names are Wix's
texts, so characters that control a terminal are blanks in it.
"""

import re
from collections.abc import Sequence

from server.errors import NotStarted
from server.model import SiteId, TicketId
from server.single_line import printable
from server.store.definitions import Definitions
from server.store.schedule import Schedule
from server.wire import guid

SHORTEST_ID = 4
"""Characters of a ticket's id that a person has to write, at least."""
MOST_NAMED = 8
"""Tickets that an error names."""
_BEGINNING = re.compile(rf"[0-9a-f-]{{{SHORTEST_ID},}}")

Named = tuple[TicketId, str]


def beginning(text: str) -> str | None:
    """The text as ids begin, in lower case; None where none of them can begin so, or where it is too short."""
    found = text.lower()
    return found if _BEGINNING.fullmatch(found) else None


def several(text: str, tickets: Sequence[Named], number: int | None = None) -> NotStarted:
    """The error for a beginning of these tickets' ids, with their names; *number* = how many there are in all."""
    return NotStarted(f"several ids begin with {printable(text)!r}: write more of one{_list(tickets, number)}")


def none(text: str, tickets: Sequence[Named], number: int) -> NotStarted:
    """The error for a beginning of no id; of *number* stored tickets these are some."""
    if not number:
        return NotStarted(
            f"no ticket is stored whose id begins with {printable(text)!r}, nor any other: a worker (`ticket-counter serve` or "
            "`worker`) lists them; `ticket-counter tickets` says what there is"
        )
    cure = "`ticket-counter tickets` lists all; one that is not stored yet is named by its whole id"
    return NotStarted(f"no ticket is stored whose id begins with {printable(text)!r}: {cure}{_list(tickets, number)}")


def _list(tickets: Sequence[Named], number: int | None) -> str:
    """Some of these tickets, one a line, and how many more there are."""
    lines = [f"\n  {id_}  {printable(name)}".rstrip() for id_, name in tickets[:MOST_NAMED]]
    more = (len(tickets) if number is None else number) - len(lines)
    return "".join([*lines, f"\n  and {more} more" if more > 0 else ""])


class StoredTickets:
    """The tickets of all sites that are stored. Each method raises RedisUnavailable."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._definitions = Definitions(schedule.redis)

    async def ids(self) -> list[tuple[SiteId, TicketId]]:
        """Every ticket that is tracked, with its site, by its id."""
        sites = sorted(await self._schedule.sites())
        found = [(site, ticket) for site in sites for ticket in await self._schedule.tracked(site)]
        return sorted(found, key=lambda pair: pair[1])

    async def names(self, tickets: Sequence[tuple[SiteId, TicketId]]) -> list[Named]:
        """These tickets with their names; "" where none is stored."""
        return [(ticket, await self._name(site, ticket)) for site, ticket in tickets]

    async def find(self, text: str) -> TicketId:
        """The ticket of this id, stored or not, or of the only stored id that begins so; raises NotStarted."""
        if whole := guid(text):
            return TicketId(whole)
        start = beginning(text)
        if start is None:
            raise NotStarted(
                f"{printable(text)!r} is not a ticket definition id, nor the first {SHORTEST_ID} or more characters of one: "
                "`ticket-counter tickets` lists the ids"
            )
        stored = await self.ids()
        found = [pair for pair in stored if pair[1].startswith(start)]
        if len({ticket for _, ticket in found}) == 1:
            return found[0][1]
        if not found:
            raise none(text, await self.names(stored[:MOST_NAMED]), len(stored))
        raise several(text, await self.names(found[:MOST_NAMED]), len(found))

    async def _name(self, site: SiteId, ticket: TicketId) -> str:
        stored = await self._definitions.read(site, ticket)
        return "" if stored is None else str((stored.facts or {}).get("name") or stored.counter.get("name") or "")
