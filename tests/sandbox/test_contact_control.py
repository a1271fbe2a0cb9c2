from typing import Any

import pytest

from tests.rig.wix import WixRig

PERSON: dict[str, Any] = {
    "email": "ada@example.com",
    "locale": "de",
    "labels": ["custom.early-birds"],
    "status": "SUBSCRIBED",
    "deliverability": "VALID",
}


async def test_contacts_are_filled_and_shown(wix: WixRig) -> None:
    """Contacts are created with labels, extended fields and the subscription of their address, and are shown with them."""
    await wix.http.post("/sandbox/extended-fields", json={"key": "custom.next-sale", "type": "DATE"})
    many = [{**PERSON, "fields": {"custom.next-sale": "2026-12-01"}}, {"email": "bo@example.com"}]

    made = (await wix.http.post("/sandbox/contacts", json={"contacts": many})).json()["contacts"]
    shown = (await wix.http.get("/sandbox/contacts")).json()["contacts"]

    assert made == [one["id"] for one in shown]
    assert [
        {**many[0], "id": made[0]},
        {
            "id": made[1],
            "email": "bo@example.com",
            "locale": None,
            "labels": [],
            "fields": {},
            "status": "NOT_SET",
            "deliverability": "NOT_SET",
        },
    ] == shown


async def test_contact_is_changed_and_deleted(wix: WixRig) -> None:
    """A contact's labels and status can be changed; when it is deleted, the subscription of its address stays."""
    [id_] = (await wix.http.post("/sandbox/contacts", json=PERSON)).json()["contacts"]

    change = {"labels": ["custom.vip"], "status": "UNSUBSCRIBED"}
    changed = (await wix.http.patch(f"/sandbox/contacts/{id_}", json=change)).json()["contact"]
    await wix.http.delete(f"/sandbox/contacts/{id_}")

    assert (["custom.vip"], "UNSUBSCRIBED") == (changed["labels"], changed["status"])
    assert {} == wix.sandbox.contacts.contacts
    assert wix.sandbox.contacts.subscription("ada@example.com") is not None


async def test_labels_fields_and_subscriptions_are_made(wix: WixRig) -> None:
    """Labels, extended fields and subscriptions can be made by themselves."""
    await wix.http.post("/sandbox/labels", json={"key": "custom.early-birds", "name": "Early birds"})
    await wix.http.post("/sandbox/extended-fields", json={"key": "custom.note"})
    answer = await wix.http.post("/sandbox/subscriptions", json={"email": "bo@example.com", "status": "PENDING"})

    book = wix.sandbox.contacts
    assert {"status": "PENDING", "deliverability": "NOT_SET"} == answer.json()
    assert ("Early birds", "TEXT") == (book.labels["custom.early-birds"].name, book.fields["custom.note"].kind)


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/contacts", {"contacts": {}}, "contacts: a list of contacts"),
        ("/contacts", {"contacts": [3]}, "contact: value is not an object"),
        ("/contacts", {**PERSON, "email": 3}, "email: it is not a string"),
        ("/contacts", {**PERSON, "labels": "custom.vip"}, "labels: a list of label keys"),
        ("/contacts", {**PERSON, "fields": []}, "fields: value is not an object"),
        ("/contacts", {**PERSON, "fields": {"custom.x": "y"}}, "there is no such extended field"),
        ("/contacts", {"contacts": [PERSON, {**PERSON, "status": "YES"}]}, "status: one of UNKNOWN"),
        ("/labels", {}, "key: it is not a string"),
        ("/extended-fields", {"key": "custom.x", "type": "MONEY"}, "type: one of TEXT"),
        ("/subscriptions", {}, "email: it is not a string"),
    ],
)
async def test_bad_contact_is_refused(wix: WixRig, path: str, body: Any, error: str) -> None:
    """A request that cannot be understood says why, and changes nothing."""
    answer = await wix.http.post(f"/sandbox{path}", json=body)

    assert 400 == answer.status_code
    assert error in answer.json()["error"]
    assert {} == wix.sandbox.contacts.contacts
