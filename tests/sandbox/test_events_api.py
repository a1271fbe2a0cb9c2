from typing import Any

import httpx
import pytest

from sandbox.events_api import PREFIXES
from tests.rig.wix import IDS, WixRig

NOBODY = "99999999-aaaa-4aaa-8aaa-000000000009"
ALL = ["DETAILS", "REGISTRATION", "URLS"]


async def ask(wix: WixRig, method: str, path: str, json: Any = None, prefix: str = PREFIXES[0]) -> httpx.Response:
    return await wix.api(method, path, json, prefix=prefix)


async def events(wix: WixRig, **query: Any) -> list[str]:
    """The titles of the events that a query returns."""
    body = {"query": {"paging": {"limit": 100}, **query.pop("query", {})}, **query}
    return [event["title"] for event in (await ask(wix, "POST", "/query", body)).json()["events"]]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_every_method_is_under_both_prefixes(wix: WixRig, prefix: str) -> None:
    """An event is found by query, by id and by slug, the same under both prefixes."""
    query = {"query": {"filter": {"id": {"$in": [wix.event]}}, "paging": {"limit": 100}}, "fields": ALL}
    fields = "&".join(f"fields={name}" for name in ALL)

    answers = [
        await ask(wix, "POST", "/query", query, prefix),
        # The SDK sends the id of the path in the query string too.
        await ask(wix, "GET", f"/{wix.event}?eventId={wix.event}&{fields}", None, prefix),
        await ask(wix, "GET", f"/slug/harbour-lights-festival?{fields}", None, prefix),
    ]

    assert [200] * 3 == [answer.status_code for answer in answers]
    found, one, same = (answer.json() for answer in answers)
    assert {"count": 1, "offset": 0, "total": 1, "tooManyToCount": False} == found["pagingMetadata"]
    assert [one["event"]] == found["events"]
    assert one == same
    assert ("Harbour Lights Festival", "OPEN_TICKETS") == (
        one["event"]["title"],
        one["event"]["registration"]["status"],
    )
    assert wix.site == one["event"]["instanceId"]


async def test_limit_of_a_page_defaults_to_zero(wix: WixRig) -> None:
    """A query without a limit is answered 200 with the total and no events."""
    answer = await ask(wix, "POST", "/query", {"query": {"filter": {"id": wix.event}}, "fields": ALL})

    assert (200, [], 1) == (answer.status_code, answer.json()["events"], answer.json()["pagingMetadata"]["total"])


async def test_fields_add_members(wix: WixRig) -> None:
    """Registration and the address of the page are returned only if they are requested."""
    plain = (await ask(wix, "GET", f"/{wix.event}")).json()["event"]
    full = (await ask(wix, "GET", f"/{wix.event}?fields=REGISTRATION&fields=URLS&fields=FORM")).json()["event"]

    assert {"registration", "eventPageUrl"} == full.keys() - plain.keys()
    assert {"base": "https://www.example.com", "path": "/event-details/harbour-lights-festival"} == full["eventPageUrl"]
    assert ("0", "45.00") == tuple(
        full["registration"]["tickets"][f"{end}Price"]["value"] for end in ("lowest", "highest")
    )


async def test_drafts_are_returned_on_request(wix: WixRig) -> None:
    """A query returns drafts only if it asks for them; a Get returns them, unless the knob says otherwise."""
    now = wix.world.now()
    draft = wix.world.create_event("Concert", now + 60, now + 90, draft=True).id
    ways = (f"/{draft}", "/slug/concert")

    assert ["Harbour Lights Festival"] == await events(wix)
    assert ["Harbour Lights Festival", "Concert"] == await events(wix, includeDrafts=True)
    assert [200, 200] == [(await ask(wix, "GET", way)).status_code for way in ways]
    wix.knobs.turn(get_drafts=False)
    assert [404, 404] == [(await ask(wix, "GET", way)).status_code for way in ways]


