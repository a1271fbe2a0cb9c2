from typing import Any

import pytest

from sandbox.api import PREFIXES
from tests.rig.wix import API, IDS, WixRig, token_request

NEW: dict[str, Any] = {
    "name": "Seat",
    "feeType": "FEE_INCLUDED",
    "pricingMethod": {"fixedPrice": {"value": "25.00", "currency": "USD"}},
    "initialLimit": 5,
}
NOBODY = "99999999-aaaa-4aaa-8aaa-000000000009"
MOVE = {"eventId": IDS.event, "ticketDefinitionId": IDS.tickets["fixed"]}


async def test_token_endpoint(wix: WixRig) -> None:
    """The token endpoint returns 200 with a token, or the error's status in OAuth's form."""
    good = await wix.http.post("/oauth2/token", json=token_request())
    bad = await wix.http.post("/oauth2/token", json=token_request(client_secret="guess"))
    none = await wix.http.post("/oauth2/token", content=b"grant_type=client_credentials")

    assert (200, "Bearer", 14_400) == (good.status_code, good.json()["token_type"], good.json()["expires_in"])
    assert (401, "invalid_client") == (bad.status_code, bad.json()["error"])
    assert (400, "invalid_request") == (none.status_code, none.json()["error"])
    assert {"error", "error_description"} == none.json().keys()


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_every_method_is_under_both_prefixes(wix: WixRig, prefix: str) -> None:
    """Reads and writes work under the documented prefix and under that of Wix's SDK."""
    made = await wix.api("POST", "", {"ticketDefinition": {"eventId": wix.event, **NEW}}, prefix=prefix)
    id_ = made.json()["ticketDefinition"]["id"]
    changed = {"ticketDefinition": {"id": id_, "revision": "1", "name": "Chair"}}
    query = {"query": {"filter": {"id": id_}}}

    found = [
        await wix.api("PATCH", f"/{id_}", changed, prefix=prefix),
        # The SDK sends the id of the path in the query string too.
        await wix.api("GET", f"/{id_}?ticketDefinitionId={id_}&fields=SALES_DETAILS", prefix=prefix),
        await wix.api("POST", "/query", query, prefix=prefix),
        await wix.api("POST", "/available/query", query, prefix=prefix),
        await wix.api("POST", "/count", {"filter": {"id": id_}}, prefix=prefix),
        await wix.api("POST", "/available/count", {}, prefix=prefix),
        await wix.api("DELETE", f"/{id_}", prefix=prefix),
    ]

    assert [200] * 7 == [answer.status_code for answer in found]
    update, get, asked, available, count, available_count, deleted = (answer.json() for answer in found)
    assert ("2", "Chair") == (update["ticketDefinition"]["revision"], get["ticketDefinition"]["name"])
    assert [id_] == [one["id"] for one in asked["ticketDefinitions"]]
    assert asked == available
    assert {"metadata": {"total": 1}, "facets": {}} == count
    assert {"metadata": {"total": 8}} == available_count
    assert {} == deleted
    assert 404 == (await wix.api("GET", f"/{id_}", prefix=prefix)).status_code


async def test_fields_add_details(wix: WixRig) -> None:
    """Sales and event details are in each kind of answer, only if they are requested."""
    id_ = wix.tickets["low"]
    both = ["SALES_DETAILS", "EVENT_DETAILS"]

    plain = (await wix.api("GET", f"/{id_}")).json()["ticketDefinition"]
    got = (await wix.api("GET", f"/{id_}?fields=SALES_DETAILS&fields=EVENT_DETAILS")).json()["ticketDefinition"]
    query = await wix.api("POST", "/query", {"query": {"filter": {"id": id_}}, "fields": both})
    [asked] = query.json()["ticketDefinitions"]
    sent = {"ticketDefinition": {"revision": "1", "name": "Last"}, "fields": both}
    updated = (await wix.api("PATCH", f"/{id_}", sent)).json()["ticketDefinition"]

    details = {"salesDetails", "eventDetails"}
    assert [set(), details, details, details] == [details & one.keys() for one in (plain, got, asked, updated)]
    assert {"unsoldCount": 3, "soldCount": 0, "reservedCount": 0, "soldOut": False} == got["salesDetails"]
    assert "Europe/Lisbon" == got["eventDetails"]["dateAndTimeSettings"]["timeZoneId"]


async def test_hidden_tickets_are_not_available(wix: WixRig) -> None:
    """Query includes hidden tickets, the available query and count do not."""
    every, shown = [await wix.api("POST", path, {}) for path in ("/query", "/available/query")]
    counts = [await wix.api("POST", path, {}) for path in ("/count", "/available/count")]

    ids = [{one["id"] for one in answer.json()["ticketDefinitions"]} for answer in (every, shown)]
    assert {wix.tickets["hidden"]} == ids[0] - ids[1]
    assert [8, 7] == [answer.json()["metadata"]["total"] for answer in counts]


