"""Settings that can be used, and are probably not what was meant: misspelt names, PUBLIC_URL, TRUSTED_PROXIES.

In: settings that are valid one by one. Out: a notice of each that is worth another look.
"""

from collections.abc import AsyncIterator

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.settings_advice import all_advice


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """What settings_advice.py says of the settings."""
    for one in all_advice(deployment.settings):
        yield Finding.notice("settings", one.what, one.why, one.cure)
