"""Something changes in Wix before a sale starts, or while it is announced: who hears of it, and what the status says."""

import time

from tests.rig.sale_deployment import SaleDeployment, period, time_of
from tests.rig.server import until

READERS = [f"reader-{number}@example.com" for number in range(8)]
MANY = [f"reader-{number}@example.com" for number in range(40)]
ISOLATES = dict.fromkeys(range(0x2066, 0x206A))
"""What keeps a name's direction apart from that of the sentence."""
ONCE, TWICE = dict.fromkeys(READERS, 1), dict.fromkeys(READERS, 2)


async def test_start_is_moved_before_the_sale(sales: SaleDeployment) -> None:
    """The start that holds in the end counts: of a sale that is put off nobody hears before it, of one that is brought forward at once."""
    sales.subscribe(READERS)
    later = await sales.add_event(title="Spring Gala")
    earlier = await sales.add_event(title="Autumn Ball")
    await sales.serve()
    await sales.start_sale(later, 6)
    first = later.start
    await sales.start_sale(later, 3600)
    await sales.start_sale(earlier, first - time.time())

    await sales.done(earlier)
    await sales.read_since(later, first)
    planned = (await sales.cli("status", "--json")).json["planned"]
    assert [(later.slug, later.start)] == [(one["event"], time_of(one["start"])) for one in planned]
    assert (ONCE, []) == (sales.mails_by_address, await sales.campaigns(later))
    await sales.start_sale(later, 1)
    told = await sales.done(later)

    assert later.start == time_of(told.json["start"])
    assert (ONCE, ONCE) == (sales.mails_about(earlier), sales.mails_about(later))
    for event in (earlier, later):
        assert 0 <= min(one.at for one in sales.mails if event.title in one.message["Subject"]) - event.start < 5


async def test_announced_ticket_is_announced_again_only_when_asked_for(sales: SaleDeployment) -> None:
    """A ticket that was announced is not announced again when its start is moved; `notify send --again` does."""
    sales.subscribe(READERS)
    event = await sales.add_event()
    await sales.serve()
    await sales.start_sale(event, 2)
    first = await sales.done(event)

    await sales.start_sale(event, 4)
    await sales.shown(event, "available")
    await sales.read_since(event, event.start + 1)
    assert [first.json["campaign"]] == await sales.campaigns(event)
    refused = await sales.cli("send", event.slug, "--yes")
    assert (3, ONCE) == (refused.status, sales.mails_by_address)
    assert "--again announces it again" in refused.err
    sent = await sales.cli("send", event.slug, "--again", "--yes", "--json")
    assert (0, "person") == (sent.status, sent.json["opened_by"])
    await until(lambda: len(sales.mails) >= 2 * len(READERS), 60)
    told = await sales.told(event)

    assert 2 == len(await sales.campaigns(event))
    assert TWICE == sales.mails_by_address
    assert {"sent": len(READERS)} == told.counts
    ids = [one.message["Message-ID"] for one in sales.mails]
    assert len(ids) == len(set(ids))


async def test_sales_that_do_not_come(sales: SaleDeployment) -> None:
    """Nobody hears of a ticket that is hidden, deleted or without a start, or whose event is cancelled or takes no orders.

    Once a hidden one is shown, or orders are taken again, everybody hears, as long as it is time.
    """
    sales.subscribe(READERS)
    started = await sales.add_event(title="Started")
    removed = await sales.add_event(title="Removed")
    cancelled = await sales.add_event(title="Cancelled")
    paused = await sales.add_event(title="Paused")
    hidden = await sales.add_event(title="Hidden")
    deleted = await sales.add_event(title="Deleted")
    await sales.serve()
    start = time.time() + 8
    for event in sales.events:
        await sales.move_sale(event, start)
    await sales.edit(removed, salePeriod={})
    await sales.act(cancelled, "cancel")
    await sales.act(paused, "pause")
    await sales.edit(hidden, hidden=True)
    for ticket in deleted.tickets:
        await sales.control("DELETE", f"/tickets/{ticket}")
    await sales.shown(removed, "available")
    await sales.shown(paused, "closed")
    for event in (cancelled, hidden, deleted):
        await sales.shown(event, "gone")

    await sales.done(started)
    for event in (removed, cancelled, paused):
        await sales.read_since(event, started.start)
    assert ONCE == sales.mails_by_address
    for event in sales.events[1:]:
        assert [] == await sales.campaigns(event), event.title
    await sales.act(paused, "open")
    await sales.edit(hidden, hidden=False)
    for event in (paused, hidden):
        told = await sales.done(event)
        assert event.start == time_of(told.json["start"])
        assert {"sent": len(READERS)} == told.counts

    assert (ONCE, ONCE, ONCE) == tuple(sales.mails_about(event) for event in (started, paused, hidden))
    assert 3 * len(READERS) == len(sales.mails)


