from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect

from server.live.client_address import ClientAddresses
from tests.rig.server import TICKET, StartServer

HERE = ("10.0.0.0/8", "::ffff:192.0.2.0/120", "fd00::/8")


def counted() -> float:
    return REGISTRY.get_sample_value("ticketcounter_untrusted_forwarded_total") or 0.0


def warnings(logs: list[Any]) -> list[Any]:
    return [one for one in logs if one["event"] == "untrusted_proxy"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.7", None, "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.66, 203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "192.0.1.66, 203.0.113.1:50123, 192.0.2.2", "203.0.113.1"),
        ("fd00::1", "[2001:db8:1:2:3::1]:443", "2001:db8:1:2::/64"),
        ("10.0.0.1", "no address", "unknown"),
        ("local", "203.0.113.1", "unknown"),
    ],
)
def test_address_behind_proxies(peer: str, forwarded: str | None, address: str) -> None:
    """A client's address is the right-most hop that no trusted proxy added, IPv6 by its /64; malformed ones are one."""
    assert address == ClientAddresses(HERE).address(peer, forwarded)


@pytest.mark.parametrize("peer", ["172.18.0.2", "127.0.0.1", "::ffff:172.18.0.2"])
def test_proxy_that_is_not_trusted(peer: str) -> None:
    """A proxy that is missing in TRUSTED_PROXIES is logged once, with its private address and the cure; each request counts."""
    addresses, before = ClientAddresses(HERE), counted()

    with structlog.testing.capture_logs() as logs:
        found = {addresses.address(peer, f"203.0.113.{client}") for client in range(150)}

    (line,) = warnings(logs)
    assert {peer.removeprefix("::ffff:")} == found
    assert 150 == counted() - before
    assert "warning" == line["log_level"]
    assert line["proxy"] == peer.removeprefix("::ffff:")
    assert f"add {line['proxy']} to TRUSTED_PROXIES" in line["hint"]


@pytest.mark.parametrize("peer", ["8.8.8.8", "2001:4860:4860::8888"])
def test_public_address_is_not_logged(peer: str) -> None:
    """A public address may be a visitor's: it is not logged."""
    with structlog.testing.capture_logs() as logs:
        ClientAddresses(HERE).address(peer, "1.1.1.1")

    (line,) = warnings(logs)
    assert peer not in str(line)
    assert "to TRUSTED_PROXIES" in line["hint"]


def test_warning_is_repeated() -> None:
    """A proxy that is still missing is told again, after some time."""
    addresses = ClientAddresses(warn_every=0)

    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            addresses.address("10.0.0.1", "203.0.113.1")

    assert 2 == len(warnings(logs))


def test_no_warning_without_a_fault() -> None:
    """A trusted proxy, and a client without the header, are no fault."""
    addresses, before = ClientAddresses(HERE), counted()

    with structlog.testing.capture_logs() as logs:
        addresses.address("10.0.0.1", "203.0.113.1")
        addresses.address("172.18.0.2", None)

    assert ([], before) == (warnings(logs), counted())


async def test_requests_of_each_kind(start_server: StartServer) -> None:
    """JSON and WebSocket requests through a proxy that is missing in TRUSTED_PROXIES count alike."""
    running, before = await start_server(), counted()

    await running.http.get("/v1/counters?ticket=x", headers={"X-Forwarded-For": "203.0.113.1"})

    async with connect(
        f"{running.ws}/v1/counters?ticket={TICKET}", additional_headers={"X-Forwarded-For": "203.0.113.1"}
    ) as viewer:
        await viewer.recv()

    assert before + 2 == counted()
