"""The quota of a ticket: pretix sells an item only through a quota, and each ticket has one of its own, named `wix:<id>`.

A quota has no meta data, so its name says whose it is. A new variation is in no quota, a deleted item leaves its quota behind, and
of an item in several quotas the lowest counts.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from server.errors import TargetUnsure
from server.sync.model import Value
from server.sync.targets.pretix.api import Api, Json, Rows
from server.sync.targets.pretix.fields import LIMIT, mark_of
from server.sync.targets.pretix.work import Work, variations, wix_id

KNOWN = 60.0
"""Seconds for which a complete list of an event's quotas is good: it only saves a quota that has lost its item from being left."""


class Quotas:
    """The quotas of all events of one pretix."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._names: dict[str, tuple[float, dict[str, int]]] = {}

    async def read_all(self, event: str) -> Rows:
        """All quotas of the event."""
        found = await self._api.all("quotas", event, "quotas/")
        self._names[event] = time.monotonic(), {}
        for one in reversed(found):
            self._remember(event, one)
        return found

    async def of(self, event: str, items: Iterable[int]) -> Rows:
        """All quotas that have one of these items."""
        wanted = ",".join(map(str, items))
        found = await self._api.all("quotas", event, "quotas/", {"items__in": wanted}) if wanted else []
        for one in reversed(found):
            self._remember(event, one)
        return found

    def _remember(self, event: str, quota: Json) -> None:
        if event in self._names:
            self._names[event][1][str(quota.get("name"))] = quota["id"]

    async def _by_name(self, work: Work, ticket: str) -> Json | None:
        """A quota of this name, which an earlier item of the ticket has left; None where a list of the last minute has none."""
        at, names = self._names.get(work.event, (0.0, {}))
        if not at or time.monotonic() - at > KNOWN:
            await self.read_all(work.event)
            _, names = self._names[work.event]
        id_ = names.get(mark_of(ticket))
        found = await self._api.look("quota", work.event, f"quotas/{id_}/") if id_ else None
        return found if found and found.get("name") == mark_of(ticket) else None

    async def ensure(self, work: Work, ticket: str, size: Value, *, attempt: str | None = None) -> None:
        """Give the item a quota of this size, with its variations: changed, repaired or made, and read back.

        Raises TargetUnsure where it is not so after that.
        """
        ours = named(await self.of(work.event, [int(work.key)]), ticket)
        first = ours[0] if ours else await self._by_name(work, ticket)
        if first:
            work.saw(first)
            await work.patch_quota(first["id"], ticket, lambda item, quota: _repaired(item, quota, size))
        else:
            await work.write(
                "quota_create",
                "POST",
                "quotas/",
                lambda item: {
                    "name": mark_of(ticket),
                    "size": size,
                    "items": [item["id"]],
                    "variations": sorted(_needed(item)),
                    "subevent": None,
                },
                attempt=attempt,
            )
        for other in ours[1:]:
            await work.delete_quota(other["id"], ticket, lambda quota: only(quota, work.key))
        item = await work.item()
        found = named(await self.of(work.event, [item["id"]]), ticket)
        if not found or not _holds(found[0], item) or found[0].get("size") != size:
            raise TargetUnsure(
                f"{self._api.name}: the quota {mark_of(ticket)} of item {work.key} was written and is not found so"
            )

    async def give(self, work: Work, ticket: str) -> None:
        """Give the item's quota, which it had with another id and has alone, this ticket's name, unless it has one of this name."""
        quotas = await self.of(work.event, [int(work.key)])
        if named(quotas, ticket):
            return
        name = {"name": mark_of(ticket)}
        if alone := _alone(quotas, work.key):
            first = alone[0]
            work.saw(first)
            await work.patch_quota(first["id"], first["name"].removeprefix(mark_of("")), lambda _, __: name)

    async def add(self, work: Work, ticket: str) -> None:
        """Put the item's variations into its quota, if it has one of ours."""
        if ours := named(await self.of(work.event, [int(work.key)]), ticket):
            work.saw(ours[0])
            size = ours[0].get("size")
            await work.patch_quota(ours[0]["id"], ticket, lambda item, quota: _repaired(item, quota, size))


def _alone(quotas: Iterable[Mapping[str, Any]], key: str) -> list[Json]:
    """The quotas of whatever ticket that have only this item."""
    return [dict(one) for one in quotas if str(one.get("name")).startswith(mark_of("")) and only(one, key)]


def named(quotas: Iterable[Mapping[str, Any]], ticket: str) -> Rows:
    """The quotas of this ticket, by their name."""
    return [dict(one) for one in quotas if one.get("name") == mark_of(ticket)]


def only(quota: Mapping[str, Any], key: str) -> bool:
    """Whether a quota has no item but this one."""
    items = quota.get("items")
    return isinstance(items, list) and all(str(one) == key for one in items)


def limit(item: Mapping[str, Any], quotas: Iterable[Mapping[str, Any]]) -> dict[str, Value]:
    """The field `limit` of an item, of the quotas that have it; missing where its quota is missing, not whole, or there are two.

    So a plan sees that it has to be written, whatever size the quota has.
    """
    id_, key = wix_id(item), str(item["id"])
    # What has lost its id shows the quota that it had with it.
    candidates = named(quotas, id_) if id_ else _alone(quotas, key)
    ours = [one for one in candidates if item["id"] in _ids(one, "items")]
    extra = [one for one in ours[1:] if only(one, key)]
    if not ours or extra or not _holds(ours[0], item):
        return {}
    size = ours[0].get("size")
    return {LIMIT: size} if size is None or isinstance(size, int) else {}


def notes(item: Mapping[str, Any], quotas: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a person should know of the item's quotas."""
    return [
        f"its quota {one.get('name')} is closed, so nothing is sold: open it in pretix"
        for one in quotas
        if item["id"] in _ids(one, "items") and one.get("closed") is True
    ]


def _needed(item: Mapping[str, Any]) -> set[int]:
    """The variations that have to be in the quota: ours, or all where none is."""
    rows = variations(item)
    return {one["id"] for one in rows if wix_id(one)} or {one["id"] for one in rows}


def _holds(quota: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    return item["id"] in _ids(quota, "items") and _needed(item) <= _ids(quota, "variations")


def _repaired(item: Mapping[str, Any], quota: Mapping[str, Any], size: Value) -> Json:
    """What has to be written of a quota so that it has this size, the item and its variations; others' items stay in it."""
    body: Json = {} if quota.get("size") == size else {"size": size}
    if not _holds(quota, item):
        body["items"] = sorted(_ids(quota, "items") | {item["id"]})
        body["variations"] = sorted(_ids(quota, "variations") | _needed(item))
    return body


def _ids(quota: Mapping[str, Any], name: str) -> set[int]:
    found = quota.get(name)
    return {one for one in found if isinstance(one, int)} if isinstance(found, list) else set()
