from server.doctor import required
from server.doctor.deployment import Deployment
from tests.rig.doctor import faults, found_by, levels
from tests.rig.settings import valid_settings
from tests.rig.wix import WixRig


async def test_settings_that_are_missing() -> None:
    """Missing credentials and a missing public key are faults that name the settings and the page at Wix."""
    deployment = Deployment(valid_settings(wix_app_id="", wix_app_secret=""))

    found = await found_by(required.check, deployment)

    credentials, key = faults(found)
    assert credentials.startswith("WIX_APP_ID and WIX_APP_SECRET are not set")
    assert "WIX_PUBLIC_KEY is not set" == key
    assert "Webhooks page" in found[1].cure


async def test_settings_that_are_enough(wix: WixRig) -> None:
    """With an app and its key nothing is missing; an API key has no webhooks, and so no public key."""
    assert ["ok"] == levels(await found_by(required.check, Deployment(valid_settings(**wix.settings()))))
    with_key = Deployment(valid_settings(wix_api_key="IST.key", wix_app_id="", wix_app_secret=""))
    assert ["ok"] == levels(await found_by(required.check, with_key))
