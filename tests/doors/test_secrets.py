"""No secret and no personal data is printed, reported or stored, whatever happens in a whole run."""

import asyncio
import copy
import json
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from sandbox.webhooks import signer
from tests.rig.deployment import Deployment
from tests.rig.process import Command, Run
from tests.rig.redis import RedisServer
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.wix import WixRig

USER, PASSWORD = "counter", "hush-redis-password"
METRICS_TOKEN = "hush-metrics-token"
PERSON = {
    "firstName": "Hushabye",
    "lastName": "Quietly",
    "email": "hushabye@quiet.example",
    "phone": "+1-555-0147-4711",
    "address": "12 Whisper Lane",
}
SAMPLE_PERSON = ("Ada", "ada@example.com")
"""The buyer of the sandbox's own orders; the last name, Example, is in every address."""
STRANGERS = {
    "authorization": "hush-of-a-stranger",
    "cookie": "session=hush-cookie",
    "x-forwarded-for": "203.0.113.77",
    "user-agent": "hush-agent/1.0",
    "referer": "https://hush.example/page?token=hush-referer",
    "origin": "https://hush-origin.example",
}
"""What clients send about themselves, which is their own business."""
UPGRADE = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
IN_A_QUERY = "hush-in-a-query"
IN_A_FRAME = "hush-in-a-frame"
FORGED_LINE = "2027-01-01 forged-line"


class Secrets:
    """Every word that must not get out, as far as they are known by now."""

    def __init__(self, wix: WixRig) -> None:
        self.wix = wix
        ids = wix.sandbox.site.ids
        self.words = {ids.app_secret, ids.api_key, PASSWORD, METRICS_TOKEN, IN_A_QUERY, IN_A_FRAME, FORGED_LINE}
        self.words |= {*PERSON.values(), *SAMPLE_PERSON, *STRANGERS.values(), "hush"}
        self.words |= set(wix.sandbox.site.private_pem.splitlines()[1:-1])
        self.tokens = 0

    def look(self) -> None:
        """Learn the current ones: tokens, signed webhooks, orders and their buyers."""
        tokens = set(self.wix.sandbox.auth._tokens)
        self.tokens += len(tokens - self.words)
        self.words |= tokens
        for webhook in self.wix.sandbox.delivery.since():
            self.words |= _parts(webhook.jwt)
        for order in self.wix.world.orders.values():
            self.words |= {order.number, order.contact}

    def found(self, text: str) -> set[str]:
        """Those that are in a text."""
        return {word for word in self.words if word in text}


def _parts(token: str) -> set[str]:
    """The parts of a token that reveal something: its claims and its signature, also cut."""
    _, claims, signature = token.split(".")
    return {claims[:60], claims[-60:], signature[:40]}


def personal(wix: WixRig) -> dict[str, Any]:
    """An order as Wix sends it, with all that an organiser's form may ask for."""
    envelope = copy.deepcopy(wix.confirmed()[-1].envelope)
    text = envelope["data"].replace("Ada", PERSON["firstName"]).replace("ada@example.com", PERSON["email"])
    data = json.loads(text)
    form = {"inputValues": [{"inputName": name, "value": value} for name, value in PERSON.items()]}
    for one in (data, *data["tickets"]):
        one.update(PERSON)
        one["checkoutForm" if one is data else "form"] = form
    envelope["data"] = json.dumps(data)
    return envelope


def forged(wix: WixRig) -> list[bytes]:
    """Bodies that must be refused, each with something that must not be logged."""
    sign = signer(wix.sandbox.site, wix.knobs)
    envelope = personal(wix)
    good = sign(envelope, time.time())
    other_key = rsa.generate_private_key(65537, 2048)
    claims = {"data": json.dumps(envelope)}
    return [
        good[:-8].encode(),
        jwt.encode(claims, "", "none").encode(),
        jwt.encode(claims, other_key, "RS256").encode(),
        jwt.encode(claims, "x" * 64, "HS256", headers={"kid": PERSON["email"]}).encode(),
        json.dumps(envelope).encode(),
        f"Bearer {METRICS_TOKEN}\r\n{FORGED_LINE}".encode(),
        # Signed by Wix, and still malformed.
        sign({**envelope, "data": envelope["data"][:-1]}, time.time()).encode(),
        sign({**envelope, "data": json.dumps(PERSON["email"])}, time.time()).encode(),
        sign({**envelope, "eventType": PERSON["email"]}, time.time()).encode(),
        sign({**envelope, "instanceId": PERSON["email"]}, time.time()).encode(),
        sign({**envelope, "eventType": f"x\r\n{FORGED_LINE}"}, time.time()).encode(),
    ]


