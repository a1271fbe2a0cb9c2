import pytest

from server.live.host import has_host, is_host


@pytest.mark.parametrize(
    "value",
    [b"counter.example", b"counter_web:8000", b"192.0.2.1", b"[2001:db8::1]:443", b"xn--bcher-kva.example:", b""],
)
def test_host_of_each_kind(value: bytes) -> None:
    """A host is a name or an address, with a port or without, or empty (RFC 9110, section 7.2)."""
    assert is_host(value)


@pytest.mark.parametrize("value", [b"a b", b"a/b", b"a,b@c", b"http://a", b"a:b", b"a\xff", b"[::1", b"a:1:2", b"a?"])
def test_value_that_is_no_host(value: bytes) -> None:
    """Anything else is no host: it has a path, a user, a scheme or what no name has."""
    assert not is_host(value)


@pytest.mark.parametrize(
    ("hosts", "version", "valid"),
    [
        ([b"here"], "1.1", True),
        ([b"here"], "1.0", True),
        ([], "1.1", False),
        ([], "1.0", True),
        ([b"here", b"here"], "1.1", False),
        ([b"here", b"there"], "1.0", False),
        ([b"no host"], "1.1", False),
        ([b"no host"], "1.0", False),
    ],
)
def test_host_of_a_request(hosts: list[bytes], version: str, *, valid: bool) -> None:
    """A request of HTTP/1.1 has exactly one Host, one of HTTP/1.0 at most one (RFC 9112, section 3.2)."""
    assert valid is has_host([(b"accept", b"*/*"), *((b"host", host) for host in hosts)], version)
