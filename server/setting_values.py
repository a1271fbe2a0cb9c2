"""The values of settings: read from text, and refused with what they should be.

In: the text of one setting, or its parts. Out: the value in the form in which the server compares it, or UnusableValue
with what is wrong and what to write, which never contain the value of a secret. All entries of a list are told together.
"""

import re
import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server.setting_faults import UnusableValue, of_entries

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")

"""With any scheme: web views of apps have their own, such as capacitor://localhost, ionic://localhost or tauri://localhost."""
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
NO_ORIGIN = {
    **dict.fromkeys(("ws", "wss", "ftp", "htp", "htps", "htttp", "htttps"), "write https:// or http://"),
    **dict.fromkeys(("file", "data", "blob", "about"), "write null, which is what browsers send for them"),
}
"""Schemes of addresses that are no origin of a page, and what is meant."""


def parts(value: Any) -> Any:
    """The parts of a comma-separated text; any other value as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def url(value: str) -> str:
    """An http or https address, without a slash at its end."""
    if urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname:
        raise UnusableValue(f"{value!r} is not an http or https address", "write it as https://www.example.com")
    if "@" in urlsplit(value).netloc:
        raise UnusableValue(
            "it may have no user and password, since it is shown to others", "remove what stands before the @"
        )
    return value.rstrip("/")


def path(value: str) -> str:
    """ROOT_PATH: a path with a slash before it and none after it, or nothing."""
    stripped = value.strip("/")
    return f"/{stripped}" if stripped else ""


def origins(value: tuple[str, ...]) -> tuple[str, ...]:
    """ORIGINS: at least one, in the form in which browsers send them."""
    if not value:
        raise UnusableValue("it names no origin", "write `*` for all")
    found, faults = [], []
    for one in value:
        try:
            found.append(origin(one))
        except UnusableValue as fault:
            faults.append(fault)
    of_entries(faults)
    return tuple(found)


def origin(text: str) -> str:
    """An origin in the form in which browsers send it; raises UnusableValue."""
    origin = text.lower().rstrip("/")
    if origin in {"*", "null"}:
        return origin
    found = _ORIGIN.fullmatch(origin)
    if found and found[1] in NO_ORIGIN:
        scheme = found[1]
        raise UnusableValue(
            f"{text!r} is no origin, as no page has one with {scheme}://", f"for {scheme}:// {NO_ORIGIN[scheme]}"
        )
    if not found:
        if "*" in origin.replace("://*.", "://", 1):
            raise UnusableValue(
                f"{text!r} has a wildcard at another place than that of sub-domains",
                "write it as in https://*.example.com",
            )
        raise UnusableValue(
            f"{text!r} is not an origin",
            "write scheme and host alone, as in https://www.example.com or https://*.example.com",
        )
    return origin.removesuffix(DEFAULT_PORTS.get(found[1], " "))


def networks(value: tuple[str, ...]) -> tuple[str, ...]:
    """TRUSTED_PROXIES: addresses or networks."""
    of_entries(
        UnusableValue(
            f"{one!r} is not an address or a network", "write numbers, such as 127.0.0.1 or 10.0.0.0/8, and no names"
        )
        for one in value
        if not _is_network(one)
    )
    return value


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def header_value(value: str) -> str:
    """A key that is sent in a header: printable ASCII."""
    if not re.fullmatch(r"[!-~]+", value):
        raise UnusableValue("it has a character that no key has (a typographic quote?)", "copy it again")
    return value


def proxy(value: str) -> str:
    """HTTPS_PROXY: the address of an HTTP proxy; without a scheme it is http, as other programs read it."""
    given = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme.startswith("socks"):
        raise UnusableValue(
            "it is a SOCKS proxy", "only an HTTP proxy can be used, such as http://proxy.example.com:3128"
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or port == 0:
        raise UnusableValue(
            "it is not the address of an HTTP proxy",
            "write it as http://user:password@proxy.example.com:3128 (in a password, characters such as # / @ : are written as "
            "%23 %2F %40 %3A)",
        )
    return given


def ca_file(value: Path) -> Path:
    """WIX_CA_FILE: a file of certificates in PEM."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except ssl.SSLError:
        raise UnusableValue(
            f"the file {value} has no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
            f"for one in DER form, openssl x509 -inform der -in {value.name} -out {value.stem}.pem",
        ) from None
    except OSError as error:
        raise UnusableValue(
            f"the file {value} cannot be read: {error.strerror}", "correct its path, or let this user read it"
        ) from None
    return value
