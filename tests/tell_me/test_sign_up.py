from typing import Any

import pytest

from server.keyring import Purpose
from server.model import EventId, SiteId
from server.store import notify_requests
from server.store.notify_requests import RequestKind
from server.tell_me.sign_up import LONGEST
from tests.rig.fake_reader import EVENT
from tests.rig.server import SITE, TICKET
from tests.rig.tell_me_rig import TellMe


async def test_an_address_waits_encrypted(tell_me: TellMe) -> None:
    """An address is folded, and kept encrypted with its language until a worker brings it to the tool; a repeat changes nothing."""
    await tell_me.offer()
    for query in ("", f"ticket={TICKET}"):
        answer = await tell_me.post("sign-up", {"address": " Ann@Bücher.Example ", "language": "de"}, query)
        assert (200, {"state": "kept"}) == (answer.status_code, answer.json())
    requests = notify_requests.NotifyRequests(tell_me.store)
    request = await requests.claim(SiteId(SITE), RequestKind.SIGN_UP)
    assert request is not None
    content = tell_me.keyring.decrypt(Purpose.SIGN_UP, request.content)

    assert {"a": "ann@xn--bcher-kva.example", "l": "de"} == content
    assert EventId(EVENT) == request.about
    assert await requests.claim(SiteId(SITE), RequestKind.SIGN_UP) is None
    for name in await tell_me.store.do("KEYS", "*sign-up*"):
        assert "ann" not in str(name)


@pytest.mark.parametrize(
    "address",
    [None, 7, "", "ann", "ann@", "ann@localhost", "a b@example.org", "x" * LONGEST + "@example.org", ["a@b.example"]],
)
async def test_what_is_no_address(tell_me: TellMe, address: Any) -> None:
    """What no mail can be sent to is refused, and is not repeated in the answer."""
    await tell_me.offer()
    answer = await tell_me.post("sign-up", {"address": address, "language": "xx"})

    assert (400, "address") == (answer.status_code, answer.json()["error"]["field"])
    assert not address or str(address) not in answer.text
    assert [] == await tell_me.store.do("KEYS", "*sign-up*")


async def test_an_event_whose_tool_takes_none(tell_me: TellMe) -> None:
    """Where the tool takes no sign-ups, no address is taken."""
    await tell_me.offer(sign_up=None)
    answer = await tell_me.post("sign-up", {"address": "ann@example.org"})

    assert 404 == answer.status_code
    assert [] == await tell_me.store.do("KEYS", "*sign-up*")


async def test_limits_of_sign_ups(tell_me: TellMe, monkeypatch: pytest.MonkeyPatch) -> None:
    """One client's address signs up only so many in an hour, and only so many wait in all."""
    await tell_me.offer()
    for number in range(notify_requests.SIGN_UPS_OF_SENDER):
        answer = await tell_me.post("sign-up", {"address": f"ann{number}@example.org", "language": 7})
        assert 200 == answer.status_code
    answer = await tell_me.post("sign-up", {"address": "bob@example.org"})
    assert (429, "3600") == (answer.status_code, answer.headers["retry-after"])
    await tell_me.store.do("DEL", *await tell_me.store.do("KEYS", "*sender*"))
    monkeypatch.setitem(notify_requests.MOST_WAITING, "sign-up", 1)
    assert 503 == (await tell_me.post("sign-up", {"address": "bob@example.org"})).status_code
