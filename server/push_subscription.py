"""A browser's push subscription as a value: which push services it may name, and the keys that its messages are encrypted with.

In: what a browser says, or anyone that pretends to be one. Out: a PushSubscription, or BadRequest naming what is wrong. A server that
sends to any address that it is given could be used to reach our own machines (SSRF), so the host must be one of a push service, or one
that NOTIFY_PUSH_HOSTS names. Sources: RFC 8030, RFC 8291 (section 3: the keys), the Push API (PushSubscription.toJSON).
"""

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from server.errors import BadRequest

KNOWN_HOSTS = (
    "fcm.googleapis.com",  # Chrome and those made from it
    "android.googleapis.com",  # the same, as old versions name it
    "updates.push.services.mozilla.com",  # Firefox
    "*.notify.windows.com",  # Edge
    "*.push.apple.com",  # Safari
)
"""The push services of browsers; `*.` stands for one or more labels."""
LONGEST_ENDPOINT = 1000
"""Characters; those of the known services have 150 to 600."""
KEY_BYTES, AUTH_BYTES = 65, 16

_ENDPOINT = re.compile(r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(:[1-9][0-9]{0,4})?(/[!$-;=?-Z_a-z~]*)")
"""An address that can be read in one way only: no user, no upper case in the host, nothing that parsers disagree about."""
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}")


@dataclass(frozen=True, slots=True)
class PushSubscription:
    """Where messages for one browser go, and its keys as base64url; `key` is the id of the VAPID key that it was made with."""

    endpoint: str
    p256dh: str
    auth: str
    key: str

    @classmethod
    def read(cls, given: Any, key: str, hosts: Collection[str]) -> "PushSubscription":
        """Check what a browser sent; *hosts* are those of NOTIFY_PUSH_HOSTS. Raises BadRequest."""
        keys = given.get("keys") if isinstance(given, Mapping) else None
        if not isinstance(given, Mapping) or not isinstance(keys, Mapping):
            raise BadRequest("subscription", "no push subscription, as PushSubscription.toJSON() makes it")
        endpoint = given.get("endpoint")
        if not isinstance(endpoint, str) or not is_allowed(endpoint, hosts):
            raise BadRequest("endpoint", "the address is not one of a push service that is known here")
        p256dh, auth = _bytes(keys.get("p256dh"), KEY_BYTES), _bytes(keys.get("auth"), AUTH_BYTES)
        if p256dh is None or not _is_on_curve(p256dh):
            raise BadRequest("p256dh", "the key is not a point of P-256, in 65 bytes")
        if auth is None:
            raise BadRequest("auth", f"the secret does not have {AUTH_BYTES} bytes")
        return cls(endpoint, _base64(p256dh), _base64(auth), key)


def is_allowed(endpoint: str, hosts: Collection[str]) -> bool:
    """Whether messages may be sent to this address: https and a known host, or one of *hosts*.

    Only those may have a port, and be reached by http, if they are on this machine.
    """
    parts = _ENDPOINT.fullmatch(endpoint) if len(endpoint) <= LONGEST_ENDPOINT else None
    if parts is None:
        return False
    scheme, host, port, _ = parts.groups()
    if host in hosts:
        return scheme == "https" or _LOOPBACK.fullmatch(host) is not None
    return scheme == "https" and port is None and any(_names(one, host) for one in KNOWN_HOSTS)


def host_of(endpoint: str) -> str:
    """The host of an address; "" where it is none."""
    parts = _ENDPOINT.fullmatch(endpoint)
    return parts[2] if parts else ""


def origin_of(endpoint: str) -> str:
    """Scheme, host and port of an address; "" where it is none."""
    parts = _ENDPOINT.fullmatch(endpoint)
    return f"{parts[1]}://{parts[2]}{parts[3] or ''}" if parts else ""


def _names(pattern: str, host: str) -> bool:
    if not pattern.startswith("*."):
        return host == pattern
    # Whole labels: push.apple.com.example.org ends otherwise, and evilpush.apple.com has no dot there.
    return host.endswith(pattern[1:]) and all(host.removesuffix(pattern[1:]).split("."))


def _is_on_curve(point: bytes) -> bool:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return False
    return True


def _bytes(text: Any, size: int) -> bytes | None:
    """Base64 for addresses, with or without padding, of so many bytes."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,100}={0,2}", text):
        return None
    bare = text.rstrip("=")
    try:
        found = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except ValueError:
        return None
    return found if len(found) == size else None


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
