"""The contacts of the site, their labels and extended fields, the email subscriptions, and bulk jobs.

In: changes. Out: values, or NotFound, StaleRevision, Invalid. An email subscription belongs to an address, whether a contact
has it or not. A bulk job has its effect at once, and is reported as running until it is `job_seconds` old.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sandbox.clock import Clock
from sandbox.errors import Invalid, NotFound, StaleRevision

STATUSES = ("UNKNOWN", "NOT_SET", "PENDING", "SUBSCRIBED", "UNSUBSCRIBED")
DELIVERABILITY = ("NOT_SET", "VALID", "BOUNCED", "SPAM_COMPLAINT", "INACTIVE")
DATA_TYPES = ("TEXT", "NUMBER", "DATE", "URL")

FieldValues = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact: `email` is its primary address ('' = none), `labels` are keys, `fields` the values of extended fields by key."""

    id: str
    position: int
    created: float
    updated: float
    email: str = ""
    first: str | None = None
    last: str | None = None
    locale: str | None = None
    labels: tuple[str, ...] = ()
    fields: FieldValues = field(default_factory=dict)
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Subscription:
    """What Wix Email Marketing knows of one address."""

    id: str
    email: str
    status: str
    deliverability: str
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class Label:
    """A label that contacts may have."""

    key: str
    name: str
    created: float


@dataclass(frozen=True, slots=True)
class ExtendedField:
    """An extended field that contacts may have: `kind` is one of DATA_TYPES."""

    key: str
    name: str
    kind: str
    created: float


@dataclass(frozen=True, slots=True)
class Job:
    """A bulk job: how many contacts it found, and why it failed for some."""

    id: str
    started: float
    total: int
    errors: tuple[str, ...]


class ContactBook:
    """All of it. *new_id* makes GUIDs."""

    def __init__(self, clock: Clock, new_id: Callable[[], str]) -> None:
        self.now = clock
        self._new_id = new_id
        self._count = 0
        self.contacts: dict[str, Contact] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.labels: dict[str, Label] = {}
        self.fields: dict[str, ExtendedField] = {}
        self.jobs: dict[str, Job] = {}

    # -- contacts --

    def contact(self, id_: str) -> Contact:
        """One contact. Raises NotFound."""
        if id_ not in self.contacts:
            raise NotFound(f"there is no contact {id_}")
        return self.contacts[id_]

    def create(self, **values: Any) -> Contact:
        """A new contact; its labels are created if they do not exist. Raises Invalid."""
        self._know(values.get("labels", ()))
        self._check(values.get("fields", {}))
        self._count += 1
        at = self.now()
        made = Contact(self._new_id(), self._count, at, at, **values)
        self.contacts[made.id] = made
        return made

    def update(self, id_: str, revision: int | None = None, *, replaces: bool = False, **values: Any) -> Contact:
        """Change a contact; *revision* None = whatever it is. Raises NotFound, StaleRevision, Invalid.

        The extended fields that are given are changed, and null removes one; *replaces*: those that are not given are removed.
        """
        known = self.contact(id_)
        if revision is not None and revision != known.revision:
            raise StaleRevision(f"the revision is {known.revision}")
        self._know(values.get("labels", ()))
        if "fields" in values:
            self._check(values["fields"])
            merged = {**({} if replaces else known.fields), **values["fields"]}
            values["fields"] = {key: value for key, value in merged.items() if value not in (None, "")}
        changed = replace(known, **values, revision=known.revision + 1, updated=self.now())
        self.contacts[id_] = changed
        return changed

    def delete(self, id_: str) -> None:
        """Delete a contact; the subscription of its address stays. Raises NotFound."""
        del self.contacts[self.contact(id_).id]

    def update_all(self, found: Iterable[Contact], *, replaces: bool = False, **values: Any) -> Job:
        """A bulk job: change all these contacts; what cannot be changed is counted."""
        contacts, errors = list(found), []
        for one in contacts:
            try:
                self.update(one.id, replaces=replaces, **values)
            except Invalid as error:
                errors.append(str(error))
        job = Job(self._new_id(), self.now(), len(contacts), tuple(errors))
        self.jobs[job.id] = job
        return job

    def job(self, id_: str) -> Job:
        """One bulk job. Raises NotFound."""
        if id_ not in self.jobs:
            raise NotFound(f"there is no bulk job {id_}")
        return self.jobs[id_]

    # -- labels, extended fields --

    def label(self, key: str, name: str = "") -> Label:
        """The label with this key, which is created if there is none."""
        return self.labels.setdefault(key, Label(key, name or key.rpartition(".")[2], self.now()))

    def field(self, key: str, kind: str, name: str = "") -> ExtendedField:
        """The extended field with this key, which is created if there is none."""
        return self.fields.setdefault(key, ExtendedField(key, name or key.rpartition(".")[2], kind, self.now()))

    def _know(self, labels: Iterable[str]) -> None:
        for key in labels:
            self.label(key)

    def _check(self, values: FieldValues) -> None:
        for key, value in values.items():
            where = f"info.extendedFields.items.{key}"
            known = self.fields.get(key)
            if known is None:
                raise Invalid(where, "there is no such extended field")
            if value not in (None, "") and not _fits(known.kind, value):
                raise Invalid(where, f"value is not a {known.kind}", "FORMAT")

    # -- subscriptions --

    def subscription(self, email: str) -> Subscription | None:
        """What is known of an address; capital letters make no difference."""
        return self.subscriptions.get(email.lower())

    def subscribe(self, email: str, status: str | None = None, deliverability: str | None = None) -> Subscription:
        """Update the subscription of an address, or create it. None = as it is, of a new one NOT_SET."""
        at, known = self.now(), self.subscription(email)
        if known is None:
            known = Subscription(self._new_id(), email, "NOT_SET", "NOT_SET", at, at)
        changed = replace(
            known, status=status or known.status, deliverability=deliverability or known.deliverability, updated=at
        )
        self.subscriptions[email.lower()] = changed
        return changed


def _fits(kind: str, value: Any) -> bool:
    if kind == "NUMBER":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if kind != "DATE":
        return True
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
