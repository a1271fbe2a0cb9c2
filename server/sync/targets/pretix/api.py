"""pretix's REST API, version 1, as far as sync needs it: paths, complete lists, and requests that are paid for ahead.

In: an event, a path below it, and JSON. Out: JSON, or an error of errors.py below TargetError. Source: pretix's documentation,
"REST API", and pretix 2026.8.0 as it answers.
"""

import hashlib
import json
import time
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

import httpx

from server.errors import TargetForbidden, TargetUnavailable, TargetUnsure
from server.sync.mapping import TargetSettings
from server.sync.targets.calls import WITHIN, Answer, Calls
from server.sync.targets.target import BeforeWrite, Pay

PAGE = 50
"""Rows of a page: the most that pretix gives."""
PASSES = 5
"""How often a list is read before it counts as one that cannot be read whole."""

Json = dict[str, Any]
Rows = list[Json]

AT_ONCE = 1.0
"""Seconds within which a read must have failed to be repeated."""

_ahead: ContextVar[int] = ContextVar("ahead", default=0)


class Api:
    """The calls to one organizer of one pretix. Paths begin below the event: `items/7/`."""

    def __init__(self, settings: TargetSettings, pay: Pay, within: float = WITHIN) -> None:
        token = settings.secret.get_secret_value()
        self._organizer = str(settings.own["organizer"])
        self.name = settings.name
        self._budget = pay
        self._headers = {"authorization": f"Token {token}"}
        self._calls = Calls(
            settings.name,
            f"{settings.url.rstrip('/')}/api/v1",
            self._pay,
            allow_http=settings.allow_http,
            allow_private=settings.allow_private,
            secrets=(token,),
            credentials=f"the token in {settings.secret_env}" if settings.secret_env else "its token",
            within=within,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._calls.aclose()

    async def pay_ahead(self, requests: int) -> None:
        """Wait for the budget of this many requests of this task now, so that it does not hold up one after another."""
        for _ in range(requests - _ahead.get()):
            await self._budget()
        _ahead.set(max(requests, _ahead.get()))

    async def _pay(self) -> None:
        if paid := _ahead.get():
            _ahead.set(paid - 1)
        else:
            await self._budget()

    def _path(self, event: str, path: str) -> str:
        return f"/organizers/{quote(self._organizer, safe='')}/events/{quote(event, safe='')}/{path}"

    async def _read(
        self,
        kind: str,
        method: str,
        event: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        expected: Collection[int] = (),
    ) -> Answer:
        """Make a call that changes nothing; once more at once where its connection was lost: a server closes idle ones."""

        async def once() -> Answer:
            where = self._path(event, path)
            return await self._calls.read(kind, method, where, params=params, headers=self._headers, expected=expected)

        began = time.monotonic()
        try:
            try:
                return await once()
            except TargetUnavailable as error:
                if error.status or time.monotonic() - began > AT_ONCE:
                    raise
            return await once()
        except TargetForbidden as error:
            raise TargetForbidden(f"{str(error).rstrip('.')}: {self._why_forbidden(event)}") from None

    def _why_forbidden(self, event: str) -> str:
        """What pretix answers 403 for, which it does not tell apart."""
        return (
            f"pretix answers the same where there is no organizer {self._organizer}, where that has no event {event}, and where"
            " the token's team does not have this event: check all three"
        )

    async def get(self, kind: str, event: str, path: str, params: Mapping[str, str] | None = None) -> Json:
        """One object; raises TargetForbidden where there is none."""
        return object_of(await self._read(kind, "GET", event, path, params=params))

    async def look(self, kind: str, event: str, path: str) -> Json | None:
        """One object, or None where there is none (404)."""
        answer = await self._read(kind, "GET", event, path, expected=(404,))
        return None if answer.status == httpx.codes.NOT_FOUND else object_of(answer)

    async def options(self, event: str, path: str) -> Json:
        """What pretix tells of a path's fields; empty where it does not tell."""
        answer = await self._read("fields", "OPTIONS", event, path, expected=(403, 404, 405, 501))
        return object_of(answer) if answer.status == httpx.codes.OK else {}

    async def all(self, kind: str, event: str, path: str, params: Mapping[str, str] | None = None) -> Rows:
        """All rows of a list in the order of their ids, complete, or TargetUnavailable.

        pretix counts pages, so a row that is deleted while a list is read moves all later ones towards its beginning, and one of them
        from an unread page to a read one. So pages are read from the last to the first, where a move shows a row twice and
        hides none; and the list is read again where pages disagree on how many rows there are. Costs a request, and where
        there are more than 50 rows one for each 50 and one more. Addresses in answers (`next`) are not used.
        """
        for _ in range(PASSES):
            found = await self._pass(kind, event, path, params or {})
            if found is not None:
                return [found[id_] for id_ in sorted(found)]
        raise TargetUnavailable(f"{self.name}: the list {path} of {event} changed in each of {PASSES} passes")

    async def _pass(self, kind: str, event: str, path: str, params: Mapping[str, str]) -> dict[int, Json] | None:
        """All rows by id, or None where the list changed meanwhile."""
        count, rows = await self._page(kind, event, path, params, 1) or (0, [])
        found = {row["id"]: row for row in rows}
        if len(found) == count or not rows:
            return found if len(found) == count else None
        found.clear()
        for number in range(-(-count // len(rows)), 0, -1):
            page = await self._page(kind, event, path, params, number)
            if page is None or page[0] != count:
                return None
            found |= {row["id"]: row for row in page[1]}
        return found if len(found) == count else None

    async def _page(
        self, kind: str, event: str, path: str, params: Mapping[str, str], number: int
    ) -> tuple[int, Rows] | None:
        """How many rows there are in all, and those of one page; None where there is no such page."""
        answer = await self._read(
            kind,
            "GET",
            event,
            path,
            params={**params, "ordering": "id", "page_size": str(PAGE), "page": str(number)},
            expected=(404,) if number > 1 else (),
        )
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        body = object_of(answer)
        count, rows = body.get("count"), body.get("results")
        if not isinstance(count, int) or not isinstance(rows, list):
            raise answer.unreadable("no list")
        if not all(isinstance(row, dict) and isinstance(row.get("id"), int) for row in rows):
            raise answer.unreadable("rows without an id")
        return count, rows

    async def write(  # noqa: PLR0917
        self,
        kind: str,
        method: str,
        event: str,
        path: str,
        body: Any,
        before_write: BeforeWrite,
        *,
        attempt: str | None = None,
        expected: Collection[int] = (),
    ) -> Answer:
        """Make a request that writes. With *attempt* pretix executes it once and answers a repetition as it answered first.

        pretix keeps an answer for a day by the key alone, whatever method, path and body a repetition has: so the key is made of
        them and of *attempt*. Raises TargetUnsure where pretix says that it still executes the first one (409).
        """
        content = None if body is None else json.dumps(body, sort_keys=True).encode()
        headers = dict(self._headers)
        where = self._path(event, path)
        if attempt is not None:
            parts = json.dumps([method, where, body, attempt], sort_keys=True)
            headers["x-idempotency-key"] = hashlib.sha256(parts.encode()).hexdigest()
            expected = (*expected, 409)
        answer = await self._calls.write(
            kind, method, where, before_write, headers=headers, content=content, expected=expected
        )
        if attempt is not None and answer.status == httpx.codes.CONFLICT:
            # pretix answers so for a day where it died while it executed the first one.
            raise TargetUnsure(f"{answer.where}: pretix has not finished the first try of it", status=answer.status)
        return answer

    async def created(
        self, kind: str, event: str, path: str, body: Any, before_write: BeforeWrite, *, attempt: str | None = None
    ) -> Json:
        """POST; answers the new object, which has an id."""
        answer = await self.write(kind, "POST", event, path, body, before_write, attempt=attempt)
        found = object_of(answer)
        if not isinstance(found.get("id"), int):
            raise answer.unreadable("no id")
        return found


def object_of(answer: Answer) -> Json:
    """The JSON object of an answer."""
    found = answer.json()
    if not isinstance(found, dict):
        raise answer.unreadable("no object")
    return found
