"""The keys that sign push messages: whether they work, and are those that browsers subscribed with.

In: the settings of push, the subscriptions in Redis. Out: findings.
"""

from collections.abc import AsyncIterator

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.errors import NotStarted
from server.notify.config import PushSettings
from server.store.push_subscriptions import PushSubscriptions
from server.vapid import VapidSigner

NAME = "push"


async def found(deployment: Deployment, settings: PushSettings) -> AsyncIterator[Finding]:
    """Sign with each key, and compare the keys with those of subscriptions."""
    try:
        signer = VapidSigner([one.get_secret_value() for one in settings.keys], settings.contact)
    except NotStarted as error:
        yield Finding.fault(NAME, str(error), "no push message can be sent")
        return
    lost: set[str] = set()
    if deployment.redis is not None:
        subscriptions = PushSubscriptions(deployment.redis, deployment.settings.keyring)
        for site in await deployment.stored_sites():
            lost |= await subscriptions.oldest_keys(site) - {*signer.ids}
    if lost:
        yield Finding.fault(
            NAME,
            f"browsers have subscribed with the key {', '.join(sorted(lost))}, which NOTIFY_VAPID_KEYS does not have",
            "they get no push message, since a push service takes one only with the key of the subscription",
            "put the former key back into NOTIFY_VAPID_KEYS, after the new one",
        )
    else:
        yield Finding.ok(NAME, f"{len(signer.ids)} keys sign push messages")
