from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.site_faults import NO_WEBHOOK, SiteFault, SiteFaults
from server.store.events import Events
from server.store.wix_faults import written
from tests.rig.stored_site import SITE_ID, A, StoredSite


@pytest.fixture
async def stored(redis_url: str) -> AsyncIterator[StoredSite]:
    """A known site."""
    async with aclosing(StoredSite(redis_url)) as found:
        await found.add_listed_site()
        yield found


def faults(stored: StoredSite, *, webhooks: bool = False, api_key: bool = False) -> SiteFaults:
    return SiteFaults(stored.schedule, webhooks=webhooks, api_key=api_key)


async def test_site_without_fault(stored: StoredSite) -> None:
    """A site that Wix answers for, and that webhooks have come of, has no fault."""
    assert [] == await faults(stored).of(SITE_ID)
    await stored.mark(A)

    assert [] == await faults(stored, webhooks=True).of(SITE_ID)


async def test_no_webhook_yet(stored: StoredSite) -> None:
    """A site of which no webhook has come is told, where any could come."""
    assert [NO_WEBHOOK] == await faults(stored, webhooks=True).of(SITE_ID)
    assert str(NO_WEBHOOK).startswith("no webhook yet, so sales show late: set the callback URL above")


async def test_wix_refuses(stored: StoredSite) -> None:
    """A fault of Wix is told with its cure until Wix answers; nothing that Wix wrote controls the terminal."""
    await stored.schedule.pause(SITE_ID, None, 0.0, written("Wix answered 401 to token\x1b[2J", "copy both again"))
    found = await faults(stored).of(SITE_ID)
    await stored.schedule.ended(SITE_ID, 1, good=True)

    assert [SiteFault("Wix answered 401 to token [2J", "copy both again")] == found
    assert ["Wix answered 401 to token [2J: copy both again"] == [str(one) for one in found]
    assert [] == await faults(stored).of(SITE_ID)


async def test_events_may_not_be_read(stored: StoredSite) -> None:
    """A missing permission for events is told by its name at Wix; a fault of Wix is none."""
    events = Events(stored.store)
    await events.failed(SITE_ID)
    assert [] == await faults(stored).of(SITE_ID)
    await events.forbidden(SITE_ID)

    [app] = await faults(stored).of(SITE_ID)
    [key] = await faults(stored, api_key=True).of(SITE_ID)

    assert "its events may not be read, so it is not seen when registration closes" == app.what
    assert app.cure.startswith("the app lacks the permission Read Events")
    assert key.cure.startswith("the API key lacks the permission Read Events")


def test_fault_without_cure() -> None:
    """A fault of a worker that told no cure is told alone."""
    assert "Wix did not answer" == str(SiteFault("Wix did not answer", ""))
