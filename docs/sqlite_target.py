"""A target that keeps its records in a SQLite file: the example of docs/adding-a-target.md.

The file belongs to a box office's own program, which sells from it. We write the columns that the mapping names, and `wix_id`.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TypeVar

from server.errors import NotStarted, TargetForbidden, TargetRefused, TargetUnavailable
from server.model import TicketId
from server.sync.mapping import TargetSettings
from server.sync.model import (
    Fields,
    Kind,
    Operation,
    OptionChange,
    Reason,
    Record,
    RecordOption,
    TargetEvent,
    Unfit,
    Value,
    Wanted,
)
from server.sync.targets.target import Abilities, BeforeWrite, Pay

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, name TEXT NOT NULL, currency TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tickets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL REFERENCES events, wix_id TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL, description TEXT, price TEXT, pay_more INTEGER, places INTEGER CHECK (places >= 0),
    sale_start TEXT, sale_end TEXT, position INTEGER, active INTEGER NOT NULL DEFAULT 1,
    sold INTEGER NOT NULL DEFAULT 0, colour TEXT);
CREATE TABLE IF NOT EXISTS options (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ticket INTEGER NOT NULL REFERENCES tickets ON DELETE CASCADE,
    wix_id TEXT NOT NULL DEFAULT '', name TEXT NOT NULL, price TEXT, position INTEGER, active INTEGER NOT NULL DEFAULT 1,
    sold INTEGER NOT NULL DEFAULT 0);
"""
COLUMNS = ("name", "description", "price", "pay_more", "places", "sale_start", "sale_end", "position", "active")
OPTION_COLUMNS = ("name", "price", "position", "active")
YES_OR_NO = ("pay_more", "active")  # SQLite has numbers for them

T = TypeVar("T")


