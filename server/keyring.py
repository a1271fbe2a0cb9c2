"""Encrypts and hashes personal data: no address stands in Redis or in a link that anyone can read.

In: the keys of NOTIFY_KEYS, the newest first. Out: encrypted texts that can stand in an address of the web, and keyed hashes. The
first key is used for what is new; all of them read what is old, so that keys can be changed while links are out. What was made for
one purpose is not accepted for another one. Sources: the Fernet specification (cryptography), RFC 2104 (HMAC), RFC 5869 (HKDF).
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from server.setting_faults import UnusableValue

SHORTEST = 32
"""Characters of a key at least; `new_key` makes 43."""
HASH_BYTES = 16


class Purpose(StrEnum):
    """What something is encrypted or hashed for."""

    UNSUBSCRIBE = "unsubscribe"  # the token of a link in a mail
    OPT_OUT = "opt-out"  # an opt-out on its way to the tool
    SIGN_UP = "sign-up"  # an address on its way to the tool
    SUBSCRIPTION = "subscription"  # a browser's push subscription, and its id
    CONFIRM = "confirm"  # the token in a first push
    ROW = "row"  # a recipient's row in the outbox of a campaign
    SUPPRESSION = "suppression"  # who opted out


class KeyRing:
    """The keys of one deployment; raises UnusableValue where there is none, or one is too short."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise UnusableValue("NOTIFY_KEYS is not set", "`ticket-counter notify keys` makes a key")
        if any(len(key) < SHORTEST for key in keys):
            raise UnusableValue(
                f"NOTIFY_KEYS has a key of less than {SHORTEST} characters", "`ticket-counter notify keys` makes one"
            )
        self._keys = {_id(key): key.encode() for key in keys}
        self._fernets: dict[Purpose, MultiFernet] = {}
        self._hash_keys: dict[tuple[str, Purpose], bytes] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """A short name of each key, the newest first, which tells nothing of the key."""
        return tuple(self._keys)

    def encrypt(self, purpose: Purpose, content: Mapping[str, Any]) -> str:
        """The content as a text of letters, digits, `-`, `_` and `=`, different each time."""
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        return self._fernet(purpose).encrypt(text.encode()).decode()

    def decrypt(self, purpose: Purpose, text: str) -> dict[str, Any] | None:
        """What `encrypt` was given, under any of the keys; None where this text is not of them, or of another purpose."""
        try:
            found = json.loads(self._fernet(purpose).decrypt(text.encode("ascii")))
        except (InvalidToken, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def hash(self, purpose: Purpose, *parts: str, key: str | None = None) -> str:
        """A hash of these texts, 22 letters, digits, `-` and `_`; *key* is the id of one of the keys, else it is the newest.

        Raises KeyError where there is no key of this id.
        """
        name = key or self.ids[0]
        if (name, purpose) not in self._hash_keys:
            self._hash_keys[name, purpose] = self._derived(self._keys[name], purpose, b"hash")
        secret = self._hash_keys[name, purpose]
        # Each part has its length in front: two parts can never be read as two others.
        text = b"".join(len(one.encode()).to_bytes(4, "big") + one.encode() for one in parts)
        return _base64(hmac.digest(secret, text, hashlib.sha256)[:HASH_BYTES])

    def hashes(self, purpose: Purpose, *parts: str) -> tuple[str, ...]:
        """The hash under each key, the newest first, each with its key's id in front: `ID.HASH`."""
        return tuple(f"{one}.{self.hash(purpose, *parts, key=one)}" for one in self.ids)

    def _fernet(self, purpose: Purpose) -> MultiFernet:
        if purpose not in self._fernets:
            derived = (self._derived(key, purpose, b"encrypt") for key in self._keys.values())
            self._fernets[purpose] = MultiFernet([Fernet(base64.urlsafe_b64encode(one)) for one in derived])
        return self._fernets[purpose]

    @staticmethod
    def _derived(key: bytes, purpose: Purpose, use: bytes) -> bytes:
        return HKDF(SHA256(), 32, salt=None, info=b"ticket-counter " + purpose.encode() + b" " + use).derive(key)


def new_key() -> str:
    """A new key for NOTIFY_KEYS: 256 bits of chance."""
    return secrets.token_urlsafe(32)


def _id(key: str) -> str:
    return hashlib.sha256(b"ticket-counter key id " + key.encode()).hexdigest()[:8]


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
