"""Which webhooks have come to each site, and whether stock falls without any.

In: what Redis has of each site's webhooks. Out: findings.
"""

from collections.abc import AsyncIterator, Mapping

from server.doctor.ago import ago, many
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.model import SiteId
from server.store.refused_webhooks import Refusal, RefusedWebhook, RefusedWebhooks
from server.store.schedule import Schedule
from server.wix import cures

NAME = "webhooks"
PATH = "/webhooks/wix"
WORDS = {
    Refusal.OTHER_KEY: "its signature is not of the key in WIX_PUBLIC_KEY",
    Refusal.WRONG_TIME: "its time is over, or has not come yet",
}
"""What was wrong with a webhook that was refused."""
LATELY = 3600.0
"""Seconds before a refused webhook in which another one was taken: WIX_PUBLIC_KEY was right then, and may have been changed since."""
UNHEARD = "a sale is seen only at the next read, up to RECONCILE seconds later"


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Look at the webhooks of each site."""
    if (schedule := deployment.schedule) is None:
        return
    now = await deployment.now()
    address = f"{deployment.settings.pages_url or 'https://<this server>'}{PATH}"
    if deployment.settings.wix_api_key is not None and deployment.settings.key is None:
        what = "with WIX_API_KEY there are no webhooks"
        yield Finding.notice(
            NAME, what, "Wix sends them to apps only: numbers change within WATCH_EVERY instead of at once"
        )
        return
    newest = 0.0
    for site in await deployment.stored_sites():
        last = _last(await schedule.heard(site))
        newest = max((newest, *last.values()))
        async for finding in _site(schedule, site, last, now, address):
            yield finding
    refused = await RefusedWebhooks(schedule.redis).read()
    if refused is not None:
        yield _refused(refused, newest, now)


def _refused(refused: RefusedWebhook, newest: float, now: float) -> Finding:
    """What it means that a webhook was refused; after that others may have been taken, the newest of all at *newest*."""
    what = f"a webhook was refused {ago(now - refused.at)}, since {WORDS[refused.refusal]}"
    why = "what Wix sends is not taken, so that a sale is seen only at the next read"
    if refused.refusal is Refusal.WRONG_TIME:
        return Finding.fault(NAME, what, why, cures.CLOCK)
    if newest > refused.at:
        return Finding.notice(NAME, what, "nothing of it was used", cures.ANOTHER_APP)
    if newest > refused.at - LATELY:
        return Finding.notice(NAME, f"{what}; none was taken since", why, cures.KEY_CHANGED)
    return Finding.fault(NAME, what, why, cures.OTHER_KEY)


async def _site(
    schedule: Schedule, site: SiteId, last: Mapping[str, float], now: float, address: str
) -> AsyncIterator[Finding]:
    cure = (
        f"in your app at Wix (dev.wix.com, Develop, Webhooks) set the address {address} for the events that README lists, "
        "and see whether WIX_PUBLIC_KEY is the key of that page"
    )
    falls = await schedule.unreported_falls(site)
    if falls is not None:
        what = f"tickets of site {site} were sold {many(falls.falls, 'time')}, and no webhook told of it"
        yield Finding.fault(NAME, what, UNHEARD, cure)
    if last:
        told = ", ".join(
            f"{type_.rpartition('.')[2]} {ago(now - at)}" for type_, at in sorted(last.items(), key=_newest)[:6]
        )
        yield Finding.ok(NAME, f"the last webhooks of site {site}: {told}")
    elif falls is None:
        other = "; if the log has `webhook_of_unknown_site`, the site that it names may be the one that is meant in WIX_SITES"
        yield Finding.notice(NAME, f"no webhook of site {site} has come yet", UNHEARD, cure + other)


def _last(heard: Mapping[str, str]) -> dict[str, float]:
    """When the last webhook of each type came, in seconds since 1970."""
    return {name.removesuffix(":at"): int(at) / 1e6 for name, at in heard.items() if name.endswith(":at")}


def _newest(one: tuple[str, float]) -> float:
    return -one[1]
