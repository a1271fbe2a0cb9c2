import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server import setting_values
from server.setting_faults import UnusableValue
from tests.rig.certificates import Authority


def test_parts_of_a_text() -> None:
    """A comma-separated text has parts without blanks, empty ones left out; what is no text stays as it is."""
    assert ("a", "b c") == setting_values.parts(" a ,, b c,")
    assert ("a,b",) == setting_values.parts(("a,b",))


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://Shop.example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("http://shop.example:8080", "http://shop.example:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://*.Example.com", "https://*.example.com"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("Ionic://localhost/", "ionic://localhost"),
        ("app://localhost:80", "app://localhost:80"),
        ("tauri://localhost", "tauri://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("NULL", "null"),
        ("*", "*"),
    ],
)
def test_origin_as_browsers_send_it(written: str, sent: str) -> None:
    """An origin gets the form in which browsers send it: lower case, no default port, no slash."""
    assert sent == setting_values.origin(written)


@pytest.mark.parametrize(
    ("read", "value", "says"),
    [
        (setting_values.origins, (), "it names no origin: write `*` for all"),
        (setting_values.origin, "shop.example", "is not an origin: write scheme and host alone"),
        (
            setting_values.origin,
            "wss://shop.example",
            "no page has one with wss://: for wss:// write https:// or http://",
        ),
        (
            setting_values.origin,
            "htps://shop.example",
            "no page has one with htps://: for htps:// write https:// or http://",
        ),
        (setting_values.origin, "file://disk", "write null, which is what browsers send for them"),
        (setting_values.origin, "capacitor:localhost", "is not an origin"),
        (setting_values.origin, "capacitor://local host", "is not an origin"),
        (setting_values.origin, "https://a.*.example", "a wildcard at another place than that of sub-domains"),
        (setting_values.url, "shop.example", "is not an http or https address"),
        (setting_values.proxy, "ftp://proxy.example", "it is not the address of an HTTP proxy"),
        (setting_values.proxy, "http://ada:p#ss@proxy.example", "# / @ : are written as %23 %2F %40 %3A"),
        (setting_values.proxy, "http://proxy.example:0", "it is not the address of an HTTP proxy"),
        (setting_values.proxy, "http://proxy.example/path", "it is not the address of an HTTP proxy"),
        (setting_values.url, "https://u:p@shop.example", "it may have no user and password"),
        (setting_values.networks, ("nginx",), "is not an address or a network: write numbers"),
        (setting_values.header_value, "a\u201db", "a typographic quote?"),
    ],
)
def test_value_that_cannot_be_used(read: Callable[[Any], Any], value: Any, says: str) -> None:
    """A value that cannot be used is refused with what it should be."""
    with pytest.raises(UnusableValue, match=re.escape(says)):
        read(value)


def test_all_entries_of_a_list_are_told_as_one() -> None:
    """Several entries that cannot be used are one fault, which names each, and each cure once."""
    with pytest.raises(UnusableValue) as proxies:
        setting_values.networks(("nginx", "10.0.0.1", "caddy"))
    with pytest.raises(UnusableValue) as origins:
        setting_values.origins(("shop.example", "https://a.example", "other.example", "wss://c.example"))

    assert "'nginx' is not an address or a network; 'caddy' is not an address or a network" == proxies.value.what
    assert 1 == proxies.value.cure.count("write numbers")
    assert ["shop.example", "other.example", "wss://c.example"] == re.findall(r"'([^']+)'", origins.value.what)
    assert (
        "write scheme and host alone, as in https://www.example.com or https://*.example.com; for wss:// write"
        in str(origins.value.cure)
    )


def test_values_that_can_be_used() -> None:
    """Values get the form in which the server compares them."""
    assert "https://shop.example/path" == setting_values.url("https://shop.example/path/")
    assert ("/counter", "") == (setting_values.path("counter/"), setting_values.path("/"))
    assert ("10.0.0.0/8", "::1") == setting_values.networks(("10.0.0.0/8", "::1"))
    assert ("null",) == setting_values.origins(("null",))
    assert "key" == setting_values.header_value("key")


def test_certificates_are_read_from_a_file(tmp_path: Path) -> None:
    """A file of certificates is taken as it is; one without any, in DER form, or that is not there is refused with what to do."""
    good, der = tmp_path / "ca.pem", tmp_path / "ca.crt"
    good.write_text(Authority().pem)
    der.write_bytes(b"\x30\x82\x01\x0a")

    assert good == setting_values.ca_file(good)
    with pytest.raises(ValueError, match=r"openssl x509 -inform der -in ca\.crt -out ca\.pem"):
        setting_values.ca_file(der)
    with pytest.raises(ValueError, match=r"absent\.pem cannot be read: No such file or directory"):
        setting_values.ca_file(tmp_path / "absent.pem")


def test_proxy_without_a_scheme() -> None:
    """A proxy is one of http where nothing else is written."""
    assert "http://proxy.example:3128" == setting_values.proxy("proxy.example:3128")
    assert "https://ada:secret@proxy.example" == setting_values.proxy("https://ada:secret@proxy.example")
