from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from server.errors import WixUnavailable
from server.model import SiteId
from server.wix.client import Wix
from server.wix.route import Route
from tests.rig.certificates import Authority
from tests.rig.connect_proxy import connect_proxy
from tests.rig.fake_wix import FakeWix, running
from tests.rig.redis import free_port
from tests.rig.server import SITE
from tests.rig.wix_client import APP, QUERY, TICKETS, pay

SITE_ID = SiteId(SITE)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def ca_file(authority: Authority, tmp_path: Path) -> Path:
    """The authority's certificate as a file."""
    path = tmp_path / "ca.pem"
    path.write_text(authority.pem)
    return path


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[FakeWix]:
    """A Wix on https, whose certificate is of an authority that is trusted nowhere."""
    async with running(authority.server("localhost")) as wix:
        yield wix


async def read(url: str, route: Route) -> WixUnavailable | None:
    """Read tickets by this route; the error, or None."""
    async with aclosing(Wix(APP, url, route=route)) as wix:
        try:
            await wix.query(SITE_ID, TICKETS, pay)
        except WixUnavailable as error:
            return error
    return None


async def test_authority_of_a_file_is_trusted(secure: FakeWix, ca_file: Path) -> None:
    """An authority in WIX_CA_FILE is trusted; without it the error names that setting."""
    error = await read(secure.url, Route())

    assert error is not None
    assert "signed by an authority that is not trusted here" in str(error)
    assert "set WIX_CA_FILE" in error.hint
    assert await read(secure.url, Route(ca_file=ca_file)) is None
    assert 1 == len(secure.requests_to(QUERY))


async def test_calls_pass_through_the_proxy(secure: FakeWix, ca_file: Path) -> None:
    """With HTTPS_PROXY each connection is a tunnel of the proxy, for a user and a password where it wants them."""
    async with connect_proxy(password="ada:a secret/@") as proxy:
        url = f"http://ada:a%20secret%2F%40@127.0.0.1:{proxy.port}"

        assert await read(secure.url, Route(url, ca_file)) is None

    assert [f"CONNECT {secure.host}"] == proxy.asked
    assert 1 == len(secure.requests_to(QUERY))


async def test_http_address_is_called_directly() -> None:
    """A local Wix on http is called directly, whatever HTTPS_PROXY says."""
    async with running() as wix:
        assert await read(wix.url, Route(f"http://127.0.0.1:{free_port()}")) is None


async def test_proxy_that_does_not_let_us_through(secure: FakeWix, ca_file: Path) -> None:
    """A proxy that wants a password, refuses the host, or is not there is named in the cure, and the password never."""
    async with connect_proxy(password="ada:right", refused=[secure.host]) as proxy:
        at = f"127.0.0.1:{proxy.port}"
        unsigned = await read(secure.url, Route(f"http://ada:wrong@{at}", ca_file))
        refused = await read(secure.url, Route(f"http://ada:right@{at}", ca_file))
    absent = await read(secure.url, Route(f"http://ada:right@{at}", ca_file))

    assert unsigned is not None
    assert refused is not None
    assert absent is not None
    assert f"the proxy {at} wants a user and a password" in unsigned.hint
    assert f"the proxy {at} does not connect to {secure.host}" in refused.hint
    assert f"whether the proxy {at} runs" in absent.hint
    for error in (unsigned, refused, absent):
        assert "right" not in f"{error} {error.hint} {Route(f'http://ada:right@{at}')!r}"
        assert "wrong" not in f"{error} {error.hint}"


async def test_untrusted_certificate_behind_the_proxy(secure: FakeWix) -> None:
    """A certificate that is not trusted is told as that also where a proxy leads to it, since such proxies are a common cause."""
    async with connect_proxy() as proxy:
        error = await read(secure.url, Route(f"http://127.0.0.1:{proxy.port}"))

    assert error is not None
    assert "set WIX_CA_FILE" in error.hint
    assert [f"CONNECT {secure.host}"] == proxy.asked


def test_host_of_the_proxy() -> None:
    """What is shown of a proxy is its host and port, and only where it is used."""
    route = Route("http://ada:secret@proxy.example.com:3128")

    assert "proxy.example.com:3128" == route.proxy_host("https://www.wixapis.com")
    assert route.proxy_host("http://127.0.0.1:8100") is None
    assert Route().proxy_host("https://www.wixapis.com") is None
