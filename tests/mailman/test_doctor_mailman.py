"""What `ticket-counter doctor` says of a real Mailman, and of a mail relay."""

from collections.abc import Mapping

from tests.rig.doctor import told_by_doctor
from tests.rig.notify_deployment import NotifyDeployment


async def found(notify: NotifyDeployment, **more: str) -> list[Mapping[str, str]]:
    return await told_by_doctor(notify.deployment, "notify", "mail", **more)


def faults(findings: list[Mapping[str, str]]) -> list[str]:
    return [f"{one['what']} {one['cure']}" for one in findings if one["level"] == "fault"]


def tells(findings: list[Mapping[str, str]], text: str) -> bool:
    return any(text in one["what"] for one in findings if one["level"] == "ok")


async def test_mailman_that_is_right(notify: NotifyDeployment) -> None:
    """A list that is there is counted, the relay takes our sign-in, and nothing is sent; no address is printed."""
    list_id = await notify.mailman.new_list()
    notify.mailman.fill(list_id, ["anna@example.com", "bob@example.com"])
    await notify.add_event(list_id)
    await notify.serve()

    findings = await found(notify)
    assert tells(findings, "2 subscribers")
    assert tells(findings, "nothing was sent")
    assert [] == [one for one in faults(findings) if "ailman" in one or "relay" in one]
    assert [] == notify.mails
    assert "anna" not in str(findings)


async def test_mailman_that_refuses_us(notify: NotifyDeployment) -> None:
    """A wrong password is a fault that names the setting which has it, and never the password."""
    await notify.add_event(await notify.mailman.new_list())
    await notify.serve()

    told = faults(await found(notify, LISTS_PASSWORD="hunter2-is-wrong"))
    assert [one for one in told if "LISTS_PASSWORD" in one]
    assert "hunter2" not in str(told)


async def test_list_that_mailman_does_not_have(notify: NotifyDeployment) -> None:
    """A list that is not there is a fault that names it."""
    await notify.add_event("no-such-list.lists.example.org")
    await notify.serve()

    assert [one for one in faults(await found(notify)) if "no-such-list" in one]


async def test_mailman_and_relay_that_are_down(notify: NotifyDeployment) -> None:
    """A Mailman and a relay that do not answer are a fault each."""
    await notify.add_event(await notify.mailman.new_list())
    await notify.serve()
    await notify.proxy.refuse()

    told = faults(await found(notify, NOTIFY_SMTP_URL="smtp+plain://127.0.0.1:9"))
    assert [one for one in told if "ailman" in one]
    assert [one for one in told if "127.0.0.1" in one and "relay" in one], told
