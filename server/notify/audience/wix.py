"""Contacts of a Wix site that have a label, and have subscribed to its mails.

In: `label`, such as custom.early-birds. Out: its contacts whose address Wix Email Marketing knows as SUBSCRIBED, with deliverability VALID
or NOT_SET. server/wix/contacts.py names the endpoints, their source, and what is not documented.

Each call is paid from the site's budget, after the reads of its tickets, and so is limited to 3 a second, which the counter needs as
well. So members are not asked for one by one (`asks_each`): at 25 mails a second that would take the whole budget, and more. A page of
100 costs two calls, and its age is limited by its reader. A fault of this API does not pause the counter, except for status 429, which
is for all of the site.

An opt-out is of the whole site: Wix has one subscription of an address, whatever labels its contact has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from server.errors import (
    AudienceRefused,
    AudienceUnavailable,
    NotStarted,
    NotThere,
    WixForbidden,
    WixRefused,
    WixUnavailable,
)
from server.notify.audience.source import Consent, Kind, Member, Page, SaleDate, SourceContext
from server.notify.config import EventAudience
from server.store.budget import Priority, Wait
from server.wix import cures
from server.wix.calls import Pay
from server.wix.contacts import MOST_ADDRESSES, Contact, ContactCalls, having

PAID_WITHIN = 30.0
"""Seconds to wait for the budget before a call: it is refilled within 4 s, and a pause after a fault lasts 8 s as a rule."""
JOB_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between looks at a bulk job, of which each costs a call."""
CUSTOM = "custom."
"""What keys of a site's own extended fields begin with."""
TRIED_AMONG = 100
MOST_NAMES = 20

T = TypeVar("T")


