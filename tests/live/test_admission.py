import asyncio
from urllib.parse import urlencode

import pytest
import structlog
from prometheus_client import REGISTRY

from server.counter import Rules
from server.errors import (
    BadRequest,
    NoSiteYet,
    OriginNotAllowed,
    Refused,
    SiteNotFound,
    TooManyConnections,
    TooManyUnconfirmed,
    UnknownSite,
    UnknownTicket,
)  # fmt: skip
from server.hub.hub import Hub
from server.live.admission import ANSWERS, Admission, Admitted, Undecided
from server.model import SiteId, TicketId
from server.query import Query
from tests.rig.default_keys import KEYS
from tests.rig.site_lookup import lookup_of

ONE = SiteId("5f0e4d3c-1111-4111-8111-00000000b001")
TWO = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
TICKETS = (TicketId("11111111-aaaa-4aaa-8aaa-000000000001"), TicketId("22222222-aaaa-4aaa-8aaa-000000000002"))
QUERY = urlencode([("ticket", ticket) for ticket in TICKETS])
SITES = lookup_of(ONE)

LIST = ("https://shop.example", "http://127.0.0.1:8080", "https://*.wixsite.com", "http://*.dev.example:3000", "null")


@pytest.mark.parametrize("origins", [(), ("*",), ("https://shop.example", "*")])
def test_every_origin_is_admitted_by_default(origins: tuple[str, ...]) -> None:
    """With `*` in the list, or no list, pages of every origin may read and frame, as may clients without one."""
    admission = Admission(SITES, origins)

    assert admission.all_origins
    assert all(
        admission.allows(origin) for origin in ("https://evil.example", "null", "nonsense", "http://[", "", None)
    )
    assert "*" == admission.frame_ancestors()


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("https://shop.example", True),
        ("HTTPS://Shop.Example", True),
        ("http://127.0.0.1:8080", True),
        ("https://a.wixsite.com", True),
        ("https://a.b.wixsite.com", True),
        ("http://a.dev.example:3000", True),
        ("null", True),
        (None, True),
        ("", False),
        ("http://shop.example", False),
        ("https://shop.example:8443", False),
        ("https://shop.example.evil.example", False),
        ("https://www.shop.example", False),
        ("http://127.0.0.1", False),
        ("https://wixsite.com", False),
        ("https://evilwixsite.com", False),
        ("http://a.wixsite.com", False),
        ("https://a.wixsite.com:444", False),
        ("https://a.wixsite.com.evil.example", False),
        ("http://a.dev.example", False),
        ("https://*.wixsite.com", True),
        ("nonsense", False),
        ("http://[", False),
        ("https://a.wixsite.com:port", False),
        ("https://a.wixsite.com:99999", False),
        ("https://a.wixsite.com, https://evil.example", False),
        ("\x00\xff", False),
    ],
)
def test_listed_origins_are_admitted(origin: str | None, admitted: bool) -> None:
    """A list admits exactly its origins, and sub-domains where it has a wildcard; a malformed origin is refused."""
    admission = Admission(SITES, LIST)

    assert not admission.all_origins
    assert admitted == admission.allows(origin)


def test_origin_of_an_app() -> None:
    """The web view of an app, whose scheme is its own, is admitted if it is listed, and may frame."""
    admission = Admission(SITES, ("capacitor://localhost", "https://shop.example"))

    assert admission.allows("capacitor://localhost")
    assert not admission.allows("ionic://localhost")
    assert "capacitor://localhost https://shop.example" == admission.frame_ancestors()


def test_null_origin_is_admitted_only_if_listed() -> None:
    """A page without an origin (a file, a sandboxed frame) is admitted only if the list contains `null`."""
    assert not Admission(SITES, ("https://shop.example",)).allows("null")


