"""A real pretix, the first ticketing system that sync writes to: gunicorn and SQLite on a free port of 127.0.0.1.

    pretix           one server for the whole run: each test makes an event of its own there (`await pretix.new_event()`)
    pretix_server    a factory of servers of one test, to kill, freeze and restore: `pretix_server()`

scripts/setup-pretix installs it and has `python -m tests.rig.pretix` make the template: a migrated database with an organizer
and an API token. Each server gets a copy, so its start takes two seconds. Starts block; calls of the API are async.
"""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.child import tied_to_parent
from tests.rig.redis import free_port, until

VERSION = "2026.8.0"
META = "wix_ticket_definition_id"
"""The name of the meta property that holds the Wix id."""

CONFIG = """
[pretix]
url=http://127.0.0.1:{port}
datadir={folder}
allow_http_to_private_networks=on
[database]
backend=sqlite3
[mail]
from=tests@localhost
"""

ACCOUNT = """
import json, os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pretix.settings")
import django
django.setup()
from django_scopes import scopes_disabled
from pretix.base.models import Organizer, Team, TeamAPIToken
with scopes_disabled():
    organizer = Organizer.objects.create(slug="tests", name="Tests")
    team = Team.objects.create(organizer=organizer, name="sync", all_events=True,
        all_event_permissions=True, all_organizer_permissions=True)
    token = TeamAPIToken.objects.create(team=team, name="sync")
    print(json.dumps({"organizer": organizer.slug, "token": token.token}))
"""
"""Runs in pretix's Python, as there is no command that makes a token."""

PATIENCE = 60.0
"""Seconds that a start or a call may take on a busy machine."""


