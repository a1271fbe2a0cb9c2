"""Dates on a real Valkey with stored snapshots; the tool is a model in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server.errors import AudienceError, AudienceRefused, AudienceUnavailable, NotStarted, RedisUnavailable
from server.model import Event, EventId, SiteId, TicketId
from server.notify.audience import open_source
from server.notify.audience.source import AudienceSource, SaleDate, SourceContext
from server.notify.config import EventAudience, NotifyConfig, Tool
from server.notify.dates import FIRST_RETRY, LONGEST_RETRY, Dates
from server.store.budget import Priority, Wait
from server.store.notify_events import NotifyEvents
from server.store.snapshots import ReadResult
from server.timed_event import TimedEvent
from server.wix import schema
from tests.rig.audience_conformance import people
from tests.rig.notify_models import ModelAudience
from tests.rig.server import SITE, until
from tests.rig.stored_site import StoredSite
from tests.rig.wix import ManualClock, WixRig
from tests.rig.wix_audience import DATE_FIELD, LABEL, WixAudience, wix_audience
from tests.rig.wix_client import SAMPLES

EVENT = EventId(SAMPLES["fixed"]["eventId"])
TICKET, OTHER = (TicketId(f"{letter * 8}-aaaa-4aaa-8aaa-000000000001") for letter in "12")
TOOL = Tool("lists", "model")
AUDIENCE = EventAudience(EVENT, TOOL, {}, "info")
HOUR, DAY = 3600.0, 86_400.0


class DatesRig:
    """An event of a site, a tool, and processes that bring dates there."""

    def __init__(self, url: str) -> None:
        self.site = StoredSite(url)
        self.tool = ModelAudience()
        self.clock = ManualClock()
        self.opened = 0

    def dates(self, audience: EventAudience = AUDIENCE, **more: Any) -> Dates:
        """The dates of one process."""
        config = NotifyConfig(Path(), {audience.event: audience}, "https://tickets.example.org")
        sites = {self.site.site}
        return Dates(config, self.site.store, self.open, lambda: sites, **{"clock": self.clock, **more})

    def open(self, site: SiteId, _: EventAudience) -> AudienceSource:
        """The tool."""
        assert site == self.site.site
        self.opened += 1
        return self.tool

    async def now(self) -> float:
        """Redis's time."""
        return await self.site.now() / 1e6

    async def sells(
        self, start: float | None, ticket: TicketId = TICKET, event: Event | None = None, **changes: Any
    ) -> None:
        """Wix says that the sale of a ticket starts then."""
        entity = {**SAMPLES["fixed"], "id": ticket, **changes}
        period = {"startDate": iso(start)} if start is not None else {}
        entity["salePeriod"] = {**period, "displayNotOnSale": changes.get("shown", True)}
        await self.keep(ReadResult.of(schema.definition(entity), event, self.site.snapshots.rules))

    async def keep(self, result: ReadResult) -> None:
        """Keep what was read."""
        version = await self.site.schedule.spend(self.site.site, Priority.HINTED)
        assert not isinstance(version, Wait)
        await self.site.keep(version, result)

    async def facts(self, dates: Dates) -> dict[str, str]:
        """What is remembered of the event."""
        return dict(await dates.events.facts(self.site.site, EVENT))

    async def look(self, dates: Dates, audience: EventAudience = AUDIENCE) -> bool:
        """One look."""
        await dates.now.ask()
        return await dates.look(self.site.site, audience)


def iso(at: float) -> str:
    """A time as Wix writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[DatesRig]:
    """A listed site."""
    found = DatesRig(redis_url)
    await found.site.add_listed_site()
    yield found
    await found.site.aclose()


async def in_(rig: DatesRig, seconds: float) -> float:
    """So many seconds from now, in whole seconds, as Wix's dates are."""
    return float(round(await rig.now() + seconds))


async def test_date_is_told_once_a_change(rig: DatesRig) -> None:
    """A start that is set is told, and once: again only when it is moved, later or earlier."""
    dates = rig.dates()
    starts = [await in_(rig, seconds) for seconds in (DAY, 2 * DAY, HOUR)]
    written = []
    for start in starts:
        await rig.sells(start)
        written += [await rig.look(dates), await rig.look(dates)]

    assert [True, False] * 3 == written
    title = SAMPLES["fixed"]["eventDetails"]["title"]
    zone = SAMPLES["fixed"]["eventDetails"]["dateAndTimeSettings"]["timeZoneId"]
    assert [SaleDate(start, zone, title) for start in starts] == rig.tool.dates
    facts = await rig.facts(dates)
    assert starts[-1] == float(facts["date_told"])
    assert await rig.now() == pytest.approx(float(facts["date_told_at"]), abs=5)
    assert rig.tool.closed


