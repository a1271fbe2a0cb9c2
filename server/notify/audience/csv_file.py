"""A CSV file, which the organiser keeps or another program writes: each line is a subscriber.

In: `file`, relative to notify.toml, whose first line names its columns: `email`, and perhaps `language` and `confirmed` (yes, no, or
the date of the confirmation; without that column all have confirmed). Comma, semicolon or tab, UTF-8. Out: its subscribers.

The file is the organiser's and is never written to. Opt-outs are added to FILE.opted-out, whose addresses count as not subscribed;
dates stand in FILE.dates, or in the file that date_field names. A file that changes between two pages is read from its beginning
again, since the next line may begin elsewhere by now: no address is ever cut. A line that cannot be read is told by its number alone.
"""

import asyncio
import csv
import fcntl
import io
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import structlog

from server.errors import AudienceRefused, AudienceUnavailable
from server.mail_address import folded
from server.notify.audience.csv_records import LONGEST_LINE, Records, fields_of
from server.notify.audience.source import Consent, Kind, Member, Page, SaleDate, SourceContext
from server.notify.config import EventAudience

log = structlog.get_logger()

SETTLED = 2.0
"""Seconds after a change of the file in which its end may not be its end yet, and a line without an end half an address."""
MOST_TOLD = 20
"""Numbers of lines in a warning."""
TRIES = 3
DELIMITERS = ",;\t"
NO = {"", "no", "n", "false", "0", "pending"}

