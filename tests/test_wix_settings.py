import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server.model import SiteId
from server.wix.credentials import ApiKey, App
from tests.rig.certificates import Authority
from tests.rig.settings import Write, refused

INSTANCE = "5F0E4D3C-1111-4111-8111-00000000B001"
SITE_ID = "7c9e6679-2222-4222-8222-00000000c001"


@pytest.fixture(scope="module")
def pem() -> str:
    """A public key as the app's dashboard shows it."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, spki).decode()


def test_public_key_forms(from_file: Write, pem: str) -> None:
    r"""The public key is read as PEM, with quotes or without, as PEM with literal `\n`, and as base64 of PEM."""
    forms = [pem, f'"{pem}"', f"'{pem.replace(chr(10), chr(92) + 'n')}'", base64.b64encode(pem.encode()).decode()]

    numbers = {key.public_numbers().n for form in forms if (key := from_file(f"WIX_PUBLIC_KEY={form}").key)}

    assert 1 == len(numbers)


def test_public_key_invalid(from_file: Write, pem: str) -> None:
    """A key that cannot be used is refused with where to get the right one, and is not quoted."""
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    elliptic = curve.public_bytes(serialization.Encoding.PEM, spki)

    found = [
        refused(lambda: from_file("WIX_PUBLIC_KEY=c2VjcmV0")),
        refused(lambda: from_file(f"WIX_PUBLIC_KEY={base64.b64encode(elliptic).decode()}")),
        refused(lambda: from_file(f'WIX_PUBLIC_KEY="{pem[:200]}"')),
    ]

    assert "is neither a PEM nor base64 of one" in found[0]
    assert "not an RSA key" in found[1]
    assert "has no END line" in found[2]
    assert [] == [text for text in found if pem.splitlines()[1] in text or text.count("WIX_PUBLIC_KEY") != 1]


def test_app_credentials(from_file: Write) -> None:
    """An app has an id and a secret; a missing one is named, with where it is found."""
    found = from_file("WIX_APP_ID=app", "WIX_APP_SECRET=hunter2")

    assert App("app", "hunter2") == found.credentials()
    text = refused(from_file("WIX_APP_ID=app").credentials)
    assert text.startswith("WIX_APP_SECRET is not set: take it from your app's OAuth page at Wix")
    assert refused(from_file().credentials).startswith("WIX_APP_ID and WIX_APP_SECRET are not set")


def test_api_key_credentials(from_file: Write) -> None:
    """An API key comes with the site id of each instance; an instance without one is its own site id."""
    other = INSTANCE.lower().replace("b001", "b002")

    found = from_file("WIX_API_KEY=key", f"WIX_SITES={INSTANCE}={SITE_ID.upper()},{other}").credentials()

    assert ApiKey("key", {SiteId(INSTANCE.lower()): SITE_ID, SiteId(other): other}) == found


def test_way_to_wix(from_file: Write, tmp_path: Path) -> None:
    """HTTPS_PROXY and WIX_CA_FILE are the way to Wix; a proxy without a scheme is one of http, and its password is never shown."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(Authority().pem)

    found = from_file("HTTPS_PROXY=ada:hush-hush@proxy.example.com:3128", f"WIX_CA_FILE={ca_file}")

    assert found.https_proxy is not None
    assert ("http://ada:hush-hush@proxy.example.com:3128", ca_file) == (
        found.https_proxy.get_secret_value(),
        found.wix_ca_file,
    )
    assert "hush-hush" not in repr(found)
    assert (None, None) == (from_file("").https_proxy, from_file("").wix_ca_file)


def test_unusable_way_to_wix_is_refused(from_file: Write, tmp_path: Path) -> None:
    """A proxy of another kind, and a file that is not there or has no certificate, are refused with what to write instead."""
    (tmp_path / "empty.crt").write_bytes(b"\x30\x82\x01\x0a")

    text = refused(
        lambda: from_file("HTTPS_PROXY=socks5://ada:hush-hush@127.0.0.1:1080", "WIX_CA_FILE=no-such-file.pem")
    )
    der = refused(lambda: from_file(f"WIX_CA_FILE={tmp_path / 'empty.crt'}"))

    assert "HTTPS_PROXY: it is a SOCKS proxy: only an HTTP proxy can be used" in text
    assert "WIX_CA_FILE: the file no-such-file.pem cannot be read: No such file or directory" in text
    assert "openssl x509 -inform der -in empty.crt -out empty.pem" in der
    assert "hush-hush" not in text
