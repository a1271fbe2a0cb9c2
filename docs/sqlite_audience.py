"""An audience source that reads the subscribers of a SQLite file: the example of docs/adding-an-audience.md.

The file belongs to a box office's own newsletter program, which asks each new subscriber to confirm. We read who has, write who leaves,
and hand over who signs up.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from server.errors import AudienceRefused, AudienceUnavailable
from server.notify.audience.source import Consent, Kind, Member, Page, SaleDate, SourceContext
from server.notify.config import EventAudience

SCHEMA = """
CREATE TABLE IF NOT EXISTS lists (name TEXT PRIMARY KEY, next_sale TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS subscribers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, list TEXT NOT NULL REFERENCES lists, email TEXT NOT NULL COLLATE NOCASE,
    language TEXT NOT NULL DEFAULT '', state TEXT NOT NULL CHECK (state IN ('asked', 'confirmed', 'left')),
    UNIQUE (list, email));
"""
LOCKED_FOR = 1.0
"""Seconds to wait while the newsletter program writes."""

T = TypeVar("T")


class SqliteAudience:
    """One list of the file."""

    KIND = Kind(
        "sqlite",
        "SQLite file",
        tool={"file": "the newsletter program's file, relative to notify.toml"},
        event={"list": "the name of a list in it"},
        date_field="the column of lists that holds the date: next_sale",
        date_fields=("next_sale",),
    )

    asks_each = True
    takes_sign_ups = True

    def __init__(self, audience: EventAudience, context: SourceContext) -> None:
        name = audience.tool.own["file"] if audience.tool else ""
        self._file: Path = context.folder / name
        self._list, self._line = audience.audience["list"], audience.line
        self.place = f"sqlite {name} {self._list}"

    async def count(self) -> int:
        """How many have confirmed; raises AudienceRefused where there is no such list."""

        def read(file: sqlite3.Connection) -> int:
            names = [name for (name,) in file.execute("SELECT name FROM lists ORDER BY name")]
            if self._list not in names:
                raise AudienceRefused(
                    f"{self._file.name} has no list {self._list}, which notify.toml names in line {self._line}. Lists there: "
                    f"{', '.join(names) or 'none'}"
                )
            rows = file.execute("SELECT count(*) FROM subscribers WHERE list = ? AND state = 'confirmed'", [self._list])
            return int(rows.fetchone()[0])

        return await self._transaction(read)

    async def page(self, cursor: str | None, size: int) -> Page:
        """The next who have confirmed, by their number: who leaves meanwhile shifts nobody."""
        if cursor is None:
            await self.count()  # an unknown list is no empty one

        def read(file: sqlite3.Connection) -> list[tuple[int, str, str]]:
            return file.execute(
                "SELECT id, email, language FROM subscribers WHERE list = ? AND state = 'confirmed' AND id > ? ORDER BY id LIMIT ?",
                [self._list, int(cursor or 0), size + 1],
            ).fetchall()

        rows = await self._transaction(read)
        members = tuple(Member(email, str(id_), language) for id_, email, language in rows[:size])
        return Page(members, str(rows[size - 1][0]) if len(rows) > size else None)

    async def consent(self, member: Member) -> Consent:
        """What the file says of this member now."""

        def read(file: sqlite3.Connection) -> tuple[str, str] | None:
            found: tuple[str, str] | None = file.execute(
                "SELECT state, language FROM subscribers WHERE list = ? AND email = ?", [self._list, member.address]
            ).fetchone()
            return found

        found = await self._transaction(read)
        state, language = found or ("", "")
        return Consent(opted_in=state == "confirmed", language=language)

    async def opt_out(self, address: str) -> None:
        """Write that this address has left; one that is not in the file changes nothing."""

        def write(file: sqlite3.Connection) -> None:
            file.execute("UPDATE subscribers SET state = 'left' WHERE list = ? AND email = ?", [self._list, address])

        await self._transaction(write)

    async def sign_up(self, address: str, language: str) -> None:
        """Hand this address to the newsletter program, which asks its owner; a member stays one, and keeps the language."""

        def write(file: sqlite3.Connection) -> None:
            file.execute(
                "INSERT INTO subscribers (list, email, language, state) VALUES (?, ?, ?, 'asked') "
                "ON CONFLICT DO UPDATE SET state = 'asked' WHERE state = 'left'",
                [self._list, address, language],
            )

        await self._transaction(write)

    async def hold_date(self, date: SaleDate) -> None:
        """Write this date beside the list's name; "" where no start is known."""

        def write(file: sqlite3.Connection) -> None:
            file.execute("UPDATE lists SET next_sale = ? WHERE name = ?", [date.text, self._list])

        await self._transaction(write)

    async def aclose(self) -> None:
        """Nothing is open between two calls."""

    async def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do this in one transaction. No text of SQLite's is shown: it may have a value in it."""

        def run() -> T:
            try:
                # Without `mode=rw` a file that is missing would be made, and be an empty list.
                with (
                    closing(
                        sqlite3.connect(f"{self._file.absolute().as_uri()}?mode=rw", timeout=LOCKED_FOR, uri=True)
                    ) as file,
                    file,
                ):
                    return work(file)
            except sqlite3.OperationalError as error:
                if not self._file.exists():
                    raise AudienceRefused(
                        f"there is no file {self._file.name}: correct `file` in notify.toml"
                    ) from None
                raise AudienceUnavailable(f"{self._file.name} cannot be used now ({error.sqlite_errorname})") from None

        return await asyncio.to_thread(run)
