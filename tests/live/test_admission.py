import pytest

from server.live.admission import Admission

LIST = ("https://shop.example", "http://127.0.0.1:8080", "https://*.wixsite.com", "http://*.dev.example:3000", "null")


@pytest.mark.parametrize("origins", [(), ("*",), ("https://shop.example", "*")])
def test_everyone(origins: tuple[str, ...]) -> None:
    """With `*` in the list, or no list, pages of every origin may read and frame, and so may no page at all."""
    admission = Admission(origins)

    assert admission.anyone
    assert all(
        admission.admits(origin) for origin in ("https://evil.example", "null", "nonsense", "http://[", "", None)
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
def test_origins(origin: str | None, admitted: bool) -> None:
    """A list admits exactly its origins, and sub-domains where it has a wildcard; nonsense is no fault of ours."""
    admission = Admission(LIST)

    assert not admission.anyone
    assert admitted == admission.admits(origin)


def test_null_by_name_only() -> None:
    """A page without an origin (a file, a sandboxed frame) is admitted only where the list says so."""
    assert not Admission(("https://shop.example",)).admits("null")


def test_frame_ancestors() -> None:
    """Who may read may frame, as far as a policy can name them."""
    assert (
        "http://127.0.0.1:8080 https://shop.example https://*.wixsite.com http://*.dev.example:3000"
        == Admission(LIST).frame_ancestors()
    )
    assert "'none'" == Admission(("null",)).frame_ancestors()


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
def test_address(peer: str, forwarded: str | None, address: str) -> None:
    """A client counts by the right-most hop that no proxy of ours added, IPv6 by its /64, nonsense as one stranger."""
    admission = Admission(proxies=("10.0.0.0/8", "fd00::/8"))

    assert address == admission.address(peer, forwarded)


@pytest.mark.parametrize("proxy", ["::ffff:192.0.2.1", "::ffff:192.0.2.0/120", "192.0.2.1"])
@pytest.mark.parametrize("peer", ["192.0.2.1", "::ffff:192.0.2.1"])
def test_a_proxy_written_as_ipv6(proxy: str, peer: str) -> None:
    """An IPv4 address is the same in both ways of writing it, of a peer and in the list of proxies."""
    assert "203.0.113.9" == Admission(proxies=[proxy]).address(peer, "203.0.113.9")
    assert "198.51.100.1" == Admission(proxies=[proxy]).address("198.51.100.1", "203.0.113.9")


def test_no_proxy_is_trusted_unless_named() -> None:
    """Without a list nobody's X-Forwarded-For is believed, not even this machine's."""
    assert "127.0.0.1" == Admission().address("127.0.0.1", "203.0.113.1")


def test_caps() -> None:
    """There is room for so many in all and so many of an address, and again when one leaves."""
    admission = Admission(most=3, most_an_address=2)

    assert [True, True, False] == [admission.enter("a") for _ in range(3)]
    assert [True, False] == [admission.enter("b") for _ in range(2)]
    admission.leave("a")
    assert [True, False] == [admission.enter("b") for _ in range(2)]
    for one in ("a", "b", "b"):
        admission.leave(one)
    assert {} == admission._inside
    assert 0 == admission._count


def test_closing() -> None:
    """When the process is closing nobody comes in, and those inside leave as ever."""
    admission = Admission()
    assert admission.enter("a")
    admission.open = False

    assert not admission.enter("b")
    admission.leave("a")
    assert 0 == admission._count


def test_crowded() -> None:
    """For more viewers than there are descriptors nobody is let in, however many may be; there is room when one leaves."""
    admission = Admission(most=9, descriptors=2)

    entered = [admission.enter(one) for one in "abc"]
    crowded = admission.crowded
    admission.leave("a")

    assert ([True, True, False], True) == (entered, crowded)
    assert (False, True) == (admission.crowded, admission.enter("c"))
