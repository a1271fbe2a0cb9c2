import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from server.errors import NotStarted
from server.wix.public_key import public_key

KEY = rsa.generate_private_key(65537, 2048)
SPKI = PublicFormat.SubjectPublicKeyInfo
PEM = KEY.public_key().public_bytes(Encoding.PEM, SPKI).decode()
PKCS1 = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()
DER = KEY.public_key().public_bytes(Encoding.DER, SPKI)
ELLIPTIC = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.PEM, SPKI).decode()
BODY = "".join(PEM.splitlines()[1:-1])


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def wrapped(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()


def private(form: PrivateFormat, encoding: Encoding = Encoding.PEM, password: bytes | None = None) -> str:
    encryption: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    found = KEY.private_bytes(encoding, form, encryption)
    return found.decode() if encoding is Encoding.PEM else base64.b64encode(found).decode()


FORMS = {
    "as it is": PEM,
    "without its last line end": PEM.strip(),
    "with blanks around it": f"\n  {PEM}\n",
    "with blanks around its lines": "\n".join(f"  {line}  " for line in PEM.splitlines()),
    "with the line ends of Windows": PEM.replace("\n", "\r\n"),
    r"with literal \n": PEM.replace("\n", "\\n"),
    r"with literal \r\n": PEM.replace("\n", "\\r\\n"),
    r"with literal \\n": PEM.strip().replace("\n", "\\\\n"),
    "on one line, with blanks": " ".join(PEM.split("\n")),
    "on one line, without blanks": PEM.replace("\n", ""),
    "in quotes": f'"{PEM.strip()}"',
    "in quotes of a text program": f"\u201c{PEM.strip()}\u201d",
    "with the dashes of a text program": PEM.replace("-----", "\u2014\u2014-"),
    "with a byte order mark": f"\ufeff{PEM}",
    "with a word before it": f"Public key: {PEM}",
    "PKCS #1": PKCS1,
    "base64": encoded(PEM),
    "base64 with the line ends of Windows": encoded(PEM.replace("\n", "\r\n")),
    r"base64 of one with literal \n": encoded(PEM.replace("\n", "\\n")),
    "base64, wrapped": wrapped(PEM),
    r"base64, wrapped with literal \n": wrapped(PEM).replace("\n", "\\n"),
    "base64, without padding": encoded(PEM + "\n").rstrip("="),
    "base64url": base64.urlsafe_b64encode(DER).decode(),
    "without its BEGIN and END lines": BODY,
    "without them, on several lines": "\n".join(PEM.splitlines()[1:-1]),
}


@pytest.mark.parametrize("form", FORMS)
def test_key_in_each_form(form: str) -> None:
    """A key is read in each form in which it is copied, stored and quoted: all of it is there."""
    assert KEY.public_key().public_numbers() == public_key(FORMS[form]).public_numbers()


NEITHER = "is neither a PEM nor base64 of one: copy it from the app's Webhooks page at Wix"
REFUSED = {
    "nothing": ("", NEITHER),
    "words": ("my key", NEITHER),
    "not ASCII": ("clé", NEITHER),
    "a part of base64": ("abc", NEITHER),
    "a key of SSH": ("ssh-rsa AAAAB3NzaC1yc2E", NEITHER),
    "base64 of something else": (base64.b64encode(b"\xff\xfe\xfd").decode(), NEITHER),
    "its first line": (PEM.splitlines()[0], "has no END line, so only a part of it came here"),
    "its first lines": (PEM[:200], "has no END line, so only a part of it came here"),
    "base64 of its first lines": (encoded(PEM[:200]), "has no END line, so only a part of it came here"),
    "letters changed": (PEM.replace("MII", "AAA"), "is not a readable public key: a part of it is missing or changed"),
    "one line of many": (PEM.splitlines()[1], "is not a readable public key: a part of it is missing or changed"),
    "no base64": (PEM.replace(BODY[:9], "not base64!"), "is not a readable public key"),
    "a certificate": (
        PEM.replace("PUBLIC KEY", "CERTIFICATE"),
        "is no public key, but what begins with BEGIN CERTIFICATE",
    ),
    "another algorithm": (ELLIPTIC, "is not an RSA key, and Wix signs with RS256"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_key_that_cannot_be_used(name: str) -> None:
    """A text that is no public key of an app is refused with the setting's name and what is wrong, and is not repeated."""
    text, reason = REFUSED[name]
    with pytest.raises(NotStarted) as caught:
        public_key(text)

    assert str(caught.value).startswith(f"WIX_PUBLIC_KEY {reason}")
    assert not text or text not in str(caught.value)


PRIVATE = {
    "PKCS #8": private(PrivateFormat.PKCS8),
    "PKCS #1": private(PrivateFormat.TraditionalOpenSSL),
    "encrypted": private(PrivateFormat.PKCS8, password=b"password"),
    "base64 of the key alone": private(PrivateFormat.PKCS8, Encoding.DER),
    "the same, encrypted": private(PrivateFormat.PKCS8, Encoding.DER, b"password"),
    "base64": encoded(private(PrivateFormat.PKCS8)),
    "its first line": private(PrivateFormat.PKCS8).splitlines()[0],
}


@pytest.mark.parametrize("form", PRIVATE)
def test_private_key_is_refused(form: str) -> None:
    """A private key is called so, in every form, and it is told to replace it."""
    with pytest.raises(NotStarted, match="WIX_PUBLIC_KEY is a private key, which no server needs: remove it") as caught:
        public_key(PRIVATE[form])

    assert PRIVATE[form][-40:] not in str(caught.value)