class SqliteTarget:
    """The tickets of a SQLite file: a call is one transaction, so each has happened as a whole or not at all."""

    DEFAULTS = """
[settings]
file = "box-office.db"  # where the box office's program keeps its tickets

[fields]
name = { from = "name" }
description = { from = "description", when = "create" }
price = { from = "price" }
pay_more = { from = "guest_price", as = "is_set" }
places = { from = "limit" }
sale_start = { from = "sale.start" }
sale_end = { from = "sale.end" }
position = { from = "position" }
active = { from = "hidden", as = "not" }

[options]
name = { from = "option.name" }
price = { from = "option.price" }
position = { from = "option.position" }

[left_out]
policyText = "the box office has its own"
feeType = "the box office takes no fees"
saleStatus = "follows from the sale period, which is mapped"
limitPerCheckout = "Wix lowers it with what is left, and nobody can set it"
salesDetails = "the box office counts its own sales"
createdDate = "says nothing of the ticket"
eventDetails = "the event is the box office's own"
seatingDetails = "there are no seats"
extendedFields = "belong to other apps"
"""

    abilities = Abilities(parallel=4, changes_options=True, deletes=True, limits=True)

    def __init__(self, settings: TargetSettings, pay: Pay) -> None:
        self._file, self._pay = str(settings.own["file"]), pay
        self._columns = [rule.name for rule in settings.rules]
        self._option_columns = [rule.name for rule in settings.options]
        for column in (*{*self._columns} - {*COLUMNS}, *{*self._option_columns} - {*OPTION_COLUMNS}):
            raise NotStarted(f"{settings.name}: the mapping names {column}, and {self._file} has no such column")

    async def event(self, event: str) -> TargetEvent:
        """One row of `events`."""
        return await self._transaction(lambda file: self._event(file, event))

    def fit(self, wanted: Wanted, event: TargetEvent) -> Wanted | Unfit:
        """SQLite keeps each value as it is written; only the currency must be the event's."""
        if others := wanted.currencies - {event.currency}:
            text = f"{event.name} sells in {event.currency}, and the ticket is in {', '.join(sorted(others))}"
            return Unfit(
                wanted.ticket, wanted.name, Reason.CURRENCY, text, "use another event, or leave this ticket out"
            )
        return wanted

    async def find(self, event: str, ticket: TicketId, key: str | None) -> list[Record]:
        """The rows with this id: a file is searched as a whole, so *key* is not needed."""
        return [one for one in await self.list(event) if one.ticket == ticket]

    async def list(self, event: str) -> list[Record]:
        """All rows of the event."""

        def read(file: sqlite3.Connection) -> list[Record]:
            self._event(file, event)
            rows = file.execute("SELECT * FROM tickets WHERE event = ? ORDER BY id", (event,)).fetchall()
            return [self._record(file, row) for row in rows]

        return await self._transaction(read)

    async def create(self, event: str, wanted: Wanted, attempt: str, before_write: BeforeWrite) -> str:
        """Add a row, unless there is one with this id: the same transaction looks, so *attempt* is not needed."""

        def write(file: sqlite3.Connection) -> str:
            self._event(file, event)
            there = file.execute(
                "SELECT id FROM tickets WHERE event = ? AND wix_id = ?", (event, wanted.ticket)
            ).fetchone()
            if there:
                return str(there["id"])
            fields = {"event": event, "wix_id": wanted.ticket, "name": wanted.name, **wanted.initial, **wanted.fields}
            key = _insert(file, "tickets", fields)
            for option in wanted.options:
                _insert(file, "options", {"ticket": key, "wix_id": option.id, "name": option.name, **option.fields})
            return str(key)

        return await self._transaction(write, before_write)

    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        """Write just what the operation names."""

        def write(file: sqlite3.Connection) -> None:
            _update(file, "tickets", record.key, {change.name: change.wix for change in operation.fields})
            for change in operation.options:
                self._change_option(file, record.key, change)

        await self._transaction(write, before_write)

    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        """Take a row off sale; with *delete* delete it, if it has sold nothing."""

        def write(file: sqlite3.Connection) -> None:
            _update(file, "tickets", record.key, {"active": False})
            if delete:
                file.execute("DELETE FROM tickets WHERE id = ? AND sold = 0", (record.key,))

        await self._transaction(write, before_write)

    async def mark(self, event: str, record: Record, ticket: TicketId | None, before_write: BeforeWrite) -> None:
        """Write the id, or clear it."""
        await self._transaction(
            lambda file: _update(file, "tickets", record.key, {"wix_id": ticket or ""}), before_write
        )

    async def aclose(self) -> None:
        """Nothing stays open between two calls."""

    async def _transaction(self, run: Callable[[sqlite3.Connection], T], before_write: BeforeWrite | None = None) -> T:
        """One request: paid from the budget, announced if it writes, and in a thread, since a file may keep us waiting."""
        await self._pay()
        if before_write:
            await before_write()
        try:
            return await asyncio.to_thread(self._run, run)
        except sqlite3.IntegrityError as error:
            raise TargetRefused(f"{self._file}: {error}") from error
        except (
            sqlite3.Error
        ) as error:  # nothing was written: a transaction that fails is undone, so this is never TargetUnsure
            raise TargetUnavailable(f"{self._file}: {error}") from error

    def _run(self, run: Callable[[sqlite3.Connection], T]) -> T:
        with closing(sqlite3.connect(self._file, timeout=5)) as file, file:
            file.row_factory = sqlite3.Row
            file.executescript(SCHEMA)
            file.execute("PRAGMA foreign_keys = ON")
            file.execute("BEGIN IMMEDIATE")
            return run(file)

    def _event(self, file: sqlite3.Connection, event: str) -> TargetEvent:
        row = file.execute("SELECT * FROM events WHERE id = ?", (event,)).fetchone()
        if row is None:
            raise TargetForbidden(f"{self._file} has no event {event}")
        return TargetEvent(event, row["name"], row["currency"])

    def _record(self, file: sqlite3.Connection, row: sqlite3.Row) -> Record:
        rows = file.execute("SELECT * FROM options WHERE ticket = ? ORDER BY position, id", (row["id"],))
        options = tuple(
            RecordOption(str(one["id"]), one["wix_id"], _fields(one, self._option_columns), bool(one["active"]))
            for one in rows
        )
        return Record(
            str(row["id"]), row["wix_id"], row["name"], bool(row["active"]), _fields(row, self._columns), options
        )

    def _change_option(self, file: sqlite3.Connection, key: str, change: OptionChange) -> None:
        fields = {one.name: one.wix for one in change.fields}
        if change.kind is Kind.CREATE:
            _insert(file, "options", {"ticket": key, "wix_id": change.id, "name": change.name, **fields})
        elif change.kind is Kind.UPDATE:
            _update(file, "options", change.key, fields)
        else:
            _update(file, "options", change.key, {"active": False})
            file.execute("DELETE FROM options WHERE id = ? AND sold = 0", (change.key,))


def _fields(row: sqlite3.Row, columns: Iterable[str]) -> Fields:
    values: dict[str, Value] = {name: row[name] for name in columns}
    return {name: bool(value) if name in YES_OR_NO and value is not None else value for name, value in values.items()}


def _insert(file: sqlite3.Connection, table: str, fields: Fields) -> int:
    names, places = ", ".join(fields), ", ".join("?" * len(fields))
    sql = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608 - the names are columns: __init__ has checked them
    return file.execute(sql, (*fields.values(),)).lastrowid or 0


def _update(file: sqlite3.Connection, table: str, key: str | None, fields: Fields) -> None:
    names = ", ".join(f"{name} = ?" for name in fields or {"id": key})
    sql = f"UPDATE {table} SET {names} WHERE id = ?"  # noqa: S608 - the names are columns: __init__ has checked them
    if not file.execute(sql, (*(fields.values() or [key]), key)).rowcount:
        raise TargetRefused(f"{table} has no row {key}", status=404)
