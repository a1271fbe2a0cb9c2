"""Counts who of an audience would get a message, for a preview: nothing is claimed, and no address is kept longer than its page.

In: a source and the suppressions. Out: an Audience. The tool is asked about members one by one for some seconds only, since a large
list takes minutes: of how many it was asked is told.
"""

import asyncio
import time
from collections.abc import Sequence

from server.keyring import KeyRing, Purpose
from server.mail_address import folded
from server.model import SiteId
from server.notify.audience.source import AudienceSource, Member
from server.notify.reports import Audience
from server.store.suppressions import Suppressions

PAGE = 500
AT_ONCE = 4
"""Members that the tool is asked about at once."""
MOST_LINES = 20
"""Numbers of lines that are told."""
ASKING_LASTS = 10.0
"""Seconds."""


class _Asked:
    """What the tool said of members, while there is time to ask."""

    def __init__(self, source: AudienceSource, seconds: float) -> None:
        self._source = source
        self._until = time.monotonic() + seconds
        self.count = self.delivery_off = self.not_in = 0

    async def ask(self, members: Sequence[Member]) -> None:
        """Ask about these, until the time is over; raises AudienceError."""
        for first in range(0, len(members), AT_ONCE):
            if time.monotonic() >= self._until:
                return
            some = members[first : first + AT_ONCE]
            for consent in await asyncio.gather(*(self._source.consent(one) for one in some)):
                self.count += 1
                self.not_in += not consent.opted_in
                self.delivery_off += consent.opted_in and consent.delivery_off


async def count_audience(
    source: AudienceSource,
    site: SiteId,
    suppressions: Suppressions,
    keyring: KeyRing,
    *,
    page: int = PAGE,
    asking_lasts: float = ASKING_LASTS,
) -> Audience:
    """Read the whole audience once. Raises AudienceError and RedisUnavailable."""
    members = await source.count()
    read = unusable = twice = suppressed = 0
    seen: set[str] = set()  # hashes, of which no address can be made
    lines: set[int] = set()  # a file that changes meanwhile is read from its beginning again
    asked = _Asked(source, asking_lasts)
    cursor: str | None = None
    while True:
        found = await source.page(cursor, page)
        read += len(found.members)
        lines.update(found.unreadable)
        wanted = []
        for member in found.members:
            address = folded(member.address)
            if address is None:
                unusable += 1
                continue
            hashes = keyring.hashes(Purpose.SUPPRESSION, source.place, address)
            if hashes[0] in seen:
                twice += 1
            elif await suppressions.has(site, hashes):
                suppressed += 1
            else:
                wanted.append(member)
            seen.add(hashes[0])
        if source.asks_each:
            await asked.ask(wanted)
        cursor = found.next
        if cursor is None:
            break
    return Audience(
        source.place,
        members + len(lines),
        read + len(lines),
        unusable + len(lines),
        twice,
        suppressed,
        asked.count if source.asks_each else None,
        asked.delivery_off,
        asked.not_in,
        tuple(sorted(lines)[:MOST_LINES]),
    )