async def test_earliest_start_that_is_to_come_counts(rig: DatesRig) -> None:
    """Of several tickets the next start is told; one that has come, one of a hidden ticket and one of a deleted ticket do not count."""
    dates = rig.dates()
    later, sooner = await in_(rig, 2 * DAY), await in_(rig, DAY)
    await rig.sells(later)
    await rig.sells(await in_(rig, -HOUR), OTHER)
    await rig.look(dates)
    await rig.sells(await in_(rig, HOUR), OTHER, hidden=True)
    await rig.look(dates)
    await rig.sells(sooner, OTHER)
    await rig.look(dates)
    await rig.keep(ReadResult.deleted(OTHER, EVENT))
    await rig.look(dates)

    assert [later, sooner, later] == [one.at for one in rig.tool.dates]


async def test_ticket_that_is_not_shown_before_its_sale_counts(rig: DatesRig) -> None:
    """A ticket that appears only when its sale starts has a date, too: the organiser wants the automation."""
    dates = rig.dates()
    start = await in_(rig, DAY)
    await rig.sells(start, shown=False)

    assert await rig.look(dates)
    assert [start] == [one.at for one in rig.tool.dates]


async def test_date_that_is_taken_back_is_emptied(rig: DatesRig) -> None:
    """A start that is removed before it has come empties the field, once; a new one is told."""
    dates = rig.dates()
    start = await in_(rig, DAY)
    for one in (start, None, None, start):
        await rig.sells(one)
        await rig.look(dates)

    assert [start, None, start] == [one.at for one in rig.tool.dates]


@pytest.mark.parametrize("status", ["CANCELED", "DRAFT"])
async def test_event_that_is_cancelled_has_no_date(rig: DatesRig, status: str) -> None:
    """The date of an event that is cancelled, or not published any more, is emptied."""
    dates = rig.dates()
    start = await in_(rig, DAY)
    await rig.sells(start)
    await rig.look(dates)
    details = {**SAMPLES["fixed"]["eventDetails"], "status": status}
    await rig.sells(start, eventDetails=details)
    await rig.look(dates)

    assert [start, None] == [one.at for one in rig.tool.dates]
    assert "" == (await rig.facts(dates))["date_told"]


async def test_date_that_has_come_stays(rig: DatesRig) -> None:
    """Once the sale has started, and no other is to start, the date stays: automations may count from it."""
    dates = rig.dates()
    start = await in_(rig, 2)
    await rig.sells(start)
    await rig.look(dates)
    await until(lambda: _is_after(rig, start))

    assert not await rig.look(dates)
    assert [start] == [one.at for one in rig.tool.dates]


async def _is_after(rig: DatesRig, at: float) -> bool:
    return await rig.now() > at


async def test_date_is_not_emptied_while_tickets_are_unknown(rig: DatesRig) -> None:
    """Where Redis has lost the tickets and not all of them were read again, a missing start empties nothing."""
    dates = rig.dates()
    await rig.sells(await in_(rig, DAY))
    await rig.look(dates)
    await rig.site.store.do("HDEL", dates._keys.key(SITE, "site"), "complete")
    await rig.sells(None)

    assert not await rig.look(dates)


async def test_event_that_is_not_known_has_no_date(rig: DatesRig) -> None:
    """An event that this site does not have, and one without a start, is told nothing, and no tool is opened."""
    dates = rig.dates()

    assert not await rig.look(dates)
    await rig.sells(None)
    assert not await rig.look(dates)
    assert 0 == rig.opened


