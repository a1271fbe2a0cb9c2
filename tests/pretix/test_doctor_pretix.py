"""What `ticket-counter doctor` says of a real pretix."""

from collections.abc import Mapping

from tests.rig.doctor import told_by_doctor
from tests.rig.sync_rig import SyncRig


async def found(sync: SyncRig, **more: str) -> list[Mapping[str, str]]:
    return await told_by_doctor(sync.deployment, "sync", **more)


def faults(findings: list[Mapping[str, str]]) -> list[str]:
    return [f"{one['what']} {one['cure']}" for one in findings if one["level"] == "fault"]


async def test_pretix_that_is_right(sync: SyncRig) -> None:
    """A pretix that answers, with an event in the currency of the tickets, is right, and doctor writes nothing there."""
    await sync.add_event(3)
    await sync.serve()
    await sync.known()

    assert ["ok"] == [one["level"] for one in await found(sync)]
    assert 0 == sync.written


async def test_pretix_that_refuses_our_token(sync: SyncRig) -> None:
    """A wrong token is a fault with the setting that has it."""
    await sync.add_event(1)
    await sync.serve()
    await sync.known()

    [fault] = faults(await found(sync, BOX_TOKEN="wrong"))
    assert "BOX_TOKEN" in fault


async def test_event_that_pretix_does_not_have(sync: SyncRig) -> None:
    """An event that is not in pretix is a fault that names it."""
    event = await sync.add_event(1)
    sync.file.write_text(sync.file.read_text().replace(f'"{event.pretix}"', '"no-such-event"'))
    await sync.serve()
    await sync.known()

    [fault] = faults(await found(sync))
    assert "no-such-event" in fault


async def test_event_of_pretix_in_another_currency(sync: SyncRig) -> None:
    """An event that sells in another currency is a fault that names both."""
    event = await sync.add_event(1)
    other = await sync.pretix.new_event("USD", name="Gala")
    sync.file.write_text(sync.file.read_text().replace(f'"{event.pretix}"', f'"{other}"'))
    await sync.serve()
    await sync.known()

    [fault] = faults(await found(sync))
    assert "USD" in fault
    assert "EUR" in fault


async def test_pretix_that_is_down(sync: SyncRig) -> None:
    """A pretix that does not answer is a fault that names its address."""
    await sync.add_event(1)
    await sync.serve()
    await sync.known()
    await sync.proxy.refuse()

    [fault] = faults(await found(sync))
    assert sync.proxy.url in fault or "box" in fault