async def test_sold_out_in_the_middle_and_free_again(sales: SaleDeployment) -> None:
    """Once all are sold the rest is held back, and says so; when one is free again it goes on, and nobody hears twice."""
    sales.subscribe(MANY)
    sales.per_second = 5.0
    event = await sales.add_event(limit=10)
    await sales.serve()
    await sales.start_sale(event, 2)
    await sales.halfway(10)
    order = (await sales.control("POST", f"/tickets/{event.tickets[0]}/buy", {"quantity": 10}))["order"]
    await sales.reached(event, "withdrawn")
    sales.relay.off()
    await sales.answered(event)

    held = await sales.told(event)
    had = held.mail["sent"]
    assert ("withdrawn", "sold out", 0) == (held.mail["state"], held.mail["note"], held.status)
    assert "withdrawn: sold out, until " in held.text
    assert (len(MANY) - had, had) == (held.not_sent, len(sales.mails))
    assert 10 <= had < len(MANY)
    await sales.control("POST", f"/orders/{order}/cancel")
    told = await sales.done(event)

    assert dict.fromkeys(MANY, 1) == sales.mails_by_address
    assert {"sent": len(MANY)} == told.counts


async def test_start_is_moved_in_the_middle(sales: SaleDeployment) -> None:
    """Where the start is put off while it is told, the rest is held back until then; it is the same campaign, and nobody hears twice."""
    sales.subscribe(MANY)
    sales.per_second = 10.0
    event = await sales.add_event()
    await sales.serve()
    await sales.start_sale(event, 2)
    await sales.halfway(5)
    await sales.move_sale(event, time.time() + 8)
    await sales.reached(event, "withdrawn")
    sales.relay.off()
    await sales.answered(event)
    had = len(sales.mails)
    assert had < len(MANY)
    assert "not on sale yet" == (await sales.campaign(event))["note"]
    told = await sales.done(event)

    assert event.start <= sorted(one.at for one in sales.mails)[had]
    assert (dict.fromkeys(MANY, 1), {"sent": len(MANY)}) == (sales.mails_by_address, told.counts)
    assert [told.json["campaign"]] == await sales.campaigns(event)


async def test_closed_in_the_middle_for_good(sales: SaleDeployment) -> None:
    """Where an event is cancelled, or registration paused, the rest is held back; at the deadline it says how many were not told."""
    sales.subscribe(MANY)
    sales.per_second = 5.0
    cancelled = await sales.add_event(title="Cancelled")
    paused = await sales.add_event(title="Paused")
    await sales.serve()
    await sales.start_sale(cancelled, 3)
    await sales.start_sale(paused, 3)
    await until(lambda: min(sum(sales.mails_about(one).values()) for one in sales.events) >= 5, 60)
    await sales.act(cancelled, "cancel")
    await sales.act(paused, "pause")
    for event, reason in ((cancelled, "the event is cancelled"), (paused, "registration is closed")):
        await sales.reached(event, "withdrawn")
        assert reason == (await sales.campaign(event))["note"]
    sales.end_window(0.5)

    for event, reason in ((cancelled, "the event is cancelled"), (paused, "registration is closed")):
        told = await sales.ended(event)
        sent = sum(sales.mails_about(event).values())
        assert {"sent": sent} == told.counts
        assert ("withdrawn", f"{reason}: {len(MANY) - sent} not sent") == (told.mail["state"], told.mail["note"])
        assert f"{len(MANY) - sent} not sent" in told.text
        again = await sales.cli("send", told.json["campaign"], "--yes")
        assert (3, True) == (again.status, "its time is over" in again.err)
    assert {1} == {*sales.mails_about(cancelled).values(), *sales.mails_about(paused).values()}


