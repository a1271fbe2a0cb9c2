from http import HTTPStatus

import pytest

from server.errors import NotThere, WixUnavailable
from server.wix import cures
from server.wix.no_answer import Cause

HOST = "www.wixapis.com"
SETTINGS = ("WIX_API_URL", "HTTPS_PROXY", "WIX_CA_FILE", "timedatectl", "firewall", "tried again", "resolv.conf")


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("proxy", [None, "proxy.example:3128"])
def test_each_cause_without_an_answer_has_a_cure(cause: Cause, proxy: str | None) -> None:
    """Whatever keeps an answer away, the cure names a setting, a place on this machine, or says that nothing is to be done."""
    cure = cures.no_answer(cause, HOST, proxy=proxy)

    assert any(word in cure for word in SETTINGS), cure


def test_cure_names_the_proxy_where_there_is_one() -> None:
    """With a proxy, what keeps a connection from being made is looked for there, and no proxy is suggested."""
    assert "whether the proxy proxy.example:3128 runs" in cures.no_answer(
        Cause.REFUSED, HOST, proxy="proxy.example:3128"
    )
    assert "set HTTPS_PROXY" not in cures.no_answer(Cause.CONNECT_TIMEOUT, HOST, proxy="proxy.example:3128")
    assert "set HTTPS_PROXY" in cures.no_answer(Cause.CONNECT_TIMEOUT, HOST)


@pytest.mark.parametrize("status", [int(one) for one in HTTPStatus if one >= 300])
@pytest.mark.parametrize("api_key", [False, True])
def test_each_status_has_a_cure(status: int, api_key: bool) -> None:
    """Every status that is no answer to a call has a cure, and one to a token request as well."""
    assert cures.of_status(status, "query", api_key=api_key)
    assert "WIX_APP" in cures.of_token(status, "") or "WIX_API_URL" in cures.of_token(status, "")


@pytest.mark.parametrize("kind", sorted(cures.PERMISSIONS))
def test_missing_permission_is_named(kind: str) -> None:
    """A missing permission is told by the name that Wix's pages have for it, for an app and for an API key."""
    for api_key in (False, True):
        assert f"the permission {cures.PERMISSIONS[kind]}" in cures.of_status(403, kind, api_key=api_key)


def test_hint_of_any_error() -> None:
    """The cure is read from any error, and is empty where there is none."""
    assert "set it" == cures.hint(WixUnavailable("Wix answered 500", hint="set it"))
    assert "" == cures.hint(NotThere("Wix answered 404"))
    assert "" == cures.hint(ValueError("of something else"))
