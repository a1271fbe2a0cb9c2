"""Wix's API for contacts: Contacts V4 with its bulk jobs, and what there are of labels and extended fields.

In: HTTP requests. Out: Wix's JSON and statuses.
Sources: Wix, "Contacts V4" (Query, Get, Update, Bulk Update; supported filters and sorting), "Bulk Jobs" (Get), "Labels" (List),
"Extended Fields" (List); the types of its JavaScript client for contacts, 1.0.1375. What those leave open, and is therefore
uncertain here:

- Whether an update of some extended fields leaves the others alone: the knob `update_replaces_fields`.
- How the answer to Get Bulk Job is wrapped: here in `job`.
- How an extended field is emptied: here by null or an empty text.
- How long a bulk job takes: the knob `job_seconds`.
- Labels and extended fields have permissions of their own at Wix (Manage Contact Labels, Manage Contact Extended Fields); here the knob
  `contacts` is for all.
- The revision: the types say a number; a text of digits is taken as well.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from sandbox import query, requests, validation
from sandbox.calls import BULK_UPDATE, GET_CONTACT, GET_JOB, LIST_FIELDS, LIST_LABELS, QUERY_CONTACTS, UPDATE_CONTACT
from sandbox.clock import iso
from sandbox.contacts import Contact, ContactBook, ExtendedField, Job, Label
from sandbox.errors import Invalid
from sandbox.filters import matching
from sandbox.knobs import LiveKnobs
from sandbox.middleware import Middleware
from sandbox.queryable import CONTACTS

PREFIX = "/contacts/v4"

FIELDS = frozenset(
    {
        *("source", "createdDate", "updatedDate", "lastActivity", "primaryInfo"),
        *(
            f"info.{name}"
            for name in (
                *("name", "emails", "phones", "addresses", "company", "jobTitle", "picture", "birthdate", "locale"),
                *("labelKeys", "locations", "extendedFields"),
            )
        ),
    }
)
"""The fields that a query may ask for one by one; `id` and `revision` are always answered."""
FIELDSETS: Mapping[str, frozenset[str]] = {
    "BASIC": frozenset({"primaryInfo", "info.name"}),
    "COMMUNICATION_DETAILS": frozenset({"primaryInfo", "info.name", "info.emails", "info.phones", "info.addresses"}),
    "EXTENDED": frozenset({"primaryInfo", "info.name", "info.extendedFields"}),
}
FULL = "FULL"
MAX_FIELDS, MAX_FIELDSETS = 100, 10
MAX_LABELS, LABELS = 2000, 1000
EXTENDED_FIELDS = 100

Json = dict[str, Any]


class ContactsApi:
    """The API over the contacts of one site."""

    def __init__(self, book: ContactBook, knobs: LiveKnobs, middleware: Middleware) -> None:
        self._book = book
        self._knobs = knobs
        self._middleware = middleware

    def routes(self) -> list[BaseRoute]:
        """All routes, each wrapped by the middleware."""
        methods: list[tuple[str, str, str, Callable[[Request], Awaitable[Json]]]] = [
            (QUERY_CONTACTS, "POST", "/contacts/query", self._query),
            (GET_CONTACT, "GET", "/contacts/{id}", self._get),
            (UPDATE_CONTACT, "PATCH", "/contacts/{id}", self._update),
            (BULK_UPDATE, "POST", "/bulk/contacts/update", self._bulk_update),
            (GET_JOB, "GET", "/bulk/jobs/{id}", self._job),
            (LIST_LABELS, "GET", "/labels", self._labels),
            (LIST_FIELDS, "GET", "/extended-fields", self._fields),
        ]
        return [
            Route(PREFIX + path, self._middleware.wrap(kind, requests.endpoint(handler)), methods=[method])
            for kind, method, path, handler in methods
        ]

    async def _query(self, request: Request) -> Json:
        asked = validation.mapping((await requests.body(request)).get("query", {}), "query")
        names = requests.fields(asked.get("fields"), FIELDS, MAX_FIELDS)
        sets = requests.fields(asked.get("fieldsets"), {*FIELDSETS, FULL}, MAX_FIELDSETS)
        shown = None if FULL in sets or not (names or sets) else names.union(*(FIELDSETS[one] for one in sets))
        page = query.page(asked, self._book.contacts.values(), CONTACTS)
        return {"contacts": [self._to_json(one, shown) for one in page.items], "pagingMetadata": page.metadata}

    async def _get(self, request: Request) -> Json:
        return {"contact": self._to_json(self._book.contact(_id(request)))}

    async def _update(self, request: Request) -> Json:
        asked = await requests.body(request)
        revision = asked.get("revision")
        if isinstance(revision, str) and revision.isdecimal():
            revision = int(revision)
        if isinstance(revision, bool) or not isinstance(revision, int):
            raise Invalid("revision", "value is required", "REQUIRED_FIELD")
        changed = self._book.update(
            _id(request), revision, replaces=self._knobs.now.update_replaces_fields, **info_fields(asked.get("info"))
        )
        return {"contact": self._to_json(changed)}

    async def _bulk_update(self, request: Request) -> Json:
        asked = await requests.body(request)
        if not asked.get("filter"):
            raise Invalid("filter", "value is required", "REQUIRED_FIELD")
        found = matching(asked["filter"], self._book.contacts.values(), CONTACTS.fields)
        values = info_fields(asked.get("info"))
        job = self._book.update_all(found, replaces=self._knobs.now.update_replaces_fields, **values)
        return {"jobId": job.id}

    async def _job(self, request: Request) -> Json:
        return {"job": self._job_json(self._book.job(_id(request)))}

    async def _labels(self, request: Request) -> Json:
        return _listed("labels", [_label(one) for one in self._book.labels.values()], request, LABELS, MAX_LABELS)

    async def _fields(self, request: Request) -> Json:
        known = [_field(one) for one in self._book.fields.values()]
        return _listed("fields", known, request, EXTENDED_FIELDS, EXTENDED_FIELDS)

    def _job_json(self, job: Job) -> Json:
        ends = job.started + self._knobs.now.job_seconds
        completed = self._book.now() >= ends
        json: Json = {
            "id": job.id,
            "type": "UPDATE",
            "status": "COMPLETED" if completed else "RUNNING",
            "startedDate": iso(job.started),
            "totalItems": job.total,
        }
        if completed:
            json |= {"finishedDate": iso(ends), "successTotal": job.total - len(job.errors)}
            json |= {"failedTotal": len(job.errors), "errors": [{"message": one} for one in job.errors]}
        return json

    def _to_json(self, contact: Contact, shown: frozenset[str] | None = None) -> Json:
        """A contact as Wix's JSON: *shown* are the fields that were asked for, None = all. What has no value is left out."""
        subscription = self._book.subscription(contact.email)
        email = [{"email": contact.email, "primary": True, "tag": "UNTAGGED"}] if contact.email else []
        name = {"first": contact.first, "last": contact.last}
        known = {
            "createdDate": iso(contact.created),
            "updatedDate": iso(contact.updated),
            "source": {"sourceType": "IMPORT"},
            "primaryInfo": {"email": contact.email} if contact.email else None,
            "info.name": {key: value for key, value in name.items() if value is not None} or None,
            "info.emails": {"items": email} if email else None,
            "info.locale": contact.locale,
            "info.labelKeys": {"items": list(contact.labels)} if contact.labels else None,
            "info.extendedFields": {"items": dict(contact.fields)} if contact.fields else None,
        }
        json: Json = {"id": contact.id, "revision": contact.revision, "info": {}}
        for key, value in known.items():
            if value is None or (shown is not None and key not in shown):
                continue
            parent, _, member = key.rpartition(".")
            (json[parent] if parent else json)[member] = value
        if not json["info"]:
            del json["info"]
        if shown is None and contact.email:
            json["primaryEmail"] = {
                "email": contact.email,
                "subscriptionStatus": subscription.status if subscription else "NOT_SET",
                "deliverabilityStatus": subscription.deliverability if subscription else "NOT_SET",
            }
        return json


