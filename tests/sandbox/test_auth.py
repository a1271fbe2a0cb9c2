from typing import Any

import pytest

from sandbox.auth import Auth, TokenDenied
from sandbox.knobs import LiveKnobs
from tests.rig.wix import IDS, ManualClock, sandbox_site, token_request


class Door:
    """An Auth with its knobs and its clock."""

    def __init__(self) -> None:
        self.board = LiveKnobs()
        self.clock = ManualClock()
        self.auth = Auth(sandbox_site(), self.board, clock=self.clock)

    def token(self) -> str:
        return str(self.auth.grant(token_request())["access_token"])

    def admits(self, authorization: str, **more: str) -> bool:
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        return self.auth.is_authorized({"authorization": authorization, **headers})


@pytest.fixture
def door() -> Door:
    return Door()


def test_a_token_is_granted_for_four_hours(door: Door) -> None:
    """The answer has the token, its type and its life, and every token is another."""
    one, other = door.auth.grant(token_request()), door.auth.grant(token_request())

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
def test_a_wrong_request_gets_no_token(door: Door, changes: dict[str, Any], status: int, code: str) -> None:
    """Each fault has its status and its OAuth error."""
    with pytest.raises(TokenDenied) as caught:
        door.auth.grant(token_request(**changes))

    assert (status, code) == (caught.value.status, caught.value.code)


@pytest.mark.parametrize("body", [None, [], "x"])
def test_no_object_gets_no_token(door: Door, body: Any) -> None:
    """A body that is no object is an invalid request."""
    with pytest.raises(TokenDenied):
        door.auth.grant(body)


def test_a_token_admits_until_it_expires(door: Door) -> None:
    """A token is good for exactly its life."""
    token = door.token()
    seen = []

    for wait in (0, 14_399, 1):
        door.clock.advance(wait)
        seen.append(door.admits(token))

    assert [True, True, False] == seen


def test_the_life_of_a_token_is_a_knob(door: Door) -> None:
    """Tokens given after the turn live as long as it says."""
    door.board.turn(token_life=5)
    token = door.token()

    door.clock.advance(6)

    assert not door.admits(token)
    assert door.admits(door.token())


def test_the_token_is_bare(door: Door) -> None:
    """`Bearer` before the token is refused, unless the knob takes it."""
    token = door.token()

    assert not door.admits(f"Bearer {token}")
    door.board.turn(bearer=True)
    assert door.admits(f"Bearer {token}")
    assert door.admits(token)


def test_revoked_tokens_admit_nobody(door: Door) -> None:
    """After a revocation only new tokens are good."""
    token = door.token()

    assert 1 == door.auth.revoke()

    assert not door.admits(token)
    assert door.admits(door.token())


def test_an_api_key_needs_its_site(door: Door) -> None:
    """A key goes with the id of the site, and never with that of the account."""
    key = IDS.api_key

    assert door.admits(key, wix_site_id=IDS.site)
    assert not door.admits(key)
    assert not door.admits(key, wix_site_id=IDS.instance)
    assert not door.admits(key, wix_site_id=IDS.site, wix_account_id=IDS.account)


@pytest.mark.parametrize("authorization", ["", "guess", "é"])
def test_nobody_else_is_admitted(door: Door, authorization: str) -> None:
    """What was never given out opens nothing."""
    door.token()

    assert not door.admits(authorization, wix_site_id=IDS.site)
