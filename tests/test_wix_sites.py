import base64
import json

import pytest

from server.setting_faults import UnusableValue
from server.wix_sites import sites

SITE = "5F0E4D3C-1111-4111-8111-00000000B001"
OTHER = "7c9e6679-2222-4222-8222-00000000c001"


def encoded(content: object) -> str:
    """As JSON in a part of a JSON Web Token."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def api_key(data: object) -> str:
    """An API key with this data."""
    return f"IST.{encoded({'alg': 'RS256'})}.{encoded({'data': data})}.signature"


KEY = api_key(json.dumps({"id": "x", "tenant": {"type": "account", "id": OTHER}}))


def wrong(*entries: str, **others: str) -> UnusableValue:
    """Why these entries cannot be used."""
    with pytest.raises(UnusableValue) as caught:
        sites(entries, **others)
    return caught.value


def test_ids_that_can_be_used() -> None:
    """App instance ids, in any case, each perhaps with a site id, stay as they are; the ids of other things are no obstacle."""
    entries = (SITE, f"{SITE}={OTHER}")

    assert entries == sites(entries, app_id="app", app_secret="", api_key="IST.key")
    assert entries == sites(entries, api_key=api_key({"tenant": {"type": "site", "id": OTHER}}))


@pytest.mark.parametrize("entry", [KEY, KEY.removeprefix("IST."), f"OauthNG.JWS.{KEY}", f"{SITE}={KEY}"])
def test_api_key(entry: str) -> None:
    """An API key is called so, is not shown, and is told where it belongs."""
    fault = wrong(entry)

    assert "an entry is an API key or a token of Wix, which is a secret" == fault.what
    assert fault.cure.startswith("move an API key to WIX_API_KEY. Here, write the app instance id: the app's dashboard")
    assert [] == [part for part in KEY.split(".")[1:] if part in str(fault)]


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        (f"https://manage.wix.com/dashboard/{OTHER}/home?token=hush", "manage.wix.com"),
        ("www.example.org", "www.example.org"),
        ("Example.org/event", "example.org"),
        ("https://ada:hush@example.org", "example.org"),
        ("https://[hush", "https://"),
        ("file:///hush", "https://"),
        (f"{'hush.' * 10}example", "https://"),
    ],
)
def test_web_address(entry: str, host: str) -> None:
    """An address is called so, by its host alone, with where the app instance id is, and what an address of Wix may help with."""
    fault = wrong(entry)

    assert f"{host!r} is of a web address, and no app instance id" == fault.what
    assert "Wix passes it as `instanceId`" in fault.cure
    assert "follows /dashboard/" in fault.cure
    assert "hush" not in str(fault)


def test_other_ids() -> None:
    """The account's id, the app's own and its secret look like app instance ids, and are told; the secret is not shown."""
    account, app, secret = wrong(OTHER, api_key=KEY), wrong(OTHER, app_id=OTHER.upper()), wrong(OTHER, app_secret=OTHER)

    assert f"'{OTHER}' is the id of your Wix account, for which WIX_API_KEY was made" == account.what
    assert f"'{OTHER}' is the app's own id (WIX_APP_ID), which is the same for all sites that have the app" == app.what
    assert "an entry is the app's secret (WIX_APP_SECRET)" == secret.what
    assert OTHER not in str(secret)
    assert "the app's dashboard at Wix shows it" in account.cure


@pytest.mark.parametrize(
    "key", ["key", "IST.a.b", f"IST.a.{encoded([])}.c", api_key("no JSON"), api_key({"tenant": None})]
)
def test_key_that_names_no_account(key: str) -> None:
    """A key in another form than that of Wix does not matter here."""
    assert (OTHER,) == sites((OTHER,), api_key=key)


def test_other_texts() -> None:
    """Any other text is shown where it is short; a long one may be a secret. All entries are told together."""
    fault = wrong("abc", SITE, f"{SITE}=x", "hush" * 20)

    assert (
        f"'abc' is not an app instance id, nor `instance id=site id`; '{SITE}=x' is not an app instance id, nor "
        "`instance id=site id`; an entry of 80 characters is not an app instance id, nor `instance id=site id`"
        == fault.what
    )
    assert 1 == fault.cure.count("the app's dashboard at Wix shows it")
