"""One piece of work on one item of pretix: each of its requests is made of what was read, and seen to bear our id, just before.

pretix replaces a name's languages, meta data and a quota's items as a whole, so they are read, merged and written. It gives the ids
of items again after its database was restored from a copy, so an id alone does not say which item it is.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import httpx

from server.errors import TargetUnavailable, TargetUnsure
from server.sync.targets.calls import Answer
from server.sync.targets.pretix.api import Api, object_of
from server.sync.targets.pretix.fields import mark_of
from server.sync.targets.target import BeforeWrite
from server.wix.members import members, objects

META = "wix_ticket_definition_id"
"""The meta property that holds the Wix id of an item's ticket, and of a variation's option."""

HOLDS = 0.5
"""Seconds for which a look is good enough to begin a request, and then once more until it is sent: a second in all."""
TRIES = 5
"""How often an item is looked at again because the look got too old before its request was sent."""


def wix_id(json: Mapping[str, Any]) -> str:
    """The Wix id that an item or a variation bears in its meta data; "" = none."""
    found = members(json.get("meta_data")).get(META)
    return found.strip() if isinstance(found, str) else ""


def variations(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The variations of an item, in the order in which they are shown."""
    rows = (one for one in objects(item.get("variations")) if isinstance(one.get("id"), int))
    return sorted(rows, key=lambda one: (one.get("position") or 0, one["id"]))


class _TooOldError(Exception):
    """The look is too old by now, and nothing was sent."""


class Work:
    """The work on one item of one event: *ids* are the Wix ids with which it is the one we mean, "" = none.

    *item* is what was read of it *at* a time of time.monotonic(), if it was.
    """

    def __init__(
        self,
        api: Api,
        event: str,
        key: str,
        ids: Collection[str],
        before_write: BeforeWrite,
        *,
        item: dict[str, Any] | None = None,
        at: float = 0.0,
    ) -> None:
        self.api = api
        self.event = event
        self.key = key
        self.path = f"items/{key}/"
        self.ids = ids
        self._before_write = before_write
        self._item = item
        self._item_at = at
        self._quota: dict[str, Any] = {}
        self._quota_at = 0.0
        self._looked = 0.0

    async def item(self) -> dict[str, Any]:
        """The item as it was a moment ago; raises TargetUnsure where it is gone, or no longer bears our id."""
        if _old(self._item_at):
            self._item = await self.api.look("item", self.event, self.path) if self.key.isdecimal() else None
            self._item_at = time.monotonic()
        if self._item is None:
            raise TargetUnsure(f"{self.api.name}: item {self.key} of {self.event} is gone: look its ticket up again")
        if (found := wix_id(self._item)) not in self.ids:
            raise TargetUnsure(
                f"{self.api.name}: item {self.key} of {self.event} bears {found or 'no Wix id'} now, not"
                f" {' or '.join(one or 'none' for one in self.ids)}: nothing was written, look its ticket up again"
            )
        return self._item

    async def gone(self) -> bool:
        """Whether there is no such item any more."""
        try:
            await self.item()
        except TargetUnsure:
            if self._item is not None:
                raise
            return True
        return False

    async def quota(self, id_: int, ticket: str) -> dict[str, Any]:
        """One of our quotas as it was a moment ago; raises TargetUnsure where it is gone, or no longer ours by its name."""
        if self._quota.get("id") != id_ or _old(self._quota_at):
            self.saw(await self.api.look("quota", self.event, f"quotas/{id_}/") or {})
        if self._quota.get("name") != mark_of(ticket):
            raise TargetUnsure(
                f"{self.api.name}: quota {id_} of {self.event} is gone or has another name: look its ticket up again"
            )
        return self._quota

    def saw(self, quota: dict[str, Any]) -> None:
        """Take this quota as looked at just now."""
        self._quota, self._quota_at = quota, time.monotonic()

    async def patch(self, body: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """PATCH the item with what *body* makes of it."""
        answer = await self.write("update", "PATCH", self.path, body)
        # It is a look at the item, too; but of meta data pretix answers what they were before.
        self._item, self._item_at = object_of(answer), time.monotonic()

    async def write(
        self,
        kind: str,
        method: str,
        path: str,
        body: Callable[[dict[str, Any]], Any],
        *,
        attempt: str | None = None,
        expected: Collection[int] = (),
    ) -> Answer:
        """Make a request that concerns the item, with what *body* makes of it; what was read of the item is kept."""

        async def look() -> Any:
            return body(await self.item())

        stale = int(_old(self._item_at))
        return await self._write(kind, method, path, look, stale, attempt=attempt, expected=expected)

    async def patch_quota(
        self, id_: int, ticket: str, body: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
    ) -> None:
        """PATCH one of our quotas with what *body* makes of the item and of the quota; nothing is sent for {}."""

        async def look() -> Any:
            item = await self.item()
            return body(item, await self.quota(id_, ticket))

        stale = int(_old(self._item_at)) + int(self._quota.get("id") != id_ or _old(self._quota_at))
        if await look():
            answer = await self._write("quota_update", "PATCH", f"quotas/{id_}/", look, stale)
            self.saw(object_of(answer))

    async def delete_quota(self, id_: int, ticket: str, only: Callable[[dict[str, Any]], bool]) -> None:
        """DELETE one of our quotas, if *only* agrees to what it is now; one that is gone is fine."""

        async def look() -> Any:
            return await self.quota(id_, ticket)

        if only(await look()):
            await self._write("quota_delete", "DELETE", f"quotas/{id_}/", look, 1, expected=(404,))
            self.saw({})

    def forget(self) -> None:
        """Look at the item again before the next request."""
        self._item_at = 0.0

    async def _write(
        self,
        kind: str,
        method: str,
        path: str,
        look: Callable[[], Awaitable[Any]],
        stale: int,
        *,
        attempt: str | None = None,
        expected: Collection[int] = (),
    ) -> Answer:
        """Look and write; *stale* is how many looks it takes."""
        for _ in range(TRIES):
            # Looks and the write are paid for together: a wait for the budget between them would make the looks too old.
            await self.api.pay_ahead(stale + 1)
            body = await look()
            self._looked = time.monotonic()
            try:
                content = None if method == "DELETE" else body
                return await self.api.write(
                    kind, method, self.event, path, content, self._still, attempt=attempt, expected=expected
                )
            except _TooOldError:
                self.forget()
                self._quota_at = 0.0
                stale = 2
        raise TargetUnavailable(f"{self.api.name}: {TRIES} looks at item {self.key} were too old before its write")

    async def _still(self) -> None:
        """Extend the lease, and see that the looks are still good enough."""
        await self._before_write()
        if _old(self._looked):
            raise _TooOldError


def _old(at: float) -> bool:
    return time.monotonic() - at > HOLDS


def deleted(answer: Answer) -> bool:
    """Whether a DELETE has left nothing; pretix refuses to delete what has been ordered, or is in a cart (403)."""
    return answer.status != httpx.codes.FORBIDDEN
