"""Webhooks are believed by their signature alone.

In: the raw body of a webhook. Out: its type, its site and what it asks for; or Forged, or Malformed.
The body is one compact JWT, signed RS256 with the app's key; its claim `data` is a JSON string, in which `data` is a
JSON string again. Sources: Wix, "About Webhooks" and "Webhook structure"; RFC 7519; RFC 8725 section 3.1 (the
algorithm is ours to choose, not the token's).
"""

import base64
import binascii
import inspect
import json
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.api_jws import PyJWS

from server.errors import Forged, Malformed, NotStarted
from server.model import SiteId, Webhook
from server.wire import guid
from server.wix import webhooks

LEEWAY = 120.0
"""Seconds by which a clock of Wix or ours may be off."""

LONGEST_HEADER = 4096
"""Characters of a token's header, which is parsed before anything is verified: Wix's has some hundred."""

LONGEST_TYPE = 150
"""Characters of an eventType (Wix's own schema of the envelope)."""

OPTIONS: Any = {"verify_aud": False, "verify_iss": False, "verify_iat": False, "verify_sub": False, "verify_jti": False}
"""Wix's own receiver checks exp and nbf where they are there, and nothing else of the claims."""


_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/---")
"""base64url to base64; what only base64 has becomes what it has not, and so does not pass."""


class Segments(PyJWS):
    """PyJWT's signatures, with a short way for a segment that is written just as RFC 7515 has it.

    PyJWT looks at each character in a loop of Python, which takes it longer than all the rest of a webhook. C does the
    same here: strict, it takes no other character and no loose end. What does not pass is PyJWT's to judge, as is
    everything else of a token: its header, its signature, its times.
    """

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        text = segment.translate(_TO_BASE64) + b"=" * (-len(segment) % 4)
        try:
            found = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            found = None
        # The last character may have bits to spare: only one way to write them is right.
        if found is None or binascii.b2a_base64(found, newline=False) != text:
            return PyJWS._decode_base64url_segment(segment, name)  # noqa: SLF001 - this is one of its own
        return found


def reader(inner: type[Any] = PyJWS) -> jwt.PyJWT:
    """PyJWT with the short way, or as it comes where its inside is not the one that this was written for.

    That is private, and any version may change it: then webhooks take longer, and are not refused.
    """
    found = jwt.PyJWT(OPTIONS)
    segment = getattr(inner, "_decode_base64url_segment", None)
    if hasattr(found, "_jws") and segment and [*inspect.signature(segment).parameters] == ["segment", "name"]:
        found._jws = Segments()  # noqa: SLF001 - the object that has PyJWT's own decode gets its other half so too
    return found


_tokens = reader()


def public_key(text: str) -> RSAPublicKey:
    r"""Load the app's public key: PEM, PEM with literal `\n`, or base64 of PEM, on one line or wrapped.

    Raises NotStarted saying what is wrong with it.
    """
    pem = text.strip().replace("\\n", "\n")
    if not pem.startswith("-----"):
        try:
            pem = base64.b64decode("".join(pem.split()), validate=True).decode()
        except ValueError:
            raise NotStarted(
                "WIX_PUBLIC_KEY is neither a PEM nor base64 of one; copy it from the app's Webhooks page"
            ) from None
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise NotStarted(
            "WIX_PUBLIC_KEY is not a readable PEM public key; copy it whole, with its BEGIN and END lines"
        ) from None
    if not isinstance(key, RSAPublicKey):
        raise NotStarted("WIX_PUBLIC_KEY is not an RSA key; Wix signs with RS256")
    return key


def verify(body: bytes, key: RSAPublicKey) -> Webhook:
    """Check the signature and read the webhook. Raises Forged, or Malformed for a signed body of another shape."""
    token = body.strip()
    if token.find(b".", 0, LONGEST_HEADER + 1) < 0:
        raise Forged("not a token signed by Wix: NoHeader")
    try:
        claims = _tokens.decode(token, key, algorithms=["RS256"], leeway=LEEWAY)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise Forged(f"not a token signed by Wix: {type(error).__name__}") from None
    envelope = _parse(claims.get("data"), "data")
    type_, instance = envelope.get("eventType"), envelope.get("instanceId")
    if not isinstance(type_, str) or not 0 < len(type_) <= LONGEST_TYPE:
        raise Malformed("data.eventType is not a name")
    site = guid(instance) if isinstance(instance, str) else None
    if site is None:
        raise Malformed("data.instanceId is not a GUID")
    meaning = webhooks.KNOWN.get(type_)
    if meaning is None:
        return Webhook(webhooks.UNKNOWN, SiteId(site), None)
    payload = _parse(envelope.get("data"), "data.data")
    for holder in ("createdEvent", "updatedEvent", "deletedEvent"):
        _open(payload, holder)
    return Webhook(type_, SiteId(site), meaning(payload))


def _open(payload: dict[str, Any], holder: str) -> None:
    # Wix's types call the entity of a domain event a string, its webhooks carry an object: both are read.
    inner = payload.get(holder)
    if isinstance(inner, dict):
        for member, value in inner.items():
            if isinstance(value, str) and member in {"entity", "currentEntity", "deletedEntity"}:
                inner[member] = _parse(value, f"data.data.{holder}.{member}")


def _parse(text: Any, where: str) -> dict[str, Any]:
    if not isinstance(text, str):
        raise Malformed(f"{where} is {type(text).__name__}, not a JSON string")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Deep nesting raises RecursionError, which is no ValueError.
        raise Malformed(f"{where} is not JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise Malformed(f"{where} is {type(value).__name__}, not an object")
    return value