async def test_another_field_is_told_the_same_date(rig: DatesRig) -> None:
    """Where notify.toml names another field or list, which was told nothing yet, that one is told, once."""
    dates = rig.dates()
    start = await in_(rig, DAY)
    await rig.sells(start)
    others = [
        AUDIENCE,
        EventAudience(EVENT, TOOL, {}, "other"),
        EventAudience(EVENT, TOOL, {"list": "b"}, "other"),
        EventAudience(EVENT, Tool("renamed", "model"), {"list": "b"}, "other"),
    ]

    assert [True, True, True, False] == [await rig.look(dates, one) for one in others]
    assert [start] * 3 == [one.at for one in rig.tool.dates]


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (AudienceUnavailable("the tool is down"), FIRST_RETRY),
        (AudienceUnavailable("the tool is down", retry_after=60.0), 60.0),
        (AudienceUnavailable("the tool is down", retry_after=1e6), LONGEST_RETRY),
        (AudienceRefused("there is no such field"), FIRST_RETRY),
    ],
)
async def test_fault_is_told_and_tried_again(rig: DatesRig, error: AudienceError, wait: float) -> None:
    """A date that the tool does not take is told as date_error, is tried again after a time, and ends the error when it is taken."""
    dates = rig.dates()
    await rig.sells(await in_(rig, DAY))
    rig.tool.down = error
    await rig.look(dates)
    told = (await rig.facts(dates)).get("date_error")
    tries = []
    for seconds in (0.0, wait - 1, 2.0):
        rig.clock.advance(seconds)
        await rig.look(dates)
        tries.append(rig.opened)
    rig.tool.down = None
    rig.clock.advance(LONGEST_RETRY)

    assert await rig.look(dates)
    assert str(error) == told
    assert [1, 1, 2] == tries
    assert "date_error" not in await rig.facts(dates)


async def test_waits_grow_up_to_an_hour(rig: DatesRig) -> None:
    """Each further fault doubles the wait, up to an hour; a date that was moved meanwhile is tried at once."""
    dates = rig.dates()
    await rig.sells(await in_(rig, DAY))
    rig.tool.down = AudienceUnavailable("the tool is down")
    waits = []
    for _ in range(11):
        await rig.look(dates)
        fault = dates._faults[rig.site.site, EVENT]
        waits.append(fault.again_at - rig.clock())
        rig.clock.advance(waits[-1])
    assert [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, 2560.0, 3600.0, 3600.0] == waits
    await rig.look(dates)
    opened = rig.opened

    await rig.sells(await in_(rig, 2 * DAY))
    await rig.look(dates)

    assert opened + 1 == rig.opened


async def test_source_that_cannot_be_opened_is_told(rig: DatesRig) -> None:
    """What notify.toml says wrong of the tool is told as the date's error."""

    def fails(*_: Any) -> AudienceSource:
        raise NotStarted("the key in MAILCHIMP_KEY is not whole")

    config = NotifyConfig(Path(), {EVENT: AUDIENCE}, "https://tickets.example.org")
    dates = Dates(config, rig.site.store, fails, lambda: [rig.site.site], clock=rig.clock)
    await rig.sells(await in_(rig, DAY))

    assert not await rig.look(dates)
    assert "the key in MAILCHIMP_KEY is not whole" == (await rig.facts(dates))["date_error"]


async def test_two_workers_write_it_once(rig: DatesRig) -> None:
    """Law 15: of two processes that see a change at once, one writes it; the other one does not wait, and finds it written."""
    one, other = rig.dates(), rig.dates()
    await rig.sells(await in_(rig, DAY))
    slow = asyncio.Event()
    hold = rig.tool.hold_date

    async def held(date: SaleDate) -> None:
        await slow.wait()
        await hold(date)

    rig.tool.hold_date = held  # type: ignore[method-assign]
    first = asyncio.create_task(rig.look(one))
    await until(lambda: rig.opened)

    assert not await rig.look(other)
    slow.set()
    assert await first
    assert not await rig.look(other)
    assert 1 == len(rig.tool.dates)


async def test_many_looks_at_once_write_it_once(rig: DatesRig) -> None:
    """Law 15: however the looks of several processes overlap, a change is written once."""
    await rig.sells(await in_(rig, DAY))

    await asyncio.gather(*(rig.look(rig.dates()) for _ in range(10)))

    assert 1 == len(rig.tool.dates)


async def test_lease_of_a_dead_worker_ends(rig: DatesRig) -> None:
    """A process that was killed while it wrote holds the others up for no longer than its lease."""
    dates = rig.dates()
    await rig.sells(await in_(rig, DAY))
    key = dates._keys.notify(SITE, "date_lease", EVENT)
    await rig.site.store.do("SET", key, "a dead process", "PX", 300)

    assert not await rig.look(dates)
    await until(lambda: rig.look(dates))
    assert 1 == len(rig.tool.dates)


