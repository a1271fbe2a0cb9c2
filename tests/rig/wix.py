"""The sandbox, our local Wix, in the test's loop: on a real socket, with the machine's clock.

wix    a WixRig: its world to buy in, its knobs, the settings with which a server uses it as Wix

The ids are those of the samples, so `wix.site` is tests.rig.server.SITE and `wix.tickets["fixed"]` its TICKET.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
import pytest

from sandbox.__main__ import Server, config, listen
from sandbox.app import Sandbox
from sandbox.calls import Call
from sandbox.delivery import Webhook
from sandbox.knobs import LiveKnobs
from sandbox.model import Event, Hold, Order, Ticket
from sandbox.observer import ChangeType
from sandbox.site import Ids, Site, new_key
from sandbox.world import World

IDS = Ids(
    app="a1b2c3d4-0000-4000-8000-00000000a001",
    app_secret="c0ffee00-9999-4999-8999-00000000a002",
    instance="5f0e4d3c-1111-4111-8111-00000000b001",
    site="7c9e6679-2222-4222-8222-00000000c001",
    account="9d8c7b6a-3333-4333-8333-00000000d001",
    owner="3e2d1c0b-5555-4555-8555-00000000f001",
    api_key="IST.a-key-of-no-one",
    event="0b5f1a2e-4444-4444-8444-00000000e001",
    tickets={
        "fixed": "11111111-aaaa-4aaa-8aaa-000000000001",
        "options": "22222222-aaaa-4aaa-8aaa-000000000002",
        "guest": "33333333-aaaa-4aaa-8aaa-000000000003",
        "free": "44444444-aaaa-4aaa-8aaa-000000000004",
        "unlimited": "55555555-aaaa-4aaa-8aaa-000000000005",
        "low": "66666666-aaaa-4aaa-8aaa-000000000006",
        "scheduled": "77777777-aaaa-4aaa-8aaa-000000000007",
        "hidden": "88888888-aaaa-4aaa-8aaa-000000000008",
    },
    options=(
        "aaaaaaaa-0001-4001-8001-000000000001",
        "aaaaaaaa-0002-4002-8002-000000000002",
        "aaaaaaaa-0003-4003-8003-000000000003",
    ),
)

API = "/events/v3/ticket-definitions"


@cache
def sandbox_site() -> Site:
    """The site of all tests, with one key for the whole run: to generate one is slow."""
    return Site(IDS, new_key())


class WixRig:
    """A running sandbox."""

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox = sandbox
        self.url = url
        self.site = sandbox.site.ids.instance
        self.event = sandbox.site.ids.event
        self.tickets = dict(sandbox.site.ids.tickets)
        self.http = httpx.AsyncClient(base_url=url, trust_env=False)

    @property
    def world(self) -> World:
        """The events, tickets and orders, and the ways to change them."""
        return self.sandbox.world

    @property
    def knobs(self) -> LiveKnobs:
        """Turn them with `wix.knobs.turn(loss=0.5)`."""
        return self.sandbox.knobs

    def settings(self) -> dict[str, str]:
        """The settings of a server that uses this Wix: `start_server(**wix.settings())`."""
        ids = self.sandbox.site.ids
        return {
            "wix_app_id": ids.app,
            "wix_app_secret": ids.app_secret,
            "wix_public_key": self.sandbox.site.public_line,
            "wix_sites": ids.instance,
            "wix_api_url": self.url,
        }

    def send_to(self, url: str) -> None:
        """From now on webhooks go to the server at this address."""
        self.sandbox.delivery.urls = (f"{url}/webhooks/wix",)

    def confirmed(self, since: int = 0) -> list[Webhook]:
        """The webhooks of paid orders after the *since*-th of all."""
        return [one for one in self.sandbox.delivery.since(since) if one.type.endswith(".OrderConfirmed")]

    def calls(self, kind: str | None = None) -> list[Call]:
        """The API calls so far: all, or those of a kind (token, query, get, ...)."""
        return self.sandbox.calls.since(kind=kind)

    async def token(self) -> str:
        """A new access token."""
        answer = await self.http.post("/oauth2/token", json=token_request())
        return str(answer.json()["access_token"])

    async def api(self, method: str, path: str, json: Any = None, *, prefix: str = API) -> httpx.Response:
        """Make one API call as the app."""
        headers = {"Authorization": await self.token()}
        return await self.http.request(method, prefix + path, json=json, headers=headers)

    async def aclose(self) -> None:
        """Close the client's connections."""
        await self.http.aclose()


class ManualClock:
    """A clock that advances only on command; it begins at the time of the samples."""

    def __init__(self, at: float = 1_770_804_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        """The present time (seconds since 1970)."""
        return self.at

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.at += seconds


class RecordingObserver:
    """An Observer that records all changes: (what, thing), in order."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, Any]] = []

    def ticket(self, what: ChangeType, ticket: Ticket, before: Ticket | None = None) -> None:
        """Record news of a ticket; not that its stock moved, which comes with every sale."""
        if what is not ChangeType.STOCK_MOVED:
            self.recorded.append((f"ticket {what}", ticket))

    def hold(self, what: ChangeType, hold: Hold, tickets: Mapping[str, Ticket]) -> None:
        """Record news of a hold."""
        self.recorded.append((f"hold {what}", hold))

    def order(self, what: ChangeType, order: Order) -> None:
        """Record news of an order."""
        self.recorded.append((f"order {what}", order))

    def event(self, what: ChangeType, event: Event) -> None:
        """Record news of an event."""
        self.recorded.append((f"event {what}", event))

    @property
    def words(self) -> list[str]:
        """What was recorded since this was read last; reading it clears the record."""
        found = [word for word, _ in self.recorded]
        self.recorded.clear()
        return found


def token_request(**changes: Any) -> dict[str, Any]:
    """The body of a token request."""
    return {
        "grant_type": "client_credentials",
        "client_id": IDS.app,
        "client_secret": IDS.app_secret,
        "instance_id": IDS.instance,
        **changes,
    }


@asynccontextmanager
async def running_wix() -> AsyncIterator[WixRig]:
    """A sandbox on a free port, as long as the block; it sends no webhooks before `send_to(url)`."""
    sandbox = Sandbox(sandbox_site())
    listening = listen("127.0.0.1", 0)
    started = asyncio.Event()
    server = Server(config(sandbox), started.set)
    serving = asyncio.create_task(server.serve([listening]))
    await asyncio.wait_for(started.wait(), 10)
    rig = WixRig(sandbox, f"http://127.0.0.1:{listening.getsockname()[1]}")
    yield rig
    await rig.aclose()
    server.should_exit = True
    await serving
    listening.close()


@pytest.fixture
async def wix() -> AsyncIterator[WixRig]:
    """The sandbox of a test that needs one."""
    async with running_wix() as rig:
        yield rig


def decoded(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a JWT, unverified: its envelope and its innermost JSON."""
    middle = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    envelope = json.loads(claims["data"])
    return envelope, json.loads(envelope["data"])
