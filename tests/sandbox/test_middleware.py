import asyncio
from typing import Any

import httpx
import pytest

from tests.rig.server import until
from tests.rig.wix import API, WixRig, token_request


async def ask(wix: WixRig, kind: str = "api", token: str = "", **more: Any) -> httpx.Response:
    """One call: a token, or one read of the API."""
    if kind == "token":
        return await wix.http.post("/oauth2/token", json=token_request(), **more)
    return await wix.http.get(f"{API}/{wix.tickets['fixed']}", headers={"Authorization": token}, **more)


@pytest.mark.parametrize("kind", ["api", "token"])
@pytest.mark.parametrize("status", ["401", "403", "404", "429", "500", "503"])
async def test_an_outage_answers_everything(wix: WixRig, status: Any, kind: str) -> None:
    """During an outage its status is all that anybody gets, in Wix's form, until it is over."""
    token = await wix.token()
    wix.knobs.turn(outage=status)
    during = await ask(wix, kind, token)
    wix.knobs.turn(outage="none")

    after = await ask(wix, kind, token)

    assert (int(status), 200) == (during.status_code, after.status_code)
    assert {"message", "details"} == during.json().keys()
    assert "x-wix-request-id" in during.headers


@pytest.mark.parametrize(("of", "down"), [("api", ["api"]), ("token", ["token"]), ("all", ["api", "token"])])
async def test_an_outage_may_be_of_a_part(wix: WixRig, of: Any, down: list[str]) -> None:
    """Tokens and the rest can fail apart from each other."""
    token = await wix.token()
    wix.knobs.turn(outage="503", outage_of=of)

    found = [kind for kind in ("api", "token") if (await ask(wix, kind, token)).status_code == 503]

    assert down == found


async def test_nonsense_comes_as_success(wix: WixRig) -> None:
    """Nonsense is a 200 that is not JSON."""
    wix.knobs.turn(outage="nonsense")

    answer = await ask(wix)

    assert 200 == answer.status_code
    with pytest.raises(ValueError, match="Expecting"):
        answer.json()


async def test_a_drop_ends_in_the_middle(wix: WixRig) -> None:
    """The connection is closed before the answer is whole, and the call has no status."""
    wix.knobs.turn(outage="drop")

    with pytest.raises(httpx.RemoteProtocolError):
        await ask(wix)

    assert 0 == wix.calls()[-1].status


async def test_who_hangs_gets_nothing(wix: WixRig) -> None:
    """No answer comes however long one waits; the call is on record while it hangs."""
    wix.knobs.turn(outage="hang")

    with pytest.raises(httpx.ReadTimeout):
        await ask(wix, timeout=0.2)

    assert ("get", 0) == (wix.calls()[-1].kind, wix.calls()[-1].status)


async def test_the_control_api_is_never_out(wix: WixRig) -> None:
    """An outage can be ended from outside."""
    wix.knobs.turn(outage="500")

    await wix.http.patch("/sandbox/knobs", json={"outage": "none"})

    assert 200 == (await ask(wix, token=await wix.token())).status_code


@pytest.mark.parametrize("token", ["", "guess"])
async def test_without_a_token_nothing_is_told(wix: WixRig, token: str) -> None:
    """A call that nobody vouches for is answered 401, and does not count towards the limit."""
    wix.knobs.turn(rate_limit=1)

    refused = await ask(wix, token=token)

    assert (401, 200) == (refused.status_code, (await ask(wix, token=await wix.token())).status_code)


async def test_an_api_key_is_enough(wix: WixRig) -> None:
    """A key with the site's id needs no token."""
    ids = wix.sandbox.site.ids
    headers = {"Authorization": ids.api_key, "wix-site-id": ids.site}

    answer = await wix.http.get(f"{API}/{wix.tickets['fixed']}", headers=headers)

    assert 200 == answer.status_code


@pytest.mark.parametrize(("wait", "header"), [(None, None), (7, "7")])
async def test_the_limit_is_the_site_s(wix: WixRig, wait: int | None, header: str | None) -> None:
    """The call over the limit is answered 429, whatever its token, with Retry-After or without; tokens are free."""
    wix.knobs.turn(rate_limit=2, retry_after=wait)

    found = [await ask(wix, token=await wix.token()) for _ in range(3)]

    assert [200, 200, 429] == [answer.status_code for answer in found]
    assert header == found[-1].headers.get("retry-after")
    assert 3 == len(wix.calls("token"))


async def test_a_late_answer_is_an_old_one(wix: WixRig) -> None:
    """An answer that is long on its way says what was true when it was asked for."""
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
    """With jitter the answers do not all come in the order of the questions."""
    token = await wix.token()
    wix.knobs.turn(read_jitter=0.3)
    done: list[int] = []

    async def one(n: int) -> None:
        await ask(wix, token=token)
        done.append(n)

    await asyncio.gather(*(one(n) for n in range(12)))

    assert list(range(12)) != done
    assert list(range(12)) == sorted(done)


async def test_every_call_is_on_record(wix: WixRig) -> None:
    """Calls are told apart by kind, with method, path and status; the control API is not on it."""
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
