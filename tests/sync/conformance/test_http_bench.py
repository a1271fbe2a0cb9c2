import pytest

from docs import receiver
from server.errors import NotStarted
from server.sync.conformance.http_bench import NOTE, http_settings
from tests.rig import broken_receivers as broken
from tests.rig.receiver import EVENT, SECRET
from tests.sync.conformance.test_wire import bench


@pytest.mark.parametrize(
    ("url", "secret", "allowed", "says"),
    [
        ("http://box.example.org/t", SECRET, False, "allow_http"),
        ("https://127.0.0.1/t", SECRET, False, "private address"),
        ("box", SECRET, True, "url is no address"),
        ("https://box.example.org/t", "with a\ttab", True, "characters"),
    ],
)
def test_settings_that_cannot_be_used(url: str, secret: str, allowed: bool, says: str) -> None:
    """An address or a secret that cannot be used is told before anything is sent, and the secret is not shown."""
    with pytest.raises(NotStarted, match=says) as told:
        http_settings(url, secret, event="G", allow_http=allowed, allow_private=allowed)

    assert secret not in str(told.value)


@pytest.mark.parametrize(("page", "seen"), [(10, 10), (25, 25), (200, None)])
async def test_page(page: int, seen: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a page is seen from the list itself; it is not known where a hundred records have one page."""
    monkeypatch.setattr(receiver, "PAGE", page)
    async with bench() as one:
        await one.measure_page()

        assert seen == one.page


async def test_what_it_offers() -> None:
    """A record without id, an edit and a member that is not ours are made over the system's own interface."""
    async with bench() as one:
        key = await one.by_hand("By hand")
        await one.edit(key, {"name": "Edited"})
        await one.add_unmapped(key)
        [record] = await one.target.list(EVENT)

        assert (key, "", "Edited") == (record.key, record.ticket, record.name)
        assert "keep me" == record.fields[NOTE] == await one.unmapped(key)


async def test_clean_up() -> None:
    """All that the checks have made is taken off sale: with a key, without one, and after it gave up its id."""
    async with bench() as one:
        await one.by_hand("By hand")
        await one.create(await one.wanted(await one.ticket()))
        ticket = await one.ticket()
        await one.requests_of.send("POST", "", await one.post(ticket))
        await one.post(await one.ticket())

        assert 3 == sum(record.active for record in await one.target.list(EVENT))
        assert 0 == await one.take_off_sale()
        assert 0 == sum(record.active for record in await one.target.list(EVENT))


async def test_clean_up_that_fails() -> None:
    """What could not be taken off sale is counted."""
    async with bench(broken.NoDelete) as one:
        await one.create(await one.wanted(await one.ticket()))
        one.made[await one.ticket()] = None

        assert 1 == await one.take_off_sale()
