import asyncio
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.errors import AudienceRefused, AudienceUnavailable
from server.model import SiteId
from server.notify.audience.csv_file import SETTLED, CsvFile
from server.notify.audience.source import Member, Page, SaleDate, SourceContext
from server.notify.config import EventAudience, Tool

LONG_AGO = 1_000_000_000.0
AT = 1796144400.0


def source(path: Path, **more: Any) -> CsvFile:
    """The source of an event whose readers are in this file."""
    audience = EventAudience("spring-gala", Tool("people", "csv", own={"file": path.name}), line=4, **more)
    return CsvFile(audience, SourceContext(SiteId("5f0e4d3c-1111-4111-8111-00000000b001"), path.parent))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def write(path: Path, text: str | bytes) -> None:
    """A file as another program leaves it, which wrote it long ago."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (LONG_AGO, LONG_AGO))


async def all_members(found: CsvFile, size: int = 100, between: Callable[[], object] = lambda: None) -> list[Member]:
    """One pass over all pages; *between* is called between two of them."""
    members: list[Member] = []
    cursor: str | None = None
    while True:
        page = await found.page(cursor, size)
        members += page.members
        if (cursor := page.next) is None:
            return members
        between()


async def addresses(found: CsvFile, **more: Any) -> list[str]:
    return [one.address for one in await all_members(found, **more)]


# -- what the lines say --


@pytest.mark.parametrize(
    "text",
    [
        "email,language\nada@example.com,de\nbob@example.com,\n",
        "email,language\r\nada@example.com,de\r\nbob@example.com",
        "\ufeffEmail;Name;Language\nada@example.com;Ada;de\n\nbob@example.com;Bob;\n",
        'name\tlanguage\temail\n"Lovelace,\nAda"\tde\tada@example.com\nBob\t\t bob@example.com \n',
        '"email","language"\n"ada@example.com","de"\n"bob@example.com","<i>not one</i>"\n',
        "email,language,email\nada@example.com,de,x@example.com\nbob@example.com\n",
    ],
)
async def test_forms_of_a_file(path: Path, text: str) -> None:
    """Comma, semicolon or tab, quoted or not, with the marks of a byte order and of Windows: the columns say what is what."""
    write(path, text)

    expected = (Member("ada@example.com", language="de"), Member("bob@example.com"))
    assert Page(expected) == await source(path).page(None, 10)
    assert 2 == await source(path).count()


@pytest.mark.parametrize(
    ("confirmed", "counts"),
    [
        ("yes", True),
        ("Y", True),
        ("TRUE", True),
        ("1", True),
        ("confirmed", True),
        ("2026-11-30", True),
        ("2026-11-30T18:00:00Z", True),
        ("", False),
        ("no", False),
        ("N", False),
        ("false", False),
        ("0", False),
        ("pending", False),
        ("perhaps", False),
    ],
)
async def test_only_who_has_confirmed(path: Path, confirmed: str, counts: bool) -> None:
    """Where there is a column `confirmed`, only a clear yes, or a date, is one."""
    write(path, f"email,confirmed\nada@example.com,{confirmed}\n")

    assert int(counts) == await source(path).count()
    assert counts == bool(await all_members(source(path)))


async def test_line_without_the_column_confirmed(path: Path) -> None:
    """A line that ends before the column `confirmed` has not confirmed."""
    write(path, "email,confirmed\nada@example.com\n")

    assert [] == await all_members(source(path))


async def test_lines_at_fault_are_told_by_number_alone(path: Path) -> None:
    """Lines that cannot be read are left out and told by their numbers, without anything that stands in them."""
    lines = [f"reader{number}" for number in range(30)]
    write(
        path,
        "email,confirmed\nada@example.com,yes\n,yes\nbob@example.com,maybe\n" + "\n".join(lines) + '\n"cy@example.com',
    )

    found = source(path)
    with capture_logs() as logs:
        assert 1 == await found.count()
    told = "3, 4, " + ", ".join(str(number) for number in range(5, 23)) + ", …"
    assert [("people.csv", 33, told)] == [(one["file"], one["count"], one["lines"]) for one in logs]
    assert not re.search("reader|bob|cy@", str(logs))
    assert ["ada@example.com"] == await addresses(found)


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_pages_tell_their_lines_at_fault(path: Path, size: int) -> None:
    """Each line that cannot be read is told once, by its number in the file, whatever the size of pages."""
    write(
        path,
        b'email,name\r\nno at\nada@example.com,"Ada\r\nReader"\n"a b"@example.com,x\n=cmd|calc\nbob@example.com\ncy@example.com\n'
        b'"dan@example.com\r\nBcc: x@example.com"\n',
    )
    found, cursor = source(path), None
    told: list[int] = []
    while True:
        page = await found.page(cursor, size)
        told += page.unreadable
        if (cursor := page.next) is None:
            break

    assert [2, 5, 6, 9] == told


@pytest.mark.parametrize(
    "text", ["", "name\nada@example.com\n", "ada@example.com\nbob@example.com\n", "email\n".encode("utf-16")]
)
async def test_file_without_the_column_email(path: Path, text: str | bytes) -> None:
    """A file whose first line does not name its columns is refused, without showing that line."""
    write(path, text)

    for ask in (source(path).count(), source(path).page(None, 10)):
        with pytest.raises(AudienceRefused, match=r"people.csv has no column `email`") as caught:
            await ask
        assert "ada" not in str(caught.value)


async def test_file_that_is_not_there(path: Path) -> None:
    """A file that is missing, or is a folder, is refused with what to look at."""
    for _ in range(2):
        with pytest.raises(AudienceRefused, match=r"cannot read people.csv \(.*\): look at `file` in notify.toml"):
            await source(path).count()
        path.mkdir(exist_ok=True)


# -- pages --


async def test_pages_go_on_where_the_last_one_ended(path: Path) -> None:
    """Each line is on one page, whatever the size of the pages, also after lines that are left out, and of several lines."""
    lines = [f'reader{number}@example.com,"a\nb"\n' + ("\n,\n" if number % 3 else "") for number in range(20)]
    write(path, "email,name\n" + "".join(lines))

    expected = [f"reader{number}@example.com" for number in range(20)]
    for size in (1, 3, 20, 100):
        assert expected == await addresses(source(path), size=size)


async def test_lines_added_between_pages(path: Path) -> None:
    """A file that has grown between two pages is read from its beginning: everyone is on a page, and no address is cut."""
    write(path, "email\n" + "".join(f"reader{number}@example.com\n" for number in range(4)))

    added = iter(range(4, 6))

    def grow() -> None:
        if (number := next(added, None)) is not None:
            with path.open("a") as file:
                file.write(f"reader{number}@example.com\n")

    found = await addresses(source(path), size=2, between=grow)
    assert {f"reader{number}@example.com" for number in range(6)} == set(found)


async def test_file_replaced_between_pages(path: Path) -> None:
    """A file that was replaced between two pages by one with other lines gives whole addresses of the new one."""
    write(path, "email\n" + "".join(f"old{number}@example.com\n" for number in range(4)))
    new = [f"a-longer-address-{number}@example.com" for number in range(4)]

    def replace() -> None:
        if "old" in path.read_text():
            write(path.with_name("new"), "email\n" + "\n".join(new) + "\n")
            path.with_name("new").replace(path)

    found = await addresses(source(path), size=3, between=replace)
    assert [f"old{number}@example.com" for number in range(3)] + new == found


async def test_address_that_is_being_written_is_not_cut(path: Path) -> None:
    """A last line without an end, just written, may be half an address: the file is read again later, when it is whole or at rest."""
    path.write_bytes(b"email\nada@example.com\nbob@example.co")

    for ask in (source(path).page(None, 10), source(path).count()):
        with pytest.raises(AudienceUnavailable, match="is being written") as caught:
            await ask
        assert SETTLED == caught.value.retry_after
    with path.open("ab") as file:
        file.write(b"m\n")
    assert ["ada@example.com", "bob@example.com"] == await addresses(source(path))


async def test_file_that_never_rests(path: Path) -> None:
    """While another program writes the file again and again, each page has whole addresses, or a later try may help."""
    texts = [
        "email\n" + "".join(f"{name}{number}@example.com\n" for number in range(500)) for name in ("a", "longer-name-")
    ]
    path.write_text(texts[0])
    done = threading.Event()

    def rewrite() -> None:
        number = 0
        while not done.is_set():
            number += 1
            path.write_text(texts[number % 2])

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen: set[str] = set()
    later = 0
    try:
        for _ in range(100):
            try:
                seen |= {one.address for one in (await source(path).page(None, 300)).members}
            except (AudienceUnavailable, AudienceRefused):
                later += 1
    finally:
        done.set()
        writer.join()
    assert later > 0
    assert {one for one in seen if not re.fullmatch(r"(a|longer-name-)[0-9]+@example\.com", one)} == set()


async def test_end_of_a_file_that_is_written_is_waited_for(path: Path) -> None:
    """A file that has just changed is at its end only when it has rested: what is added meanwhile is on a page, too."""
    path.write_text("email\nada@example.com\n")
    found = source(path)
    first = await found.page(None, 10)
    assert first.next is not None

    waiting = asyncio.create_task(found.page(first.next, 10))
    await asyncio.sleep(0.5)
    with path.open("a") as file:
        file.write("bob@example.com\n")
    second = await waiting
    third = await found.page(second.next, 10)

    assert ["ada@example.com"] == [one.address for one in first.members]
    assert ["ada@example.com", "bob@example.com"] == [one.address for one in second.members]
    assert ((), None) == (third.members, third.next)
    assert SETTLED <= time.time() - path.stat().st_mtime


# -- opt-outs --


async def test_opt_out_stands_beside_the_file(path: Path) -> None:
    """Who opts out is on no page any more, and stands once in a file of ours; the organiser's file stays as it was."""
    text = "email\nAda@Example.com\nbob@example.com\n"
    write(path, text)
    found = source(path)

    for address in ("ada@example.com", "ADA@example.com", "no address", "cy@example.com"):
        await found.opt_out(address)

    assert ["bob@example.com"] == await addresses(found)
    assert 1 == await found.count()
    head, *lines = path.with_name("people.csv.opted-out").read_text().splitlines()
    assert ("email,opted_out_at", ["ada@example.com", "cy@example.com"]) == (head, [one.split(",")[0] for one in lines])
    assert text == path.read_text()


