from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from server.sync.conformance.http_bench import http_settings
from server.sync.conformance.signed import OTHER_SECRET, RIGHT, SignedRequests, Signing
from server.sync.targets.http_json import TICKET
from tests.rig import broken_receivers as broken
from tests.rig.model_target import free
from tests.rig.receiver import EVENT, SECRET


@asynccontextmanager
async def requests() -> AsyncIterator[SignedRequests]:
    """Requests to the reference receiver."""
    async with broken.serving() as url:
        settings = http_settings(url, SECRET, event=EVENT, allow_http=True, allow_private=True)
        async with aclosing(SignedRequests(settings, free)) as found:
            yield found


@pytest.mark.parametrize(
    ("signing", "status"),
    [
        (RIGHT, 200),
        (Signing(secrets=(OTHER_SECRET, SECRET)), 200),
        (Signing(age=200), 200),
        (Signing(age=-200), 200),
        (Signing(age=600), 401),
        (Signing(age=-600), 401),
        (Signing(secrets=()), 401),
        (Signing(secrets=(OTHER_SECRET,)), 401),
        (Signing(method="POST"), 401),
        (Signing(target="/"), 401),
        (Signing(body=b"{}"), 401),
    ],
)
async def test_signings(signing: Signing, status: int) -> None:
    """What is signed as it is right is accepted, and each kind of wrong signature is told apart from it."""
    async with requests() as sent:
        answer = await sent.get({"event": EVENT}, signing)

    assert status == answer.status


async def test_writes() -> None:
    """A write has its key, which may be another than its id; whatever the status, it is an answer."""
    body = {TICKET: "t", "event": EVENT, "name": "Gala"}
    async with requests() as sent:
        answers = [
            await sent.send("POST", "", body, Signing(key="msg_other")),
            await sent.send("POST", "", body, Signing(id="msg_one")),
            await sent.send("POST", "", body, Signing(id="msg_one")),
            await sent.send("POST", "", body),
            await sent.send("POST", "", b"{"),
            await sent.send("DELETE", "/999"),
        ]

    assert [400, 201, 201, 409, 400, 404] == [answer.status for answer in answers]
    assert answers[1].json() == answers[2].json()