_YES = re.compile(r"yes|y|true|1|confirmed|[0-9]{4}-[0-9]{2}-[0-9]{2}.*")
_LANGUAGE = re.compile(r"[A-Za-z0-9_-]{2,35}")


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the values of a line stand."""

    delimiter: str
    email: int
    language: int | None
    confirmed: int | None


class CsvFile:
    """One file; *clock* is that of its times of change, in seconds since 1970."""

    KIND = Kind(
        "csv",
        "CSV file",
        tool={"file": "the file, relative to notify.toml; its columns are email, language, confirmed"},
        date_field="a second file, relative to notify.toml, to which dates are written",
    )

    asks_each = False
    takes_sign_ups = False

    def __init__(
        self, audience: EventAudience, context: SourceContext, *, clock: Callable[[], float] = time.time
    ) -> None:
        name = audience.tool.own["file"] if audience.tool else ""
        self.place = f"csv {name}"
        self._name = name
        self._path = context.folder / name
        self._opted_out = self._path.with_name(f"{self._path.name}.opted-out")
        self._dates = context.folder / (audience.date_field or f"{name}.dates")
        self._clock = clock

    async def aclose(self) -> None:
        """Nothing is open between two calls."""

    async def count(self) -> int:
        """How many subscribers the file has; tells the lines that cannot be read. Raises AudienceRefused where it is no such file."""
        bad: list[int] = []
        found = await asyncio.to_thread(self._count, bad)
        if bad:
            lines = ", ".join(map(str, bad[:MOST_TOLD])) + (", …" if len(bad) > MOST_TOLD else "")
            log.warning("audience_lines_unreadable", file=self._name, count=len(bad), lines=lines)
        return found

    async def page(self, cursor: str | None, size: int) -> Page:
        """The next subscribers; the cursor is a place in the file, and says which state of the file it is of.

        The end of a file that has just changed may not be its end: then it is waited for, or a further page follows.
        """
        bad: list[int] = []
        while True:
            members, place, at_end, unrest = await asyncio.to_thread(self._page, cursor, size, bad)
            if members or not at_end or not unrest:
                return Page(members, None if at_end and not unrest else place, tuple(bad))
            cursor = place
            await asyncio.sleep(unrest)

    async def consent(self, member: Member) -> Consent:
        """Not asked: a page is read again instead."""
        raise AudienceRefused("a CSV file is not asked for one subscriber")

    async def opt_out(self, address: str) -> None:
        """Add this address to FILE.opted-out, once."""
        await asyncio.to_thread(self._add, address)

    async def sign_up(self, address: str, language: str) -> None:
        """Not offered: a file asks no one to confirm."""
        raise AudienceRefused("a CSV file takes no sign-ups")

    async def hold_date(self, date: SaleDate) -> None:
        """Write this date as the line of its event, `event,on_sale`; the line goes where no start is known."""
        await asyncio.to_thread(self._hold, date)

    # -- reading --

    def _count(self, bad: list[int]) -> int:
        for _ in range(TRIES):
            bad.clear()
            with self._opened() as (file, state):
                columns = self._columns(file)
                found = sum(1 for _ in self._members(Records(file, columns.delimiter, 2), columns, self._left(), bad))
            if _name_of(self._state()) == _name_of(state):
                return found
        raise self._being_written()

    def _page(self, cursor: str | None, size: int, bad: list[int]) -> tuple[tuple[Member, ...], str, bool, float]:
        """The next subscribers, the place after them, whether the file ends there, and seconds until it counts as at rest.

        The numbers of lines at fault are added to *bad*.
        """
        for _ in range(TRIES):
            here: list[int] = []
            with self._opened() as (file, state):
                columns = self._columns(file)
                found = Records(file, columns.delimiter, 2)
                known, _, place = (cursor or "").partition("@")
                if known == _name_of(state):
                    offset, _, line = place.partition(":")
                    file.seek(int(offset))
                    found.line = int(line)
                members = tuple(islice(self._members(found, columns, self._left(), here), size))
                place = f"{_name_of(state)}@{file.tell()}:{found.line}"
            if _name_of(self._state()) == _name_of(state):
                bad += here
                return members, place, len(members) < size, self._unrest(state)
        raise self._being_written()

    @contextmanager
    def _opened(self) -> Iterator[tuple[BinaryIO, os.stat_result]]:
        """The file and its state; raises AudienceUnavailable where its last line may be half an address."""
        with self._told(self._name, "read"), self._path.open("rb") as file:
            state = os.fstat(file.fileno())
            if state.st_size and self._unrest(state):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    raise self._being_written()
            yield file, state

    def _state(self) -> os.stat_result:
        with self._told(self._name, "read"):
            return self._path.stat()

    def _unrest(self, state: os.stat_result) -> float:
        """Seconds until the file has not changed for a while; 0 = it has not."""
        age = self._clock() - state.st_mtime
        return SETTLED - age if 0 <= age < SETTLED else 0.0

    def _being_written(self) -> AudienceUnavailable:
        return AudienceUnavailable(f"{self._name} is being written: it is read again later", retry_after=SETTLED)

    def _columns(self, file: BinaryIO) -> _Columns:
        """What the first line says; the file is then at the second one."""
        file.seek(0)
        head = file.readline(LONGEST_LINE).removeprefix(b"\xef\xbb\xbf")
        for delimiter in DELIMITERS:
            names = [name.strip().lower() for name in fields_of(head, delimiter) or ()]
            if "email" in names:
                places = {name: place for place, name in reversed(list(enumerate(names)))}
                return _Columns(delimiter, places["email"], places.get("language"), places.get("confirmed"))
        # The line is not shown: where the names of columns are missing, it is a subscriber.
        raise AudienceRefused(
            f"{self._name} has no column `email`: its first line names the columns, email, language, confirmed, in UTF-8"
        )

    def _members(self, found: Records, columns: _Columns, left: set[str], bad: list[int]) -> Iterator[Member]:
        """The subscribers from here on; the numbers of lines at fault go to *bad*."""
        for begin, fields in found:
            if fields == []:
                continue
            address = _value(fields, columns.email)
            key, confirmed = folded(address or ""), (_value(fields, columns.confirmed) or "").lower()
            if fields is None or key is None or not (confirmed in NO or _YES.fullmatch(confirmed)):
                bad.append(begin)
            elif key not in left and (columns.confirmed is None or confirmed not in NO):
                language = _value(fields, columns.language) or ""
                yield Member(address or "", language=language if _LANGUAGE.fullmatch(language) else "")

    # -- the files beside it --

    def _left(self) -> set[str]:
        """The folded addresses that have opted out."""
        with self._told(self._opted_out.name, "read"):
            lines = _text(self._opted_out).splitlines()
        return {key for line in lines if (key := folded(line.partition(",")[0].strip(' "'))) is not None}

    def _add(self, address: str) -> None:
        key = folded(address)
        with self._told(self._opted_out.name, "write"), _locked(self._opted_out.parent):
            if key is not None and key not in self._left():
                text = _text(self._opted_out) or "email,opted_out_at"
                moment = datetime.now(UTC).isoformat(timespec="seconds")
                _replace(self._opted_out, f"{text.rstrip()}\n{key},{moment}\n")

    def _hold(self, date: SaleDate) -> None:
        name = " ".join(date.event.split())
        with self._told(self._dates.name, "write"), _locked(self._dates.parent):
            text = _text(self._dates)
            rows = [row for row in csv.reader(io.StringIO(text)) if row and row[0] not in ("event", name)]
            if date.text:
                rows.append([name, date.text])
            written = io.StringIO()
            csv.writer(written, lineterminator="\n").writerows([["event", "on_sale"], *rows])
            if written.getvalue() != text:
                _replace(self._dates, written.getvalue())

    @contextmanager
    def _told(self, name: str, verb: str) -> Iterator[None]:
        """Errors of the system as ours: what only a person can mend is refused."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
            raise AudienceRefused(
                f"cannot {verb} {name} ({error.strerror}): look at `file` in notify.toml, relative to its own folder"
            ) from None
        except OSError as error:
            raise AudienceUnavailable(f"cannot {verb} {name} ({error.strerror})") from None


def _value(fields: Sequence[str] | None, place: int | None) -> str | None:
    return fields[place].strip() if fields is not None and place is not None and place < len(fields) else None


def _name_of(found: os.stat_result) -> str:
    """A name of one state of one file."""
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _text(path: Path) -> str:
    """What a file beside ours says; "" where there is none yet."""
    return path.read_text("utf-8", errors="replace") if path.exists() else ""


def _replace(path: Path, text: str) -> None:
    """Write a file beside ours so that a reader, or a crash, finds the old text or the new one, whole."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The only one that writes beside the file; another process waits."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
