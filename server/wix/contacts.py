"""What notify reads and writes of a site's contacts at Wix: labels, email subscriptions, one extended field.

In: a site, and what to do. Out: values, or the errors of calls.py; WixUnavailable where an answer has not the members that it must have.
An address stands in the content of a request only, never in a path, which others would log.
Sources: Wix, "Contacts V4" (Query Contacts, Get Contact, Update Contact, Bulk Update Contacts), "Bulk Jobs" (Get Bulk Job), "Labels" (List
Labels), "Extended Fields" (List Extended Fields), "Email Subscriptions" (in preview), and the types of Wix's JavaScript clients for
contacts (1.0.1375) and email subscriptions (1.0.8). Not documented: how many addresses a query for subscriptions may name (so 100, as
many as a bulk upsert takes), whether capital letters of an address count there (so they do not), in what Get Bulk Job wraps its answer
(so it may be in `job`, or not wrapped), and how an extended field is emptied (so null).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from server.errors import WixUnavailable
from server.model import SiteId
from server.wix.calls import Calls, Pay
from server.wix.members import members, objects, text

CONTACTS, BULK = "/contacts/v4/contacts", "/contacts/v4/bulk"
SUBSCRIPTIONS = "/email-marketing/v1/email-subscriptions"
MOST_CONTACTS = 1000
"""Contacts of one page at most (Wix: paging.limit)."""
MOST_ADDRESSES = 100
"""Addresses of one query for subscriptions; not documented, see above."""
DELIVERABLE = {None, "NOT_SET", "VALID"}
"""Statuses of an address to which mail may go: not BOUNCED, SPAM_COMPLAINT, INACTIVE."""
MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact: its primary `address` ("" = none), its language as Wix writes it (`en-US`), its extended fields by key."""

    id: str
    address: str
    locale: str = ""
    revision: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contacts:
    """Some contacts, and how many there are in all; None where Wix has not counted them."""

    contacts: tuple[Contact, ...]
    total: int | None


@dataclass(frozen=True, slots=True)
class Job:
    """How far a bulk job is: for how many contacts it has failed, of how many."""

    done: bool
    failed: int
    total: int


