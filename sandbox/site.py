"""Ids and secrets: the app, the site it is installed on, its first event and tickets, and the key that signs webhooks.

In: nothing, or what an earlier run stored (state.py). Out: one frozen Site, which never changes during a run.
"""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

KINDS = ("fixed", "options", "guest", "free", "unlimited", "scheduled", "low", "hidden")
"""Names of the seeded tickets; seed.py defines them."""

OPTIONS = 3
"""Number of prices of the ticket with pricing options."""

KEY_BITS = 2048
"""The length of every observed key of Wix."""


@dataclass(frozen=True, slots=True)
class Ids:
    """All ids and secrets."""

    app: str
    instance: str
    site: str
    account: str
    owner: str
    event: str
    tickets: Mapping[str, str]
    options: tuple[str, ...]
    app_secret: str = field(repr=False)
    api_key: str = field(repr=False)

    @classmethod
    def new(cls) -> "Ids":
        """New random ids."""
        return cls(
            app=_guid(),
            instance=_guid(),
            site=_guid(),
            account=_guid(),
            owner=_guid(),
            event=_guid(),
            tickets={kind: _guid() for kind in KINDS},
            options=tuple(_guid() for _ in range(OPTIONS)),
            app_secret=_guid(),
            api_key=f"IST.{secrets.token_urlsafe(48)}",
        )


@dataclass(frozen=True)
class Site:
    """The ids and the key pair."""

    ids: Ids
    key: rsa.RSAPrivateKey = field(repr=False)

    @classmethod
    def new(cls) -> "Site":
        """A new site; generating the key takes some 100 ms."""
        return cls(Ids.new(), new_key())

    @cached_property
    def public_pem(self) -> str:
        """The public key as Wix's dashboard shows it: PEM, SPKI."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @cached_property
    def private_pem(self) -> str:
        """The private key: PEM, PKCS 8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @cached_property
    def public_line(self) -> str:
        """The public key on one line for a .env file: base64 of the PEM."""
        return base64.b64encode(self.public_pem.encode()).decode()

    @cached_property
    def kid(self) -> str:
        """The key id in the header of a JWT."""
        return hashlib.sha256(self.public_pem.encode()).hexdigest()[:8]


def new_key() -> rsa.RSAPrivateKey:
    """A new key pair."""
    return rsa.generate_private_key(65537, KEY_BITS)


def _guid() -> str:
    return str(uuid.uuid4())
