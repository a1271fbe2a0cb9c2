"""The SQLite target of docs/ as the suite of all targets sees it: what a person does in it is done in its file."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from docs.sqlite_target import SCHEMA, SqliteTarget
from server.sync.conformance.bench import Bench, Meter
from server.sync.mapping import TargetSettings
from server.sync.mapping_file.file import load


def sqlite_settings(folder: Path) -> TargetSettings:
    """Its settings, read from a mapping file that gives no more than it must."""
    path = folder / "sync.toml"
    path.write_text(f"""format = 1
[targets.box-office]
kind = "sqlite"
file = "{folder / "box-office.db"}"
events = {{ spring-gala = "ev1" }}
""")
    return load(path, {}, classes={"sqlite": SqliteTarget})["box-office"]


class SqliteBench(Bench):
    """The bench of a SQLite file with two events."""

    def __init__(self, folder: Path) -> None:
        meter, settings = Meter(), sqlite_settings(folder)
        self._file = file = folder / "box-office.db"
        with closing(sqlite3.connect(file)) as made, made:
            made.executescript(SCHEMA)
            made.execute("INSERT INTO events VALUES ('ev1', 'Gala', 'EUR'), ('ev2', 'Ball', 'EUR')")
        super().__init__(SqliteTarget(settings, meter.pay), settings, "ev1", meter)

    async def other_event(self) -> str:
        """The second event."""
        return "ev2"

    async def by_hand(self, name: str) -> str:
        """A row without our id."""
        return str(self._do("INSERT INTO tickets (event, name, price) VALUES ('ev1', ?, '5.00')", name))

    async def edit(self, key: str, fields: Mapping[str, Any]) -> None:
        """Other values in a row."""
        for name, value in fields.items():
            self._do(f"UPDATE tickets SET {name} = ? WHERE id = ?", value, key)

    async def copy(self, key: str, event: str) -> str:
        """The same row once more."""
        columns = "wix_id, name, description, price, places, active"
        sql = f"INSERT INTO tickets (event, {columns}) SELECT ?, {columns} FROM tickets WHERE id = ?"
        return str(self._do(sql, event, key))

    async def sell(self, key: str, option: str | None = None) -> None:
        """One ticket sold."""
        self._do("UPDATE tickets SET sold = sold + 1 WHERE id = ?", key)
        if option:
            self._do("UPDATE options SET sold = sold + 1 WHERE id = ?", option)

    async def add_unmapped(self, key: str) -> None:
        """A colour, and an option of the box office itself."""
        self._do("UPDATE tickets SET colour = 'blue' WHERE id = ?", key)
        self._do("INSERT INTO options (ticket, name, price) VALUES (?, 'Staff', '0.00')", key)

    async def unmapped(self, key: str) -> object:
        """The same, read again."""
        colour = self._rows("SELECT colour FROM tickets WHERE id = ?", key)
        return colour, self._rows("SELECT * FROM options WHERE ticket = ? AND wix_id = ''", key)

    def _do(self, sql: str, *values: Any) -> int:
        """Run a statement; answers the key of the row that it made."""
        with closing(sqlite3.connect(self._file)) as file, file:
            return file.execute(sql, values).lastrowid or 0

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self._file)) as file:
            return file.execute(sql, values).fetchall()
