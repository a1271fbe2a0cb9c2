from contextlib import aclosing

import pytest

from server.errors import WixUnavailable
from server.model import SiteId
from server.wix.credentials import App
from server.wix_client import open_wix
from tests.rig.settings import valid_settings
from tests.rig.wix_client import pay


async def test_client_of_wix() -> None:
    """The client of Wix that the settings make has all of them: address, credentials, and the way there."""
    settings = valid_settings(
        wix_app_id="app",
        wix_app_secret="hush-hush",
        https_proxy="http://127.0.0.1:9",
        wix_api_url="https://wix.test",
    )

    async with aclosing(open_wix(settings)) as wix:
        with pytest.raises(WixUnavailable) as caught:
            await wix.query(SiteId("5f0e4d3c-1111-4111-8111-00000000b001"), [], pay)

    assert (App("app", "hush-hush"), "https://wix.test") == (wix.credentials, wix.url)
    assert "whether the proxy 127.0.0.1:9 runs" in caught.value.hint
