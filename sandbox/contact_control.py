"""The part of the sandbox's own API that fills it with contacts: /sandbox/contacts, labels, extended fields, subscriptions.

In: JSON. Out: JSON, or Refused, which control.py answers.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request

from sandbox import requests, validation
from sandbox.contacts import DATA_TYPES, DELIVERABILITY, STATUSES, Contact, ContactBook
from sandbox.errors import Invalid

Json = dict[str, Any]
MEMBERS = ("email", "first", "last", "locale", "labels", "fields")


class ContactControl:
    """The routes of one site's contacts."""

    def __init__(self, book: ContactBook) -> None:
        self._book = book

    def methods(self) -> list[tuple[str, str, Callable[[Request], Awaitable[Json]]]]:
        """Method, path below /sandbox, and handler of each."""
        return [
            ("GET", "/contacts", self._show),
            ("POST", "/contacts", self._create),
            ("PATCH", "/contacts/{id}", self._update),
            ("DELETE", "/contacts/{id}", self._delete),
            ("POST", "/labels", self._label),
            ("POST", "/extended-fields", self._field),
            ("POST", "/subscriptions", self._subscribe),
        ]

    async def _show(self, _: Request) -> Json:
        return {"contacts": [self._to_json(one) for one in self._book.contacts.values()]}

    async def _create(self, request: Request) -> Json:
        asked = await requests.body(request)
        many = asked.get("contacts", [asked])
        if not isinstance(many, list):
            raise Invalid("contacts", "a list of contacts")
        # All are read before the first one is created: a request has its effect as a whole, or none.
        read = [(_values(one), _status(one)) for one in many]
        made = []
        for values, (status, deliverability) in read:
            contact = self._book.create(**values)
            if contact.email and (status or deliverability):
                self._book.subscribe(contact.email, status, deliverability)
            made.append(contact.id)
        return {"contacts": made}

    async def _update(self, request: Request) -> Json:
        asked = await requests.body(request)
        contact = self._book.update(_id(request), **_values(asked))
        status, deliverability = _status(asked)
        if contact.email and (status or deliverability):
            self._book.subscribe(contact.email, status, deliverability)
        return {"contact": self._to_json(contact)}

    async def _delete(self, request: Request) -> Json:
        self._book.delete(_id(request))
        return {}

    async def _label(self, request: Request) -> Json:
        asked = await requests.body(request)
        return {"label": self._book.label(_text(asked, "key"), asked.get("name") or "").key}

    async def _field(self, request: Request) -> Json:
        asked = await requests.body(request)
        kind = _one_of(asked.get("type", "TEXT"), "type", DATA_TYPES) or "TEXT"
        return {"field": self._book.field(_text(asked, "key"), kind, asked.get("name") or "").key}

    async def _subscribe(self, request: Request) -> Json:
        asked = await requests.body(request)
        found = self._book.subscribe(_text(asked, "email"), *_status(asked))
        return {"status": found.status, "deliverability": found.deliverability}

    def _to_json(self, contact: Contact) -> Json:
        subscription = self._book.subscription(contact.email)
        return {
            "id": contact.id,
            "email": contact.email,
            "locale": contact.locale,
            "labels": list(contact.labels),
            "fields": dict(contact.fields),
            "status": subscription.status if subscription else "NOT_SET",
            "deliverability": subscription.deliverability if subscription else "NOT_SET",
        }


def _values(sent: Any) -> dict[str, Any]:
    given = {name: value for name, value in validation.mapping(sent, "contact").items() if name in MEMBERS}
    for name in ("email", "first", "last", "locale"):
        if not isinstance(given.get(name, ""), str):
            raise Invalid(name, "it is not a string")
    if "labels" in given:
        labels = given["labels"]
        if not isinstance(labels, list) or not all(isinstance(one, str) for one in labels):
            raise Invalid("labels", "a list of label keys")
        given["labels"] = tuple(labels)
    if "fields" in given:
        given["fields"] = dict(validation.mapping(given["fields"], "fields"))
    return given


def _status(sent: Json) -> tuple[str | None, str | None]:
    status = _one_of(sent.get("status"), "status", STATUSES)
    return status, _one_of(sent.get("deliverability"), "deliverability", DELIVERABILITY)


def _one_of(value: Any, name: str, known: tuple[str, ...]) -> str | None:
    if value is not None and value not in known:
        raise Invalid(name, f"one of {', '.join(known)}")
    return None if value is None else str(value)


def _text(sent: Json, name: str) -> str:
    if not isinstance(sent.get(name), str) or not sent[name]:
        raise Invalid(name, "it is not a string")
    return str(sent[name])


def _id(request: Request) -> str:
    return validation.guid(request.path_params["id"], "id")
