import asyncio
from typing import Any

import httpx
import pytest

from tests.rig.server import until
from tests.rig.wix import API, WixRig, token_request


async def ask(wix: WixRig, kind: str = "api", token: str = "", **more: Any) -> httpx.Response:
    """One call: for a token, or one read of the API."""
    if kind == "token":
        return await wix.http.post("/oauth2/token", json=token_request(), **more)
    return await wix.http.get(f"{API}/{wix.tickets['fixed']}", headers={"Authorization": token}, **more)


@pytest.mark.parametrize("kind", ["api", "token"])
@pytest.mark.parametrize("status", ["401", "403", "404", "429", "500", "503"])
async def test_outage_answers_every_call(wix: WixRig, status: Any, kind: str) -> None:
    """During an outage every call gets its status, in Wix's form, until it is over."""
    token = await wix.token()
    wix.knobs.turn(outage=status)
    during = await ask(wix, kind, token)
    wix.knobs.turn(outage="none")

    after = await ask(wix, kind, token)

    assert (int(status), 200) == (during.status_code, after.status_code)
    assert {"message", "details"} == during.json().keys()
    assert "x-wix-request-id" in during.headers


@pytest.mark.parametrize(("of", "down"), [("api", ["api"]), ("token", ["token"]), ("all", ["api", "token"])])
async def test_outage_of_a_part(wix: WixRig, of: Any, down: list[str]) -> None:
    """Tokens and the other calls can fail separately."""
    token = await wix.token()
    wix.knobs.turn(outage="503", outage_of=of)

    found = [kind for kind in ("api", "token") if (await ask(wix, kind, token)).status_code == 503]

    assert down == found


async def test_outage_of_events_alone(wix: WixRig) -> None:
    """The Events API can fail while ticket definitions are answered."""
    headers = {"Authorization": await wix.token()}
    wix.knobs.turn(outage="503", outage_of="events")

    events = await wix.http.post("/events/v3/events/query", json={"query": {"paging": {"limit": 1}}}, headers=headers)
    ticket = await ask(wix, "api", headers["Authorization"])

    assert (503, 200) == (events.status_code, ticket.status_code)


async def test_nonsense_has_status_200(wix: WixRig) -> None:
    """Nonsense is a 200 that is not JSON."""
    wix.knobs.turn(outage="nonsense")

    answer = await ask(wix)

    assert 200 == answer.status_code
    with pytest.raises(ValueError, match="Expecting"):
        answer.json()


async def test_dropped_connection_ends_in_the_middle(wix: WixRig) -> None:
    """The connection is closed before the answer is complete, and the call has no status."""
    wix.knobs.turn(outage="drop")

    with pytest.raises(httpx.RemoteProtocolError):
        await ask(wix)

    assert 0 == wix.calls()[-1].status


async def test_hanging_call_gets_no_answer(wix: WixRig) -> None:
    """No answer is sent, however long the client waits; the call is recorded while it hangs."""
    wix.knobs.turn(outage="hang")

    with pytest.raises(httpx.ReadTimeout):
        await ask(wix, timeout=0.2)

    assert ("get", 0) == (wix.calls()[-1].kind, wix.calls()[-1].status)


async def test_control_api_works_during_an_outage(wix: WixRig) -> None:
    """An outage can be ended through the control API."""
    wix.knobs.turn(outage="500")

    await wix.http.patch("/sandbox/knobs", json={"outage": "none"})

    assert 200 == (await ask(wix, token=await wix.token())).status_code


@pytest.mark.parametrize("token", ["", "guess"])
async def test_call_without_a_token_is_401(wix: WixRig, token: str) -> None:
    """A call without a valid token is answered 401, and does not count towards the rate limit."""
    wix.knobs.turn(rate_limit=1)

    refused = await ask(wix, token=token)

    assert (401, 200) == (refused.status_code, (await ask(wix, token=await wix.token())).status_code)


async def test_api_key_needs_no_token(wix: WixRig) -> None:
    """An API key with the site's id needs no token."""
    ids = wix.sandbox.site.ids
    headers = {"Authorization": ids.api_key, "wix-site-id": ids.site}

    answer = await wix.http.get(f"{API}/{wix.tickets['fixed']}", headers=headers)

    assert 200 == answer.status_code


@pytest.mark.parametrize(("wait", "header"), [(None, None), (7, "7")])
async def test_rate_limit_is_per_site(wix: WixRig, wait: int | None, header: str | None) -> None:
    """A call over the limit is answered 429, with any token, with Retry-After or without; token calls are free."""
    wix.knobs.turn(rate_limit=2, retry_after=wait)

    found = [await ask(wix, token=await wix.token()) for _ in range(3)]

    assert [200, 200, 429] == [answer.status_code for answer in found]
    assert header == found[-1].headers.get("retry-after")
    assert 3 == len(wix.calls("token"))


async def test_delayed_answer_has_the_state_of_its_request(wix: WixRig) -> None:
    """A delayed answer has the state at the time of its request."""
    token = await wix.token()
    wix.knobs.turn(read_delay=0.3)
    url = f"{API}/{wix.tickets['fixed']}?fields=SALES_DETAILS"
    asked = asyncio.create_task(wix.http.get(url, headers={"Authorization": token}))
    await until(lambda: wix.calls("get"))
    wix.world.buy(wix.tickets["fixed"])

    answer = await asked

    assert 120 == answer.json()["ticketDefinition"]["salesDetails"]["unsoldCount"]
    assert wix.calls("get")[0].ms >= 250


async def test_answers_may_overtake_each_other(wix: WixRig) -> None:
    """With jitter the answers do not all arrive in the order of the requests."""
    token = await wix.token()
    wix.knobs.turn(read_jitter=0.3)
    done: list[int] = []

    async def one(n: int) -> None:
        await ask(wix, token=token)
        done.append(n)

    await asyncio.gather(*(one(n) for n in range(12)))

    assert list(range(12)) != done
    assert list(range(12)) == sorted(done)


async def test_every_call_is_recorded(wix: WixRig) -> None:
    """Calls are recorded with kind, method, path and status; those of the control API are not."""
    token = await wix.token()
    await ask(wix, token=token)
    await ask(wix)
    await wix.http.get("/sandbox/world")

    path = f"{API}/{wix.tickets['fixed']}"
    assert [
        ("POST", "/oauth2/token", "token", 200),
        ("GET", path, "get", 200),
        ("GET", path, "get", 401),
    ] == [(call.method, call.path, call.kind, call.status) for call in wix.calls()]