def info_fields(info: Any) -> dict[str, Any]:
    """The values of a contact in the `info` of a request. Raises Invalid."""
    sent = validation.mapping(info, "info")
    values: dict[str, Any] = {}
    if "locale" in sent:
        values["locale"] = validation.text(2, 35)(sent["locale"], "info.locale")
    if "extendedFields" in sent:
        wrapped = validation.mapping(sent["extendedFields"], "info.extendedFields")
        values["fields"] = dict(validation.mapping(wrapped.get("items", {}), "info.extendedFields.items"))
    if not values:
        raise Invalid("info", "it has none of the members that can be changed here: locale, extendedFields")
    return values


def _label(label: Label) -> Json:
    return {
        **_named(label.key, label.name, label.created),
        "labelType": "USER_DEFINED",
        "namespaceDisplayName": "Labels",
    }


def _field(field: ExtendedField) -> Json:
    return {
        **_named(field.key, field.name, field.created),
        "dataType": field.kind,
        "fieldType": "USER_DEFINED",
    }


def _named(key: str, name: str, created: float) -> Json:
    at = iso(created)
    namespace = key.partition(".")[0]
    return {"namespace": namespace, "key": key, "displayName": name, "createdDate": at, "updatedDate": at}


def _listed(name: str, all_: list[Json], request: Request, default: int, most: int) -> Json:
    limit = _number(request, "paging.limit", default, most)
    offset = _number(request, "paging.offset", 0, 2**31 - 1)
    shown = all_[offset : offset + limit]
    return {name: shown, "metadata": {"count": len(shown), "offset": offset, "total": len(all_)}}


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or len(text) > 10 or int(text) > most:
        raise Invalid(name, f"must be between 0 and {most}", "MAX")
    return int(text)


def _id(request: Request) -> str:
    return validation.guid(request.path_params["id"], "id")