async def test_stopped_in_the_middle_and_sent_on(sales: SaleDeployment) -> None:
    """`notify stop` ends a campaign at once, and says how many were not told; `notify send` has it go on, and nobody hears twice."""
    sales.subscribe(MANY)
    sales.per_second = 5.0
    event = await sales.add_event()
    await sales.serve()
    await sales.start_sale(event, 2)
    await sales.halfway(5)
    name = (await sales.campaigns(event))[-1]
    assert 0 == (await sales.cli("stop", name)).status
    told = await sales.ended(event)
    sales.relay.off()

    had = len(sales.mails)
    assert 5 <= had < len(MANY)
    assert ("stopped", f"{len(MANY) - had} not sent") == (told.mail["state"], told.mail["note"])
    assert ({"sent": had}, 0) == (told.counts, told.status)
    twice = await sales.cli("stop", name)
    assert (3, True) == (twice.status, "is stopped already: nothing was stopped" in twice.err), twice.err
    dry = await sales.cli("send", name, "--dry-run")
    assert f"would go on with {name}: {len(MANY) - had} left" in dry.out
    assert had == len(sales.mails)
    assert 0 == (await sales.cli("send", name, "--yes")).status
    told = await sales.done(event)

    assert dict.fromkeys(MANY, 1) == sales.mails_by_address
    assert {"sent": len(MANY)} == told.counts


async def test_two_tickets_within_the_hour_in_three_languages(sales: SaleDeployment) -> None:
    """Tickets that start within the hour are one mail that names both, in the language of each subscriber; no second one comes."""
    people = {"en@example.com": "en", "de@example.com": "de-AT", "he@example.com": "he", "other@example.com": "xx"}
    sales.subscribe(people, people)
    sales.general = 'language = "de"'
    event = await sales.add_event(tickets=2)
    await sales.serve()
    first, second = event.tickets
    start = time.time() + 3
    await sales.control("PATCH", f"/tickets/{second}", {"name": "Balcony", "salePeriod": period(start + 1800)})
    await sales.control("PATCH", f"/tickets/{first}", {"name": "Early bird", "salePeriod": period(start)})
    told = await sales.done(event)

    assert dict.fromkeys(people, 1) == sales.mails_by_address
    assert {first, second} == set(told.json["tickets"])
    says = {one: sales.texts_to(one)[0] for one in people}
    for text in says.values():
        assert "Early bird" in text
        assert "Balcony" in text
        assert f"/event-details/{event.slug}" in text
    assert "jetzt im Verkauf" in says["de@example.com"]
    assert "jetzt im Verkauf" in says["other@example.com"]
    assert "במכירה עכשיו" in says["he@example.com"]
    assert "on sale now" in says["en@example.com"]
    subjects = {one.recipient: str(one.message["Subject"]) for one in sales.mails}
    assert ("Der Vorverkauf läuft: Spring Gala", "הכרטיסים במכירה: Spring Gala") == (
        subjects["de@example.com"],
        subjects["he@example.com"].translate(ISOLATES),
    )
    [mail] = sales.relay.to("he@example.com")
    page = mail.message.get_body(("html",))
    assert page is not None
    assert 'dir="rtl"' in page.get_content()
    # The second one's sale starts, too: it has been announced.
    await sales.control("PATCH", f"/tickets/{second}", {"salePeriod": period(time.time())})
    await sales.shown(event, "available")
    await sales.read_since(event, time.time() + 1)
    assert 1 == len(await sales.campaigns(event))
    assert len(people) == len(sales.mails)
