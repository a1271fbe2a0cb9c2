"""The settings of notify in the environment: who writes, through which relay, and the secrets. notify.toml has the rest.

In and out: as settings.py, which adds the fields of this class to its own.
"""

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from server.addresses import is_loopback, is_public, literal
from server.keyring import KeyRing
from server.mail_address import folded
from server.setting_faults import UnusableValue, of_entries
from server.vapid import public_key

SCHEMES = ("smtp", "smtps", "smtp+plain")
"""STARTTLS, which is required; TLS from the first byte; neither."""

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*", re.IGNORECASE)
"""The name of a host (RFC 1123, 2.1)."""


class NotifySettings(BaseSettings):
    """The settings of notify; in the environment each has its field's name in capitals."""

    notify_file: Path | None = Field(
        Path("notify.toml"),
        description="The file that says who is told when the tickets of which event go on sale (docs/notify.md). Without it, "
        "no one is",
    )
    notify_keys: SecretStr | None = Field(
        None,
        description="Keys that encrypt and hash addresses, comma-separated, the newest first: `ticket-counter notify keys`",
    )
    notify_vapid_keys: SecretStr | None = Field(
        None,
        description="Private keys that sign push messages, comma-separated, the newest first: `ticket-counter notify keys`. "
        "Without them there is no push",
    )
    notify_smtp_url: SecretStr | None = Field(
        None,
        description="The mail relay: `smtp://user:password@host:587` (STARTTLS, required), `smtps://…:465` (TLS), or "
        "`smtp+plain://…` (no encryption: only for a relay at a private address, and with a password only on this machine). Without it "
        "there is no mail",
    )
    notify_from: str | None = Field(None, description="The address that mails come from")
    notify_sender_name: str | None = Field(None, description="Who writes: the name beside that address")
    notify_postal_address: str | None = Field(
        None, description="The postal address of who writes, which the law wants in each mail"
    )
    notify_reply_to: str | None = Field(None, description="The address that answers go to; empty for NOTIFY_FROM")
    notify_envelope_sender: str | None = Field(
        None, description="The mailbox that bounces go to; empty for NOTIFY_FROM"
    )
    notify_push_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Further hosts of push services that browsers may name, comma-separated"
    )

    @field_validator("notify_push_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().lower() for part in value.split(",") if part.strip())

    @field_validator("notify_push_hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        of_entries(
            UnusableValue(
                f"{one!r} is not the name of a host", "write it as push.example.org, without https://, port or *"
            )
            for one in value
            if not _HOST.fullmatch(one)
        )
        return value

    @field_validator("notify_keys")
    @classmethod
    def _keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            KeyRing(_parts(value))
        return value

    @field_validator("notify_vapid_keys")
    @classmethod
    def _vapid(cls, value: SecretStr | None) -> SecretStr | None:
        for key in _parts(value):
            public_key(key)
        return value

    @field_validator("notify_smtp_url")
    @classmethod
    def _relay(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_relay(value.get_secret_value())
        return value

    @field_validator("notify_from", "notify_reply_to", "notify_envelope_sender")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and folded(value) is None:
            raise UnusableValue(
                f"{value!r} is not an e-mail address", "write it as name@example.org, without a name before it"
            )
        return value and value.strip()

    @property
    def keyring(self) -> KeyRing:
        """The keys of NOTIFY_KEYS; raises UnusableValue where there is none."""
        return KeyRing(_parts(self.notify_keys))

    @property
    def vapid_keys(self) -> tuple[str, ...]:
        """The private keys that sign push messages, the newest first."""
        return _parts(self.notify_vapid_keys)


def _check_relay(url: str) -> None:
    """Raise UnusableValue where this is no address of a relay. No part of it is shown but a literal address: it may have a password."""
    encode = ""
    if "@" in url:
        encode = ". In a user or password, characters such as / # @ ? are percent-encoded: %2F %23 %40 %3F"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", 0
    if not host or port == 0 or parts.scheme not in SCHEMES or re.search(r"[\x00-\x20\x7f]", url):
        schemes = ", ".join(f"{one}://" for one in SCHEMES)
        raise UnusableValue("it is no address of a relay", f"one begins with {schemes} and names a host{encode}")
    if parts.path not in {"", "/"} or "?" in url or "#" in url:
        raise UnusableValue("there is something after the host and the port", f"remove it{encode}")
    address = literal(host)
    if parts.scheme != "smtp+plain" or address is None:
        return
    if is_public(address):
        raise UnusableValue(
            f"smtp+plain:// does not encrypt, and {address} is on the internet", "write smtp:// or smtps://"
        )
    if (parts.username or parts.password) and not is_loopback(address):
        raise UnusableValue(
            f"smtp+plain:// does not encrypt, so the password would be readable on its way to {address}",
            "write smtp:// or smtps://",
        )


def _parts(secret: SecretStr | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in secret.get_secret_value().split(",") if one.strip()) if secret else ()