async def careless_clients(url: str, site: str, ticket: str) -> None:
    """Clients that send more than they should, in every place possible."""
    split = urlsplit(url)
    query = f"ticket={ticket}&token={IN_A_QUERY}&access_token={IN_A_QUERY}"
    paths = [
        f"/v1/counters?{query}",
        f"/v1/counters?ticket={IN_A_QUERY}%0d%0a{quote(FORGED_LINE)}",
        f"/v1/counters?ticket={ticket}&site={IN_A_QUERY}",
        f"/embed?ticket={IN_A_QUERY}",
        f"/{IN_A_QUERY}",
        f"/metrics?token={METRICS_TOKEN}",
        f"/readyz?token={METRICS_TOKEN}",
        f"/widget/v1/ticket-counter.{IN_A_QUERY}.js",
    ]
    async with httpx.AsyncClient(base_url=url, trust_env=False, headers=STRANGERS) as client:
        for path in paths:
            for method in ("GET", "POST", "OPTIONS"):
                await client.request(method, path, content=PERSON["email"].encode())
        for authorization in (f"Bearer {METRICS_TOKEN}x", f"Basic {IN_A_QUERY}", METRICS_TOKEN):
            await client.get("/metrics", headers={"Authorization": authorization})
    for target in (f"/v1/counters?{query}", f"/v1/counters?ticket={IN_A_QUERY}", f"/{IN_A_QUERY}"):
        with suppress(WebSocketException):
            async with connect(f"{url.replace('http', 'ws', 1)}{target}", additional_headers=STRANGERS) as socket:
                await socket.send(f"{IN_A_FRAME}\r\n{FORGED_LINE}")
                await socket.send(IN_A_FRAME.encode())
                async with asyncio.timeout(5):
                    async for _ in socket:
                        pass
    for raw in (
        f"GET /{IN_A_QUERY}\r\n{FORGED_LINE}\r\n\r\n",
        f"{IN_A_QUERY} / HTTP/1.1\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nX: y\n{FORGED_LINE}: {IN_A_QUERY}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {IN_A_QUERY}\r\nX: {IN_A_QUERY * 2000}\r\n\r\n",
        f"GET /v1/counters?ticket={ticket}&site={site} HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Key: {IN_A_QUERY}\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(split.hostname, split.port)
        writer.write(raw.encode())
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(reader.read(), 3)
        writer.close()


async def address(web: Command) -> str:
    """The address on which it listens, in whichever form it logs that."""
    found = await until(lambda: re.search(r"address\W+(http://[\d.:]+)", web.err), 15)
    return str(found[1])


async def right(deployment: Deployment, wix: WixRig, ticket: str) -> None:
    """Wait until what is stored is what Wix has."""
    await until(lambda: deployment.right(wix, [ticket]), 30)


async def outages(deployment: Deployment, wix: WixRig, secrets: Secrets, ticket: str) -> None:
    """All that may go wrong with Wix, one after the other, each with an order that has to be read."""
    for outage in ("401", "403", "429", "500", "nonsense", "drop"):
        for outage_of in ("api", "token"):
            if outage_of == "token":
                wix.sandbox.auth.revoke()
            wix.knobs.turn(outage=outage, outage_of=outage_of)
            before = len(wix.calls())
            wix.world.buy(ticket)
            await until(partial(_called, wix, before), 30)
            wix.knobs.turn(outage="none")
            secrets.look()
            await right(deployment, wix, ticket)
            secrets.look()


def _called(wix: WixRig, before: int) -> bool:
    return len(wix.calls()) > before


def _told(deployment: Deployment, before: int) -> bool:
    return deployment.log.count("store_unavailable") > before


def lock_out(redis: RedisServer) -> None:
    """From now on Redis accepts no client."""
    redis.ask("ACL", "SETUSER", USER, "off")
    redis.ask("CLIENT", "KILL", "USER", USER)


@pytest.mark.parametrize("form", ["console", "json"])
async def test_no_secret_or_personal_data_leaks(
    command: Run, redis_server: Callable[..., RedisServer], wix: WixRig, form: str
) -> None:
    """No log line at DEBUG, metric, readiness report or key in Redis holds a secret or personal data."""
    redis = redis_server()
    redis.ask("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all")
    url = redis.url.replace("redis://", f"redis://{USER}:{PASSWORD}@")
    more = {"LOG_LEVEL": "DEBUG", "LOG_FORM": form, "METRICS_TOKEN": METRICS_TOKEN}
    deployment = Deployment(command, url, wix.settings(), **more)
    secrets = Secrets(wix)
    ticket = wix.tickets["fixed"]
    wix.knobs.turn(resend_scale=0.02)

    # A whole day, in short: orders and holds, some of them cancelled.
    worker, web = deployment.worker(), deployment.start("web")
    at = await address(web)
    wix.send_to(at)
    order = wix.world.buy(ticket)
    wix.world.cancel_ticket(order.number, order.issued[0].number)
    wix.world.cancel_hold(wix.world.hold(wix.tickets["low"]).id)
    await right(deployment, wix, ticket)
    async with httpx.AsyncClient(base_url=at, trust_env=False) as client:
        statuses = [(await client.post("/webhooks/wix", content=body)).status_code for body in forged(wix)]
        statuses.append((await client.post("/webhooks/wix", content=_signed(wix))).status_code)
    await careless_clients(at, wix.site, ticket)
    await outages(deployment, wix, secrets, ticket)

    # Redis does not answer, then refuses the connection.
    for away, back in (
        (redis.freeze, redis.thaw),
        (lambda: lock_out(redis), lambda: redis.ask("ACL", "SETUSER", USER, "on")),
    ):
        told = deployment.log.count("store_unavailable")
        away()
        wix.world.buy(ticket)
        await until(partial(_told, deployment, told + 1), 20)
        back()
        await right(deployment, wix, ticket)

    # The owner's pages reveal no more; and wrongly configured processes log why.
    told_to_us = ""
    async with httpx.AsyncClient(base_url=at, trust_env=False) as client:
        for path in ("/metrics", "/readyz"):
            told_to_us += (await client.get(path, headers={"Authorization": f"Bearer {METRICS_TOKEN}"})).text
    ended = [await worker.stop()]
    wrong = deployment.worker(WIX_APP_SECRET="hush-wrong-secret")
    wix.world.buy(ticket)
    await wrong.says("it answered 401 invalid_client")
    ended += [await one.stop() for one in (wrong, web)]
    for more in (
        {"REDIS_URL": url.replace(PASSWORD, "hush-wrong")},
        {"REDIS_URL": f"redis://{USER}:{PASSWORD}@127.0.0.1:port/0"},
        {"WIX_PUBLIC_KEY": "hush-key"},
    ):
        assert 2 == (await deployment.start("web", **more).ended())[0]
    secrets.look()
    kept = _everything(redis)

    assert [0, 0, 0] == [status for status, _ in ended]
    assert [401] * 6 + [200] * 6 == statuses
    assert secrets.tokens > 5
    assert set() == secrets.found(deployment.log)
    assert set() == secrets.found(told_to_us)
    assert set() == secrets.found(kept)
    # The search was not over empty texts.
    for word in ("webhook_forged", "webhook_refused", "webhook_malformed", "store_unavailable", "wix_fault", ticket):
        assert word in deployment.log
    assert "ticketcounter_webhooks_total" in told_to_us
    assert ticket in kept
    report(
        f"{len(secrets.words)} words, 0 found in {len(deployment.log):,} bytes of logs and {len(kept):,} of Redis's file"
    )


def _signed(wix: WixRig) -> bytes:
    """An order with personal data, as Wix signs it."""
    return signer(wix.sandbox.site, wix.knobs)(personal(wix), time.time()).encode()


def _everything(redis: RedisServer) -> str:
    """All that was ever written to Redis, from its append-only log, and all it has printed."""
    redis.stop()
    files: Iterable[Path] = (path for path in redis.folder.rglob("*") if path.is_file())
    return "".join(path.read_bytes().decode("latin-1") for path in files)
