"""A target that speaks docs/http-target.md: any system that takes our documented JSON over signed HTTP.

In: what a ticket should be. Out: GET (find, list), POST (create), PUT (update), DELETE (take off sale) below one address, and what
they answer as values. The values of the JSON are those of sync (model.py), so nothing is converted. An answer to a write is never
believed: the record is read.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from server.errors import NotStarted, TargetUnavailable, TargetUnsure
from server.model import TicketId
from server.sync.mapping import Quota, Rule, TargetSettings
from server.sync.model import Operation, Reason, Record, TargetEvent, Unfit, Wanted
from server.sync.targets.calls import Answer, Calls
from server.sync.targets.http_json import (
    OPTION_RESERVED,
    RESERVED,
    TICKET,
    object_of,
    option_json,
    options_json,
    path_of,
    record_of,
)
from server.sync.targets.signature import Signer
from server.sync.targets.target import Abilities, BeforeWrite, Pay

Records = list[Record]

MOST_RECORDS = 20_000
"""Records of one event, after which a list that goes on is given up."""
LISTINGS = 3
"""How often a list that changes while it is read is begun."""


class HttpTarget:
    """One such system; raises NotStarted where its settings cannot be used."""

    abilities = Abilities(parallel=4, changes_options=True, deletes=False)

    def __init__(self, settings: TargetSettings, pay: Pay) -> None:
        reserved = {rule.name for rule in settings.rules} & RESERVED
        reserved |= {rule.name for rule in settings.options} & OPTION_RESERVED
        if reserved:
            raise NotStarted(f"{settings.name}: {min(reserved)} is a member of its own, which no field may be")
        self.settings = settings
        self._signer = Signer(settings.name, settings.secret.get_secret_value())
        self._calls = Calls(
            settings.name,
            settings.url,
            pay,
            allow_http=settings.allow_http,
            allow_private=settings.allow_private,
            secrets=self._signer.secrets,
            credentials=f"the secret in {settings.secret_env}" if settings.secret_env else "its secret",
        )
        self._names = [*_of(settings.rules, "name"), "name"]
        self._hidden = _of(settings.rules, "hidden")
        # When it was read says nothing of the ticket, and how many are left only where the mapping follows it.
        told = {"read_at"} if settings.quota is Quota.UNSOLD else {"read_at", "unsold"}
        self._only_told = frozenset(rule.name for rule in settings.rules if rule.source in told)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._calls.aclose()

    async def event(self, event: str) -> TargetEvent:
        """The event as the first page of its list has it."""
        answer = await self._get("event", {"event": event})
        found = object_of(answer, object_of(answer, answer.json(), "an answer").get("event"), "its event")
        name, currency = found.get("name"), found.get("currency")
        if not isinstance(name, str) or not (currency is None or isinstance(currency, str)):
            raise answer.unreadable("an event without name, or with a currency that is no text")
        return TargetEvent(event, name, currency)

    def fit(self, wanted: Wanted, event: TargetEvent) -> Wanted | Unfit:
        """The same values, and `active`; what is only told is not compared."""
        if event.currency and (others := wanted.currencies - {event.currency}):
            text = f"it is sold in {min(others)}, and {event.name} in {event.currency}"
            cure = "change the currency of the event in one of the two systems"
            return Unfit(wanted.ticket, wanted.name, Reason.CURRENCY, text, cure)
        told = {name: value for name, value in wanted.fields.items() if name in self._only_told}
        fields = {name: value for name, value in wanted.fields.items() if name not in told}
        fields.setdefault("active", not any(wanted.fields.get(name) is True for name in self._hidden))
        return replace(wanted, fields=fields, initial={**wanted.initial, **told})

    async def find(self, event: str, ticket: TicketId, key: str | None) -> Records:  # noqa: ARG002 - the Protocol's signature
        """All records that bear this id; the system's search is exact, so that *key* adds nothing."""
        found = await self._records("find", {"event": event, "ticket": ticket})
        if others := [one.key for one in found if one.ticket != ticket]:
            raise TargetUnavailable(
                f"{self._calls.target}: asked for ticket {ticket}, it answered record {others[0]} of another"
            )
        return found

    async def list(self, event: str) -> Records:
        """All records of the event, in the order of the system."""
        return await self._records("list", {"event": event})

    async def create(self, event: str, wanted: Wanted, attempt: str, before_write: BeforeWrite) -> str:
        """POST; answers the key that a look-up by the id finds then."""
        options = [option_json(one) for one in wanted.options]
        body = {TICKET: wanted.ticket, "event": event, **wanted.initial, **wanted.fields, "options": options}
        answer = await self._write("create", "POST", "", before_write, body=body, attempt=attempt, expected=(409,))
        if answer.status == 409:
            raise TargetUnsure(f"{answer.where} was answered 409: another request makes it, or has made it", status=409)
        try:
            found = await self.find(event, wanted.ticket, None)
        except TargetUnavailable as error:
            raise TargetUnsure(f"after its creation: {error}", status=error.status) from error
        if not found:
            text = f"{answer.where} was answered {answer.status}, but nothing is found by its id"
            raise TargetUnsure(text, status=answer.status, replayed=True)
        return found[0].key

    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        """PUT of all that the mapping owns: a member that is equal is written with the value that it has."""
        told = {name: value for name, value in wanted.initial.items() if name in self._only_told}
        options = options_json(record, wanted, operation)
        body = {TICKET: wanted.ticket, "event": event, **wanted.fields, **told, "options": options}
        await self._put("update", record, body, before_write)

    async def deactivate(
        self,
        event: str,  # noqa: ARG002 - the Protocol's signature, here and below
        record: Record,
        before_write: BeforeWrite,
        *,
        delete: bool = False,  # noqa: ARG002
    ) -> None:
        """DELETE, which takes a record off sale; one that is gone is off sale."""
        await self._write("deactivate", "DELETE", path_of(record), before_write, expected=(404, 410))

    async def mark(self, event: str, record: Record, ticket: TicketId | None, before_write: BeforeWrite) -> None:
        """PUT of the id alone."""
        await self._put("mark", record, {TICKET: ticket, "event": event}, before_write)

    async def _put(self, kind: str, record: Record, body: Mapping[str, Any], before_write: BeforeWrite) -> None:
        answer = await self._write(kind, "PUT", path_of(record), before_write, body=body, expected=(404, 409, 410))
        if answer.status >= 400:
            text = f"{answer.where} was answered {answer.status}: record {record.key} is gone, or bears another id"
            raise TargetUnsure(text, status=answer.status)

    async def _write(
        self,
        kind: str,
        method: str,
        path: str,
        before_write: BeforeWrite,
        *,
        body: Mapping[str, Any] | None = None,
        attempt: str | None = None,
        expected: tuple[int, ...],
    ) -> Answer:
        """Send a signed write with an idempotency key; without an *attempt* the key is never used again.

        PUT and DELETE may be sent twice without harm, and a value that returns must not be taken for the request before.
        """
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        sent_to = self._calls.url(path).raw_path.decode()
        made_of = f"{method} {sent_to}\n{attempt or secrets.token_hex(16)}\n".encode() + (content or b"")
        id_ = f"msg_{hashlib.sha256(made_of).hexdigest()[:40]}"

        def headers() -> Mapping[str, str]:
            return {**self._signer.headers(id_, method, sent_to, content or b""), "idempotency-key": id_}

        return await self._calls.write(
            kind, method, path, before_write, headers=headers, content=content, expected=expected
        )

    async def _get(self, kind: str, params: Mapping[str, str]) -> Answer:
        sent_to = self._calls.url("", params).raw_path.decode()

        def headers() -> Mapping[str, str]:
            return self._signer.headers(f"msg_{secrets.token_hex(20)}", "GET", sent_to, b"")

        return await self._calls.read(kind, "GET", "", params=params, headers=headers)

    async def _records(self, kind: str, params: Mapping[str, str]) -> Records:
        """All records of an answer, page by page; begun again where it changed meanwhile."""
        for _ in range(LISTINGS):
            found, total = await self._pages(kind, params)
            if len(found) == total == len({record.key for record in found}):
                return found
        text = f"its list has {len(found)} records, and says that it has {total}"
        raise TargetUnavailable(f"{self._calls.target}: {text}: a list that is not whole says nothing")

    async def _pages(self, kind: str, params: Mapping[str, str]) -> tuple[Records, int]:
        found: Records = []
        after: dict[str, str] = {}
        cursors: set[str] = set()
        while True:
            answer = await self._get(kind, {**params, **after})
            page = object_of(answer, answer.json(), "an answer")
            records, cursor, total = page.get("records"), page.get("next"), page.get("total")
            if not isinstance(records, list) or not isinstance(total, int):
                raise answer.unreadable("no `records`, or no `total`")
            found += [record_of(answer, one, params["event"], self._names) for one in records]
            if cursor is None:
                return found, total
            if not isinstance(cursor, str) or cursor in cursors or len(found) > MOST_RECORDS:
                raise answer.unreadable("a `next` that leads nowhere")
            cursors.add(cursor)
            after = {"after": cursor}


def _of(rules: Iterable[Rule], source: str) -> list[str]:
    """The target's fields that get this field of the definition as it is."""
    plain = (rule for rule in rules if not (rule.convert or rule.values))
    return [rule.name for rule in plain if rule.source == source]
