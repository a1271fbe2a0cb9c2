"""The sites that the loops of a target look at."""

from server.sync.followed_sites import KEPT, FollowedSites
from tests.rig.applier_rig import NAME, SITE_ID, ApplierRig


async def test_only_sites_with_a_followed_event_are_looked_at(redis_url: str) -> None:
    """A site is looked at once an event of it is followed at the target, within seconds, and while it is known."""
    async with ApplierRig.on(redis_url) as rig:
        await rig.flush()
        known = [SITE_ID]
        sites = FollowedSites(NAME, rig.stores.records, lambda: known, rig.clock)
        assert [] == await sites()

        await rig.follow()
        assert [] == await sites()
        rig.clock.advance(KEPT + 1)
        assert [SITE_ID] == await sites()
        assert [] == await FollowedSites("other", rig.stores.records, lambda: known, rig.clock)()
        known.clear()
        assert [] == await sites()