def test_frame_ancestors() -> None:
    """An origin that may read may also frame, as far as a policy can name it."""
    assert (
        "http://127.0.0.1:8080 https://shop.example https://*.wixsite.com http://*.dev.example:3000"
        == Admission(SITES, LIST).frame_ancestors()
    )
    assert "'none'" == Admission(SITES, ("null",)).frame_ancestors()


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.7", None, "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1", "198.51.100.7"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "192.0.2.66, 203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "192.0.2.66,203.0.113.1,10.9.9.9", "203.0.113.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("fd00::1", "203.0.113.1", "203.0.113.1"),
        ("::ffff:10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "203.0.113.1:50123", "203.0.113.1"),
        ("10.0.0.1", "[2001:db8:1:2:3:4:5:6]:50123", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", None, "2001:db8:1:2::/64"),
        ("fe80::1%eth0", None, "fe80::/64"),
        ("::ffff:198.51.100.7", None, "198.51.100.7"),
        ("10.0.0.1", "::ffff:203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "unknown", "unknown"),
        ("10.0.0.1", "203.0.113.1, ", "unknown"),
        ("10.0.0.1", "<script>", "unknown"),
        ("10.0.0.1", "," * 1000, "unknown"),
        ("local", None, "unknown"),
        ("local", "203.0.113.1", "unknown"),
    ],
)
def test_address_of_a_client(peer: str, forwarded: str | None, address: str) -> None:
    """A client's address is the right-most hop not added by a trusted proxy, IPv6 by its /64; malformed ones are one."""
    admission = Admission(SITES, proxies=("10.0.0.0/8", "fd00::/8"))

    assert address == admission.address(peer, forwarded)


@pytest.mark.parametrize("proxy", ["::ffff:192.0.2.1", "::ffff:192.0.2.0/120", "192.0.2.1"])
@pytest.mark.parametrize("peer", ["192.0.2.1", "::ffff:192.0.2.1"])
def test_ipv4_proxy_written_as_ipv6(proxy: str, peer: str) -> None:
    """An IPv4 address is the same in both notations, for a peer and in the list of proxies."""
    assert "203.0.113.9" == Admission(SITES, proxies=[proxy]).address(peer, "203.0.113.9")
    assert "198.51.100.1" == Admission(SITES, proxies=[proxy]).address("198.51.100.1", "203.0.113.9")


def test_no_proxy_is_trusted_by_default() -> None:
    """Without a list of proxies X-Forwarded-For is never trusted, not even from this machine."""
    assert "127.0.0.1" == Admission(SITES).address("127.0.0.1", "203.0.113.1")


# -- admission of a request --


def entered(admission: Admission, address: str) -> bool:
    """Whether one more connection of this address is admitted."""
    try:
        admission.admit(Hub(KEYS, Rules()), None, QUERY, address)
    except TooManyConnections:
        return False
    return True


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("ticketcounter_refused_total", {"reason": reason}) or 0.0


def test_connection_limits() -> None:
    """Connections are limited in all and per address; one that leaves makes place for another."""
    admission = Admission(SITES, max_connections=3, max_connections_per_address=2)

    assert [True, True, False] == [entered(admission, "a") for _ in range(3)]
    assert [True, False] == [entered(admission, "b") for _ in range(2)]
    admission.leave("a")
    assert [True, False] == [entered(admission, "b") for _ in range(2)]
    for one in ("a", "b", "b"):
        admission.leave(one)
    assert {} == admission._per_address
    assert 0 == admission._count


@pytest.mark.parametrize(
    ("address", "shown"), [("172.18.0.2", "172.18.0.2"), ("8.8.8.8", None), ("2001:db8::/64", None)]
)
def test_full_address_is_logged(address: str, shown: str | None) -> None:
    """An address that has all its connections is logged once, with the cure; only a private one is named, as a proxy's is."""
    admission = Admission(SITES, max_connections_per_address=1)

    with structlog.testing.capture_logs() as logs:
        assert [True, False, False] == [entered(admission, address) for _ in range(3)]

    (line,) = logs
    assert ("address_full", shown) == (line["event"], line.get("address"))
    assert "TRUSTED_PROXIES" in line["hint"]
    assert "MAX_CONNECTIONS_PER_ADDRESS=1 " in line["hint"]


def test_closing_process_admits_none() -> None:
    """When the process is closing no connection is admitted; present ones leave as usual."""
    admission = Admission(SITES)
    assert entered(admission, "a")
    admission.open = False

    assert not entered(admission, "b")
    admission.leave("a")
    assert 0 == admission._count


def test_viewers_are_limited_by_file_descriptors() -> None:
    """No more viewers are admitted than there are file descriptors, whatever the limit says, until one leaves."""
    admission = Admission(SITES, max_connections=9, descriptors=2)

    admitted = [entered(admission, one) for one in "abc"]
    out = admission.out_of_descriptors
    admission.leave("a")

    assert ([True, True, False], True) == (admitted, out)
    assert (False, True) == (admission.out_of_descriptors, entered(admission, "c"))


def test_admitted_request_has_site_tickets_and_address() -> None:
    """A request is admitted with its site, its tickets in their order, and the address that it is counted for."""
    assert Admitted(ONE, TICKETS, "a") == Admission(SITES, LIST).admit(
        Hub(KEYS, Rules()), "https://shop.example", QUERY, "a"
    )


@pytest.mark.parametrize(
    ("origin", "query", "error", "answer", "field"),
    [
        ("https://evil.example", QUERY, OriginNotAllowed, (403, 4501), None),
        (None, "ticket=1", BadRequest, (400, 4500), "ticket"),
        (None, f"site={TWO}&{QUERY}", UnknownSite, (404, 4500), "site"),
    ],
)
def test_refused_request_is_counted_and_answered(
    origin: str | None, query: str, error: type[Refused], answer: tuple[int, int], field: str | None
) -> None:
    """A refused request is counted by its reason, takes no place, and has an HTTP status and a close code."""
    admission = Admission(SITES, LIST)
    reason = "origin" if origin else "request"
    before = refused(reason)

    with pytest.raises(error) as caught:
        admission.admit(Hub(KEYS, Rules()), origin, query, "a")

    assert answer == ANSWERS[error]
    assert (field, before + 1, 0) == (caught.value.field, refused(reason), admission._count)


def test_refused_while_no_site_is_known() -> None:
    """While no site is known a request may be repeated: 503, and a close code after which a client reconnects."""
    before = refused("no_site")

    with pytest.raises(NoSiteYet):
        Admission(lookup_of()).admit(Hub(KEYS, Rules()), None, QUERY, "a")

    assert (503, 4000) == ANSWERS[NoSiteYet]
    assert before + 1 == refused("no_site")


def test_refusals_are_counted_by_reason() -> None:
    """The metric says whether the process is closing, or which of its limits was reached."""
    full = {
        "closing": Admission(SITES),
        "descriptors": Admission(SITES, descriptors=0),
        "full": Admission(SITES, max_connections=0),
        "address": Admission(SITES, max_connections_per_address=0),
    }
    full["closing"].open = False
    before = {reason: refused(reason) for reason in full}
    for admission in full.values():
        with pytest.raises(TooManyConnections, match="come back in a while"):
            admission.admit(Hub(KEYS, Rules()), None, QUERY, "a")

    assert (503, 4000) == ANSWERS[TooManyConnections]
    assert {reason: count + 1 for reason, count in before.items()} == {reason: refused(reason) for reason in full}


def test_every_refusal_has_an_answer() -> None:
    """Each kind of refusal has its HTTP status and its close code."""
    assert set(Refused.__subclasses__()) == set(ANSWERS)
    assert (503, 4000) == ANSWERS[TooManyUnconfirmed]


# -- a request whose site has to be looked up --


async def test_request_is_counted_while_its_site_is_looked_up() -> None:
    """A request that names no site where several are known takes a place while it is looked up, and until it leaves."""
    lookup = lookup_of(ONE, TWO)
    admission = Admission(lookup, max_connections=1)
    running = asyncio.create_task(lookup.run())
    hub = Hub(KEYS, Rules())
    before = refused("request")

    undecided = admission.admit(hub, None, QUERY, "a")
    assert Undecided(Query(None, TICKETS), "a") == undecided
    assert not entered(admission, "b")

    with pytest.raises(UnknownTicket):
        await admission.look_up(hub, undecided)
    assert (before + 1, 1) == (refused("request"), admission._count)
    admission.leave("a")
    assert 0 == admission._count

    assert (404, 4000) == ANSWERS[UnknownTicket]
    assert (503, 4000) == ANSWERS[SiteNotFound]
    assert Admitted(TWO, TICKETS, "a") == admission.admit(hub, None, f"{QUERY}&site={TWO}", "a")
    running.cancel()
    await asyncio.wait({running})


async def test_closing_process_admits_none_that_was_looked_up() -> None:
    """A request whose site was looked up while the process began to close is not admitted."""
    admission = Admission(lookup_of(ONE, TWO))
    hub = Hub(KEYS, Rules())
    undecided = admission.admit(hub, None, QUERY, "a")
    assert isinstance(undecided, Undecided)
    admission.open = False
    admission._sites._sites = lookup_of(ONE)._sites  # by now only one is known

    with pytest.raises(TooManyConnections):
        await admission.look_up(hub, undecided)
