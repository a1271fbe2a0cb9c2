from typing import Any

import httpx
import pytest

from sandbox.contacts_api import PREFIX
from tests.rig.wix import WixRig

NOBODY = "99999999-aaaa-4aaa-8aaa-000000000009"
LABEL = "custom.early-birds"
DATE = "custom.next-sale"


async def ask(wix: WixRig, method: str, path: str, json: Any = None) -> httpx.Response:
    return await wix.api(method, path, json, prefix=PREFIX)


def fill(wix: WixRig, number: int = 1, **values: Any) -> list[str]:
    """So many contacts, of which each has the label; answers their ids."""
    book = wix.sandbox.contacts
    book.field(DATE, "DATE")
    book.field("custom.note", "TEXT")
    return [
        book.create(**{"email": f"{n}@example.com", "labels": (LABEL,), "locale": "en-US", **values}).id
        for n in range(number)
    ]


async def test_query_finds_contacts_by_label(wix: WixRig) -> None:
    """A query filters by label keys and answers a page with its total; `fields` picks what it answers of each."""
    ids = fill(wix, 3)
    fill(wix, 1, labels=("custom.vip",))
    query = {
        "filter": {"info.labelKeys": {"$hasAll": [LABEL]}},
        "sort": [{"fieldName": "createdDate", "order": "ASC"}],
        "paging": {"limit": 2, "offset": 1},
        "fields": ["primaryInfo", "info.locale"],
    }

    found = (await ask(wix, "POST", "/contacts/query", {"query": query})).json()

    assert {"count": 2, "offset": 1, "total": 3, "tooManyToCount": False} == found["pagingMetadata"]
    assert [
        {"id": id_, "revision": 1, "primaryInfo": {"email": f"{n}@example.com"}, "info": {"locale": "en-US"}}
        for n, id_ in enumerate(ids[1:], 1)
    ] == found["contacts"]


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ({"info.labelKeys": {"$hasSome": [LABEL, "custom.vip"]}}, 3),
        ({"info.labelKeys": {"$hasAll": [LABEL, "custom.vip"]}}, 1),
        ({"info.labelKeys": {"$hasSome": ["custom.nothing"]}}, 0),
        ({"primaryInfo.email": {"$in": ["both@example.com", "bo@example.com"]}}, 1),
        ({"info.locale": "de"}, 1),
        ({}, 3),
    ],
)
async def test_filters_of_contacts(wix: WixRig, filter_: Any, expected: int) -> None:
    """Labels are found by all or by some of them; other fields by their values."""
    fill(wix, 1, locale="de")
    fill(wix, 1, labels=("custom.vip",))
    fill(wix, 1, labels=(LABEL, "custom.vip"), email="both@example.com")

    answer = await ask(wix, "POST", "/contacts/query", {"query": {"filter": filter_}})

    assert expected == answer.json()["pagingMetadata"]["total"]


async def test_contact_has_its_members(wix: WixRig) -> None:
    """A whole contact has its labels, extended fields and subscription; what has no value is left out."""
    [id_] = fill(wix, fields={DATE: "2026-12-01"}, first="Ada")
    wix.sandbox.contacts.subscribe("0@example.com", "SUBSCRIBED", "VALID")
    bare = wix.sandbox.contacts.create()

    contact = (await ask(wix, "GET", f"/contacts/{id_}")).json()["contact"]
    empty = (await ask(wix, "GET", f"/contacts/{bare.id}")).json()["contact"]

    assert {
        "name": {"first": "Ada"},
        "emails": {"items": [{"email": "0@example.com", "primary": True, "tag": "UNTAGGED"}]},
        "locale": "en-US",
        "labelKeys": {"items": [LABEL]},
        "extendedFields": {"items": {DATE: "2026-12-01"}},
    } == contact["info"]
    assert {"email": "0@example.com", "subscriptionStatus": "SUBSCRIBED", "deliverabilityStatus": "VALID"} == contact[
        "primaryEmail"
    ]
    assert {"id", "revision", "createdDate", "updatedDate", "source"} == empty.keys()


