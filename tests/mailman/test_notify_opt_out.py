"""Who leaves by the link in a mail is gone from the real list, and hears no more of it."""

from urllib.parse import urlsplit

import httpx

from tests.rig.notify_deployment import NotifyDeployment
from tests.rig.server import until


async def test_one_click_leaves_the_list_for_good(notify: NotifyDeployment) -> None:
    """One click takes the member off the list, and an import that brings the address back brings no more mail of that list."""
    mailman = notify.mailman
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["leaving@example.com", "staying@example.com"])
    first = await notify.add_event(list_id)
    second = await notify.add_event(list_id, title="Autumn Gala")
    url = await notify.serve()
    await notify.start_sale(first)
    await notify.reached(first, "done")
    assert {"leaving@example.com": 1, "staying@example.com": 1} == notify.mails_by_address
    [mail] = notify.relay.to("leaving@example.com")
    link = urlsplit(str(mail.message["List-Unsubscribe"]).strip().split(">")[0].strip("<"))

    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        shown = await client.get(link.path)
        assert 200 == shown.status_code
        assert {"leaving@example.com", "staying@example.com"} == set(mailman.members(list_id))
        clicked = await client.post(link.path, data={"List-Unsubscribe": "One-Click"})
        assert 200 == clicked.status_code
    await until(lambda: {"staying@example.com"} == set(mailman.members(list_id)), 30)
    mailman.fill(list_id, ["leaving@example.com"])
    await notify.start_sale(second)
    run = await notify.reached(second, "done")

    assert {"leaving@example.com": 1, "staying@example.com": 2} == notify.mails_by_address
    assert ("1", "1") == (run["sent"], run["skipped"])
    assert "leaving@" not in notify.deployment.log
