"""Requests of docs/http-target.md as they should not be: with another signature, another key, another time.

In: a request, and what is wrong with it. Out: the answer, whatever its status.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from standardwebhooks import Webhook

from server.sync.mapping import TargetSettings
from server.sync.targets.calls import Answer, Calls
from server.sync.targets.target import Pay

ALL = range(100, 600)
"""Every status is an answer here."""
OTHER_SECRET = "whsec_bm90IHRoZSBzZWNyZXQgb2YgdGhpcyBzeXN0ZW0h"  # noqa: S105 - a secret that nobody has
"""A secret that is not the system's."""


@dataclass(frozen=True, slots=True)
class Signing:
    """How a request is signed; None: as it is right.

    `id`: the webhook-id. `key`: the idempotency-key. `age`: seconds since it was signed. `method`, `target`, `body`: what is signed in
    their place. `secrets`: with which; none: there is no signature.
    """

    id: str | None = None
    key: str | None = None
    age: float = 0.0
    method: str | None = None
    target: str | None = None
    body: bytes | None = None
    secrets: tuple[str, ...] | None = None


RIGHT = Signing()


class SignedRequests:
    """Sends requests to one system."""

    def __init__(self, settings: TargetSettings, pay: Pay) -> None:
        self._secrets = tuple(settings.secret.get_secret_value().split())
        self._calls = Calls(
            settings.name,
            settings.url,
            pay,
            allow_http=settings.allow_http,
            allow_private=settings.allow_private,
            secrets=self._secrets,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._calls.aclose()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Those that are right."""
        return self._secrets

    async def get(self, params: Mapping[str, str], signing: Signing = RIGHT) -> Answer:
        """GET with this query."""
        headers = self._headers("GET", "", params, b"", signing)
        return await self._calls.read("conformance", "GET", "", params=params, headers=headers, expected=ALL)

    async def send(self, method: str, path: str, body: Any = None, signing: Signing = RIGHT) -> Answer:
        """A request that writes; *body* is sent as JSON, bytes as they are."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = self._headers(method, path, None, content, signing)
        return await self._calls.write(
            "conformance", method, path, _nothing, headers=headers, content=content or None, expected=ALL
        )

    def _headers(
        self, method: str, path: str, params: Mapping[str, str] | None, content: bytes, signing: Signing
    ) -> dict[str, str]:
        id_ = signing.id or f"msg_{uuid4().hex}"
        at = datetime.now(UTC) - timedelta(seconds=signing.age)
        target = signing.target or self._calls.url(path, params).raw_path.decode()
        body = content if signing.body is None else signing.body
        signed = f"{signing.method or method} {target}\n{body.decode(errors='replace')}"
        headers = {"webhook-id": id_, "webhook-timestamp": str(int(at.timestamp()))}
        secrets = self._secrets if signing.secrets is None else signing.secrets
        if secrets:
            headers["webhook-signature"] = " ".join(Webhook(one).sign(id_, at, signed) for one in secrets)
        if method != "GET":
            headers["idempotency-key"] = signing.key or id_
        return headers


async def _nothing() -> None:
    """No lease: no other process writes these records."""