@pytest.mark.parametrize(
    ("fieldset", "members"),
    [
        ("BASIC", {"name"}),
        ("COMMUNICATION_DETAILS", {"name", "emails"}),
        ("EXTENDED", {"name", "extendedFields"}),
        ("FULL", {"name", "emails", "locale", "labelKeys", "extendedFields"}),
    ],
)
async def test_fieldsets_of_contacts(wix: WixRig, fieldset: str, members: set[str]) -> None:
    """A fieldset names the members that a query answers."""
    fill(wix, fields={DATE: "2026-12-01"}, first="Ada")

    answer = await ask(wix, "POST", "/contacts/query", {"query": {"fieldsets": [fieldset]}})

    assert members == answer.json()["contacts"][0]["info"].keys()


@pytest.mark.parametrize("revision", [1, "1"])
async def test_update_needs_the_revision(wix: WixRig, revision: Any) -> None:
    """An update with the current revision changes the extended fields that it names; the same one again is a conflict."""
    [id_] = fill(wix, fields={"custom.note": "vip"})
    change = {"revision": revision, "info": {"extendedFields": {"items": {DATE: "2026-12-01"}}, "locale": "de"}}

    first = await ask(wix, "PATCH", f"/contacts/{id_}", change)
    second = await ask(wix, "PATCH", f"/contacts/{id_}", change)

    contact = first.json()["contact"]
    assert (200, 2, "de") == (first.status_code, contact["revision"], contact["info"]["locale"])
    assert {"custom.note": "vip", DATE: "2026-12-01"} == contact["info"]["extendedFields"]["items"]
    assert 409 == second.status_code


async def test_bulk_update_is_a_job(wix: WixRig) -> None:
    """A bulk update changes all contacts of its filter, and its job is running first and then completed."""
    wix.knobs.turn(job_seconds=3600.0)
    ids = fill(wix, 2)
    [other] = fill(wix, 1, labels=())
    body = {
        "filter": {"info.labelKeys": {"$hasAll": [LABEL]}},
        "info": {"extendedFields": {"items": {DATE: "2026-12-01"}}},
    }

    job = (await ask(wix, "POST", "/bulk/contacts/update", body)).json()["jobId"]
    running = (await ask(wix, "GET", f"/bulk/jobs/{job}")).json()["job"]
    wix.knobs.turn(job_seconds=0.0)
    completed = (await ask(wix, "GET", f"/bulk/jobs/{job}")).json()["job"]

    assert ("RUNNING", 2) == (running["status"], running["totalItems"])
    assert ("COMPLETED", 2, 0, []) == tuple(
        completed[name] for name in ("status", "successTotal", "failedTotal", "errors")
    )
    assert [{DATE: "2026-12-01"}, {DATE: "2026-12-01"}, {}] == [
        wix.sandbox.contacts.contact(id_).fields for id_ in (*ids, other)
    ]


@pytest.mark.parametrize("bulk", [True, False])
async def test_update_may_replace_all_fields(wix: WixRig, bulk: bool) -> None:
    """With the knob, an update removes the extended fields that it does not name."""
    wix.knobs.turn(update_replaces_fields=True)
    [id_] = fill(wix, fields={"custom.note": "vip"})
    info = {"extendedFields": {"items": {DATE: "2026-12-01"}}}

    if bulk:
        await ask(wix, "POST", "/bulk/contacts/update", {"filter": {"id": {"$in": [id_]}}, "info": info})
    else:
        await ask(wix, "PATCH", f"/contacts/{id_}", {"revision": 1, "info": info})

    assert {DATE: "2026-12-01"} == wix.sandbox.contacts.contact(id_).fields