class WixLabel:
    """The contacts of one site with one label."""

    KIND = Kind(
        "wix",
        "Wix contacts",
        event={"label": "the key of the contacts' label, such as custom.early-birds"},
        date_field="the key of an extended field of contacts, of type date or text, such as custom.next-sale",
    )

    asks_each = False
    takes_sign_ups = False

    def __init__(self, audience: EventAudience, context: SourceContext) -> None:
        if context.wix is None or context.schedule is None:
            raise NotStarted(
                "contacts of Wix need the settings of a site: WIX_APP_ID and WIX_APP_SECRET, or WIX_API_KEY"
            )
        self.label = audience.audience["label"].strip()
        self.site = context.site
        self.place = f"wix {self.site}"
        self.date_field = audience.date_field
        self._line = audience.line
        self._schedule = context.schedule
        self._contacts = ContactCalls(context.wix, self.site)
        self._keeps_other_fields = False

    async def aclose(self) -> None:
        """Nothing: the connections to Wix belong to its client."""

    async def count(self) -> int:
        """How many contacts have the label, subscribed or not; raises AudienceRefused where there is no such label."""
        found = await self._paid(lambda pay: self._contacts.labelled(self.label, 0, 1, pay))
        if not found.contacts:
            labels = await self._paid(self._contacts.labels)
            if self.label not in labels:
                raise AudienceRefused(
                    f"Wix knows no label {self.label} on site {self.site}, which notify.toml names in line {self._line}. "
                    f"Labels there: {_names(labels)}"
                )
        return len(found.contacts) if found.total is None else found.total

    async def page(self, cursor: str | None, size: int) -> Page:
        """The subscribers among the next contacts with the label, the oldest first; the cursor is how many were before."""
        offset = int(cursor) if cursor and cursor.isdecimal() else 0
        found = await self._paid(lambda pay: self._contacts.labelled(self.label, offset, size, pay))
        if not offset and not found.contacts:
            await self.count()  # an unknown label is no empty one
        addresses = sorted({one.address.lower() for one in found.contacts if one.address})
        subscribed: set[str] = set()
        for begin in range(0, len(addresses), MOST_ADDRESSES):
            subscribed |= await self._subscribed(addresses[begin : begin + MOST_ADDRESSES])
        members = tuple(
            Member(one.address, one.id, one.locale) for one in found.contacts if one.address.lower() in subscribed
        )
        passed = offset + len(found.contacts)
        more = bool(found.contacts) and (found.total is None or passed < found.total)
        return Page(members, str(passed) if more else None)

    async def consent(self, member: Member) -> Consent:
        """Whether the member's address is still subscribed; this costs one call of the site's budget."""
        address = member.address.lower()
        return Consent(opted_in=address in await self._subscribed([address]), language=member.language)

    async def opt_out(self, address: str) -> None:
        """Write UNSUBSCRIBED at Wix, for all mails of the site."""
        await self._paid(lambda pay: self._contacts.unsubscribe(address, pay))

    async def sign_up(self, address: str, language: str) -> None:
        """Raises AudienceRefused: Wix's API cannot ask an owner of an address to confirm."""
        raise AudienceRefused("Wix cannot be given an address whose owner it would ask to confirm")

    async def hold_date(self, date: SaleDate) -> None:
        """Write this date in the extended field of all contacts with the label: its day in the event's zone, or its text.

        One bulk job at Wix does that, whatever their number. Whether it leaves other extended fields of a contact alone is not
        documented, so it is tried on one contact first.
        """
        key = self.date_field or ""
        value = _value(date, await self._type(key))
        if not self._keeps_other_fields:
            await self._try_on_one(key, value)
        await self._write(having(self.label), {key: value})

    async def _subscribed(self, addresses: Sequence[str]) -> frozenset[str]:
        return await self._paid(lambda pay: self._contacts.subscribed(addresses, pay))

    async def _type(self, key: str) -> str:
        known = await self._paid(self._contacts.extended_fields)
        if key not in known:
            raise AudienceRefused(
                f"Wix knows no extended field {key} of contacts on site {self.site}, which notify.toml names in line {self._line} or "
                f"after. Fields there: {_names(known)}"
            )
        if known[key] not in {"DATE", "TEXT"}:
            raise AudienceRefused(f"the extended field {key} holds {known[key]}: a date needs one of type date or text")
        return known[key]

    async def _try_on_one(self, key: str, value: str | None) -> None:
        """Write it to one contact that has another field of the site's own; raises AudienceRefused where that is lost."""
        found = await self._paid(lambda pay: self._contacts.labelled(self.label, 0, TRIED_AMONG, pay, fields=True))
        before = next((one for one in found.contacts if _others(one, key)), None)
        if before is None:
            return
        await self._write({"id": {"$in": [before.id]}}, {key: value})
        after = await self._paid(lambda pay: self._contacts.contact(before.id, pay))
        if lost := {name: known for name, known in _others(before, key).items() if name not in after.fields}:
            await self._paid(lambda pay: self._contacts.update(after, {**after.fields, **lost}, pay))
            raise AudienceRefused(
                f"Wix removes other extended fields of a contact where {key} is written: the date is not written. The one contact on "
                "which this was tried has them again"
            )
        if after.fields.get(key) != value:
            raise AudienceUnavailable(f"Wix does not show yet what was written in the extended field {key}")
        self._keeps_other_fields = True

    async def _write(self, filter_: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        job = await self._paid(lambda pay: self._contacts.update_all(filter_, fields, pay))
        for wait in JOB_WAITS:
            await asyncio.sleep(wait)
            progress = await self._paid(lambda pay: self._contacts.job(job, pay))
            if progress.done:
                break
        else:
            raise AudienceUnavailable(
                f"Wix has not ended the bulk job {job} within {sum(JOB_WAITS):g} s: it may end later"
            )
        if progress.failed:
            raise AudienceUnavailable(
                f"Wix could not write the date for {progress.failed} of {progress.total} contacts (bulk job {job})"
            )

    async def _paid(self, call: Callable[[Pay], Awaitable[T]]) -> T:
        """Make a call once the budget pays for it; raises AudienceUnavailable, AudienceRefused, RedisUnavailable."""
        version = await self._pay()
        answered = False
        try:
            found = await call(lambda: self._schedule.try_spend(self.site, Priority.REST))
        except WixForbidden as error:
            answered = True
            raise AudienceRefused(
                f"{error}: {cures.hint(error)} (an audience of Wix needs Manage Contacts and Manage Email Subscriptions, for labels "
                "also Manage Contact Labels, for the date Manage Contact Extended Fields)"
            ) from None
        except WixRefused as error:
            answered = True
            raise AudienceRefused(_without_addresses(str(error))) from None
        except NotThere as error:
            raise AudienceUnavailable(str(error), status=404) from None
        except WixUnavailable as error:
            # A person asked for this, or a campaign waits for it: whoever reads the text is told what to do.
            text = f"{error}: {cures.hint(error)}"
            if error.status == 429:
                await self._schedule.pause(self.site, None, error.retry_after)
            raise AudienceUnavailable(text, status=error.status, retry_after=error.retry_after) from None
        else:
            answered = True
            return found
        finally:
            await self._schedule.ended(self.site, version, good=answered)

    async def _pay(self) -> int:
        loop = asyncio.get_running_loop()
        ends = loop.time() + PAID_WITHIN
        while isinstance(version := await self._schedule.spend(self.site, Priority.REST), Wait):
            if loop.time() + version.seconds > ends:
                raise AudienceUnavailable(
                    f"no call to Wix may be made for site {self.site} for {version.seconds:.0f} s",
                    retry_after=version.seconds,
                )
            await asyncio.sleep(version.seconds)
        return version


def _value(date: SaleDate, kind: str) -> str | None:
    """The date as the field takes it (Wix: DATE is YYYY-MM-DD); None empties it."""
    return (str(datetime.fromisoformat(date.text).date()) if kind == "DATE" else date.text) if date.text else None


def _others(contact: Contact, key: str) -> dict[str, Any]:
    return {name: value for name, value in contact.fields.items() if name != key and name.startswith(CUSTOM)}


def _names(known: Any) -> str:
    return ", ".join(sorted(known)[:MOST_NAMES]) or "none"


def _without_addresses(text: str) -> str:
    return " ".join("…" if "@" in word else word for word in text.split())
