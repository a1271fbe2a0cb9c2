"""WixLabel against the local Wix over HTTP, with the budget in a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.errors import AudienceRefused, AudienceUnavailable, NotStarted
from server.notify.audience import open_source
from server.notify.audience import wix as wix_module
from server.notify.audience.source import Member, SaleDate, SourceContext
from server.notify.audience.wix import WixLabel
from server.notify.config import EventAudience, Tool
from server.redis.client import RedisClient
from server.store.budget import Budget, Priority, Wait
from server.store.schedule import Schedule
from tests.rig.audience_conformance import CHECKS, FIRST, ZONE, Check, Status, members, people
from tests.rig.wix import WixRig
from tests.rig.wix_audience import DATE_FIELD, LABEL, NOTE, WixAudience, wix_audience

DATE = SaleDate(FIRST, ZONE, "Spring Gala")


@pytest.fixture
async def bench(wix: WixRig, store: RedisClient) -> AsyncIterator[WixAudience]:
    """Contacts of the local Wix, and their source."""
    async with wix_audience(wix, store) as found:
        yield found


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bulk jobs are looked at soon."""
    monkeypatch.setattr(wix_module, "JOB_WAITS", (0.0, 0.01, 0.02))


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__)
async def test_wix_passes_the_conformance_checks(check: Check, bench: WixAudience) -> None:
    """Contacts of Wix do what every audience must do."""
    # Checks make many calls at once: no test waits for the refill of the budget.
    await check(bench)


def test_contacts_need_a_site(bench: WixAudience) -> None:
    """Without the settings of a site, or what pays for its calls, the source is not opened, and says which settings help."""
    audience = EventAudience("gala", Tool("w", "wix"), {"label": LABEL})

    for context in (SourceContext(bench.site, Path()), SourceContext(bench.site, Path(), bench.client)):
        with pytest.raises(NotStarted, match="WIX_APP_ID"):
            open_source(audience, context)


async def test_page_asks_in_chunks_of_addresses(bench: WixAudience) -> None:
    """A page of 250 contacts is one query for contacts and three for subscriptions, which name at most 100 addresses each."""
    await bench.fill(people(250))

    page = await bench.source.page(None, 250)

    kinds = [one.kind for one in bench.rig.calls() if one.kind != "token"]
    assert (250, None) == (len(page.members), page.next)
    assert ["query_contacts", *["query_subscriptions"] * 3] == kinds


async def test_addresses_are_compared_in_small_letters(bench: WixAudience) -> None:
    """A contact whose address has capital letters is found with the subscription of that address, and two with one address are both told."""
    for address in ("Ada@Example.com", "ada@example.com"):
        bench.book.create(email=address, labels=(LABEL,))
    bench.book.create(labels=(LABEL,))
    bench.book.subscribe("ada@example.com", "SUBSCRIBED")

    assert ["Ada@Example.com", "ada@example.com"] == [one.address for one in await members(bench.source)]


async def test_calls_are_paid_from_the_budget_of_the_site(bench: WixAudience, store: RedisClient) -> None:
    """Law 5: each call takes a token of the site's budget, and leaves those that hints and viewers have reserved."""
    await bench.fill(people(1))
    bench.schedule = Schedule(store, budget=Budget(refill=0.001))
    source = bench.open()

    for _ in range(5):
        await source.page(None, 10)

    assert isinstance(await bench.schedule.spend(bench.site, Priority.REST), Wait)
    assert not isinstance(await bench.schedule.spend(bench.site, Priority.WATCHED), Wait)


async def test_waits_for_the_budget(bench: WixAudience) -> None:
    """Where the budget has no call left for it, a page waits until it is refilled."""
    await bench.fill(people(1))
    while not isinstance(await bench.schedule.spend(bench.site, Priority.REST), Wait):
        pass
    began = asyncio.get_running_loop().time()

    await bench.source.page(None, 10)

    assert 0.2 < asyncio.get_running_loop().time() - began < 5


async def test_pause_of_the_site_is_told(bench: WixAudience) -> None:
    """Law 5: while the site is paused for long no call is made, and the error says for how long."""
    await bench.schedule.pause(bench.site, None, 120.0)

    with pytest.raises(AudienceUnavailable, match="no call to Wix may be made") as unavailable:
        await bench.source.page(None, 10)

    assert unavailable.value.retry_after == pytest.approx(120, abs=2)
    assert [] == bench.rig.calls()


async def test_429_pauses_the_site_and_other_faults_do_not(bench: WixAudience) -> None:
    """Law 5: status 429 is for the whole site, which is paused as Wix asks; a fault of contacts leaves the counter alone."""
    bench.rig.knobs.turn(outage="503", outage_of="contacts")
    with pytest.raises(AudienceUnavailable) as broken:
        await bench.source.count()
    unpaused = await bench.schedule.spend(bench.site, Priority.HINTED)
    bench.rig.knobs.turn(outage="429", retry_after=60)

    with pytest.raises(AudienceUnavailable) as limited:
        await bench.source.count()

    paused = await bench.schedule.spend(bench.site, Priority.HINTED)
    assert (503, 429, 60.0) == (broken.value.status, limited.value.status, limited.value.retry_after)
    assert not isinstance(unpaused, Wait)
    assert isinstance(paused, Wait)
    assert paused.seconds == pytest.approx(60, abs=2)


async def test_good_answer_ends_a_row_of_faults(bench: WixAudience, store: RedisClient) -> None:
    """After a fault of the site, the call that was the try of whether Wix works again does not keep the counter waiting."""
    await bench.fill(people(1))
    await bench.schedule.pause(bench.site, None, 0.0)

    await bench.source.page(None, 10)

    assert not isinstance(await bench.schedule.spend(bench.site, Priority.HINTED), Wait)