async def test_labels_and_fields_are_listed(wix: WixRig) -> None:
    """Labels and extended fields are listed with their keys, names and types, in pages."""
    fill(wix)
    wix.sandbox.contacts.label("custom.vip", "Very important")

    labels = (await ask(wix, "GET", "/labels")).json()
    fields = (await ask(wix, "GET", "/extended-fields?paging.limit=1&paging.offset=1")).json()

    assert [(LABEL, "early-birds"), ("custom.vip", "Very important")] == [
        (one["key"], one["displayName"]) for one in labels["labels"]
    ]
    assert [("custom.note", "TEXT", "USER_DEFINED", "custom")] == [
        (one["key"], one["dataType"], one["fieldType"], one["namespace"]) for one in fields["fields"]
    ]
    assert {"count": 1, "offset": 1, "total": 2} == fields["metadata"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "what"),
    [
        ("POST", "/contacts/query", {"query": {"paging": {"limit": 1001}}}, 400, "query.paging.limit"),
        ("POST", "/contacts/query", {"query": {"cursorPaging": {"limit": 1}}}, 400, "query.cursorPaging"),
        ("POST", "/contacts/query", {"query": {"fields": ["primaryEmail"]}}, 400, "fields"),
        ("POST", "/contacts/query", {"query": {"fieldsets": ["ALL"]}}, 400, "fields"),
        (
            "POST",
            "/contacts/query",
            {"query": {"sort": [{"fieldName": "info.locale"}]}},
            400,
            "query.sort[0].fieldName",
        ),
        ("POST", "/contacts/query", {"query": {"sort": [{"fieldName": "createdDate"}] * 2}}, 400, "query.sort"),
        ("POST", "/contacts/query", {"query": {"filter": {"primaryEmail": "x"}}}, 400, "filter.primaryEmail"),
        (
            *("POST", "/contacts/query", {"query": {"filter": {"info.labelKeys": "x"}}}, 400),
            "filter.info.labelKeys",
        ),
        (
            *("POST", "/contacts/query", {"query": {"filter": {"info.labelKeys": {"$hasAll": []}}}}, 400),
            "filter.info.labelKeys.$hasAll",
        ),
        ("GET", "/contacts/me", None, 400, "id"),
        ("GET", f"/contacts/{NOBODY}", None, 404, "NOT_FOUND"),
        ("PATCH", f"/contacts/{NOBODY}", {"info": {"locale": "de"}}, 400, "revision"),
        ("PATCH", f"/contacts/{NOBODY}", {"revision": 1, "info": {"locale": "de"}}, 404, "NOT_FOUND"),
        ("PATCH", f"/contacts/{NOBODY}", {"revision": 1, "info": {}}, 400, "info"),
        ("PATCH", f"/contacts/{NOBODY}", {"revision": 1}, 400, "info"),
        ("POST", "/bulk/contacts/update", {"info": {"locale": "de"}}, 400, "filter"),
        ("GET", f"/bulk/jobs/{NOBODY}", None, 404, "NOT_FOUND"),
        ("GET", "/labels?paging.limit=2001", None, 400, "paging.limit"),
        ("GET", "/extended-fields?paging.offset=-1", None, 400, "paging.offset"),
    ],
)
async def test_bad_request_for_contacts_is_refused(  # noqa: PLR0917 - pytest calls it by name
    wix: WixRig, method: str, path: str, body: Any, status: int, what: str
) -> None:
    """Each refusal has its status, and names the field or the error's code."""
    answer = await ask(wix, method, path, body)

    details = answer.json()["details"]
    violations = details.get("validationError", {}).get("fieldViolations", [])
    named = [one["field"] for one in violations] or [details["applicationError"]["code"]]
    assert (status, [what]) == (answer.status_code, named)


async def test_contacts_need_their_permission(wix: WixRig) -> None:
    """Without Manage Contacts its calls are refused, and those for tickets and subscriptions are not."""
    wix.knobs.turn(contacts=False)

    contacts = await ask(wix, "POST", "/contacts/query", {})
    labels = await ask(wix, "GET", "/labels")
    body: Any = {"filter": {"email": {"$in": []}}}
    subscriptions = await wix.api("POST", "/query", body, prefix="/email-marketing/v1/email-subscriptions")

    assert [403, 403, 200, 200] == [
        contacts.status_code,
        labels.status_code,
        subscriptions.status_code,
        (await wix.api("POST", "/query", {})).status_code,
    ]


async def test_outage_of_contacts(wix: WixRig) -> None:
    """Contacts can fail while tickets are read."""
    wix.knobs.turn(outage="503", outage_of="contacts")

    assert [503, 200] == [
        (await ask(wix, "POST", "/contacts/query", {})).status_code,
        (await wix.api("POST", "/query", {})).status_code,
    ]