@contextlib.asynccontextmanager
async def running(dates: Dates) -> AsyncIterator[TimedEvent]:
    """The loop, as long as the block."""
    stopping = TimedEvent()
    task = asyncio.create_task(dates.run(stopping))
    yield stopping
    stopping.set()
    await asyncio.wait_for(task, 10)


async def test_loop_brings_dates_until_it_is_stopped(rig: DatesRig) -> None:
    """The loop looks again and again, and ends soon after it is told to."""
    start = await in_(rig, DAY)
    async with running(rig.dates(look_every=0.02)):
        await rig.sells(start)
        await until(lambda: rig.tool.dates)

    assert [start] == [one.at for one in rig.tool.dates]


async def test_loop_survives_a_bug_and_a_lost_redis(rig: DatesRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug and an unavailable Redis end a round, and not the loop."""
    monkeypatch.setattr("server.notify.dates.AFTER_BUG", 0.02)
    dates = rig.dates(look_every=0.02)
    await rig.sells(await in_(rig, DAY))
    ask, faults = dates.now.ask, iter([KeyError("a bug"), RedisUnavailable("no Redis")])

    async def asks() -> None:
        if (fault := next(faults, None)) is not None:
            raise fault
        await ask()

    monkeypatch.setattr(dates.now, "ask", asks)
    async with running(dates):
        await until(lambda: rig.tool.dates)


async def test_write_in_flight_has_its_time_at_the_end(rig: DatesRig) -> None:
    """At the end of the process a write has a few seconds, and is given up then: it is not remembered as told."""
    dates = rig.dates(look_every=0.02, grace=0.05)
    await rig.sells(await in_(rig, DAY))

    async def never(date: SaleDate) -> None:
        await asyncio.Event().wait()

    rig.tool.hold_date = never  # type: ignore[method-assign]
    async with running(dates):
        await until(lambda: rig.opened)

    assert "date_told" not in await rig.facts(dates)
    assert rig.tool.closed


@pytest.mark.parametrize(
    "audience",
    [EventAudience(EVENT, TOOL), EventAudience(EVENT, None, push=True, date_field="info")],
    ids=["no field", "no tool"],
)
async def test_nothing_runs_where_no_field_is_named(rig: DatesRig, audience: EventAudience) -> None:
    """Where notify.toml names no field the loop ends at once, and nothing is asked."""
    await asyncio.wait_for(rig.dates(audience).run(TimedEvent()), 5)

    assert 0 == rig.opened


async def test_facts_of_the_event_win_over_those_of_the_ticket(rig: DatesRig) -> None:
    """What the event says of itself names the date in the tool: its title and its zone."""
    dates = rig.dates()
    start = await in_(rig, DAY)
    facts = {"title": "Summer Gala", "dateAndTimeSettings": {"timeZoneId": "Asia/Jerusalem"}}
    await rig.sells(start, event=Event(EVENT, facts=facts))
    await rig.look(dates)

    assert [SaleDate(start, "Asia/Jerusalem", "Summer Gala")] == rig.tool.dates


async def test_date_reaches_contacts_of_wix(rig: DatesRig, wix: WixRig) -> None:
    """Law 5: the date that a worker sees stands in the extended field of all contacts with the label, and its calls are paid for."""
    async with wix_audience(wix, rig.site.store) as bench:
        await bench.fill(people(3))
        audience = EventAudience(EVENT, Tool("w", "wix"), {"label": LABEL}, DATE_FIELD)
        context = SourceContext(bench.site, Path(), bench.client, bench.schedule)
        config = NotifyConfig(Path(), {EVENT: audience}, "https://tickets.example.org")
        dates = Dates(
            config, rig.site.store, lambda _, one: open_source(one, context), lambda: [bench.site], look_every=0.05
        )
        start = await in_(rig, 2 * DAY)
        async with running(dates):
            await rig.sells(start)
            await until(lambda: _has_date(bench))

        day = datetime.fromtimestamp(start, ZoneInfo("Europe/Berlin")).date().isoformat()
        assert day == await bench.date()
    assert 2 == len([one for one in wix.calls() if one.kind == "bulk_update_contacts"])


async def _has_date(bench: WixAudience) -> bool:
    facts = await NotifyEvents(bench.schedule.redis).facts(bench.site, EVENT)
    return "date_told" in facts
