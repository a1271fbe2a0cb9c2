"""The Protocol of audiences: the example of the documentation and the CSV file pass its checks; other sources do in their own tests."""

import csv
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from inspect import getdoc
from pathlib import Path
from typing import ClassVar

import pytest

from docs.sqlite_audience import SCHEMA, SqliteAudience
from server.errors import AudienceRefused
from server.model import SiteId
from server.notify.audience.csv_file import CsvFile
from server.notify.audience.source import AudienceSource, SaleDate, SourceContext
from server.notify.config import EventAudience, Tool
from tests.rig.audience_conformance import CHECKS, FIRST, ZONE, AudienceBench, Check, Status
from tests.rig.server import SITE

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "adding-an-audience.md"
LONG_AGO = 1_000_000_000.0


class SqliteBench(AudienceBench):
    """A newsletter program's file with two lists."""

    statuses = frozenset({Status.CONFIRMED, Status.PENDING, Status.LEFT})
    _states: ClassVar = {Status.CONFIRMED: "confirmed", Status.PENDING: "asked", Status.LEFT: "left"}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._write(*SCHEMA.split(";\n"))
        self._write("INSERT INTO lists VALUES ('early-birds', '')", "INSERT INTO lists VALUES ('others', 'kept')")
        self.source = self.open("early-birds")

    def open(self, name: str) -> SqliteAudience:
        """The source of a list."""
        tool = Tool("newsletter", "sqlite", own={"file": "newsletter.db"})
        audience = EventAudience("gala", tool, {"list": name}, "next_sale", line=7)
        return SqliteAudience(audience, SourceContext(SiteId(SITE), self.folder))

    def _write(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.folder / "newsletter.db")) as file, file:
            for one in statements:
                file.execute(one)

    def _read(self, statement: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(self.folder / "newsletter.db")) as file:
            return file.execute(statement).fetchall()

    async def fill(self, people: Mapping[str, Status], language: str = "") -> None:
        """Subscribers of the list, and one of the other list."""
        insert = "INSERT INTO subscribers (list, email, language, state) VALUES"
        for address, status in people.items():
            self._write(f"{insert} ('early-birds', '{address}', '{language}', '{self._states[status]}')")
        self._write(f"{insert} ('others', 'other@example.com', '', 'confirmed')")

    async def status(self, address: str) -> Status | None:
        """The state in the file."""
        found = self._read(f"SELECT state FROM subscribers WHERE email = '{address}'")
        return {state: status for status, state in self._states.items()}[found[0][0]] if found else None

    async def leave(self, address: str) -> None:
        """As the newsletter program writes it."""
        self._write(f"UPDATE subscribers SET state = 'left' WHERE email = '{address}'")

    def without_list(self) -> AudienceSource:
        """A source of a list that is not in the file."""
        return self.open(self.missing)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        with closing(sqlite3.connect(self.folder / "newsletter.db", isolation_level=None)) as file:
            file.execute("BEGIN EXCLUSIVE")
            yield

    def outage(self) -> AbstractAsyncContextManager[None]:
        """The newsletter program has locked its file."""
        return self._locked()

    async def date(self) -> str | None:
        """The date beside the list."""
        return str(self._read("SELECT next_sale FROM lists WHERE name = 'early-birds'")[0][0])

    async def others(self) -> object:
        """The date of the other list, and all subscribers."""
        return self._read("SELECT next_sale FROM lists WHERE name = 'others'"), self._read("SELECT * FROM subscribers")