class ContactCalls:
    """The calls for contacts of one site; each of *pay* pays for a second call, as in calls.py."""

    def __init__(self, calls: Calls, site: SiteId) -> None:
        self._calls = calls
        self.site = site

    async def labelled(self, label: str, offset: int, limit: int, pay: Pay, *, fields: bool = False) -> Contacts:
        """The contacts with this label in the order of their creation; *fields*: with their extended fields."""
        query = {
            "filter": having(label),
            "sort": [{"fieldName": "createdDate", "order": "ASC"}],
            "paging": {"limit": min(limit, MOST_CONTACTS), "offset": offset},
            "fields": ["primaryInfo", "info.extendedFields" if fields else "info.locale"],
        }
        answer = await self._call("contacts", "POST", f"{CONTACTS}/query", pay, {"query": query})
        metadata = members(answer.get("pagingMetadata"))
        total = None if metadata.get("tooManyToCount") is True else metadata.get("total")
        return Contacts(
            tuple(_contact(one) for one in _listed(answer, "contacts")), total if isinstance(total, int) else None
        )

    async def contact(self, id_: str, pay: Pay) -> Contact:
        """One contact, with its extended fields. Raises NotThere."""
        answer = await self._call("contact", "GET", f"{CONTACTS}/{id_}", pay)
        return _contact(members(answer.get("contact")))

    async def subscribed(self, addresses: Sequence[str], pay: Pay) -> frozenset[str]:
        """Those of at most 100 addresses, in small letters, whose owner has subscribed and which take mail."""
        body = {
            "filter": {"email": {"$in": list(addresses)}},
            "paging": {"limit": MOST_ADDRESSES, "offset": 0},
        }
        answer = await self._call("subscriptions", "POST", f"{SUBSCRIPTIONS}/query", pay, body)
        return frozenset(
            (text(one.get("email")) or "").lower()
            for one in _listed(answer, "subscriptions")
            if one.get("subscriptionStatus") == "SUBSCRIBED" and one.get("deliverabilityStatus") in DELIVERABLE
        )

    async def unsubscribe(self, address: str, pay: Pay) -> None:
        """Write that the owner of this address has unsubscribed, whether Wix knows it or not."""
        subscription = {"email": address, "subscriptionStatus": "UNSUBSCRIBED"}
        answer = await self._call("unsubscribe", "POST", SUBSCRIPTIONS, pay, {"subscription": subscription})
        if members(answer.get("subscription")).get("subscriptionStatus") != "UNSUBSCRIBED":
            raise WixUnavailable(f"Wix did not unsubscribe an address of site {self.site}", status=200)

    async def labels(self, pay: Pay) -> list[str]:
        """The keys of the labels that there are."""
        answer = await self._call("labels", "GET", "/contacts/v4/labels", pay)
        return [key for one in _listed(answer, "labels") if (key := text(one.get("key")))]

    async def extended_fields(self, pay: Pay) -> dict[str, str]:
        """The types (TEXT, NUMBER, DATE, URL) of the extended fields that there are, by key: at most 100 are a site's own."""
        params = [("fieldType", "USER_DEFINED"), ("paging.limit", str(MOST_KEYS))]
        path = f"/contacts/v4/extended-fields?{urlencode(params)}"
        answer = await self._call("extended_fields", "GET", path, pay)
        return {
            key: text(one.get("dataType")) or "" for one in _listed(answer, "fields") if (key := text(one.get("key")))
        }

    async def update_all(self, filter_: Mapping[str, Any], fields: Mapping[str, Any], pay: Pay) -> str:
        """Begin to write these extended fields of all contacts that match; answers the id of the job."""
        body = {"filter": filter_, "info": {"extendedFields": {"items": fields}}}
        answer = await self._call("update_contacts", "POST", f"{BULK}/contacts/update", pay, body)
        job = text(answer.get("jobId"))
        if not job:
            raise WixUnavailable(f"Wix began no bulk job for the contacts of site {self.site}", status=200)
        return job

    async def job(self, id_: str, pay: Pay) -> Job:
        """How far a bulk job is."""
        answer = await self._call("bulk_job", "GET", f"{BULK}/jobs/{id_}", pay)
        job = members(answer.get("job")) or answer
        failed, total = (
            value if isinstance(value := job.get(name), int) else 0 for name in ("failedTotal", "totalItems")
        )
        return Job(job.get("status") == "COMPLETED", failed, total)

    async def update(self, contact: Contact, fields: Mapping[str, Any], pay: Pay) -> None:
        """Write these extended fields of a contact; Wix refuses it where the contact has changed since it was read."""
        body = {"revision": contact.revision, "info": {"extendedFields": {"items": fields}}}
        await self._call("update_contact", "PATCH", f"{CONTACTS}/{contact.id}", pay, body)

    async def _call(self, kind: str, method: str, path: str, pay: Pay, json: Any = None) -> dict[str, Any]:
        content = {} if json is None else {"json": json}
        return await self._calls.call(self.site, kind, method, path, pay, **content)


def having(label: str) -> Mapping[str, Any]:
    """The filter for contacts with this label."""
    return {"info.labelKeys": {"$hasAll": [label]}}


def _contact(json: Mapping[str, Any]) -> Contact:
    info, revision = members(json.get("info")), json.get("revision")
    return Contact(
        id=text(json.get("id")) or "",
        address=text(members(json.get("primaryInfo")).get("email")) or "",
        locale=text(info.get("locale")) or "",
        revision=revision if isinstance(revision, int) else 0,
        fields=members(members(info.get("extendedFields")).get("items")),
    )


def _listed(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    if not isinstance(answer.get(name), list):
        raise WixUnavailable(f"Wix's answer has no {name}", status=200)
    return list(objects(answer[name]))
