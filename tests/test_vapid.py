import re

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from server import vapid
from server.errors import NotStarted
from tests.rig.push_service import from_base64url

ORIGIN = "https://push.example"


def claims(header: str) -> dict[str, object]:
    """The claims of a header Authorization, if its signature is right."""
    token, public = re.fullmatch(r"vapid t=(\S+),k=(\S+)", header).groups()  # type: ignore[union-attr]
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64url(public))
    return dict(jwt.decode(token, key, algorithms=["ES256"], audience=ORIGIN, options={"verify_exp": False}))


def test_new_keys_are_usable_and_different() -> None:
    """A new key is 32 bytes, its public key is the uncompressed point that browsers take, and no two are equal."""
    one, other = vapid.new_key(), vapid.new_key()

    assert 32 == len(from_base64url(one))
    assert 65 == len(from_base64url(vapid.public_key(one)))
    assert 4 == from_base64url(vapid.public_key(one))[0]
    assert one != other
    assert 8 == len(vapid.key_id(vapid.public_key(one)))


def test_authorization_is_signed_for_one_service() -> None:
    """A header names the service's origin, whom it may write to, and expires after 12 hours."""
    key = vapid.new_key()
    signer = vapid.VapidSigner([key], "tickets@example.org", clock=lambda: 1000.0)
    [name] = signer.ids
    header = signer.authorization(name, ORIGIN)

    assert {"aud": ORIGIN, "exp": 1000 + 12 * 3600, "sub": "mailto:tickets@example.org"} == claims(header)
    assert header.endswith(f",k={vapid.public_key(key)}")


def test_authorization_is_used_for_hours() -> None:
    """A header is made anew for another service, another key, and after six hours, and not before."""
    now = 0.0
    keys = [vapid.new_key(), vapid.new_key()]
    signer = vapid.VapidSigner(keys, "mailto:tickets@example.org", clock=lambda: now)
    newest, old = signer.ids
    first = signer.authorization(newest, ORIGIN)
    now = vapid.RENEWED_AFTER - 1

    assert first == signer.authorization(newest, ORIGIN)
    assert first != signer.authorization(old, ORIGIN)
    assert first != signer.authorization(newest, "https://other.example")
    now = vapid.RENEWED_AFTER
    assert first != signer.authorization(newest, ORIGIN)


def test_remembered_headers_are_bounded() -> None:
    """However many services there are, only so many headers are remembered."""
    signer = vapid.VapidSigner([vapid.new_key()], "tickets@example.org")
    for number in range(vapid.MOST_CACHED + 5):
        signer.authorization(signer.ids[0], f"https://push{number}.example")

    assert 5 == len(signer._headers)


@pytest.mark.parametrize(
    "key", ["", "abc", "é" * 43, "A" * 42, pytest.param(vapid.public_key(vapid.new_key()), id="public"), "A" * 43]
)
def test_a_text_that_is_no_key(key: str) -> None:
    """A text that is no private key is refused with the command that makes one, and is not repeated."""
    with pytest.raises(NotStarted, match="ticket-counter notify keys") as refused:
        vapid.VapidSigner([key], "tickets@example.org")

    assert not key or key not in str(refused.value)


@pytest.mark.parametrize(
    "contact", ["", "nobody", "x@localhost", "mailto:example.org", "tel:123.4", "https://localhost/x"]
)
def test_a_contact_that_services_refuse(contact: str) -> None:
    """A contact without a real domain is refused at the start, since a push service would refuse every message."""
    with pytest.raises(NotStarted, match="NOTIFY_FROM"):
        vapid.VapidSigner([vapid.new_key()], contact)


def test_an_unknown_key_is_not_signed_with() -> None:
    """A key that is no longer among the settings is a KeyError, never replaced by another one."""
    signer = vapid.VapidSigner([vapid.new_key()], "tickets@example.org")

    with pytest.raises(KeyError):
        signer.authorization("00000000", ORIGIN)
