r"""The app's public key, in each form in which it reaches a setting.

In: text, as it was copied from the app's Webhooks page and came through files and shells: PEM with its lines, with `\n` or `\r\n`
written out, or on one line; base64 of that, or of the key alone, on one line or wrapped; with quotes around it. Out: the key, or
UnusableValue, which says what the text is instead and never shows it. Sources: RFC 7468 (PEM), RFC 5280 section 4.1 (the key in it).
"""

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from server.setting_faults import UnusableValue

_WRITTEN_OUT = re.compile(r"\\+[rnt]")
_DASHES = r"[-\u2010-\u2015\u2212]+"
"""Hyphens, and what a text program makes of several."""
_PEM = re.compile(
    rf"{_DASHES}\s*BEGIN ([A-Z0-9 ]+?)\s*{_DASHES}(.*?){_DASHES}\s*END [A-Z0-9 ]+?\s*{_DASHES}", re.DOTALL
)
_SEQUENCE = b"\x30"
"""The first byte of each key (X.690, section 8.9)."""
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\ufeff"

COPY = "copy it from the app's Webhooks page at Wix, whole, with its BEGIN and END lines"
PRIVATE = "WIX_PUBLIC_KEY is a private key, which no server needs"
REPLACE = (
    "remove it here, and set the public key, from the app's Webhooks page at Wix. Whoever can read this setting can sign in its name: "
    "replace that key where it is used"
)


def public_key(text: str) -> RSAPublicKey:
    """The key; raises UnusableValue saying what is wrong with it."""
    read = _WRITTEN_OUT.sub("\n", text).strip().strip(_QUOTES)
    if "BEGIN " not in read:
        decoded = _base64(read)
        if decoded is None or not (b"BEGIN " in decoded or decoded.startswith(_SEQUENCE)):
            raise UnusableValue("WIX_PUBLIC_KEY is neither a PEM nor base64 of one", COPY)
        if b"BEGIN " not in decoded:
            return _key(decoded)
        read = _WRITTEN_OUT.sub("\n", decoded.decode("utf-8", "replace"))
    if re.search(r"BEGIN [A-Z0-9 ]*PRIVATE KEY", read):
        raise UnusableValue(PRIVATE, REPLACE)
    pem = _PEM.search(read)
    if pem is None:
        raise UnusableValue(
            "WIX_PUBLIC_KEY has no END line, so only a part of it came here",
            r"where it is set, put it in quotes, or write each line end as \n, so that all is on one line",
        )
    label, body = pem.groups()
    if label not in {"PUBLIC KEY", "RSA PUBLIC KEY"}:
        raise UnusableValue(f"WIX_PUBLIC_KEY is no public key, but what begins with BEGIN {label}", COPY)
    return _key(_base64(body) or b"")


def _base64(text: str) -> bytes | None:
    """Decode base64 with any white space, of either alphabet, with padding or without; None for any other text."""
    compact = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _key(der: bytes) -> RSAPublicKey:
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        if _is_private(der):
            raise UnusableValue(PRIVATE, REPLACE) from None
        raise UnusableValue(
            "WIX_PUBLIC_KEY is not a readable public key: a part of it is missing or changed", COPY
        ) from None
    if not isinstance(key, RSAPublicKey):
        raise UnusableValue("WIX_PUBLIC_KEY is not an RSA key, and Wix signs with RS256", COPY)
    return key


def _is_private(der: bytes) -> bool:
    try:
        load_der_private_key(der, None)
    except TypeError:  # It is encrypted.
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