async def test_opted_out_file_of_a_person(path: Path) -> None:
    """A person may edit the file of opt-outs, with blanks, quotes and no end of the last line."""
    write(path, "email\nada@example.com\nbob@example.com\ncy@example.com\n")
    path.with_name("people.csv.opted-out").write_text('\n "ADA@example.com" \nbob@example.com')
    found = source(path)
    await found.opt_out("cy@example.com")

    assert [] == await addresses(found)


async def test_many_opt_outs_at_once(path: Path) -> None:
    """Opt-outs at the same moment, by several processes, are all kept."""
    write(path, "email\n" + "".join(f"reader{number}@example.com\n" for number in range(40)))
    await asyncio.gather(*(source(path).opt_out(f"reader{number}@example.com") for number in range(40)))

    assert [] == await addresses(source(path))


async def test_opt_out_that_cannot_be_written(path: Path) -> None:
    """Where the file of opt-outs cannot be written, that is an error, and not forgotten."""
    write(path, "email\nada@example.com\n")
    path.with_name("people.csv.opted-out.new").mkdir()

    with pytest.raises(AudienceRefused, match=r"cannot write people.csv.opted-out") as caught:
        await source(path).opt_out("ada@example.com")
    assert "ada" not in str(caught.value)


async def test_fault_of_the_disk_may_pass(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the disk, such as one that is full, is unavailable: a later try may help."""
    write(path, "email\nada@example.com\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AudienceUnavailable, match="No space left"):
        await source(path).opt_out("ada@example.com")
    assert ["ada@example.com"] == await addresses(source(path))


# -- dates, and what is not offered --


@pytest.mark.parametrize(("field", "name"), [("", "people.csv.dates"), ("sales.csv", "sales.csv")])
async def test_dates_stand_in_a_second_file(path: Path, field: str, name: str) -> None:
    """Each event has one line with its date, which moves with the start and goes where no start is known."""
    found, dates = source(path, date_field=field), path.with_name(name)

    await found.hold_date(SaleDate(AT, "Europe/Berlin", "spring-gala"))
    await found.hold_date(SaleDate(AT, None, 'a "quoted",\nevent'))
    await found.hold_date(SaleDate(AT + 3600, "Europe/Berlin", "spring-gala"))
    assert (
        'event,on_sale\n"a ""quoted"", event",2026-12-01T17:00:00+00:00\nspring-gala,2026-12-01T19:00:00+01:00\n'
        == dates.read_text()
    )
    inode = dates.stat().st_ino
    await found.hold_date(SaleDate(AT + 3600, "Europe/Berlin", "spring-gala"))
    assert inode == dates.stat().st_ino
    await found.hold_date(SaleDate(None, "Europe/Berlin", "spring-gala"))
    assert 'event,on_sale\n"a ""quoted"", event",2026-12-01T17:00:00+00:00\n' == dates.read_text()


async def test_what_a_file_does_not_offer(path: Path) -> None:
    """A file is not asked for one subscriber, and asks no one to confirm; it is the same place wherever its folder is."""
    found = source(path)

    assert (False, False, "csv people.csv") == (found.asks_each, found.takes_sign_ups, found.place)
    with pytest.raises(AudienceRefused):
        await found.consent(Member("ada@example.com"))
    with pytest.raises(AudienceRefused):
        await found.sign_up("ada@example.com", "en")
    await found.aclose()