async def test_404_of_a_gateway_may_be_over_later(bench: WixAudience) -> None:
    """A 404 to a query says nothing about contacts, so it is tried again."""
    bench.rig.knobs.turn(outage="404", outage_of="contacts")

    with pytest.raises(AudienceUnavailable, match="404"):
        await bench.source.page(None, 10)


async def test_missing_permission_is_named(bench: WixAudience) -> None:
    """Without a permission the error names it, where it is given, and which others are needed."""
    bench.rig.knobs.turn(subscriptions=False)
    await bench.fill(people(1))

    with pytest.raises(
        AudienceRefused,
        match=r"the app lacks the permission Manage Email Subscriptions: .* needs Manage Contacts and Manage",
    ):
        await bench.source.page(None, 10)


async def test_refusal_has_no_address(bench: WixAudience) -> None:
    """What Wix says of a request that it refuses is told without the address in it."""
    with pytest.raises(AudienceRefused) as refused:
        await bench.source.opt_out("nobody")
    assert "Wix answered 400" in str(refused.value)

    bench.rig.knobs.turn(subscriptions_page=1)
    with pytest.raises(AudienceRefused, match="Wix answered 400"):
        await bench.source.consent(Member("a@example.com"))
    assert "@" not in str(refused.value)


async def test_consent_is_told_where_it_is_asked_for(bench: WixAudience) -> None:
    """One member's consent can be asked for, too: subscribed and deliverable."""
    await bench.fill(people(1) | people(1, Status.LEFT) | people(1, Status.BOUNCED))

    found = [
        await bench.source.consent(Member(f"{status}-0000@example.com", language="de"))
        for status in (Status.CONFIRMED, Status.LEFT, Status.BOUNCED)
    ]

    assert [(True, "de"), (False, "de"), (False, "de")] == [(one.opted_in, one.language) for one in found]


async def test_sign_up_is_refused(bench: WixAudience) -> None:
    """Wix's API asks nobody to confirm, so no address is given to it."""
    with pytest.raises(AudienceRefused, match="whose owner it would ask"):
        await bench.source.sign_up("new@example.com", "de")
    assert bench.book.subscription("new@example.com") is None


# -- the date --


async def test_text_field_holds_the_time(bench: WixAudience) -> None:
    """A field of type text holds the time with its zone, one of type date only the day."""
    bench.book.field("custom.text", "TEXT")
    await bench.fill(people(1))

    await bench.open(date_field="custom.text").hold_date(DATE)
    await bench.source.hold_date(DATE)

    [fields] = [one.fields for one in bench.book.contacts.values() if LABEL in one.labels]
    assert ("2026-12-01T18:00:00+01:00", "2026-12-01") == (fields["custom.text"], fields[DATE_FIELD])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("custom.sale", f"no extended field custom.sale .* in line 7 .*there: {DATE_FIELD}, {NOTE}, custom.number"),
        ("custom.number", "holds NUMBER: a date needs one of type date or text"),
    ],
)
async def test_field_that_cannot_hold_a_date_is_refused(bench: WixAudience, key: str, expected: str) -> None:
    """A field that there is not, or that holds no dates, is refused with those that there are."""
    bench.book.field("custom.number", "NUMBER")

    with pytest.raises(AudienceRefused, match=expected):
        await bench.open(date_field=key).hold_date(DATE)


async def test_other_fields_survive_where_wix_would_remove_them(bench: WixAudience) -> None:
    """Where an update of one field removes the others, only one contact is tried, gets its fields back, and nothing more is written."""
    bench.rig.knobs.turn(update_replaces_fields=True)
    await bench.fill(people(3))

    with pytest.raises(AudienceRefused, match="removes other extended fields"):
        await bench.source.hold_date(DATE)

    labelled = [one for one in bench.book.contacts.values() if LABEL in one.labels]
    assert [one.email for one in labelled] == [one.fields[NOTE] for one in labelled]
    assert 1 == sum(DATE_FIELD in one.fields for one in labelled)


async def test_date_is_tried_once(bench: WixAudience) -> None:
    """What was tried on one contact is not tried again; where no contact has another field nothing is tried."""
    bench.book.create(email="a@example.com", labels=(LABEL,))
    await bench.source.hold_date(DATE)
    untried = len([one for one in bench.rig.calls() if one.kind == "bulk_update_contacts"])
    await bench.fill(people(1))

    for _ in range(2):
        await bench.source.hold_date(DATE)

    assert (1, 4) == (untried, len([one for one in bench.rig.calls() if one.kind == "bulk_update_contacts"]))


async def test_job_that_does_not_end_is_told(bench: WixAudience) -> None:
    """A bulk job that has not ended in time may end later: the error says so, and names it."""
    bench.rig.knobs.turn(job_seconds=3600.0)
    await bench.fill(people(1))

    with pytest.raises(AudienceUnavailable, match=r"has not ended the bulk job [0-9a-f-]{36} within"):
        await bench.source.hold_date(DATE)


async def test_job_that_fails_for_some_is_told(bench: WixAudience, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Wix could not write the date for some contacts, the error says for how many."""
    bench.book.create(email="a@example.com", labels=(LABEL,))
    bench.book.create(email="b@example.com", labels=(LABEL,))
    # The field changes its type between the look at it and the job.
    monkeypatch.setattr(WixLabel, "_type", lambda *_: asyncio.sleep(0, "TEXT"))

    with pytest.raises(AudienceUnavailable, match=r"could not write the date for 2 of 2 contacts"):
        await bench.source.hold_date(DATE)
