import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.rig.receiver import EVENT, SECRET, Receiver, receiver

TICKET = "11111111-1111-4111-8111-111111111111"
PATH = "/wix/tickets"


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Receiver]:
    """A running reference receiver."""
    async with receiver(tmp_path) as running:
        yield running


class Sender:
    """Sends requests that are signed, or nearly."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url.removesuffix(PATH), trust_env=False)
        self.number = 0

    async def send(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        age: float = 0,
        secret: str = SECRET,
    ) -> httpx.Response:
        """Send one; *headers* replace those that are right, "" removes one."""
        self.number += 1
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        id_, at = key or f"msg_{self.number}", datetime.now(UTC) - timedelta(seconds=age)
        signed = Webhook(secret).sign(id_, at, f"{method} {target}\n{content.decode(errors='replace')}")
        right = {
            "webhook-id": id_,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signed,
            "idempotency-key": id_,
        }
        sent = {name: value for name, value in {**right, **(headers or {})}.items() if value}
        return await self.http.request(method, target, headers=sent, content=content)


@pytest.fixture
async def sender(box: Receiver) -> AsyncIterator[Sender]:
    """Sends to the receiver."""
    made = Sender(box.url)
    yield made
    await made.http.aclose()


def ticket(**members: Any) -> dict[str, Any]:
    return {"wix_ticket_definition_id": TICKET, "event": EVENT, "name": "General", **members}


async def test_ticket_comes_back_as_it_was_sent(sender: Sender) -> None:
    """What is created is found and listed with an id, and with every member as it was sent."""
    made = await sender.send("POST", PATH, ticket(price="25.00", odd=[1.5, {"a": None}]))
    found = await sender.send("GET", f"{PATH}?event={EVENT}&ticket={TICKET}")
    listed = await sender.send("GET", f"{PATH}?event={EVENT}")

    assert (201, 200, 200) == (made.status_code, found.status_code, listed.status_code)
    record = {"id": "1", "active": True, **ticket(price="25.00", odd=[1.5, {"a": None}])}
    page = {"event": {"name": "Spring Gala", "currency": "EUR"}, "records": [record], "next": None, "total": 1}
    assert page == found.json() == listed.json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"age": 301},
        {"age": -301},
        {"secret": "whsec_enp6enp6enp6enp6enp6enp6enp6enp6"},
        {"headers": {"webhook-id": "msg_other"}},
        {"headers": {"webhook-timestamp": str(int(time.time()) - 10)}},
        {"headers": {"webhook-timestamp": "soon"}},
        {"headers": {"webhook-timestamp": ""}},
        {"headers": {"webhook-signature": ""}},
        {"headers": {"webhook-signature": "v1"}},
        {"headers": {"webhook-signature": "v1,&"}},
        {"headers": {"webhook-signature": "v1a,AAAA"}},
        {"body": b"\xff"},
    ],
)
async def test_forged_and_old_requests(box: Receiver, sender: Sender, wrong: dict[str, Any]) -> None:
    """A request that is not signed with the secret, or not within five minutes, is answered 401 and does nothing."""
    answers = [await sender.send("POST", PATH, **{"body": ticket(), **wrong})]
    if "body" not in wrong:
        answers.append(await sender.send("GET", f"{PATH}?event={EVENT}", **wrong))

    assert {401} == {one.status_code for one in answers}
    assert "signature" in answers[0].json()["detail"]
    assert [] == box.rows()


async def test_signature_holds_for_one_request(box: Receiver, sender: Sender) -> None:
    """A signature that was seen cannot be used for another method, address or body."""
    key = box.insert(EVENT, TICKET, {"active": True})
    made = await sender.send("PUT", f"{PATH}/{key}", {"name": "A"})
    seen = {name: made.request.headers[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    for method, target, body in (
        ("PUT", f"{PATH}/{key}", {"name": "B"}),
        ("PUT", f"{PATH}/2", {"name": "A"}),
        ("DELETE", f"{PATH}/{key}", {"name": "A"}),
        ("PUT", f"{PATH}/{key}?x", {"name": "A"}),
    ):
        found = await sender.send(method, target, body, headers={**seen, "idempotency-key": seen["webhook-id"]})
        assert 401 == found.status_code

    assert {"active": True, "name": "A"} == box.rows()[0][3]


async def test_one_key_is_one_effect(box: Receiver, sender: Sender) -> None:
    """The same key with the same request has the same answer and no effect; with another request it is refused."""
    first = await sender.send("POST", PATH, ticket(), key="msg_k")
    again = await sender.send("POST", PATH, ticket(), key="msg_k", age=60)
    assert (201, first.content) == (again.status_code, again.content)

    await sender.send("PUT", f"{PATH}/1", {"name": "Later"})
    assert first.content == (await sender.send("POST", PATH, ticket(), key="msg_k")).content
    for method, target, body in (("POST", PATH, ticket(name="B")), ("PUT", f"{PATH}/1", ticket())):
        assert 422 == (await sender.send(method, target, body, key="msg_k")).status_code

    assert ["Later"] == [row[3]["name"] for row in box.rows()]


async def test_refusals_are_not_kept(sender: Sender) -> None:
    """A request that was refused may come again with its key, and is done once it can be done."""
    assert 404 == (await sender.send("PUT", f"{PATH}/1", {"name": "A"}, key="msg_k")).status_code
    await sender.send("POST", PATH, ticket())

    assert 200 == (await sender.send("PUT", f"{PATH}/1", {"name": "A"}, key="msg_k")).status_code


async def test_key_is_the_signed_id(box: Receiver, sender: Sender) -> None:
    """A key that is not the signed id could be changed on the way, so it is refused, and so is a write without one."""
    for key in ("msg_other", ""):
        found = await sender.send("POST", PATH, ticket(), headers={"idempotency-key": key})
        assert 400 == found.status_code

    assert [] == box.rows()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("POST", PATH, b"{"), 400),
        (("POST", PATH, b"[]"), 400),
        (("POST", PATH, {"event": EVENT}), 422),
        (("POST", PATH, {"event": EVENT, "wix_ticket_definition_id": 5}), 422),
        (("POST", PATH, {"event": "X", "wix_ticket_definition_id": TICKET}), 404),
        (("POST", PATH, {"event": [], "wix_ticket_definition_id": TICKET}), 404),
        (("POST", PATH, {"event": EVENT, "wix_ticket_definition_id": TICKET, "options": {}}), 422),
        (("POST", PATH, {"event": EVENT, "wix_ticket_definition_id": TICKET, "options": [{"name": "A"}]}), 422),
        (("POST", PATH, b" " * 1_000_001), 413),
        (("POST", f"{PATH}/1", {}), 405),
        (("PUT", PATH, {}), 405),
        (("DELETE", PATH, None), 405),
        (("PUT", f"{PATH}/99", {"wix_ticket_definition_id": 5}), 422),
        (("PUT", f"{PATH}/99", {}), 404),
        (("PUT", f"{PATH}/x", {}), 404),
        (("DELETE", f"{PATH}/99", None), 404),
        (("GET", PATH, None), 404),
        (("GET", f"{PATH}?event=X", None), 404),
        (("GET", f"{PATH}?event={EVENT}&after=x", None), 400),
        (("GET", f"{PATH}?event={EVENT}&after={10**30}", None), 400),
    ],
)
async def test_wrong_requests(box: Receiver, sender: Sender, request_: tuple[str, str, Any], status: int) -> None:
    """A wrong request is answered with its status and a reason, and does nothing."""
    found = await sender.send(*request_)

    assert status == found.status_code
    assert found.json()["detail"]
    assert [] == box.rows()


async def test_one_record_for_an_id(box: Receiver, sender: Sender) -> None:
    """Of many creations of one ticket at once one is done, and the others are told that there is a record."""
    answers = await asyncio.gather(*(sender.send("POST", PATH, ticket(), key=f"msg_p{n}") for n in range(8)))

    assert [201, *[409] * 7] == sorted(one.status_code for one in answers)
    assert 1 == len(box.rows())
