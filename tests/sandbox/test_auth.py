from typing import Any

import pytest

from sandbox.auth import Auth, TokenDenied
from sandbox.knobs import LiveKnobs
from tests.rig.wix import IDS, ManualClock, sandbox_site, token_request


class AuthRig:
    """An Auth with its knobs and its clock."""

    def __init__(self) -> None:
        self.knobs = LiveKnobs()
        self.clock = ManualClock()
        self.auth = Auth(sandbox_site(), self.knobs, clock=self.clock)

    def token(self) -> str:
        return str(self.auth.grant(token_request())["access_token"])

    def admits(self, authorization: str, **more: str) -> bool:
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        return self.auth.is_authorized({"authorization": authorization, **headers})


@pytest.fixture
def rig() -> AuthRig:
    return AuthRig()


def test_token_is_granted_for_four_hours(rig: AuthRig) -> None:
    """The answer has the token, its type and its lifetime, and every token is different."""
    one, other = rig.auth.grant(token_request()), rig.auth.grant(token_request())

    assert {"access_token": one["access_token"], "token_type": "Bearer", "expires_in": 14_400} == one
    assert one["access_token"] != other["access_token"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_secret": "guess"}, 401, "invalid_client"),
        ({"instance_id": IDS.site}, 400, "invalid_grant"),
        ({"client_secret": None}, 400, "invalid_request"),
        ({"instance_id": 7}, 400, "invalid_request"),
    ],
)
def test_wrong_request_gets_no_token(rig: AuthRig, changes: dict[str, Any], status: int, code: str) -> None:
    """Each error has its status and its OAuth error code."""
    with pytest.raises(TokenDenied) as caught:
        rig.auth.grant(token_request(**changes))

    assert (status, code) == (caught.value.status, caught.value.code)


@pytest.mark.parametrize("body", [None, [], "x"])
def test_request_that_is_no_object_gets_no_token(rig: AuthRig, body: Any) -> None:
    """A body that is no object is an invalid request."""
    with pytest.raises(TokenDenied):
        rig.auth.grant(body)


def test_token_is_valid_until_it_expires(rig: AuthRig) -> None:
    """A token is valid for exactly its lifetime."""
    token = rig.token()
    seen = []

    for wait in (0, 14_399, 1):
        rig.clock.advance(wait)
        seen.append(rig.admits(token))

    assert [True, True, False] == seen


def test_token_lifetime_is_a_knob(rig: AuthRig) -> None:
    """Tokens granted after the knob was turned have the lifetime that it says."""
    rig.knobs.turn(token_life=5)
    token = rig.token()

    rig.clock.advance(6)

    assert not rig.admits(token)
    assert rig.admits(rig.token())


def test_bearer_prefix_is_refused(rig: AuthRig) -> None:
    """`Bearer` before the token is refused, unless the knob allows it."""
    token = rig.token()

    assert not rig.admits(f"Bearer {token}")
    rig.knobs.turn(bearer=True)
    assert rig.admits(f"Bearer {token}")
    assert rig.admits(token)


def test_revoked_tokens_are_refused(rig: AuthRig) -> None:
    """After a revocation only new tokens are valid."""
    token = rig.token()

    assert 1 == rig.auth.revoke()

    assert not rig.admits(token)
    assert rig.admits(rig.token())


def test_api_key_needs_its_site(rig: AuthRig) -> None:
    """An API key is valid with the id of the site, and never with that of the account."""
    key = IDS.api_key

    assert rig.admits(key, wix_site_id=IDS.site)
    assert not rig.admits(key)
    assert not rig.admits(key, wix_site_id=IDS.instance)
    assert not rig.admits(key, wix_site_id=IDS.site, wix_account_id=IDS.account)


@pytest.mark.parametrize("authorization", ["", "guess", "é"])
def test_unknown_credentials_are_refused(rig: AuthRig, authorization: str) -> None:
    """A token or key that was never granted is refused."""
    rig.token()

    assert not rig.admits(authorization, wix_site_id=IDS.site)
