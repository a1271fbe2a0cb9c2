"""docs/receiver.py as a real process, with two events and a file that tests may look into."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.child import tied_to_parent
from tests.rig.redis import free_port
from tests.rig.server import until

PROGRAM = Path(__file__).parent.parent.parent / "docs" / "receiver.py"
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
EVENT, OTHER_EVENT = "G-2027", "S-2027"


@dataclass(frozen=True, slots=True)
class Receiver:
    """A running receiver: its address, and its file."""

    url: str
    file: Path

    def rows(self) -> list[tuple[int, str, str | None, dict[str, Any]]]:
        """All records as they are stored: id, event, Wix id, members."""
        with closing(sqlite3.connect(self.file)) as db:
            rows = db.execute("select id, event, ticket, json from records order by id").fetchall()
        return [(*row[:3], json.loads(row[3])) for row in rows]

    def insert(self, event: str, ticket: str | None, members: dict[str, Any]) -> str:
        """A record made by hand; answers its id."""
        with closing(sqlite3.connect(self.file)) as db, db:
            row = db.execute(
                "insert into records (event, ticket, json) values (?, ?, ?)", [event, ticket, json.dumps(members)]
            )
        return str(row.lastrowid)

    def remove(self, id_: str) -> None:
        """Remove a record by hand."""
        with closing(sqlite3.connect(self.file)) as db, db:
            db.execute("delete from records where id = ?", [id_])


@asynccontextmanager
async def receiver(folder: Path, secret: str = SECRET) -> AsyncIterator[Receiver]:
    """One, as long as the block; one event sells in EUR, the other in any currency."""
    port, file = free_port(), folder / "records.db"
    words = ["--secret", secret, "--port", str(port), "--file", str(file)]
    words += ["--event", f"{EVENT}=Spring Gala,EUR", "--event", f"{OTHER_EVENT}=Summer Ball"]
    process = subprocess.Popen(tied_to_parent([sys.executable, str(PROGRAM), *words]))
    try:
        await until(lambda: _listens(port), 15)
        yield Receiver(f"http://127.0.0.1:{port}/wix/tickets", file)
    finally:
        process.terminate()
        process.wait(15)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
