"""ContactCalls against the local Wix over HTTP, and against answers that Wix should not give."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from server.errors import NotThere, WixForbidden, WixRefused, WixUnavailable
from server.model import SiteId
from server.wix.client import Wix
from server.wix.contacts import ContactCalls, having
from server.wix.credentials import App
from tests.rig.fake_wix import Reply, running
from tests.rig.wix import WixRig, running_wix
from tests.rig.wix_client import APP, SITE_ID, pay

PATHS = {
    "labelled": "/contacts/query",
    "subscribed": "/email-subscriptions/query",
    "labels": "/labels",
    "extended_fields": "/extended-fields",
    "update_all": "/contacts/update",
    "unsubscribe": "/email-subscriptions",
}
LABEL, DATE, NOTE = "custom.early-birds", "custom.next-sale", "custom.note"


@pytest.fixture
async def sandbox() -> AsyncIterator[WixRig]:
    """The local Wix."""
    async with running_wix() as found:
        yield found


@pytest.fixture
async def contacts(sandbox: WixRig) -> AsyncIterator[ContactCalls]:
    """The calls to a sandbox whose bulk jobs end at once."""
    ids = sandbox.sandbox.site.ids
    sandbox.knobs.turn(job_seconds=0.0)
    sandbox.sandbox.contacts.field(DATE, "DATE")
    sandbox.sandbox.contacts.field(NOTE, "TEXT")
    async with aclosing(Wix(App(ids.app, ids.app_secret), sandbox.url)) as client:
        yield ContactCalls(client, SiteId(sandbox.site))


def fill(sandbox: WixRig, number: int, **values: Any) -> list[str]:
    """So many contacts with the label; answers their ids."""
    make = sandbox.sandbox.contacts.create
    return [make(email=f"{n}@example.com", labels=(LABEL,), locale="de-DE", **values).id for n in range(number)]


async def test_labelled_contacts_are_read_in_pages(sandbox: WixRig, contacts: ContactCalls) -> None:
    """Contacts with a label are answered in the order of their creation, with the total, and no more than what is needed of each."""
    ids = fill(sandbox, 3)
    sandbox.sandbox.contacts.create(email="other@example.com")

    found = await contacts.labelled(LABEL, 1, 5000, pay)
    with_fields = await contacts.labelled(LABEL, 0, 1, pay, fields=True)

    assert (3, ids[1:]) == (found.total, [one.id for one in found.contacts])
    assert ("1@example.com", "de-DE", 1, {}) == (
        found.contacts[0].address,
        found.contacts[0].locale,
        found.contacts[0].revision,
        found.contacts[0].fields,
    )
    assert ("", {}) == (with_fields.contacts[0].locale, with_fields.contacts[0].fields)


async def test_subscribed_are_those_who_take_mail(sandbox: WixRig, contacts: ContactCalls) -> None:
    """Only SUBSCRIBED with deliverability VALID or NOT_SET is a subscriber."""
    book = sandbox.sandbox.contacts
    kept = {("SUBSCRIBED", "VALID"), ("SUBSCRIBED", "NOT_SET")}
    every = [
        (status, deliverability)
        for status in ("UNKNOWN", "NOT_SET", "PENDING", "SUBSCRIBED", "UNSUBSCRIBED")
        for deliverability in ("NOT_SET", "VALID", "BOUNCED", "SPAM_COMPLAINT", "INACTIVE")
    ]
    for n, (status, deliverability) in enumerate(every):
        book.subscribe(f"{n}@Example.com", status, deliverability)

    found = await contacts.subscribed([f"{n}@example.com" for n in range(len(every) + 1)], pay)

    assert {f"{n}@example.com" for n, one in enumerate(every) if one in kept} == found


async def test_unsubscribed_address_stays_known(sandbox: WixRig, contacts: ContactCalls) -> None:
    """An opt-out is written for an address that Wix knows, and for one that it does not know."""
    sandbox.sandbox.contacts.subscribe("ada@example.com", "SUBSCRIBED", "VALID")

    for address in ("ada@example.com", "new@example.com"):
        await contacts.unsubscribe(address, pay)

    found = sandbox.sandbox.contacts.subscriptions
    assert {"ada@example.com": "UNSUBSCRIBED", "new@example.com": "UNSUBSCRIBED"} == {
        address: one.status for address, one in found.items()
    }


async def test_labels_and_fields_are_listed(sandbox: WixRig, contacts: ContactCalls) -> None:
    """The keys of labels, and extended fields with their types, are listed."""
    fill(sandbox, 1)

    assert [LABEL] == await contacts.labels(pay)
    assert {DATE: "DATE", NOTE: "TEXT"} == await contacts.extended_fields(pay)


async def test_all_contacts_are_updated_by_one_job(sandbox: WixRig, contacts: ContactCalls) -> None:
    """One job writes a field of all contacts that match, and says when it has ended."""
    ids = fill(sandbox, 3, fields={NOTE: "x"})
    sandbox.knobs.turn(job_seconds=3600.0)

    job = await contacts.update_all(having(LABEL), {DATE: "2026-12-01"}, pay)
    running_ = await contacts.job(job, pay)
    sandbox.knobs.turn(job_seconds=0.0)
    ended = await contacts.job(job, pay)

    assert [(False, 0, 3), (True, 0, 3)] == [(one.done, one.failed, one.total) for one in (running_, ended)]
    assert [{NOTE: "x", DATE: "2026-12-01"}] * 3 == [(await contacts.contact(id_, pay)).fields for id_ in ids]


async def test_one_contact_is_updated_by_its_revision(sandbox: WixRig, contacts: ContactCalls) -> None:
    """A contact is updated as it was read; once it has changed, the same update is refused."""
    [id_] = fill(sandbox, 1)
    contact = await contacts.contact(id_, pay)

    await contacts.update(contact, {DATE: "2026-12-01"}, pay)
    with pytest.raises(WixUnavailable, match="409"):
        await contacts.update(contact, {DATE: "2026-12-02"}, pay)

    assert {DATE: "2026-12-01"} == sandbox.sandbox.contacts.contact(id_).fields


async def test_errors_of_calls_are_told(sandbox: WixRig, contacts: ContactCalls) -> None:
    """A missing permission, a contact that is not there and a bad request have their errors."""
    with pytest.raises(NotThere):
        await contacts.contact("99999999-aaaa-4aaa-8aaa-000000000009", pay)
    with pytest.raises(WixRefused):
        await contacts.subscribed([f"{n}@example.com" for n in range(101)], pay)
    sandbox.knobs.turn(contacts=False)
    with pytest.raises(WixForbidden):
        await contacts.labelled(LABEL, 0, 1, pay)


@pytest.mark.parametrize(
    ("content", "call", "expected"),
    [
        ({}, "labelled", "has no contacts"),
        ({"contacts": None}, "labelled", "has no contacts"),
        ({"subscriptions": {}}, "subscribed", "has no subscriptions"),
        ({}, "labels", "has no labels"),
        ({}, "extended_fields", "has no fields"),
        ({}, "update_all", "began no bulk job"),
        ({"subscription": {"subscriptionStatus": "SUBSCRIBED"}}, "unsubscribe", "did not unsubscribe"),
    ],
)
async def test_answer_without_its_members_is_a_fault(content: Any, call: str, expected: str) -> None:
    """An answer that has not what it must have is a fault of Wix, and never an empty list."""
    arguments: dict[str, tuple[Any, ...]] = {
        "labelled": (LABEL, 0, 1),
        "subscribed": (["a@example.com"],),
        "update_all": (having(LABEL), {}),
        "unsubscribe": ("a@example.com",),
    }
    async with running() as fake, aclosing(Wix(APP, fake.url)) as client:
        fake.reply(PATHS[call], Reply(content=content))

        with pytest.raises(WixUnavailable, match=expected):
            await getattr(ContactCalls(client, SITE_ID), call)(*arguments.get(call, ()), pay)


async def test_missing_and_odd_members_are_read() -> None:
    """A contact without address, language and revision, a total that was not counted and a job without a wrapper are read as such."""
    contact = {"id": "c", "revision": "2", "info": {"locale": 3, "extendedFields": []}}
    async with running() as fake, aclosing(Wix(APP, fake.url)) as client:
        fake.reply(
            "query", Reply(content={"contacts": [contact], "pagingMetadata": {"total": 9, "tooManyToCount": True}})
        )
        fake.reply("/jobs/j", Reply(content={"status": "COMPLETED", "totalItems": 2, "failedTotal": "many"}))
        calls = ContactCalls(client, SITE_ID)

        found = await calls.labelled(LABEL, 0, 1, pay)
        job = await calls.job("j", pay)

    assert (None, ("c", "", "", 0, {})) == (
        found.total,
        next((one.id, one.address, one.locale, one.revision, one.fields) for one in found.contacts),
    )
    assert (True, 0, 2) == (job.done, job.failed, job.total)