def cache() -> Path:
    """The folder into which scripts/setup-pretix installs."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ticket-counter" / f"pretix-{VERSION}"
    return Path(os.environ.get("PRETIX_CACHE") or fallback)


class PretixServer:
    """One pretix; its port, folder and data stay the same over restarts.

    `url` is what sync.toml calls `url`. Names of events are unique in one server: `new_event` counts.
    """

    def __init__(self, folder: Path) -> None:
        assert (cache() / "template" / "account.json").exists(), "pretix is not installed: run scripts/setup-pretix"
        shutil.copytree(cache() / "template", folder)
        account = json.loads((folder / "account.json").read_text())
        self.organizer: str = account["organizer"]
        self.token: str = account["token"]
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._events = count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Start the processes, and *wait* until the API answers; raise RuntimeError with the end of the log if it does not."""
        assert self._process is None, "pretix is already running"
        command = [str(cache() / "venv" / "bin" / "python"), "-m", "gunicorn", "pretix.wsgi:application"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                tied_to_parent([*command, "--bind", f"127.0.0.1:{self.port}", "--workers", "1", "--threads", "4"]),
                env=_environment(self.folder, self.port),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # `kill` ends its worker, too
            )
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until the API answers."""
        until(self._answers, lambda: f"pretix does not answer:\n{self.log[-2000:]}", PATIENCE)

    def stop(self) -> None:
        """Shut it down (SIGTERM): requests on their way are finished. Does nothing if it is not running."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(15)
            self._process = None

    def kill(self) -> None:
        """Kill it (SIGKILL) with all requests on their way, as a crash would; does nothing if it is not running."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(15)
            self._process = None
            until(self._refuses, lambda: "pretix is killed, and still listens")  # its worker ends a moment later

    def restart(self) -> None:
        """Kill and start again: same port, same data."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Suspend it (SIGSTOP): connections are accepted and nothing is answered, until `thaw`."""
        assert self._process is not None, "pretix is not running"
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a suspended pretix (SIGCONT)."""
        assert self._process is not None, "pretix is not running"
        os.killpg(self._process.pid, signal.SIGCONT)

    def backup(self) -> Path:
        """Copy the database as it is now; also while pretix runs."""
        found = self.folder / f"backup-{len(list(self.folder.glob('backup-*')))}.sqlite3"
        with closing(sqlite3.connect(self.folder / "db.sqlite3")) as source, closing(sqlite3.connect(found)) as copy:
            source.backup(copy)
        return found

    def restore(self, backup: Path) -> None:
        """Stop, put a backup in the place of the database, and start: what was done since is lost, ids are given again."""
        self.stop()
        for leftover in self.folder.glob("db.sqlite3-*"):
            leftover.unlink()
        shutil.copyfile(backup, self.folder / "db.sqlite3")
        self.start()

    @property
    def log(self) -> str:
        """All that its processes have printed, over all starts."""
        return (self.folder / "log").read_text()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every call."""
        return {"Authorization": f"Token {self.token}"}

    def path(self, event: str, *words: str | int) -> str:
        """The path of something of an event: `path("ev-1", "items", 7)`."""
        return "/".join([f"/api/v1/organizers/{self.organizer}/events/{event}", *map(str, words), ""])

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client with the token, as long as the block."""
        async with httpx.AsyncClient(
            base_url=self.url, headers=self.headers, timeout=PATIENCE, trust_env=False, verify=False
        ) as found:
            yield found

    async def api(self, method: str, path: str, json: Any = None, **more: Any) -> httpx.Response:
        """Make one call, whatever its answer; *path* begins with `/api/v1/` (`path` makes one)."""
        async with self.client() as client:
            return await client.request(method, path, json=json, **more)

    async def get(self, path: str) -> Any:
        """The JSON of one thing."""
        answer = await self.api("GET", path)
        assert 200 == answer.status_code, answer.text
        return answer.json()

    async def all(self, event: str, what: str) -> list[dict[str, Any]]:
        """All `items`, `quotas`, `orders` or the like of an event, in the order of their ids; nothing may change meanwhile."""
        found: list[dict[str, Any]] = []
        async with self.client() as client:
            for page in count(1):
                answer = await client.get(self.path(event, what), params={"page": page, "page_size": 50})
                assert 200 == answer.status_code, answer.text
                found += answer.json()["results"]
                if not answer.json()["next"]:
                    assert answer.json()["count"] == len(found)
                    break
        return sorted(found, key=lambda one: (one.get("id", 0), one.get("code", "")))

    async def new_event(self, currency: str = "EUR", *, name: str = "", meta: bool = True, **more: Any) -> str:
        """Make an event; answers its slug. With *meta* it has the property for the Wix id."""
        number = next(self._events)
        slug = f"ev-{number}"
        answer = await self.api(
            "POST",
            f"/api/v1/organizers/{self.organizer}/events/",
            {
                "name": {"en": name or f"Event {number}"},
                "slug": slug,
                "live": False,
                "testmode": False,
                "currency": currency,
                "date_from": (datetime.now(UTC) + timedelta(days=60)).isoformat(),
                "timezone": "UTC",
                "item_meta_properties": {META: ""} if meta else {},
                **more,
            },
        )
        assert 201 == answer.status_code, answer.text
        return slug

    async def new_token(self, **team: Any) -> str:
        """Make a team and its token, which may do in all events what *team* says, and nothing else; answers the token."""
        teams = f"/api/v1/organizers/{self.organizer}/teams/"
        none = {
            "name": "sync",
            "all_events": True,
            "limit_events": [],
            "all_event_permissions": False,
            "limit_event_permissions": [],
            "all_organizer_permissions": False,
            "limit_organizer_permissions": [],
        }
        made = await self.api("POST", teams, {**none, **team})
        assert 201 == made.status_code, made.text
        token = await self.api("POST", f"{teams}{made.json()['id']}/tokens/", {"name": "sync"})
        assert 201 == token.status_code, token.text
        return str(token.json()["token"])

    async def clone_event(self, event: str) -> str:
        """Make a copy of an event with all its items, as organisers do; answers its slug."""
        slug = f"ev-{next(self._events)}"
        date = (datetime.now(UTC) + timedelta(days=90)).isoformat()
        body = {"name": {"en": f"Copy of {event}"}, "slug": slug, "date_from": date}
        answer = await self.api("POST", self.path(event, "clone"), body)
        assert 201 == answer.status_code, answer.text
        return slug

    async def order(self, event: str, *items: int | tuple[int, int], price: str = "10.00") -> str:
        """Sell one ticket of each item, or (item, variation), in one paid order; answers the order's code.

        The quotas count it. An item that is not on sale can be sold so, too, but not one without a quota.
        """
        both = [one if isinstance(one, tuple) else (one, None) for one in items]
        answer = await self.api(
            "POST",
            self.path(event, "orders"),
            {
                "email": "buyer@example.org",
                "locale": "en",
                "sales_channel": "web",
                "status": "p",
                "payment_provider": "manual",
                "positions": [
                    {"item": item, "variation": variation, "price": price, "attendee_name_parts": {}, "answers": []}
                    for item, variation in both
                ],
            },
        )
        assert 201 == answer.status_code, answer.text
        return str(answer.json()["code"])

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"pretix ended at start:\n{self.log[-2000:]}")
        try:
            return httpx.get(f"{self.url}/api/v1/", trust_env=False, timeout=PATIENCE).status_code == 401
        except httpx.TransportError:
            return False

    def _refuses(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0


PretixServers = Callable[[], PretixServer]
"""The type of the fixture `pretix_server`."""


@pytest.fixture(scope="session")
def pretix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PretixServer]:
    """The server that tests share: they make events of their own, and do not stop it."""
    server = PretixServer(tmp_path_factory.mktemp("pretix") / "shared")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def pretix_server(tmp_path: Path) -> Iterator[PretixServers]:
    """Start servers of one test, which may do everything with them."""
    servers: list[PretixServer] = []

    def start() -> PretixServer:
        server = PretixServer(tmp_path / f"pretix-{len(servers)}")
        servers.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.kill()


def make_template() -> None:
    """Migrate a database and make an organizer and a token in it, unless that has been done."""
    template, making = cache() / "template", cache() / "making"
    if (template / "account.json").exists():
        return
    shutil.rmtree(template, ignore_errors=True)
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    _python(making, ["-m", "pretix", "migrate"])
    (making / "account.json").write_text(_python(making, ["-c", ACCOUNT]).splitlines()[-1])
    shutil.rmtree(making / "logs", ignore_errors=True)
    (making / "pretix.cfg").unlink()
    making.rename(template)


def _python(folder: Path, words: Sequence[str]) -> str:
    """Run pretix's Python, and answer its output."""
    done = subprocess.run(
        [cache() / "venv" / "bin" / "python", *words],
        env=_environment(folder, 1),
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"pretix {' '.join(words)[:60]} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def _environment(folder: Path, port: int) -> Mapping[str, str]:
    """The environment of pretix: its configuration in this folder, and nothing of ours."""
    config = folder / "pretix.cfg"
    config.write_text(CONFIG.format(port=port, folder=folder))
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "PRETIX_CONFIG_FILE": str(config)}


if __name__ == "__main__":
    make_template()
