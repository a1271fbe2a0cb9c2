from typing import Any

import httpx
import pytest

from sandbox.subscriptions_api import PREFIX
from tests.rig.wix import WixRig


async def ask(wix: WixRig, path: str, json: Any = None) -> httpx.Response:
    return await wix.api("POST", path, json, prefix=PREFIX)


async def query(wix: WixRig, *emails: str, **paging: int) -> dict[str, Any]:
    body = {"filter": {"email": {"$in": list(emails)}}, **({"paging": paging} if paging else {})}
    return dict((await ask(wix, "/query", body)).json())


async def test_query_answers_the_status_of_each_address(wix: WixRig) -> None:
    """The subscriptions of the addresses that were asked for are answered; an address without one is left out."""
    book = wix.sandbox.contacts
    book.subscribe("ada@example.com", "SUBSCRIBED", "VALID")
    book.subscribe("bo@example.com", "UNSUBSCRIBED", "VALID")
    book.subscribe("cy@example.com", "SUBSCRIBED")

    found = await query(wix, "Ada@example.com", "bo@example.com", "nobody@example.com")

    assert [("ada@example.com", "SUBSCRIBED", "VALID"), ("bo@example.com", "UNSUBSCRIBED", "VALID")] == [
        (one["email"], one["subscriptionStatus"], one["deliverabilityStatus"]) for one in found["subscriptions"]
    ]
    assert {"count": 2, "offset": 0, "total": 2, "tooManyToCount": False} == found["metadata"]
    assert {"id", "createdDate", "updatedDate"} < found["subscriptions"][0].keys()


async def test_query_has_pages(wix: WixRig) -> None:
    """A page has at most its limit, and the total of all."""
    for name in "abc":
        wix.sandbox.contacts.subscribe(f"{name}@example.com")

    found = await query(wix, *(f"{name}@example.com" for name in "abc"), limit=2, offset=2)

    assert (["c@example.com"], 3) == ([one["email"] for one in found["subscriptions"]], found["metadata"]["total"])


async def test_upsert_creates_and_updates(wix: WixRig) -> None:
    """An upsert creates the subscription of an address, and the next one changes it."""
    first = await ask(wix, "", {"subscription": {"email": "ada@example.com", "subscriptionStatus": "SUBSCRIBED"}})
    second = await ask(wix, "", {"subscription": {"email": "ada@example.com", "subscriptionStatus": "UNSUBSCRIBED"}})

    assert ["SUBSCRIBED", "UNSUBSCRIBED"] == [
        one.json()["subscription"]["subscriptionStatus"] for one in (first, second)
    ]
    assert first.json()["subscription"]["id"] == second.json()["subscription"]["id"]


async def test_bulk_upsert_answers_each(wix: WixRig) -> None:
    """A bulk upsert changes what it can, and tells of each that it cannot."""
    body = {
        "subscriptions": [
            {"email": "ada@example.com", "subscriptionStatus": "UNSUBSCRIBED"},
            {"email": "nobody", "subscriptionStatus": "UNSUBSCRIBED"},
        ]
    }

    answer = (await ask(wix, "/bulk", body)).json()

    assert {"totalSuccess": 1, "totalFailure": 1} == answer["metadata"]
    assert [(0, True), (1, False)] == [(one["originalIndex"], "error" not in one) for one in answer["results"]]
    assert "UNSUBSCRIBED" == answer["results"][0]["emailSubscription"]["subscriptionStatus"]
    assert "FORMAT" == answer["results"][1]["error"]["errorCode"]


@pytest.mark.parametrize(
    ("path", "body", "what"),
    [
        ("/query", {}, "filter"),
        ("/query", {"query": {"filter": {"email": {"$in": []}}}}, "filter"),
        ("/query", {"filter": {"email": "ada@example.com"}}, "filter"),
        ("/query", {"filter": {"subscriptionStatus": {"$in": ["SUBSCRIBED"]}}}, "filter"),
        ("/query", {"filter": {"email": {"$in": [3]}}}, "filter"),
        ("/query", {"filter": {"email": {"$in": ["x@example.com"] * 101}}}, "filter.email.$in"),
        ("/query", {"filter": {"email": {"$in": []}}, "paging": {"limit": 101}}, "paging.limit"),
        ("/query", {"filter": {"email": {"$in": []}}, "paging": {"offset": -1}}, "paging.offset"),
        ("", {}, "subscription"),
        ("", {"subscription": {"email": "nobody"}}, "subscription.email"),
        (
            "",
            {"subscription": {"email": "a@example.com", "subscriptionStatus": "YES"}},
            "subscription.subscriptionStatus",
        ),
        ("/bulk", {"subscriptions": []}, "subscriptions"),
        ("/bulk", {"subscriptions": [{"email": "a@example.com"}] * 101}, "subscriptions"),
    ],
)
async def test_bad_request_for_subscriptions_is_refused(wix: WixRig, path: str, body: Any, what: str) -> None:
    """Each refusal names the field: no other filter than that for addresses is known."""
    answer = await ask(wix, path, body)

    [violation] = answer.json()["details"]["validationError"]["fieldViolations"]
    assert (400, what) == (answer.status_code, violation["field"])


async def test_subscriptions_need_their_permission(wix: WixRig) -> None:
    """Without Manage Email Subscriptions its calls are refused, and those for contacts are not."""
    wix.knobs.turn(subscriptions=False)

    refused = await ask(wix, "/query", {"filter": {"email": {"$in": []}}})
    answered = await wix.api("POST", "/query", {}, prefix="/contacts/v4/contacts")

    assert (403, 200) == (refused.status_code, answered.status_code)
