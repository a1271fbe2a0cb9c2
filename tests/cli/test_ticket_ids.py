from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from server.cli import ticket_ids
from server.cli.ticket_ids import MOST_NAMED, StoredTickets
from server.errors import NotStarted
from server.model import Hint, SiteId, TicketId
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.server import OTHER, SITE, TICKET

ALIKE = f"{TICKET[:9]}bbbb-4bbb-8bbb-000000000001"
SECOND_SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")


@pytest.fixture
async def reads(redis_url: str) -> AsyncIterator[FakeReader]:
    """A reader of a known site."""
    async with aclosing(FakeReader(redis_url, SITE)) as found:
        await found.schedule.add_site(found.site, found.rules, everything=True)
        yield found


async def store(reads: FakeReader, **names: str) -> None:
    """Have these tickets listed and read, each under its name here."""
    ids = {"standing": TICKET, "balcony": ALIKE, "other": OTHER}
    await reads.schedule.mark(reads.site, Hint("listed", tuple(TicketId(ids[one]) for one in names)))
    await reads.read(*(definition(ids[one], name=name) for one, name in names.items()))


async def error_of(reads: FakeReader, text: str) -> list[str]:
    """The lines of the error for this text."""
    with pytest.raises(NotStarted) as found:
        await StoredTickets(reads.schedule).find(text)
    return str(found.value).splitlines()


async def test_by_id_or_beginning(reads: FakeReader) -> None:
    """A ticket is meant by its id, stored or not, or by how it begins, in small letters or capitals."""
    await store(reads, standing="Standing", balcony="Balcony", other="Other")
    find = StoredTickets(reads.schedule).find

    assert TICKET == await find(TICKET.upper())
    assert "99999999-aaaa-4aaa-8aaa-000000000001" == await find("99999999-AAAA-4aaa-8aaa-000000000001")
    assert OTHER == await find(OTHER[:4])
    assert ALIKE == await find(ALIKE[:10].upper())


async def test_beginning_of_several(reads: FakeReader) -> None:
    """A beginning of several ids is refused with each of them and its name, in which nothing controls the terminal."""
    await store(reads, standing="Standing\x1b[2J\nroom", balcony="Balcony", other="Other")

    assert [
        f"several ids begin with '{TICKET[:8]}': write more of one",
        f"  {TICKET}  Standing [2J room",
        f"  {ALIKE}  Balcony",
    ] == await error_of(reads, TICKET[:8])


async def test_same_ticket_of_two_sites(reads: FakeReader) -> None:
    """An id that two sites track is one ticket."""
    await store(reads, standing="Standing")
    await reads.schedule.add_site(SECOND_SITE, reads.rules, everything=True)
    await reads.store.do("ZADD", reads.schedule.keys.key(SECOND_SITE, "due"), 1, TICKET)

    assert TICKET == await StoredTickets(reads.schedule).find(TICKET[:8])


async def test_beginning_of_none(reads: FakeReader) -> None:
    """A beginning of no id is refused with the tickets that there are."""
    await store(reads, standing="Balcony")

    first, *others = await error_of(reads, "ABCD")

    assert first.startswith("no ticket is stored whose id begins with 'ABCD': `ticket-counter tickets` lists all")
    assert [f"  {TICKET}  Balcony"] == others


async def test_nothing_is_stored(reads: FakeReader) -> None:
    """Where no ticket is stored, the error says who stores them."""
    [line] = await error_of(reads, "abcd")

    assert "nor any other: a worker (`ticket-counter serve` or `worker`) lists them" in line


@pytest.mark.parametrize("text", ["111", "spring", "", "1111*", "\x1b[2J"])
async def test_no_beginning(reads: FakeReader, text: str) -> None:
    """What no id begins with is refused with where the ids are listed, and nothing of it controls the terminal."""
    [line] = await error_of(reads, text)

    assert line.startswith(f"{text.replace(chr(27), ' ')!r} is not a ticket definition id, nor the first 4 or more ")
    assert line.endswith(": `ticket-counter tickets` lists the ids")


def test_many_are_not_all_named() -> None:
    """Of many tickets an error names the first, and how many more there are."""
    many = [(TicketId(f"11111111-aaaa-4aaa-8aaa-{number:012}"), "") for number in range(MOST_NAMED + 3)]

    lines = str(ticket_ids.several("1111", many)).splitlines()

    assert 1 + MOST_NAMED + 1 == len(lines)
    assert "  and 3 more" == lines[-1]
    assert "  and 92 more" == str(ticket_ids.none("2222", many[:MOST_NAMED], 100)).splitlines()[-1]
