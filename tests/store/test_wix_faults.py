import pytest

from server.store.wix_faults import WixFault, lasting_fault, written
from tests.rig.default_keys import key
from tests.rig.server import SITE
from tests.rig.stored_site import SITE_ID, A, StoredSite


async def test_fault_lasts_until_wix_answers(site: StoredSite) -> None:
    """The last fault of a site is there with its cure, counted, until a call is answered."""
    redis = site.schedule.redis
    assert await lasting_fault(redis, SITE_ID) is None

    await site.schedule.pause(SITE_ID, None, 0.0, written("Wix answered 503", "wait"))
    await site.schedule.pause(SITE_ID, None, 0.0, written("Wix answered 500", "wait longer"))
    assert WixFault("Wix answered 500", "wait longer", 2) == await lasting_fault(redis, SITE_ID)

    await site.schedule.ended(SITE_ID, 1, good=True)
    assert await lasting_fault(redis, SITE_ID) is None


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"text": "x"}'])
async def test_fault_of_another_version(site: StoredSite, text: str) -> None:
    """A pause of a version that says it differently, or not at all, is a fault without details."""
    await site.schedule.pause(SITE_ID, None, 0.0, text)

    found = await lasting_fault(site.schedule.redis, SITE_ID)
    assert found is not None
    assert ("Wix did not answer", 1) == (found.text, found.in_a_row)


async def test_fault_is_not_kept_of_an_unknown_site(site: StoredSite) -> None:
    """A site that was removed meanwhile is not paused, and nothing of it is kept."""
    await site.mark(A)
    await site.schedule.remove_site(SITE_ID)
    await site.schedule.pause(SITE_ID, None, 0.0, written("Wix answered 503", "wait"))

    assert await site.schedule.redis.do("HGET", key(SITE, "reads"), "fault") is None
    assert await lasting_fault(site.schedule.redis, SITE_ID) is None
