"""The target `pretix`: a ticket definition is an item, an option is a variation, the limit is a quota. REST API, version 1.

An item bears the Wix id in its meta data (`wix_ticket_definition_id`), and in its internal name, since pretix cannot search for meta
data. Fields are pretix's own names, and `limit`. Written from pretix 2026.8.0; docs/pretix.md says what an organiser should know.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.errors import TargetForbidden, TargetRefused, TargetUnsure
from server.model import TicketId
from server.sync.mapping import TargetSettings
from server.sync.model import Fields, Operation, Record, RecordOption, TargetEvent, Unfit, Value, Wanted
from server.sync.targets.calls import WITHIN
from server.sync.targets.pretix import options as pretix_options
from server.sync.targets.pretix.api import Api, Json, Rows
from server.sync.targets.pretix.fields import (
    LIMIT,
    Languages,
    Names,
    any_text,
    fit,
    mark_of,
    marked,
    names_in,
    read,
    unknown,
    unmarked,
    written,
)
from server.sync.targets.pretix.items import Items
from server.sync.targets.pretix.quotas import Quotas, limit, notes, only
from server.sync.targets.pretix.work import META, Work, deleted, variations, wix_id
from server.sync.targets.target import Abilities, BeforeWrite, Pay
from server.wix.members import members, text

PROPERTY_KNOWN = 60.0
"""Seconds after a look at an event for which its meta property counts as there."""

_PROPERTY = {"name": META, "default": "", "required": False, "allowed_values": None}


@dataclass(frozen=True, slots=True)
class _Raw:
    """What was read of an item, at a time of time.monotonic()."""

    item: Json
    at: float


class Pretix:
    """One organizer of one pretix; `settings.own` has its `organizer`. *within* is in seconds, for each call."""

    # One write at a time: pretix writes whole rows, so that of two at once one is lost, and its SQLite answers them 500.
    abilities = Abilities(parallel=1, changes_options=False, deletes=True)

    def __init__(self, settings: TargetSettings, pay: Pay, *, within: float = WITHIN) -> None:
        self._languages = Languages.of(settings.rules, settings.options, str(settings.own.get("language", "en")))
        self._api = Api(settings, pay, within)
        self._items = Items(self._api)
        self._quotas = Quotas(self._api)
        self._target = settings.name
        self._rules, self._options = settings.rules, settings.options
        self._names: Names | None = None
        self._has_property: dict[str, float] = {}

    async def aclose(self) -> None:
        """Close every connection."""
        await self._api.aclose()

    async def event(self, event: str) -> TargetEvent:
        """Read an event, and once which fields pretix has. Nothing is written: `create` and `mark` make the meta property.

        Raises TargetForbidden also where the mapping names fields that pretix does not have.
        """
        json = await self._event(event)
        if json.get("has_subevents") is True:
            raise TargetForbidden(
                f"{self._api.name}: {event} is an event series, whose tickets belong to its dates: name a single event"
            )
        if self._names is None:
            self._names = names_in(await self._api.options(event, "items/"))
        if names := unknown(self._rules, self._options, self._names):
            self._names = None  # a plugin may add them
            raise TargetForbidden(
                f"{self._target}: the mapping names fields that pretix does not have, or lets nobody write:"
                f" {', '.join(names)}: change [targets.{self._target}] in the mapping file"
            )
        return TargetEvent(event, any_text(json.get("name"), "en") or event, text(json.get("currency")))

    async def _event(self, event: str) -> Json:
        json = await self._api.get("event", event, "")
        self._has_property.pop(event, None)
        if META in members(json.get("item_meta_properties")):
            self._has_property[event] = time.monotonic()
        return json

    def fit(self, wanted: Wanted, event: TargetEvent) -> Wanted | Unfit:
        """Bring values into pretix's form; refuses currencies that the event does not have."""
        return fit(wanted, event, self._languages)

    async def find(self, event: str, ticket: TicketId, key: str | None) -> list[Record]:
        """All items of the event that bear this id in their meta data, which a search for it in internal names finds, or *key*.

        Where neither does, all items are looked at, since an internal name may have been edited: that costs a request for each
        50 items, at most once a minute and event.
        """
        at = time.monotonic()
        found = await self._items.bearing(event, ticket, key)
        quotas = await self._quotas.of(event, (one["id"] for one in found))
        return [self._record(one, quotas, at) for one in found]

    async def list(self, event: str) -> list[Record]:
        """All items of the event, in the order in which they were made."""
        at = time.monotonic()
        items = await self._items.read_all(event)
        quotas = await self._quotas.read_all(event)
        of_item: dict[int, Rows] = {}
        for quota in quotas:
            for id_ in quota.get("items") or ():
                of_item.setdefault(id_, []).append(quota)
        return [self._record(one, of_item.get(one["id"], []), at) for one in items]

    def _record(self, item: Json, quotas: Rows, at: float) -> Record:
        id_ = wix_id(item)
        options = tuple(
            RecordOption(str(one["id"]), wix_id(one), read(one, self._languages.options), one.get("active") is True)
            for one in variations(item)
        )
        return Record(
            str(item["id"]),
            id_,
            any_text(item.get("name"), self._languages.items["name"]),
            item.get("active") is True,
            {**read(item, self._languages.items), **limit(item, quotas)},
            options,
            tuple(notes(item, quotas)),
            _Raw(item, at),
        )

    async def create(self, event: str, wanted: Wanted, attempt: str, before_write: BeforeWrite) -> str:
        """Create an item that is not active, then its quota, read both back, and only then put it on sale.

        Where the mapping does not say whether it is active, it is so from the beginning: without a quota nothing of it is sold.
        """
        await self._need_property(event, before_write)
        await self._items.none_yet(event, wanted.ticket)
        fields = {**wanted.initial, **wanted.fields}
        fields.setdefault("internal_name", marked(wanted.name, wanted.ticket))
        body = {
            **self._written(fields, {}),
            "active": "active" not in wanted.fields and fields.get("active", True),
            "meta_data": {META: wanted.ticket},
        }
        if wanted.options:
            body["variations"] = [
                pretix_options.body(one.id, one.fields, self._languages.options) for one in wanted.options
            ]
        created = await self._api.created("create", event, "items/", body, before_write, attempt=attempt)
        work = Work(self._api, event, str(created["id"]), (wanted.ticket,), before_write)
        try:
            await work.item()
        except TargetUnsure as error:
            # It answers a repeated request as it did the first time, even where that item has been deleted since.
            raise TargetUnsure(
                f"{error}; pretix answered its creation as it did an earlier one", replayed=True
            ) from None
        self._items.made(event, wanted.ticket, work.key)
        if LIMIT in fields:
            await self._quotas.ensure(work, wanted.ticket, fields[LIMIT], attempt=attempt)
        if wanted.fields.get("active") is True:
            await work.patch(lambda _: {"active": True})
        return work.key

    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        """Write what *operation* names: off sale, a lower limit and fewer options first; more of them, and on sale, last."""
        work = self._work(event, record, before_write, wanted.ticket)
        changes = {one.name: one.wix for one in operation.fields}
        opens = changes.pop("active", None)
        if opens is False:
            await work.patch(lambda _: {"active": False})
        has_limit, size = LIMIT in changes, changes.pop(LIMIT, None)
        lower = has_limit and LIMIT in record.fields and _lower(size, record.fields[LIMIT])
        if lower:
            await self._quotas.ensure(work, wanted.ticket, size)
        kept = await pretix_options.close(work, operation.options)
        if changes:
            await work.patch(lambda item: self._written(changes, item))
        new = await pretix_options.write(work, wanted, operation.options, self._languages.options)
        if has_limit and (new or not lower):
            await self._quotas.ensure(work, wanted.ticket, size)
        elif new:
            await self._quotas.add(work, wanted.ticket)
        for one in kept if new else ():
            await pretix_options.delete(work, one)
        if opens is True:
            await work.patch(lambda _: {"active": True})

    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        """Take an item off sale; with *delete* delete it and its quota, where pretix allows that: what has orders stays."""
        work = self._work(event, record, before_write, record.ticket)
        try:
            await self._close(work, record, delete=delete)
        except TargetUnsure:
            # Somebody deleted it meanwhile: then it is not sold any more either.
            if not await work.gone():
                raise

    async def _close(self, work: Work, record: Record, *, delete: bool) -> None:
        if await work.gone():
            return
        event = work.event
        if delete:
            ours = [
                one
                for one in await self._quotas.of(event, [int(work.key)])
                if one.get("name") == mark_of(record.ticket)
            ]
            if deleted(await work.write("delete", "DELETE", work.path, lambda _: None, expected=(403, 404))):
                for one in ours:
                    await work.delete_quota(one["id"], record.ticket, lambda quota: only(quota, work.key))
                return
        if (await work.item()).get("active") is not False:
            await work.patch(lambda _: {"active": False})

    async def mark(self, event: str, record: Record, ticket: TicketId | None, before_write: BeforeWrite) -> None:
        """Write the Wix id into an item's meta data and internal name, or remove it from both; all else in them stays."""
        if ticket:
            await self._need_property(event, before_write)
        work = self._work(event, record, before_write, record.ticket, ticket or "")

        def body(item: Json) -> Json:
            others = {name: value for name, value in members(item.get("meta_data")).items() if name != META}
            name = unmarked(text(item.get("internal_name")) or "", wix_id(item))
            if ticket:
                name = marked(name or any_text(item.get("name"), self._languages.items["name"]), ticket)
            return {"meta_data": {**others, META: ticket} if ticket else others, "internal_name": name or None}

        if ticket:
            await self._quotas.give(work, ticket)
        else:
            # Of an item that is replaced the quota stays, with what was sold of it, and the new one is put into it, too.
            await self._quotas.of(event, [int(work.key)])
        await work.write("mark", "PATCH", work.path, body)
        work.forget()
        work.ids = (ticket or "",)
        await work.item()
        if ticket:
            self._items.made(event, ticket, work.key)

    def _work(self, event: str, record: Record, before_write: BeforeWrite, *ids: str) -> Work:
        raw = record.raw
        if isinstance(raw, _Raw) and wix_id(raw.item) in ids:
            return Work(self._api, event, record.key, ids, before_write, item=raw.item, at=raw.at)
        return Work(self._api, event, record.key, ids, before_write)

    def _written(self, fields: Fields, has: Mapping[str, Any]) -> Json:
        """What a request has of an item's fields; its quota, and whether it is on sale, are written apart."""
        return {
            name: written(name, value, has, self._languages.items)
            for name, value in fields.items()
            if name not in (LIMIT, "active")
        }

    async def _need_property(self, event: str, before_write: BeforeWrite) -> None:
        """Make the event's meta property for the Wix id where it is missing; all others stay.

        A PATCH of the event would do it as well, and delete all other properties with their values. Nothing in pretix is unique, so it is
        looked for just before, under the lease. Raises TargetForbidden where pretix refuses it: no ticket can be written then.
        """
        if time.monotonic() - self._has_property.get(event, -PROPERTY_KNOWN) < PROPERTY_KNOWN:
            return
        await self._event(event)
        if event not in self._has_property:
            try:
                await self._api.created("property", event, "item_meta_properties/", _PROPERTY, before_write)
            except TargetRefused as error:
                raise TargetForbidden(
                    f"{str(error).rstrip('.')}: give the token's team the permission General settings (view and change), or make"
                    f" the property yourself: in pretix's event {event}, Settings → General → Item metadata, named {META}, with"
                    " an empty default"
                ) from None
            self._has_property[event] = time.monotonic()


def _lower(size: Value, than: Value) -> bool:
    return isinstance(size, int) and (not isinstance(than, int) or size < than)