async def test_count_has_facets(wix: WixRig) -> None:
    """Count returns how many tickets there are, and how many for each value of a facet."""
    answer = await wix.api("POST", "/count", {"filter": {"eventId": wix.event}, "facet": ["saleStatus"]})

    assert {
        "metadata": {"total": 8},
        "facets": {"saleStatus": {"counts": {"SALE_STARTED": 7, "SALE_SCHEDULED": 1}}},
    } == answer.json()


async def test_create_a_definition(wix: WixRig) -> None:
    """A created definition reads back as sent, with what Wix adds, and can be bought."""
    period = {"startDate": "2020-01-10T09:00:30Z", "endDate": "2060-01-10T09:00:00Z", "displayNotOnSale": False}

    answer = await wix.api("POST", "", {"ticketDefinition": {"eventId": wix.event, **NEW, "salePeriod": period}})

    made = answer.json()["ticketDefinition"]
    assert NEW["initialLimit"] == made["actualLimit"]
    assert ("1", "SALE_STARTED", True) == (made["revision"], made["saleStatus"], made["limited"])
    assert {**period, "startDate": "2020-01-10T09:00:00Z"} == made["salePeriod"]
    wix.world.buy(made["id"], 5)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_reorder_moves_a_ticket(wix: WixRig, prefix: str) -> None:
    """A definition is moved before or after another one of its event; the answer is empty."""
    first, second, *_, last = (one.id for one in wix.world.tickets_of(wix.event))
    moves = [
        {**MOVE, "ticketDefinitionId": last, "beforeDefinitionId": first},
        {**MOVE, "ticketDefinitionId": first, "afterDefinitionId": second},
    ]

    answers = [await wix.api("POST", "/reorder", move, prefix=prefix) for move in moves]

    assert [(200, {})] * 2 == [(answer.status_code, answer.json()) for answer in answers]
    assert [last, second, first] == [one.id for one in wix.world.tickets_of(wix.event)][:3]
    got = (await wix.api("GET", f"/{first}", prefix=prefix)).json()["ticketDefinition"]
    assert 2 == got["sortIndex"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "what"),
    [
        ("GET", "/not-a-guid", None, 400, "ticketDefinitionId"),
        ("GET", f"/{NOBODY}", None, 404, "NOT_FOUND"),
        ("GET", "/{fixed}?fields=EVERYTHING", None, 400, "fields"),
        ("POST", "/query", {"fields": "SALES_DETAILS"}, 400, "fields"),
        ("POST", "/query", {"fields": [["SALES_DETAILS"]]}, 400, "fields"),
        ("POST", "/query", {"fields": ["SALES_DETAILS"] * 6}, 400, "fields"),
        ("POST", "/query", {"query": {"filter": {"salesDetails.soldOut": True}}}, 400, "filter.salesDetails.soldOut"),
        ("POST", "/query", [], 400, "body"),
        ("POST", "/available/query", {"query": {"paging": {"limit": 101}}}, 400, "query.paging.limit"),
        ("POST", "/count", {"filter": {"nobody": 1}}, 400, "FILTER_PARSER_ERROR"),
        ("POST", "", {}, 400, "ticketDefinition"),
        ("POST", "", {"ticketDefinition": {**NEW}}, 400, "ticketDefinition.eventId"),
        ("POST", "", {"ticketDefinition": {**NEW, "eventId": NOBODY}}, 404, "NOT_FOUND"),
        ("POST", "", {"ticketDefinition": {**NEW, "eventId": "x"}}, 400, "ticketDefinition.eventId"),
        ("PATCH", "/{fixed}", {"ticketDefinition": {"name": "A"}}, 400, "ticketDefinition.revision"),
        ("PATCH", "/{fixed}", {"ticketDefinition": {"revision": 1}}, 400, "ticketDefinition.revision"),
        ("PATCH", "/{fixed}", {"ticketDefinition": {"revision": "7"}}, 409, "INVALID_REVISION"),
        ("PATCH", "/{fixed}", {"ticketDefinition": {"revision": "1", "id": NOBODY}}, 400, "ticketDefinition.id"),
        (
            "PATCH",
            "/{fixed}",
            {"ticketDefinition": {"revision": "1", "eventId": NOBODY}},
            400,
            "ticketDefinition.eventId",
        ),
        (
            "PATCH",
            "/{fixed}",
            {
                "ticketDefinition": {
                    "revision": "1",
                    "salePeriod": {"startDate": "2026-01-02T00:00:00Z", "endDate": "2026-01-01T00:00:00Z"},
                }
            },
            428,
            "INVALID_SALE_PERIOD",
        ),
        ("PATCH", f"/{NOBODY}", {"ticketDefinition": {"revision": "1"}}, 404, "NOT_FOUND"),
        ("DELETE", f"/{NOBODY}", None, 404, "NOT_FOUND"),
        ("POST", "/reorder", {"ticketDefinitionId": NOBODY}, 400, "eventId"),
        ("POST", "/reorder", {"eventId": IDS.event, "ticketDefinitionId": NOBODY}, 400, "body"),
        ("POST", "/reorder", {**MOVE, "beforeDefinitionId": NOBODY, "afterDefinitionId": NOBODY}, 400, "body"),
        ("POST", "/reorder", {**MOVE, "beforeDefinitionId": "x"}, 400, "beforeDefinitionId"),
        ("POST", "/reorder", {**MOVE, "afterDefinitionId": NOBODY}, 400, "INVALID_REORDER_INSTRUCTION"),
        ("POST", "/reorder", {**MOVE, "eventId": NOBODY, "afterDefinitionId": NOBODY}, 404, "NOT_FOUND"),
    ],
)
async def test_bad_request_is_refused_as_by_wix(  # noqa: PLR0917 - pytest calls it by name
    wix: WixRig, method: str, path: str, body: Any, status: int, what: str
) -> None:
    """Each refusal has its status, and names the field or the error's code."""
    answer = await wix.api(method, path.format(fixed=wix.tickets["fixed"]), body)

    details = answer.json()["details"]
    violations = details.get("validationError", {}).get("fieldViolations", [])
    named = [one["field"] for one in violations] or [details["applicationError"]["code"]]
    assert (status, [what]) == (answer.status_code, named)


