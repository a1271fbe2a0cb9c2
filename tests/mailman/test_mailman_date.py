"""The date of the sale's start stands in the list's info, where the organiser's own programs find it."""

import pytest

from server.errors import AudienceRefused
from server.notify.audience.mailman import with_line
from server.notify.audience.source import SaleDate
from tests.rig.http_proxy import http_proxy
from tests.rig.mailman import MailmanServer
from tests.rig.mailman_source import mailman_source

AT = 1796144400.0
SPRING = SaleDate(AT, "Europe/Berlin", "spring-gala")
LINE = "Tickets on sale, spring-gala: 2026-12-01T18:00:00+01:00\n"


async def test_date_is_written_moved_and_removed(mailman: MailmanServer) -> None:
    """The date is one line of the list's info; it is replaced where the start moves, and goes where no start is known."""
    list_id = await mailman.new_list()
    own = "Welcome, all of you!\r\nWrite to us: näher@example.org"
    await mailman.api("PATCH", f"/lists/{list_id}/config", {"info": own})

    async def info() -> str:
        return str((await mailman.get(f"/lists/{list_id}/config/info"))["info"])

    async with mailman_source(mailman, list_id, date_field="info") as source:
        await source.hold_date(SPRING)
        assert f"{own}\n{LINE}" == await info()
        await source.hold_date(SaleDate(AT + 3600, "Europe/Berlin", "spring-gala"))
        assert f"{own}\n{LINE.replace('T18', 'T19')}" == await info()
        await source.hold_date(SaleDate(AT, None, "other"))
        assert f"{own}\n{LINE.replace('T18', 'T19')}Tickets on sale, other: 2026-12-01T17:00:00+00:00\n" == await info()
        await source.hold_date(SaleDate(None, "Europe/Berlin", "spring-gala"))
        assert f"{own}\nTickets on sale, other: 2026-12-01T17:00:00+00:00\n" == await info()


async def test_same_date_is_not_written_again(mailman: MailmanServer) -> None:
    """A date that stands there already costs no write."""
    list_id = await mailman.new_list()

    async with http_proxy(mailman.url) as proxy, mailman_source(mailman, list_id, url=proxy.url) as source:
        for _ in range(3):
            await source.hold_date(SPRING)
        assert ["PATCH"] == [one.method for one in proxy.writes]


async def test_date_of_a_list_that_is_not_there(mailman: MailmanServer) -> None:
    """A list that Mailman does not know is told, with those there are."""
    async with mailman_source(mailman, "nowhere.example.org") as source:
        with pytest.raises(AudienceRefused, match="Lists there"):
            await source.hold_date(SPRING)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", LINE),
        ("Hello", f"Hello\n{LINE}"),
        ("Hello\n", f"Hello\n{LINE}"),
        (f"{LINE}Hello", f"{LINE}Hello"),
        ("a\nTickets on sale, spring-gala: soon\nb\nTickets on sale, spring-gala: later\n", f"a\n{LINE}b\n"),
        ("Tickets on sale, spring-gala-2: soon", f"Tickets on sale, spring-gala-2: soon\n{LINE}"),
        ("Tickets on sale, spring-gala: soon\r\nmore\r\n", f"{LINE}more\r\n"),
    ],
)
def test_only_our_line_changes(before: str, after: str) -> None:
    """Every line but that of this event stays, where it stood."""
    assert after == with_line(before, SPRING)


def test_event_of_several_lines_is_one_line() -> None:
    """Line breaks in the name of an event do not make a second line, and an event without a name has a line too."""
    assert "Tickets on sale, a b: 2026-12-01T17:00:00+00:00\n" == with_line("", SaleDate(AT, None, "a\r\n b"))
    assert "Tickets on sale: 2026-12-01T17:00:00+00:00\n" == with_line("", SaleDate(AT))
