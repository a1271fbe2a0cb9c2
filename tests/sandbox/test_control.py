from typing import Any

import pytest

from sandbox.model import EventStatus, SaleStatus
from tests.rig.server import until
from tests.rig.wix import IDS, WixRig, decoded

NEW: dict[str, Any] = {
    "name": "Seat",
    "feeType": "FEE_INCLUDED",
    "pricingMethod": {"fixedPrice": {"value": "25.00", "currency": "USD"}},
    "initialLimit": 5,
}
FIXED = IDS.tickets["fixed"]


async def post(wix: WixRig, path: str, json: Any = None) -> dict[str, Any]:
    answer = await wix.http.post(f"/sandbox{path}", json=json)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def get(wix: WixRig, path: str) -> dict[str, Any]:
    answer = await wix.http.get(f"/sandbox{path}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_world_is_shown(wix: WixRig) -> None:
    """The world can be read, and is never cached."""
    answer = await wix.http.get("/sandbox/world")

    assert {"now", "event", "events", "tickets", "holds", "orders", "knobs"} == answer.json().keys()
    assert "no-store" == answer.headers["cache-control"]


async def test_buy_a_ticket(wix: WixRig) -> None:
    """A purchase returns the order's number; an option is chosen by its id, and no body means one ticket."""
    one = await post(wix, f"/tickets/{FIXED}/buy")
    three = await post(wix, f"/tickets/{IDS.tickets['options']}/buy", {"quantity": 3, "option": IDS.options[1]})
    guest = await post(wix, f"/tickets/{IDS.tickets['guest'].upper()}/buy", {"price": "7.00", "option": None})

    lines = [wix.world.order(answer["order"]).lines[0] for answer in (one, three, guest)]
    assert [(1, "25.00"), (3, "8.50"), (1, "7.00")] == [(line.quantity, line.price.value) for line in lines]


async def test_hold_is_canceled_or_bought(wix: WixRig) -> None:
    """A hold returns its id and its end; it can be canceled or bought, once."""
    first, second = [await post(wix, f"/tickets/{FIXED}/hold", {"quantity": 2}) for _ in range(2)]
    shown = await get(wix, "/world")

    await post(wix, f"/holds/{first['hold']}/cancel")
    bought = await post(wix, f"/holds/{second['hold']}/buy")

    assert [(first["hold"], first["expires"]), (second["hold"], second["expires"])] == [
        (hold["id"], hold["expires"]) for hold in shown["holds"]
    ]
    assert 2 == wix.world.order(bought["order"]).quantity
    assert (118, {}) == (wix.world.ticket(FIXED).left, wix.world.holds)
    assert 404 == (await wix.http.post(f"/sandbox/holds/{first['hold']}/buy")).status_code


async def test_cancel_an_order(wix: WixRig) -> None:
    """The tickets of a canceled order are available again."""
    number = (await post(wix, f"/tickets/{FIXED}/buy", {"quantity": 4}))["order"]

    await post(wix, f"/orders/{number}/cancel")

    assert 120 == wix.world.ticket(FIXED).left


async def test_create_update_and_delete_a_definition(wix: WixRig) -> None:
    """Definitions are sent as to Wix, bare or wrapped; sale dates keep their seconds, and no revision is needed."""
    bare = (await post(wix, "/tickets", NEW))["ticket"]
    period = {"startDate": "2060-01-10T09:00:07Z"}
    wrapped = (await post(wix, "/tickets", {"ticketDefinition": {**NEW, "salePeriod": period}}))["ticket"]

    await wix.http.patch(f"/sandbox/tickets/{bare}", json={"name": "Chair", "initialLimit": None})
    await wix.http.delete(f"/sandbox/tickets/{FIXED}")

    changed, scheduled = wix.world.ticket(bare), wix.world.ticket(wrapped)
    assert ("Chair", None, IDS.event) == (changed.name, changed.limit, changed.event)
    assert (SaleStatus.SCHEDULED, 7.0) == (scheduled.status, (scheduled.start or 0) % 60)
    assert FIXED not in wix.world.tickets


async def test_fill_an_event(wix: WixRig) -> None:
    """An event is filled with tickets of all kinds, announced like any others; what is no number or currency is refused."""
    event = (await post(wix, "/events", {"title": "Gala"}))["id"]
    since = wix.sandbox.delivery.last
    made = (await post(wix, f"/events/{event}/fill", {"tickets": 3, "currency": "EUR"}))["tickets"]
    more = (await post(wix, f"/events/{event}/fill"))["tickets"]

    assert [*made, *more] == [ticket.id for ticket in wix.world.tickets_of(event)]
    assert {"EUR"} == {price.currency for ticket in made for price in wix.world.ticket(ticket).prices}
    assert len(made + more) == len(wix.sandbox.delivery.since(since))
    for wrong in ({"tickets": -1}, {"tickets": "3"}, {"tickets": True}, {"currency": "euro"}):
        assert 400 == (await wix.http.post(f"/sandbox/events/{event}/fill", json=wrong)).status_code
    assert 409 == (await wix.http.post(f"/sandbox/events/{event}/fill", json={"tickets": 101})).status_code
    assert 404 == (await wix.http.post(f"/sandbox/events/{IDS.app}/fill")).status_code


async def test_update_cancel_end_and_delete_the_event(wix: WixRig) -> None:
    """The event can be updated, canceled, resumed, ended and deleted."""
    titled = await post(wix, "/event/update", {"title": "Fête", "zone": "Asia/Tokyo"})
    canceled = await post(wix, "/event/cancel")
    again = await post(wix, "/event/update", {"status": "UPCOMING"})
    ended = await post(wix, "/event/end")
    await post(wix, "/event/delete")

    assert ("Fête", "Asia/Tokyo") == (titled["title"], titled["zone"])
    assert ["CANCELED", "UPCOMING", "ENDED"] == [one["status"] for one in (canceled, again, ended)]
    assert {} == wix.world.events
    assert (await get(wix, "/world"))["event"] is None


async def test_create_publish_and_unpublish_an_event(wix: WixRig) -> None:
    """Events are created, as drafts too, published, unpublished and deleted, and can have tickets of their own."""
    draft = await post(wix, "/events", {"title": "Concert", "draft": True, "tax": None})
    way = f"/events/{draft['id']}"
    ticket = (await post(wix, "/tickets", {**NEW, "eventId": draft["id"]}))["ticket"]
    states = [draft, *[await post(wix, f"{way}/{act}") for act in ("publish", "unpublish", "publish", "cancel")]]
    shown = await get(wix, "/world")
    await post(wix, f"{way.upper().replace('EVENTS', 'events')}/delete")

    assert ["DRAFT", "UPCOMING", "DRAFT", "UPCOMING", "CANCELED"] == [state["status"] for state in states]
    assert "concert" == draft["slug"]
    assert [wix.event, draft["id"]] == [event["id"] for event in shown["events"]]
    assert draft["id"] == next(one["event"] for one in shown["tickets"] if one["id"] == ticket)
    assert [wix.event] == list(wix.world.events)


async def test_change_an_event(wix: WixRig) -> None:
    """An event is changed by PATCH: its dates, slug, tax, page and registration, each alone."""
    changes: list[dict[str, Any]] = [
        {"start": "2060-01-01T00:00:00Z", "end": "2060-01-02T00:00:00Z"},
        {"slug": "fair", "hideEventDetailsPage": True},
        {"tax": {"type": "INCLUDED_IN_PRICE", "name": "VAT", "rate": "20"}},
        {"registration": {"status": "OPEN_EXTERNAL"}},
        {"registration": {"paused": True}},
    ]
    for change in changes:
        answer = await wix.http.patch(f"/sandbox/events/{wix.event}", json=change)
        assert 200 == answer.status_code

    event = wix.world.event(wix.event)
    assert event == wix.world.event(answer.json()["id"])
    assert ("2060-01-01T00:00:00Z", "fair", True) == (
        answer.json()["start"], answer.json()["slug"], answer.json()["hideEventDetailsPage"]
    )  # fmt: skip
    assert ("VAT", "OPEN_EXTERNAL", True) == (
        event.tax and event.tax.name, event.registration.status, event.registration.paused
    )  # fmt: skip


@pytest.mark.parametrize("way", ["/event", f"/events/{IDS.event}"])
async def test_pause_disable_and_open_registration(wix: WixRig, way: str) -> None:
    """Registration is paused, disabled and opened, of the first event and of any; nothing is sold meanwhile."""
    seen = []
    for act in ("pause", "disable", "open"):
        registration = (await post(wix, f"{way}/{act}"))["registration"]
        sold = await wix.http.post(f"/sandbox/tickets/{FIXED}/buy")
        seen.append((registration["status"], registration["paused"], registration["closedBecause"], sold.status_code))

    assert [
        ("OPEN_TICKETS", True, "registration is paused", 409),
        ("CLOSED_MANUALLY", True, "registration is paused", 409),
        ("OPEN_TICKETS", False, None, 200),
    ] == seen


async def test_change_what_the_api_tells_of_a_ticket(wix: WixRig) -> None:
    """The place of a ticket, its limit per checkout and members that are left out can be set, and ended."""
    way = f"/sandbox/tickets/{FIXED}"
    await wix.http.patch(way, json={"sortIndex": 9, "limitPerCheckout": 0, "missing": ["saleStatus"]})
    odd = (await wix.api("GET", f"/{FIXED}")).json()["ticketDefinition"]
    await wix.http.patch(way, json={"limitPerCheckout": None, "missing": []})
    again = (await wix.api("GET", f"/{FIXED}")).json()["ticketDefinition"]

    assert (9, 0, None) == (odd["sortIndex"], odd["limitPerCheckout"], odd.get("saleStatus"))
    assert (9, 50, "SALE_STARTED") == (again["sortIndex"], again["limitPerCheckout"], again["saleStatus"])


async def test_install_and_remove_the_app(wix: WixRig) -> None:
    """Installing and removing the app are webhooks."""
    await post(wix, "/app/install")
    await post(wix, "/app/remove")

    assert ["AppInstalled", "AppRemoved"] == [webhook.type for webhook in wix.sandbox.delivery.since()]


async def test_turn_knobs(wix: WixRig) -> None:
    """Knobs are shown, and turned by name."""
    shown = await get(wix, "/knobs")
    turned = (await wix.http.patch("/sandbox/knobs", json={"loss": 0.25, "outage": "503"})).json()

    assert {**shown, "loss": 0.25, "outage": "503"} == turned == wix.knobs.now.model_dump()


async def test_webhooks_are_listed(wix: WixRig) -> None:
    """Webhooks are listed with their bodies and attempts, oldest first; `since` leaves out known ones."""
    await post(wix, f"/tickets/{FIXED}/buy")

    every = (await get(wix, "/webhooks"))["webhooks"]
    rest = (await get(wix, "/webhooks?since=3"))["webhooks"]

    assert [1, 2, 3, 4] == [one["n"] for one in every]
    assert every[3:] == rest
    assert {"n", "type", "jwt", "attempts"} == rest[0].keys()
    assert rest[0]["type"] == decoded(rest[0]["jwt"])[0]["eventType"]
    assert [] == rest[0]["attempts"]


async def test_attempts_are_listed(wix: WixRig) -> None:
    """An attempt is listed with its time, receiver, status and duration."""
    wix.send_to("http://127.0.0.1:9")
    await post(wix, "/app/install")
    await until(lambda: wix.sandbox.delivery.since()[0].attempts)

    attempts = (await get(wix, "/webhooks"))["webhooks"][0]["attempts"]

    assert {"at", "url", "status", "ms"} == attempts[0].keys()
    assert ("http://127.0.0.1:9/webhooks/wix", 0) == (attempts[0]["url"], attempts[0]["status"])


async def test_only_the_last_webhooks_are_listed(wix: WixRig) -> None:
    """Without `since` only the newest are listed, since those never sent must first be signed."""
    for _ in range(70):
        wix.world.buy(IDS.tickets["unlimited"])

    listed = (await get(wix, "/webhooks"))["webhooks"]

    assert (200, 81, 280) == (len(listed), listed[0]["n"], listed[-1]["n"])


async def test_calls_are_listed(wix: WixRig) -> None:
    """The control API lists the calls of the sandbox's client."""
    await wix.api("GET", f"/{FIXED}")

    every, rest = [(await get(wix, path))["calls"] for path in ("/calls", "/calls?since=1")]

    assert [("token", 200), ("get", 200)] == [(call["kind"], call["status"]) for call in every]
    assert every[1:] == rest
    assert {"n", "at", "method", "path", "kind", "status", "ms"} == rest[0].keys()


async def test_revoke_tokens(wix: WixRig) -> None:
    """A revoked token is refused from then on."""
    token = await wix.token()

    assert {"revoked": 1} == await post(wix, "/tokens/revoke")

    answer = await wix.http.post("/events/v3/ticket-definitions/query", json={}, headers={"Authorization": token})
    assert 401 == answer.status_code


async def test_site_is_shown_without_secrets(wix: WixRig) -> None:
    """The ids are shown, the secrets are not."""
    answer = await wix.http.get("/sandbox/site")

    told = answer.json()
    assert (IDS.app, IDS.instance, IDS.event, dict(IDS.tickets)) == tuple(
        told[name] for name in ("appId", "instanceId", "eventId", "tickets")
    )
    assert IDS.app_secret not in answer.text
    assert IDS.api_key not in answer.text
    assert "PRIVATE" not in answer.text


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        (f"/tickets/{IDS.event}/buy", {}, 404, "no ticket definition"),
        (f"/tickets/{IDS.tickets['low']}/buy", {"quantity": 4}, 409, "3 left"),
        (f"/tickets/{IDS.tickets['hidden']}/hold", {}, 409, "hidden"),
        (f"/tickets/{IDS.tickets['scheduled']}/hold", {}, 409, "yet to start"),
        (f"/tickets/{IDS.tickets['options']}/buy", {}, 400, "option"),
        (f"/tickets/{FIXED}/buy", {"quantity": "1"}, 400, "quantity"),
        (f"/tickets/{FIXED}/buy", {"quantity": 51}, 400, "quantity"),
        (f"/tickets/{FIXED}/buy", {"option": 1}, 400, "option"),
        (f"/tickets/{FIXED}/buy", [], 400, "object"),
        ("/tickets", {}, 400, "name"),
        ("/tickets", {**NEW, "eventId": IDS.site}, 404, "no event"),
        ("/orders/none/cancel", {}, 404, "no order"),
        ("/holds/none/cancel", {}, 404, "no hold"),
        ("/event/paint", {}, 404, "paint"),
        ("/event/update", {"title": ""}, 400, "title"),
        ("/event/update", {"status": "LOST"}, 400, "status"),
        ("/event/update", {"zone": 7}, 400, "zone"),
        ("/event/publish", {}, 409, "published already"),
        ("/events", {}, 400, "title"),
        ("/events", {"title": "Fair", "slug": "harbour-lights-festival"}, 409, "slug"),
        ("/events", {"title": "Fair", "end": "2020-01-01T00:00:00Z"}, 400, "ends before it starts"),
        (f"/events/{IDS.site}/pause", {}, 404, "no event"),
        (f"/events/{IDS.event}/paint", {}, 404, "paint"),
        (f"/events/{IDS.event}/update", {"registration": {"status": "shut"}}, 400, "registration.status"),
        ("/tickets", {**NEW, "limitPerCheckout": 51}, 400, "limitPerCheckout"),
        ("/app/paint", {}, 404, "paint"),
    ],
)
async def test_refusal_gives_the_reason(wix: WixRig, path: str, body: Any, status: int, says: str) -> None:
    """An impossible request is answered 400, 404 or 409 with a text, and changes nothing."""
    answer = await wix.http.post(f"/sandbox{path}", json=body)

    assert status == answer.status_code
    assert ["error"] == list(answer.json())
    assert says in answer.json()["error"]
    assert [] == wix.sandbox.delivery.since()
    assert EventStatus.UPCOMING == wix.world.event(IDS.event).status


async def test_invalid_knob_is_named(wix: WixRig) -> None:
    """An unknown knob, or an invalid value, is refused with the knob's name."""
    answers = [await wix.http.patch("/sandbox/knobs", json=json) for json in ({"noise": 1}, {"loss": 2})]

    assert [400, 400] == [answer.status_code for answer in answers]
    assert ["noise", "loss"] == [answer.json()["error"].partition(":")[0] for answer in answers]


async def test_invalid_request_is_refused(wix: WixRig) -> None:
    """A body that is not JSON, and a `since` that is no number, are refused."""
    rubbish = await wix.http.post(f"/sandbox/tickets/{FIXED}/buy", content=b"{")
    since = await wix.http.get("/sandbox/calls?since=-1")

    assert (400, 400) == (rubbish.status_code, since.status_code)
    assert (120, ["error"]) == (wix.world.ticket(FIXED).left, list(since.json()))
