"""Looks for items of pretix by the Wix id in their meta data, which pretix cannot search for.

It can search internal names, which hold the id too, but which an organiser may edit. So what a complete list of an event showed is
remembered for a minute, with what was made since.
"""

import time

from server.errors import TargetRefused, TargetUnsure
from server.model import TicketId
from server.sync.targets.pretix.api import Api, Json, Rows
from server.sync.targets.pretix.fields import mark_of
from server.sync.targets.pretix.work import wix_id

KNOWN = 60.0
"""Seconds for which a complete list proves that no item bears an id, unless a search finds one."""


class Items:
    """The items of all events of one pretix."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._keys: dict[str, tuple[float, dict[str, set[str]]]] = {}

    async def read_all(self, event: str) -> Rows:
        """All items of the event, in the order of their ids."""
        at = time.monotonic()
        found = await self._api.all("items", event, "items/")
        keys: dict[str, set[str]] = {}
        for one in found:
            if id_ := wix_id(one):
                keys.setdefault(id_, set()).add(str(one["id"]))
        self._keys[event] = at, keys
        return found

    def made(self, event: str, ticket: TicketId, key: str) -> None:
        """Remember an item that was given this id."""
        if event in self._keys:
            self._keys[event][1].setdefault(ticket, set()).add(key)

    async def bearing(self, event: str, ticket: TicketId, key: str | None) -> Rows:
        """All items that bear this id, in the order of their ids; *key* is one that did."""
        found = {one["id"]: one for one in await self._search(event, ticket) if wix_id(one) == ticket}
        if key and key not in map(str, found):
            found |= await self._look(event, ticket, key)
        if not found:
            for other in await self._listed(event, ticket):
                found |= await self._look(event, ticket, other)
        return [found[id_] for id_ in sorted(found)]

    async def none_yet(self, event: str, ticket: TicketId) -> None:
        """See that no item bears the id in its internal name.

        Raises TargetUnsure where one is the ticket's, and TargetRefused where its meta data have lost the id.
        """
        for one in await self._search(event, ticket):
            where = f"{self._api.name}: item {one['id']} of {event}"
            if wix_id(one) == ticket:
                raise TargetUnsure(f"{where} is there already: look its ticket up again")
            if not wix_id(one):
                raise TargetRefused(
                    f"{where} has {mark_of(ticket)} in its internal name, but no Wix id in its meta data: remove it from its name,"
                    f" or: ticket-counter sync adopt {ticket} --to {self._api.name} --record {one['id']}",
                    status=409,
                )

    async def _search(self, event: str, ticket: TicketId) -> Rows:
        """The items whose internal name, or name, has the id."""
        return await self._api.all("find", event, "items/", {"search": mark_of(ticket)})

    async def _look(self, event: str, ticket: TicketId, key: str) -> dict[int, Json]:
        """The item of this key, if it bears the id; another may have the key since a restore."""
        item = await self._api.look("item", event, f"items/{key}/") if key.isdecimal() else None
        return {item["id"]: item} if item and wix_id(item) == ticket else {}

    async def _listed(self, event: str, ticket: TicketId) -> set[str]:
        """The keys of the items that bear the id by a list of the last minute."""
        at, keys = self._keys.get(event, (0.0, {}))
        if not at or time.monotonic() - at > KNOWN:
            await self.read_all(event)
            _, keys = self._keys[event]
        return keys.get(ticket, set())
