"""The keys that sign push messages, so that a push service knows who sends them (VAPID, RFC 8292).

In: the private keys of NOTIFY_VAPID_KEYS, the newest first. Out: the public key that browsers get when they subscribe, and the header
Authorization of a message. A subscription works only with the key that it was made with, so each remembers the id of its key.
"""

import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02  # type: ignore[import-untyped]

from server.errors import NotStarted
from server.mail_address import folded
from server.setting_faults import UnusableValue

EXPIRES_IN = 12 * 3600
"""Seconds for which a header is valid; more than 24 h are refused (RFC 8292, section 2)."""
RENEWED_AFTER = 6 * 3600
"""Seconds after which a new header is made: services ask that one is used for at least an hour."""
MOST_CACHED = 1000
"""Headers that are remembered: one for each key and push service."""
PRIVATE_BYTES = 32


def new_key() -> str:
    """A new private key, as NOTIFY_VAPID_KEYS takes it: 43 letters, digits, `-` and `_`."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return _base64(number.to_bytes(PRIVATE_BYTES, "big"))


def public_key(private: str) -> str:
    """The public key of a private one, as browsers take it (`applicationServerKey`); raises UnusableValue where it is none."""
    point = _read(private).public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return _base64(point)


def key_id(public: str) -> str:
    """A short name of a key, of its public part."""
    return hashlib.sha256(public.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class _Header:
    text: str
    made_at: float


class VapidSigner:
    """Signs with all of the keys; raises NotStarted where a key cannot be used, or *contact* is no address of a person.

    *contact* is a mail address, with or without `mailto:`, which a push service may write to if our messages are a problem.
    """

    def __init__(self, keys: Sequence[str], contact: str, *, clock: Callable[[], float] = time.time) -> None:
        self._keys = {key_id(public_key(one)): _read(one) for one in keys}
        self._contact = _contact(contact)
        self._clock = clock
        self._headers: dict[tuple[str, str], _Header] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, the newest first."""
        return tuple(self._keys)

    def authorization(self, key: str, origin: str) -> str:
        """The header Authorization for a push service at this origin; raises KeyError where there is no key of this id."""
        now = self._clock()
        found = self._headers.get((key, origin))
        if found is None or not 0 <= now - found.made_at < RENEWED_AFTER:
            if len(self._headers) >= MOST_CACHED:
                self._headers.clear()
            claims = {"aud": origin, "exp": int(now) + EXPIRES_IN, "sub": self._contact}
            found = self._headers[key, origin] = _Header(self._keys[key].sign(claims)["Authorization"], now)
        return found.text


def _read(private: str) -> Vapid02:
    try:
        if len(base64.urlsafe_b64decode(private + "=" * (-len(private) % 4))) == PRIVATE_BYTES:
            return Vapid02.from_raw(private.encode())
    except ValueError:
        pass
    raise UnusableValue("NOTIFY_VAPID_KEYS has a key that is none", "`ticket-counter notify keys` makes one")


def _contact(contact: str) -> str:
    """The claim `sub`. py_vapid takes `x@localhost`, which Apple's service answers with 403."""
    address = folded(contact.removeprefix("mailto:"))
    if address is None:
        raise NotStarted("push services want an address that they can write to: set NOTIFY_FROM to a mail address")
    return f"mailto:{address}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
