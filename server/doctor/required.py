"""Which settings are missing without which nothing runs, or only a part of it.

In: settings that are valid one by one. Out: a finding of each that is missing.
"""

from collections.abc import AsyncIterator

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.errors import NotStarted

NAME = "settings"


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Whether all is set that has to be."""
    settings = deployment.settings
    complete = True
    try:
        settings.credentials()
    except NotStarted as error:
        complete = False
        yield Finding.fault(NAME, str(error), "without credentials no ticket can be read from Wix")
    if settings.key is None and settings.wix_api_key is None:
        complete = False
        yield Finding.fault(
            NAME,
            "WIX_PUBLIC_KEY is not set",
            "each webhook is refused, so that a sale is seen only at the next read, up to RECONCILE seconds later",
            "copy the public key from your app's Webhooks page at Wix (dev.wix.com, your app, Develop, Webhooks)",
        )
    if complete:
        yield Finding.ok(NAME, "every setting that is needed is set, and can be used")
