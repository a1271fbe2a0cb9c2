"""The relay refuses, is slow or silent, or cuts the line: each recipient gets one mail at most, and what became of it is told."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.rig.quick_worker import quick
from tests.rig.sale_deployment import AnnouncedEvent, SaleDeployment
from tests.rig.smtp_server import CUT, SILENT, Slow, certificate_file, relay

READERS = [f"reader-{number}@example.com" for number in range(12)]
ONE, TWO, THREE, *OTHERS = READERS
ONCE = dict.fromkeys(READERS, 1)


async def started(sales: SaleDeployment, readers: Iterable[str] = READERS, url: str = "") -> AnnouncedEvent:
    """A sale that starts; *url* is that of another relay."""
    sales.subscribe(readers)
    event = await sales.add_event()
    await sales.serve(NOTIFY_SMTP_URL=url or sales.relay.url)
    await sales.start_sale(event, 2)
    return event


async def paused(sales: SaleDeployment, event: AnnouncedEvent, reason: str, cure: str) -> None:
    """Wait until the campaign is paused: status, log and exit status say why and what helps, and that no subscriber is at fault."""
    await sales.reached(event, "paused", 60)
    told, whole = await asyncio.gather(sales.told(event), sales.cli("status"))
    assert ("paused", 4, True) == (told.mail["state"], told.status, told.json["person_needed"])
    assert reason in told.mail["note"]
    assert cure in told.mail["note"]
    assert reason in told.text
    assert f"paused: mail: {reason}" in whole.out
    assert cure in whole.out
    log = [line for line in sales.deployment.log.splitlines() if "channel_paused" in line]
    assert reason in log[0]
    assert (0, 0) == (told.mail["failed"], told.mail["skipped"])


async def test_recipients_that_are_refused_or_put_off(sales: SaleDeployment) -> None:
    """450 is tried again until it is taken, and five times at most; 550 is final; both say why, and the others are not concerned."""
    sales.relay.on("rcpt", "450 4.2.1 mailbox busy, reader-0@example.com", times=2, recipient=ONE)
    sales.relay.on("rcpt", "550 5.1.1 no such user reader-1@example.com", recipient=TWO)
    sales.relay.on("dot", "452 4.2.2 over quota", recipient=THREE)
    sales.program = quick(first_wait=0.2)
    event = await started(sales)
    told = await sales.done(event)

    assert dict.fromkeys([ONE, *OTHERS], 1) == sales.mails_by_address
    assert {"sent": 10, "failed": 2} == told.counts
    assert {"5.1.1 no such mailbox": 1, "4.2.2 the mailbox is full": 1} == told.reasons["failed"]
    assert "failed    2: 4.2.2 the mailbox is full 1, 5.1.1 no such mailbox 1" in told.text
    assert (0, False) == (told.status, told.json["person_needed"])
    assert len(READERS) - 1 + 2 + 5 - 1 == sales.relay.commands.count("rcpt") - 1
    assert "@example.com" not in worker_log(sales)


async def test_relay_that_closes_the_connection(sales: SaleDeployment) -> None:
    """421 at any command puts off, and is never the end: everyone gets one mail, and nobody has failed."""
    for phase in ("connect", "ehlo", "mail", "rcpt", "data"):
        sales.relay.on(phase, "421 4.3.2 closing", times=1)
    sales.relay.on("dot", "421 4.7.0 too many messages", times=1)
    told = await sales.done(await started(sales))

    assert (ONCE, {"sent": len(READERS)}, 0) == (sales.mails_by_address, told.counts, told.status)


async def test_relay_that_is_busy_for_a_while(sales: SaleDeployment) -> None:
    """Ten times 421 in a row pause mail, and say so; a probe finds that the relay is back, and everyone gets one mail."""
    sales.relay.on("mail", "421 4.3.2 closing")
    event = await started(sales)
    await paused(
        sales, event, "127.0.0.1 refused the sender news@example.org (421 4.3.2 at MAIL)", "See the log of 127.0.0.1"
    )
    assert [] == sales.mails
    sales.relay.off()
    told = await sales.done(event)

    assert (ONCE, {"sent": len(READERS)}) == (sales.mails_by_address, told.counts)
    assert "channel_paused_no_more" in worker_log(sales)


async def test_sender_that_is_refused(sales: SaleDeployment) -> None:
    """550 at MAIL pauses at once: one mail was tried, no subscriber is at fault; `notify send` has it go on once that is mended."""
    sales.relay.on("mail", "550 5.7.1 sender not allowed")
    sales.program = quick(first_probe=300.0)
    event = await started(sales)
    reason = "127.0.0.1 refused the sender news@example.org (550 5.7.1 at MAIL)"
    await paused(sales, event, reason, "No subscriber is at fault. Allow the sender news@example.org at 127.0.0.1")
    assert sales.relay.commands.count("mail") <= 4
    sales.relay.off()
    assert 0 == (await sales.cli("send", event.slug, "--yes")).status
    told = await sales.done(event)

    assert (ONCE, {"sent": len(READERS)}, 0) == (sales.mails_by_address, told.counts, told.status)


async def test_relay_refuses_until_the_time_is_over(sales: SaleDeployment) -> None:
    """What is refused until the deadline ends too late: nobody hears, and the status says how many, and still why."""
    sales.relay.on("mail", "550 5.7.1 sender not allowed")
    event = await started(sales)
    await sales.reached(event, "paused", 60)
    why = (await sales.campaign(event))["note"]
    assert "Allow the sender news@example.org at 127.0.0.1" in why
    sales.end_window(0.5)
    told = await sales.ended(event)

    assert ("too late", f"{len(READERS)} not sent: {why}") == (told.mail["state"], told.mail["note"])
    assert (told.mail["skipped"], {"too late": told.mail["skipped"]}) == (
        told.mail["candidates"] - told.not_sent,
        told.reasons["skipped"],
    )
    assert [] == sales.mails
    sales.relay.off()
    again = await sales.cli("send", told.json["campaign"], "--yes")
    assert (3, True, []) == (again.status, "its time is over" in again.err, sales.mails)


async def test_login_that_is_refused(sales: SaleDeployment) -> None:
    """535 pauses at once, says which setting is wrong and shows no password; a worker with the right one goes on by itself."""
    with relay(user="tickets", password="the-right-one") as locked:
        sales.relay = locked
        wrong = locked.url.replace("the-right-one", "a-wrong-one")
        event = await started(sales, url=wrong)
        cure = "Set the user and password that 127.0.0.1 knows in NOTIFY_SMTP_URL"
        await paused(sales, event, "127.0.0.1 refused the login (535 5.7.8 at AUTH)", cure)
        assert "a-wrong-one" not in sales.deployment.log
        assert [] == sales.mails
        await sales.deployment.processes[0].stop()
        sales.worker(NOTIFY_SMTP_URL=locked.url)
        told = await sales.done(event)

        assert (ONCE, {"sent": len(READERS)}, 0) == (sales.mails_by_address, told.counts, told.status)
        assert {"tickets"} == {one.user for one in sales.mails}


@pytest.mark.parametrize("offers", [False, True], ids=["no TLS", "a certificate of nobody"])
async def test_tls_that_is_refused(sales: SaleDeployment, tmp_path: Path, offers: bool) -> None:
    """Where TLS does not come about nothing goes out in clear: mail is paused, and says why; with TLS it goes on."""
    folder = tmp_path / "certificate"
    folder.mkdir()
    with relay("smtp", offers_starttls=offers, folder=folder) as bad, relay("smtp", folder=folder) as good:
        event = await started(sales, url=bad.url)
        if offers:
            cure = "It needs a certificate of 127.0.0.1 from an authority that this machine trusts"
            await paused(sales, event, "127.0.0.1: its certificate is not accepted: self-signed certificate", cure)
        else:
            await paused(sales, event, "127.0.0.1: it does not offer TLS", "Nothing goes out without TLS")
        assert [] == bad.mails
        assert "mail" not in bad.commands
        await sales.deployment.processes[0].stop()
        sales.relay = good
        sales.worker(NOTIFY_SMTP_URL=good.url, SSL_CERT_FILE=str(certificate_file(folder)))
        told = await sales.done(event)

        assert (ONCE, {"sent": len(READERS)}, 0) == (sales.mails_by_address, told.counts, told.status)
        assert all(one.encrypted for one in good.mails)


async def test_relay_that_does_not_answer_before_the_message(sales: SaleDeployment) -> None:
    """A time-out before DATA puts off, since nothing was handed over: everyone gets one mail."""
    sales.relay.on("connect", SILENT, times=1)
    sales.relay.on("mail", SILENT, times=1)
    sales.relay.on("rcpt", SILENT, times=1)
    sales.program = quick(greeting=1.5, mail=1.5, rcpt=1.5)
    told = await sales.done(await started(sales))

    assert (ONCE, {"sent": len(READERS)}, 0) == (sales.mails_by_address, told.counts, told.status)


async def test_line_is_cut_or_silent_after_the_final_dot(sales: SaleDeployment) -> None:
    """Who was handed over and not answered gets no second mail, is unknown, and is listed by the Message-ID that the relay has."""
    sales.relay.on("dot", CUT, recipient=ONE)
    sales.relay.on("dot", CUT, recipient=TWO)
    sales.relay.on("dot", SILENT, recipient=THREE)
    sales.program = quick(data=2.0)
    event = await started(sales)
    told = await sales.done(event)

    assert (ONCE | {THREE: 0}) == {one: len(sales.relay.to(one)) for one in READERS}
    assert {"sent": len(OTHERS), "unknown": 3} == told.counts
    handed_over = {
        "handed over, and the connection was lost before an answer": 2,
        "handed over, and no answer in time": 1,
    }
    assert handed_over == told.reasons["unknown"]
    ids = set((await sales.rows(event, [ONE, TWO, THREE])).values())
    assert {f"<tc.{one}@example.org>" for one in ids} == set(told.json["message_ids"])
    assert {one.message["Message-ID"] for one in sales.mails if not one.answered} < set(told.json["message_ids"])
    assert "unknown   3: handed over, no answer, not sent again. In the relay's log: <tc." in told.text
    assert (4, True) == (told.status, told.json["person_needed"])
    # A worker that starts anew, and a person who asks for it, change nothing.
    await sales.deployment.processes[0].stop()
    sales.worker()
    again = await sales.cli("send", told.json["campaign"], "--yes")
    assert (3, True) == (again.status, "neither stopped nor paused" in again.err)
    assert len(READERS) - 1 == len(sales.mails)


async def test_relay_that_never_answers_what_it_took(sales: SaleDeployment) -> None:
    """A relay that cuts the line after each message is paused after ten, not asked for all; nobody gets a second mail."""
    readers = [f"reader-{number}@example.com" for number in range(30)]
    sales.relay.on("dot", CUT)
    sales.program = quick(first_probe=300.0)
    event = await started(sales, readers)
    await sales.reached(event, "paused", 60)
    lost = len(sales.mails)
    assert 10 <= lost <= 10 + 4
    told = await sales.told(event)
    assert ({"unknown": lost}, 4, lost) == (told.counts, told.status, len(told.json["message_ids"]))
    sales.relay.off()
    assert 0 == (await sales.cli("send", told.json["campaign"], "--yes")).status
    told = await sales.done(event)

    assert dict.fromkeys(readers, 1) == sales.mails_by_address
    assert {"sent": len(readers) - lost, "unknown": lost} == told.counts


async def test_relay_that_is_slow(sales: SaleDeployment) -> None:
    """A relay that takes its time for each message gets no more connections than it may have, and no message twice."""
    sales.relay.on("dot", Slow(1.0))
    told = await sales.done(await started(sales))

    assert (ONCE, {"sent": len(READERS)}, 0) == (sales.mails_by_address, told.counts, told.status)
    assert 1 <= sales.relay.most_open <= 4


def worker_log(sales: SaleDeployment) -> str:
    """What the workers have logged."""
    return "".join(one.err for one in sales.deployment.processes if one.words == ("worker",))
