from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from server.errors import NotThere, TicketCounterError, WixForbidden, WixUnavailable
from server.model import SiteId
from server.refresh.faults import Faults, Part
from server.store.budget import Wait
from tests.rig.server import SITE
from tests.rig.stored_site import SITE_ID, A, StoredSite
from tests.rig.wix import ManualClock

OTHERS = [SiteId(f"5f0e4d3c-1111-4111-8111-0000000000{one}") for one in range(10, 30)]
DOWN = WixUnavailable("Wix answered 503", status=503, hint="wait")
FORBIDDEN = WixForbidden("Wix answered 403", status=403, hint="give it the permission")


def paused(status: int) -> float:
    return REGISTRY.get_sample_value("ticketcounter_site_pauses_total", {"status": str(status)}) or 0.0


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
        await Faults(site.schedule).pause(SITE_ID, None, error)

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

    await Faults(site.schedule).pause(SITE_ID, lot, WixUnavailable("Wix answered 500", status=500))

    due = await site.due(A)
    assert due is not None
    assert due <= 0
    await site.passes(3)
    assert (A,) == (await site.lot()).tickets


# -- what is logged of an outage --


class Lines:
    """The log lines of the faults of one process, whose clock the test turns; pauses go to a Redis."""

    def __init__(self, site: StoredSite) -> None:
        self.clock = ManualClock()
        self.faults = Faults(site.schedule, clock=self.clock)
        self.logged: list[dict[str, Any]] = []

    async def pause(
        self, site: SiteId = SITE_ID, error: TicketCounterError = DOWN, part: Part = Part.TICKETS
    ) -> list[str]:
        """A read of the site fails; answers what is logged of it."""
        with capture_logs() as logs:
            await self.faults.pause(site, None, error, part)
        return self._take(logs)

    def answered(self, site: SiteId = SITE_ID, part: Part = Part.TICKETS) -> list[str]:
        """A read of the site succeeds; answers what is logged of it."""
        with capture_logs() as logs:
            self.faults.answered(site, part)
        return self._take(logs)

    def _take(self, logs: Sequence[MutableMapping[str, Any]]) -> list[str]:
        self.logged += map(dict, logs)
        return [str(one["event"]) for one in logs]


@pytest.fixture
def lines(site: StoredSite) -> Lines:
    return Lines(site)


async def test_outage_of_ten_minutes_is_ten_lines_at_most(lines: Lines) -> None:
    """An outage of ten minutes of 20 sites, of their tickets and of their events, makes at most 10 lines, the last of which says it is over."""
    for minute in range(10):
        for site in OTHERS:
            for part in Part:
                await lines.pause(site, (DOWN, WixUnavailable("Wix gave no answer"))[minute % 2], part)
        lines.clock.advance(60)
    for site in OTHERS:
        for part in Part:
            lines.answered(site, part)

    told = [one["event"] for one in lines.logged]
    assert ["wix_fault", "wix_back"] == list(dict.fromkeys(told))
    assert len(told) <= 10
    assert ("wix_back", 600.0) == (told[-1], lines.logged[-1]["seconds"])
    assert frozenset() == lines.faults.failing


async def test_fault_and_recovery_by_turns(lines: Lines) -> None:
    """A Wix that fails and answers by turns for ten minutes makes at most 10 lines, the last of which says it is over."""
    for _ in range(120):
        await lines.pause()
        lines.clock.advance(3)
        lines.answered()
        lines.clock.advance(2)

    told = [one["event"] for one in lines.logged]
    assert len(told) <= 10
    assert "wix_back" == told[-1]


async def test_outage_after_a_calm_is_told_at_once(lines: Lines) -> None:
    """The next outage is told at once, and so is its end."""
    assert ["wix_fault"] == await lines.pause()
    assert ["wix_back"] == lines.answered()
    lines.clock.advance(120)

    assert ["wix_fault"] == await lines.pause()
    assert ["wix_back"] == lines.answered()


async def test_fault_of_another_site_is_told_with_the_next_line(lines: Lines) -> None:
    """A fault of the whole app is one line for all sites, which says how many there are and names some."""
    for site in OTHERS:
        await lines.pause(site)
    lines.clock.advance(60)
    await lines.pause(OTHERS[7])

    first, second = lines.logged
    assert (OTHERS[0], None) == (first["site"], first.get("sites"))
    assert (OTHERS[7], 20, 21) == (second["site"], second["sites"], second["times"])
    assert f"{' '.join(OTHERS[:5])} …" == second["among"]


async def test_sites_fault_is_told_beside_that_of_all(lines: Lines) -> None:
    """A fault with a cure of its own, such as a missing permission of one site, is told at once though Wix is out for others."""
    await lines.pause(OTHERS[0])

    assert ["wix_fault"] == await lines.pause(SITE_ID, FORBIDDEN)
    assert "give it the permission" == lines.logged[-1]["hint"]
    assert {SITE_ID, OTHERS[0]} == lines.faults.failing
    assert ["wix_back"] == lines.answered(SITE_ID)
    assert ["wix_back"] == lines.answered(OTHERS[0])


async def test_site_that_fails_in_another_way_is_over_once(lines: Lines) -> None:
    """Where one fault becomes another, only the end of the last one is told, and it is told."""
    await lines.pause(SITE_ID, FORBIDDEN)
    assert ["wix_back"] == lines.answered()
    assert ["wix_fault"] == await lines.pause(SITE_ID, DOWN)

    assert [] == await lines.pause(SITE_ID, FORBIDDEN)

    assert ["wix_back"] == lines.answered()
    assert [] == lines.answered()


async def test_events_fault_is_not_over_with_the_tickets(lines: Lines) -> None:
    """Reads of events that go on failing are told by lines of their own, and are not over because tickets are read again."""
    await lines.pause()
    assert [] == await lines.pause(part=Part.EVENTS)
    assert ["wix_back"] == lines.answered()

    assert ["wix_fault"] == await lines.pause(part=Part.EVENTS)
    assert "events" == lines.logged[-1]["read"]
    assert [] == lines.answered()
    assert ["wix_back"] == lines.answered(part=Part.EVENTS)


async def test_removed_site_is_no_outage(lines: Lines) -> None:
    """A site that is removed while it fails does not count as failing any more, and the next outage is told at once."""
    await lines.pause()
    lines.faults.keep_only([])
    assert frozenset() == lines.faults.failing
    lines.clock.advance(120)

    assert ["wix_fault"] == await lines.pause(OTHERS[0])
    assert "times" not in lines.logged[-1]