async def test_stale_reads_of_events(wix: WixRig) -> None:
    """With stale reads an event is returned as it was: its title, its registration, its slug."""
    wix.knobs.turn(stale_reads=30.0)
    wix.world.update_event(wix.event, title="Fête", slug="fete")
    wix.world.pause_registration(wix.event)

    stale = (await ask(wix, "GET", "/slug/harbour-lights-festival?fields=REGISTRATION")).json()["event"]
    wix.knobs.turn(stale_reads=0.0)
    now = (await ask(wix, "GET", "/slug/fete?fields=REGISTRATION")).json()["event"]

    assert [("Harbour Lights Festival", False), ("Fête", True)] == [
        (one["title"], one["registration"]["registrationPaused"]) for one in (stale, now)
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "what"),
    [
        ("GET", "/not-a-guid", None, 400, "eventId"),
        ("GET", f"/{NOBODY}", None, 404, "EVENT_NOT_FOUND"),
        ("GET", "/slug/nobody", None, 404, "EVENT_NOT_FOUND"),
        ("GET", f"/{IDS.event}?fields=EVERYTHING", None, 400, "fields"),
        ("GET", f"/{IDS.event}?{'fields=URLS&' * 21}", None, 400, "fields"),
        ("POST", "/query", [], 400, "body"),
        ("POST", "/query", {"fields": "URLS"}, 400, "fields"),
        ("POST", "/query", {"includeDrafts": "yes"}, 400, "includeDrafts"),
        ("POST", "/query", {"query": {"filter": {"eventId": IDS.event}}}, 400, "FILTER_PARSER_ERROR"),
        ("POST", "/query", {"query": {"paging": {"limit": 1001}}}, 400, "query.paging.limit"),
        ("POST", "/query", {"query": {"cursorPaging": {"limit": 1}}}, 400, "query.cursorPaging"),
    ],
)
async def test_bad_request_for_events_is_refused_as_by_wix(  # noqa: PLR0917 - pytest calls it by name
    wix: WixRig, method: str, path: str, body: Any, status: int, what: str
) -> None:
    """Each refusal has its status, and names the field or the error's code."""
    answer = await ask(wix, method, path, body)

    details = answer.json()["details"]
    violations = details.get("validationError", {}).get("fieldViolations", [])
    named = [one["field"] for one in violations] or [details["applicationError"]["code"]]
    assert (status, [what]) == (answer.status_code, named)


async def test_query_may_refuse_many_ids(wix: WixRig) -> None:
    """With the knob a query for many ids is answered 400, and one for a single id is not."""
    wix.knobs.turn(event_id_in=False)

    many = await ask(wix, "POST", "/query", {"query": {"filter": {"id": {"$in": [wix.event]}}, "paging": {"limit": 1}}})

    assert (400, "FILTER_PARSER_ERROR") == (many.status_code, many.json()["details"]["applicationError"]["code"])
    assert ["Harbour Lights Festival"] == await events(wix, query={"filter": {"id": wix.event}})


@pytest.mark.parametrize("status", ["403", "401"])
async def test_events_need_their_permission(wix: WixRig, status: Any) -> None:
    """Without Read Events each method of events is refused with the knob's status; tickets are read as before."""
    wix.knobs.turn(read_events=False, missing_permission=status)

    calls: tuple[tuple[str, str, Any], ...] = (
        ("GET", f"/{wix.event}", None),
        ("GET", "/slug/nobody", None),
        ("POST", "/query", {}),
    )
    answers = [await ask(wix, *call) for call in calls]

    assert [int(status)] * 3 == [answer.status_code for answer in answers]
    assert 200 == (await wix.api("POST", "/query", {})).status_code


async def test_calls_for_events_are_logged_and_limited(wix: WixRig) -> None:
    """Each method has its kind in the log of calls, and counts towards the rate limit, refused for lack of permission too."""
    wix.knobs.turn(rate_limit=4)
    calls: tuple[tuple[str, str, Any], ...] = (
        ("GET", f"/{wix.event}", None),
        ("GET", "/slug/nobody", None),
        ("POST", "/query", {}),
    )
    for call in calls:
        await ask(wix, *call)
    wix.knobs.turn(read_events=False)
    for call in calls[:2]:
        await ask(wix, *call)

    assert [("get_event", 200), ("get_event_by_slug", 404), ("query_events", 200), ("get_event", 403), ("get_event_by_slug", 429)] == [
        (call.kind, call.status) for call in wix.calls() if call.kind != "token"
    ]  # fmt: skip
