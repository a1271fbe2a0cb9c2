"""Verifies webhooks, which are trusted by their signature alone.

In: the raw body of a webhook. Out: its type, its site and what it asks for; or Forged, or Malformed.
The body is one compact JWT, signed RS256 with the app's key; its claim `data` is a JSON string, in which `data` is a
JSON string again. Sources: Wix, "About Webhooks" and "Webhook structure"; RFC 7519; RFC 8725 section 3.1 (the verifier
chooses the algorithm, not the token).
"""

import binascii
import inspect
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.api_jws import PyJWS
from jwt.utils import base64url_decode

from server.errors import Forged, Malformed, OtherKey, WrongTime
from server.model import SiteId, Webhook
from server.wire import guid
from server.wix import webhooks

LEEWAY = 120.0
"""Seconds by which Wix's clock and ours may differ."""

LONGEST_HEADER = 4096
"""Characters of a token's header, which is parsed before anything is verified: Wix's has about a hundred."""

LONGEST_TYPE = 150
"""Characters of an eventType (Wix's own schema of the envelope)."""

LONGEST_LOOKED_AT = 64 * 1024
"""Bytes of a token that is looked into though its signature is wrong; anyone can send one, and most webhooks are shorter."""

OPTIONS: Any = {"verify_aud": False, "verify_iss": False, "verify_iat": False, "verify_sub": False, "verify_jti": False}
"""Wix's own receiver checks exp and nbf if the token has them, and no other claim."""


_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/---")
"""base64url to base64; characters that only base64 has become invalid."""


class Segments(PyJWS):
    """PyJWT's signatures, with a fast decoder for segments that are exactly as RFC 7515 has them.

    PyJWT checks each character in a Python loop, which takes longer than all the rest of a webhook. binascii, which is
    strict, does the same in C. A segment that it refuses goes to PyJWT, which also checks everything else of a token: its
    header, its signature, its times.
    """

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        text = segment.translate(_TO_BASE64) + b"=" * (-len(segment) % 4)
        try:
            found = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            found = None
        # The last character may have unused bits: only one way to write them is valid.
        if found is None or binascii.b2a_base64(found, newline=False) != text:
            return PyJWS._decode_base64url_segment(segment, name)  # noqa: SLF001 - this is one of its own
        return found


def token_decoder(inner: type[Any] = PyJWS) -> jwt.PyJWT:
    """PyJWT with the fast decoder; plain PyJWT where its private parts differ from those that this was written for.

    Any version may change them: webhooks then take longer, and are not refused.
    """
    found = jwt.PyJWT(OPTIONS)
    segment = getattr(inner, "_decode_base64url_segment", None)
    if hasattr(found, "_jws") and segment and [*inspect.signature(segment).parameters] == ["segment", "name"]:
        found._jws = Segments()  # noqa: SLF001 - PyJWT has no argument for it
    return found


_tokens = token_decoder()


def verify(body: bytes, key: RSAPublicKey) -> Webhook:
    """Check the signature and read the webhook. Raises Forged, OtherKey, WrongTime, or Malformed for a signed body of another shape."""
    token = body.strip()
    if token.find(b".", 0, LONGEST_HEADER + 1) < 0:
        raise Forged("not a token signed by Wix: NoHeader")
    try:
        claims = _tokens.decode(token, key, algorithms=["RS256"], leeway=LEEWAY)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise _refusal(error, token) from None
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


def _refusal(error: Exception, token: bytes) -> Forged:
    """What is wrong with a token that is not to be trusted."""
    if isinstance(error, (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError)):
        return WrongTime(f"signed by Wix, but not valid at this time: {type(error).__name__}")
    if isinstance(error, jwt.InvalidSignatureError) and _looks_like_a_webhook(token):
        return OtherKey("a webhook whose signature is not of WIX_PUBLIC_KEY")
    return Forged(f"not a token signed by Wix: {type(error).__name__}")


def _looks_like_a_webhook(token: bytes) -> bool:
    """Whether a token whose signature is wrong has the shape of Wix's webhooks; nothing else of it may be used."""
    if len(token) > LONGEST_LOOKED_AT:
        return False
    try:
        claims = json.loads(base64url_decode(token.split(b".")[1]))
        envelope = _parse(claims.get("data"), "data")
    except (ValueError, RecursionError, AttributeError, IndexError, Malformed):
        return False
    return isinstance(envelope.get("eventType"), str) and guid(str(envelope.get("instanceId"))) is not None


def _open(payload: dict[str, Any], holder: str) -> None:
    # By Wix's documentation the entity of a domain event is a string, in its webhooks an object: both are read.
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