async def test_body_must_be_json(wix: WixRig) -> None:
    """Endless nesting and text that is not JSON are refused, without an internal error."""
    headers = {"Authorization": await wix.token()}
    bodies = [b"", b"rubbish", b"[" * 100_000, b"\xff\xfe"]

    answers = [await wix.http.post(f"{API}/query", content=body, headers=headers) for body in bodies]

    assert [400] * 4 == [answer.status_code for answer in answers]


async def test_event_has_at_most_a_hundred_definitions(wix: WixRig) -> None:
    """The hundred and first definition of an event is answered 428 with its code."""
    wix.knobs.turn(rate_limit=1000)
    for _ in range(92):
        await wix.api("POST", "", {"ticketDefinition": {"eventId": wix.event, **NEW}})

    answer = await wix.api("POST", "", {"ticketDefinition": {"eventId": wix.event, **NEW}})

    code = answer.json()["details"]["applicationError"]["code"]
    assert (428, "TICKET_DEFINITIONS_LIMIT_REACHED") == (answer.status_code, code)


@pytest.mark.parametrize(("found", "ids"), [("none", 0), ("half", 4), ("all", 8)])
async def test_queries_that_find_too_little(wix: WixRig, found: str, ids: int) -> None:
    """A query finds none or half of the tickets, always the same ones, and its total agrees; Get finds each."""
    wix.knobs.turn(query_results=found)
    asked = [(await wix.api("POST", "/query", {"query": {"paging": {"limit": 100}}})).json() for _ in range(2)]
    available = (await wix.api("POST", "/available/query", {"query": {"paging": {"limit": 100}}})).json()
    one = (await wix.api("POST", "/query", {"query": {"filter": {"id": wix.tickets["options"]}}})).json()
    got = [(await wix.api("GET", f"/{ticket}")).status_code for ticket in wix.tickets.values()]

    assert asked[0] == asked[1]
    assert (ids, ids) == (len(asked[0]["ticketDefinitions"]), asked[0]["metadata"]["total"])
    assert len(available["ticketDefinitions"]) <= ids
    assert len(one["ticketDefinitions"]) == len(
        [each for each in asked[0]["ticketDefinitions"] if each["id"] == wix.tickets["options"]]
    )
    assert [200] * 8 == got


async def test_deleted_event_takes_its_tickets_with_it(wix: WixRig) -> None:
    """The tickets of a deleted event are in no query, and Get answers 404 for each."""
    wix.world.delete_event(wix.event)

    asked = await wix.api("POST", "/query", {"query": {"filter": {"eventId": wix.event}}})
    assert [] == asked.json()["ticketDefinitions"]
    assert {404} == {(await wix.api("GET", f"/{ticket}")).status_code for ticket in wix.tickets.values()}


async def test_stale_reads(wix: WixRig) -> None:
    """With stale reads every read, by id, query or count, returns the earlier state; writes use the present one."""
    fixed, low = wix.tickets["fixed"], wix.tickets["low"]
    wix.knobs.turn(stale_reads=30.0)
    wix.world.buy(fixed, 20)
    wix.world.delete(low)
    wix.world.update_event(wix.event, title="Fête")

    got = (await wix.api("GET", f"/{fixed}?fields=SALES_DETAILS&fields=EVENT_DETAILS")).json()["ticketDefinition"]
    asked = await wix.api("POST", "/query", {"query": {"filter": {"id": {"$in": [fixed, low]}}}})
    counts = [await wix.api("POST", path, {}) for path in ("/count", "/available/count")]
    gone = await wix.api("DELETE", f"/{low}")
    wix.knobs.turn(stale_reads=0.0)
    now = (await wix.api("GET", f"/{fixed}?fields=SALES_DETAILS")).json()["ticketDefinition"]

    assert ({"fixed": 120, "title": "Harbour Lights Festival"}, 100) == (
        {"fixed": got["salesDetails"]["unsoldCount"], "title": got["eventDetails"]["title"]},
        now["salesDetails"]["unsoldCount"],
    )
    assert 2 == len(asked.json()["ticketDefinitions"])
    assert [8, 7] == [answer.json()["metadata"]["total"] for answer in counts]
    assert 404 == gone.status_code