class CsvBench(AudienceBench):
    """A file that another program writes."""

    statuses = frozenset({Status.CONFIRMED, Status.PENDING})

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._people: dict[str, Status] = {}
        self._language = ""
        self.source = self.open("people.csv")

    def open(self, name: str) -> CsvFile:
        """The source of a file."""
        audience = EventAudience("gala", Tool("people", "csv", own={"file": name}), date_field="dates.csv", line=7)
        return CsvFile(audience, SourceContext(SiteId(SITE), self.folder))

    def _write(self) -> None:
        path = self.folder / "people.csv"
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["email", "language", "confirmed"])
            for address, status in self._people.items():
                rows.writerow([address, self._language, "yes" if status is Status.CONFIRMED else "no"])
        # It was written long ago, so its end is its end.
        os.utime(path, (LONG_AGO, LONG_AGO))

    async def fill(self, people: Mapping[str, Status], language: str = "") -> None:
        """The lines of the file."""
        self._people, self._language = dict(people), language
        self._write()

    async def status(self, address: str) -> Status | None:
        """What the file and the list of those who left say."""
        left = self.folder / "people.csv.opted-out"
        gone = left.exists() and any(line.startswith(f"{address},") for line in left.read_text().splitlines())
        return Status.LEFT if gone else self._people.get(address)

    async def leave(self, address: str) -> None:
        """The other program writes its file anew."""
        del self._people[address]
        self._write()

    def without_list(self) -> AudienceSource:
        """A source of a file that there is not."""
        return self.open(self.missing)

    async def date(self) -> str | None:
        """The date in the second file."""
        lines = (self.folder / "dates.csv").read_text().splitlines()
        found = [line for line in lines if line.startswith("Spring Gala,")]
        return found[0].rpartition(",")[2] if found else ""


@pytest.fixture(params=[SqliteBench, CsvBench])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AudienceBench:
    """Each of them."""
    monkeypatch.setattr("docs.sqlite_audience.LOCKED_FOR", 0.05)
    found: AudienceBench = request.param(tmp_path)
    return found


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__)
async def test_source_passes_the_conformance_checks(check: Check, bench: AudienceBench) -> None:
    """The example of the documentation, and a CSV file, do what every audience must do."""
    await check(bench)


async def test_example_needs_its_file(tmp_path: Path) -> None:
    """A file that is missing is refused, and is not made."""
    bench = SqliteBench(tmp_path)
    (tmp_path / "newsletter.db").unlink()

    with pytest.raises(AudienceRefused, match=r"there is no file newsletter\.db"):
        await bench.source.hold_date(SaleDate(FIRST, ZONE))

    assert [] == list(tmp_path.iterdir())


async def test_who_left_the_example_may_come_back(tmp_path: Path) -> None:
    """Who has left and signs up again is asked again."""
    bench = SqliteBench(tmp_path)
    await bench.fill({"a@example.com": Status.LEFT})

    await bench.source.sign_up("A@example.com", "de")

    assert Status.PENDING == await bench.status("a@example.com")


def table() -> str:
    """The checks as the page has them."""
    rows = [f"| {one.__name__.replace('_', '-')} | {(getdoc(one) or '').splitlines()[0]} |" for one in CHECKS]
    return "\n".join(["| check | what a source must do |", "| --- | --- |", *rows])


def test_checks_in_page() -> None:
    """The page has each check with its sentence."""
    _, shown, _ = re.split(r"<!-- /?checks -->\n", PAGE.read_text())

    assert shown.strip() == table()


def test_one_file_and_one_line(tmp_path: Path) -> None:
    """The example's file and the line of the page are all that a further kind of tool needs: notify.toml of the page is read, and opened."""
    shutil.copytree(ROOT / "server", tmp_path / "server", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "docs" / "sqlite_audience.py", tmp_path / "server/notify/audience/sqlite_audience.py")
    init = tmp_path / "server/notify/audience/__init__.py"
    [line] = [line for line in PAGE.read_text().splitlines() if line.startswith('    "sqlite": ')]
    init.write_text(init.read_text().replace("CLASSES = {\n", f"CLASSES = {{\n{line}\n"))
    (tmp_path / "notify.toml").write_text(PAGE.read_text().partition("```toml\n")[2].partition("```")[0])
    program = (
        "from pathlib import Path\n"
        "from server.notify.audience import open_source\n"
        "from server.notify.audience.source import SourceContext\n"
        "from server.notify.file.file import load\n"
        "from tests.rig.notify_file import SETTINGS\n"
        "from tests.rig.settings import valid_settings\n"
        "settings = valid_settings(**{**SETTINGS, 'notify_file': Path('notify.toml')})\n"
        "[audience] = load(settings, settings.pages_url, {}, required=True).events.values()\n"
        "source = open_source(audience, SourceContext('site', Path()))\n"
        "print(type(source).__name__, source.place, audience.date_field, sep=', ')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "" == done.stderr
    assert "SqliteAudience, sqlite newsletter.db early-birds, next_sale\n" == done.stdout
