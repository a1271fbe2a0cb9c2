"""Authentication: access tokens for an app's id and secret, or an API key with the site's id.

In: the body of a token request, or the headers of a call. Out: a token, or whether the call is authorized.
Sources: Wix, "Create Access Token", "REST API authentication", "About API keys"; RFC 6749 section 5.2.
"""

import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any

from sandbox.clock import Clock
from sandbox.knobs import LiveKnobs
from sandbox.site import Site


class TokenDenied(Exception):
    """No token is issued; *code* and text are OAuth's error and error_description."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class Auth:
    """The issued tokens, and the API key."""

    def __init__(self, site: Site, knobs: LiveKnobs, *, clock: Clock = time.time) -> None:
        self._ids = site.ids
        self._knobs = knobs
        self._clock = clock
        self._tokens: dict[str, float] = {}

    def grant(self, asked: Any) -> dict[str, Any]:
        """Issue a token for client credentials. Raises TokenDenied."""
        given = asked if isinstance(asked, dict) else {}
        for name in ("grant_type", "client_id", "client_secret", "instance_id"):
            if not isinstance(given.get(name), str):
                raise TokenDenied(400, "invalid_request", f"{name} is missing")
        if given["grant_type"] != "client_credentials":
            raise TokenDenied(400, "unsupported_grant_type", "grant_type must be client_credentials")
        if not (_equal(given["client_id"], self._ids.app) and _equal(given["client_secret"], self._ids.app_secret)):
            raise TokenDenied(401, "invalid_client", "client_id or client_secret is wrong")
        if not _equal(given["instance_id"], self._ids.instance):
            raise TokenDenied(400, "invalid_grant", "the app is not installed on this instance")
        life = self._knobs.now.token_life
        token = f"OauthNG.JWS.{secrets.token_urlsafe(48)}"
        now = self._clock()
        self._tokens = {one: ends for one, ends in self._tokens.items() if ends > now}
        self._tokens[token] = now + life
        return {"access_token": token, "token_type": "Bearer", "expires_in": life}

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Whether these headers have a valid token, or the API key with the site's id and no account id."""
        given = headers.get("authorization", "")
        if given.startswith("Bearer ") and self._knobs.now.bearer:
            given = given.removeprefix("Bearer ")
        if _equal(given, self._ids.api_key):
            return headers.get("wix-site-id") == self._ids.site and "wix-account-id" not in headers
        return self._tokens.get(given, 0.0) > self._clock()

    def revoke(self) -> int:
        """Revoke all tokens and return how many there were."""
        number = len(self._tokens)
        self._tokens.clear()
        return number


def _equal(given: str, kept: str) -> bool:
    return hmac.compare_digest(given.encode(), kept.encode())
