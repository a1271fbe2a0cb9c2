"""Deletes what is kept of a person, by their address; what keeps mails from them only where that is asked for.

In: an address, folded, and the campaigns of the sites. Out: how much that was. The suppression of who opted out stays: it is a keyed
hash, of which no address can be made, and without it the person would be written to again.
"""

from collections.abc import Collection, Mapping

from server.campaign import Campaign, ChannelName
from server.keyring import KeyRing, Purpose
from server.model import SiteId
from server.notify.offer import zone_of_tickets
from server.notify.reports import Forgotten, KeptRow
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.definitions import Definitions
from server.store.notify_requests import NotifyRequests, RequestKind
from server.store.outbox import Outbox
from server.store.suppressions import Suppressions

ERASER = "erasure"
"""The worker's token of an outbox that this uses, which claims nothing."""


async def erase(
    address: str,
    places: Mapping[SiteId, Collection[str]],
    redis: RedisClient,
    keyring: KeyRing,
    *,
    now: float,
) -> Forgotten:
    """Delete it at the sites, each with the places of its audiences (AudienceSource.place). Raises RedisUnavailable.

    A row of a campaign that may go on stays until its deadline, since it keeps a second message from the person.
    """
    rows = requests = unreadable = 0
    kept: list[KeptRow] = []
    for site, of_site in places.items():
        for campaign in await Campaigns(redis).of_site(site):
            if campaign.key not in keyring.ids:
                unreadable += 1
            elif now < campaign.deadline:
                if await _has_row(campaign, address, redis, keyring):
                    zone = await zone_of_tickets(Definitions(redis), site, campaign.tickets)
                    kept.append(KeptRow(campaign.name, campaign.deadline, zone))
            else:
                outbox = Outbox(redis, campaign, ChannelName.MAIL, ERASER)
                rows += await outbox.forget(_row(campaign, address, keyring))
        requests += await _requests(site, of_site, address, redis, keyring)
    return Forgotten(rows, requests, tuple(kept), unreadable)


async def unsuppress(
    address: str, places: Mapping[SiteId, Collection[str]], redis: RedisClient, keyring: KeyRing
) -> int:
    """Undo that a person left lists, also where the tool was not told yet; answers how many. Raises RedisUnavailable."""
    ended = 0
    for site, of_site in places.items():
        for place in of_site:
            hashes = keyring.hashes(Purpose.SUPPRESSION, place, address)
            await NotifyRequests(redis).forget(site, RequestKind.OPT_OUT, set(hashes))
            ended += await Suppressions(redis).remove(site, hashes)
    return ended


async def _has_row(campaign: Campaign, address: str, redis: RedisClient, keyring: KeyRing) -> bool:
    outbox = Outbox(redis, campaign, ChannelName.MAIL, ERASER)
    return await outbox.has(_row(campaign, address, keyring))


def _row(campaign: Campaign, address: str, keyring: KeyRing) -> str:
    return keyring.hash(Purpose.ROW, campaign.name, ChannelName.MAIL, address, key=campaign.key)


async def _requests(site: SiteId, places: Collection[str], address: str, redis: RedisClient, keyring: KeyRing) -> int:
    """Opt-outs are of a place and sign-ups of an address alone; both are hashed by the key that was the newest then."""
    store = NotifyRequests(redis)
    opt_outs = {one for place in places for one in keyring.hashes(Purpose.SUPPRESSION, place, address)}
    sign_ups = set(keyring.hashes(Purpose.SIGN_UP, address))
    found = await store.forget(site, RequestKind.OPT_OUT, opt_outs)
    return found + await store.forget(site, RequestKind.SIGN_UP, sign_ups)
