"""A sale starts while something is wrong with Mailman: each ends right, and says so."""

import asyncio
import time

from tests.rig.http_proxy import Fault, method
from tests.rig.notify_deployment import SIZE, NotifyDeployment
from tests.rig.report import report
from tests.rig.server import until

READERS = 110 * SIZE


async def note_of(notify: NotifyDeployment, text: str) -> str:
    """Wait until the campaign's note has this text; answers the note."""
    found = ""

    async def has() -> bool:
        nonlocal found
        found = (await notify.campaign(notify.events[0])).get("note", "")
        return text in found

    try:
        await until(has, 60)
    except AssertionError:
        raise AssertionError(f"the note is {found!r}, without {text!r}") from None
    return found


def readers(number: int = READERS) -> list[str]:
    return [f"reader-{one}@example.com" for one in range(number)]


async def test_mailman_is_down_at_the_start_and_back(notify_alone: NotifyDeployment) -> None:
    """Where Mailman is down when the sale starts, the campaign waits and says so; when it is back, everyone gets one mail."""
    notify = notify_alone
    list_id = await notify.mailman.new_list()
    notify.mailman.fill(list_id, readers())
    notify.per_second = 100.0
    event = await notify.add_event(list_id)
    await notify.serve()
    notify.mailman.kill()
    await notify.proxy.refuse()
    await notify.start_sale(event)

    note = await note_of(notify, "was not sent")
    assert "Mailman" in note
    assert notify.proxy.url in note
    assert [] == notify.mails
    notify.mailman.start()
    await notify.proxy.heal()
    back = time.time()
    run = await notify.reached(event, "done")

    report(f"first mail {min(one.at for one in notify.mails) - back:.1f} s after Mailman was back")
    assert dict.fromkeys(readers(), 1) == notify.mails_by_address
    assert READERS == int(run["sent"])


async def test_mailman_fails_on_a_later_page(notify: NotifyDeployment) -> None:
    """Where the third page is answered 500, then not at all, nobody is left out and nobody hears twice."""
    everyone = readers(1100)  # pages have 500
    list_id = await notify.mailman.new_list()
    notify.mailman.fill(list_id, everyone)
    notify.per_second = 200.0
    event = await notify.add_event(list_id)
    third = method("GET", "/members/find")
    failing = notify.proxy.add(Fault(500, meets=lambda one: third(one) and "page=3&" in one.path, times=3))
    cut = notify.proxy.add(Fault(cut=True, meets=lambda one: third(one) and "page=3&" in one.path, times=2))
    await notify.serve()
    await notify.start_sale(event)

    run = await notify.reached(event, "done", 300)

    assert (3, 2) == (notify.proxy.happened(failing), notify.proxy.happened(cut))
    assert dict.fromkeys(everyone, 1) == notify.mails_by_address
    assert (len(everyone), 0) == (int(run["sent"]), int(run.get("unknown", 0)))


async def test_consent_is_not_answered(notify: NotifyDeployment) -> None:
    """While Mailman does not say whether a member wants mail, the member gets none, and gets it when Mailman says yes."""
    list_id = await notify.mailman.new_list()
    notify.mailman.fill(list_id, readers())
    notify.per_second = 100.0
    event = await notify.add_event(list_id)
    notify.proxy.add(Fault(500, meets=method("GET", "/preferences")))
    await notify.serve()
    await notify.start_sale(event)

    await note_of(notify, "preferences of a member")
    await asyncio.sleep(3)
    assert [] == notify.mails
    await notify.proxy.heal()
    await notify.reached(event, "done")

    assert dict.fromkeys(readers(), 1) == notify.mails_by_address


async def test_list_that_is_not_there(notify: NotifyDeployment) -> None:
    """A list that Mailman does not know pauses the campaign, which says which lists there are; nobody hears."""
    known = await notify.mailman.new_list("no-such-lists")
    event = await notify.add_event("no-such-list.example.org")
    await notify.serve()
    await notify.start_sale(event)

    note = await note_of(notify, "Mailman knows no list no-such-list.example.org")
    assert known in note
    assert "paused" == (await notify.campaign(event))["state"]
    assert [] == notify.mails


async def test_password_that_mailman_refuses(notify: NotifyDeployment) -> None:
    """A wrong password pauses the campaign, which names the variable and not its value; the right one lets it go on."""
    list_id = await notify.mailman.new_list()
    notify.mailman.fill(list_id, readers())
    notify.per_second = 100.0
    event = await notify.add_event(list_id)
    await notify.serve(LISTS_PASSWORD="a-wrong-one")
    await notify.start_sale(event)

    await note_of(notify, "LISTS_PASSWORD")
    assert "a-wrong-one" not in notify.deployment.log
    assert "paused" == (await notify.campaign(event))["state"]
    worker = notify.deployment.processes[0]
    await worker.stop()
    notify.deployment.worker()
    await notify.reached(event, "done")

    assert dict.fromkeys(readers(), 1) == notify.mails_by_address
