"""The leases under which a ticket is written."""

import pytest

from server.errors import LeaseLost
from server.sync.work import HeldLeases
from tests.rig.applier_rig import NAME, SETTINGS, SITE_ID, ApplierRig, ticket_id

A, B = ticket_id(1), ticket_id(2)


async def test_write_needs_both_leases(redis_url: str) -> None:
    """Law 15: a process that lost the target's lease, or the ticket's, writes nothing more."""
    async with ApplierRig.on(redis_url) as rig:
        keys = rig.stores.due.keys
        for ticket, lost in ((A, keys.target(SETTINGS.server, "lease", "0")), (B, keys.sync(SITE_ID, NAME, "leased"))):
            async with rig.stores.leases.held(SETTINGS.server) as lease:
                claimed = await rig.stores.due.claim(SITE_ID, NAME, ticket)
                assert claimed
                leases = HeldLeases(rig.stores, lease, claimed)
                await leases.before_write()
                assert leases.claimed.lease > claimed.lease
                await rig.reader.store.do("DEL", lost)
                with pytest.raises(LeaseLost):
                    await leases.before_write()
