from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from server.errors import NotThere, TicketCounterError, WixForbidden, WixUnavailable
from server.refresh import faults
from server.store.budget import Wait
from tests.rig.server import SITE
from tests.rig.stored_site import SITE_ID, A, StoredSite


def paused(status: int) -> float:
    return REGISTRY.get_sample_value("ticket_counter_site_pauses_total", {"status": str(status)}) or 0.0


@pytest.fixture
async def site(redis_url: str) -> AsyncIterator[StoredSite]:
    """A site that tracks every ticket, with a hint at one."""
    async with aclosing(StoredSite(redis_url)) as found:
        await found.add_listed_site()
        await found.mark(A)
        yield found


@pytest.mark.parametrize(
    ("error", "status", "seconds"),
    [
        (WixUnavailable("Wix answered 503", status=503, retry_after=120.0), 503, 120.0),
        (WixUnavailable("Wix answered 500", status=500), 500, 2.0),
        (WixUnavailable("Wix gave no answer"), 0, 2.0),
        (WixForbidden("Wix answered 403", status=403), 403, 2.0),
        (NotThere("Wix answered 404"), 404, 2.0),
    ],
)
async def test_fault_pauses_the_site(site: StoredSite, error: TicketCounterError, status: int, seconds: float) -> None:
    """Law 5: A fault pauses the site for as long as Wix asks, or for the back-off; it is counted by status, and logged once."""
    before = paused(status)

    with capture_logs() as logs:
        await faults.pause(site.schedule, SITE_ID, None, error)

    found = await site.claim()
    assert isinstance(found, Wait)
    assert seconds - 1 < found.seconds <= seconds
    assert before + 1 == paused(status)
    [line] = logs
    assert ("wix_fault", "warning", SITE, status, str(error)) == (
        line["event"], line["log_level"], line["site"], line["status"], line["error"],
    )  # fmt: skip
    assert seconds - 1 < line["paused"] <= seconds


async def test_lot_of_a_fault_is_due_again(site: StoredSite) -> None:
    """The tickets of the lot that met the fault are due again, and read when the pause has ended."""
    lot = await site.lot()
    assert await site.due(A) == pytest.approx(30, abs=1)

    await faults.pause(site.schedule, SITE_ID, lot, WixUnavailable("Wix answered 500", status=500))

    due = await site.due(A)
    assert due is not None
    assert due <= 0
    await site.passes(3)
    assert (A,) == (await site.lot()).tickets
