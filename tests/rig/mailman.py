"""A real Mailman 3 core, whose subscribers notify reads: its master, its REST API on a free port of 127.0.0.1, and SQLite.

    mailman          one server for the whole run: each test makes a list of its own there (`await mailman.new_list()`)
    mailman_server   a factory of servers of one test, to kill, freeze and restart: `mailman_server()`

scripts/setup-mailman installs it and has `python -m tests.rig.mailman` make the template: an empty database. Each server gets a copy.
Nothing but the REST API runs, so no mail leaves it: what it would have sent is in `queue`. Starts block; calls of the API are async.

Members are written straight into the database (5,000 in a quarter of a second; by the API they take two minutes):
tests/mailman/test_mailman_server.py proves that both ways make the same.
"""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from server.child import tied_to_parent
from tests.rig.redis import free_port, until

VERSION = "3.3.10"
DOMAIN = "example.org"
USER = "restadmin"
PASSWORD = "a-password-of-tests"

RUNNERS = [
    "archive",
    "bounces",
    "command",
    "in",
    "lmtp",
    "nntp",
    "out",
    "pipeline",
    "retry",
    "digest",
    "virgin",
    "task",
]

CONFIG = """
[mailman]
site_owner: owner@example.org
layout: here
[paths.here]
var_dir: {folder}/var
bin_dir: {bin}
[webservice]
hostname: 127.0.0.1
port: {port}
admin_user: {user}
admin_pass: {password}
[mta]
incoming: mailman.mta.null.NullMTA
smtp_host: 127.0.0.1
smtp_port: 9
lmtp_port: 9
"""

PATIENCE = 60.0
"""Seconds that a start or a call may take on a busy machine."""

MEMBER = 1
ENABLED, BY_USER, BY_BOUNCES, BY_MODERATOR = 1, 2, 3, 4
"""Numbers of mailman.interfaces.member: MemberRole.member, and DeliveryStatus."""


def cache() -> Path:
    """The folder into which scripts/setup-mailman installs."""
    fallback = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ticket-counter" / f"mailman-{VERSION}"
    )
    return Path(os.environ.get("MAILMAN_CACHE") or fallback)


class MailmanServer:
    """One Mailman; its port, folder and data stay the same over restarts.

    `url` is what notify.toml calls `url`. Names of lists are unique in one server: `new_list` counts.
    """

    def __init__(self, folder: Path) -> None:
        assert (cache() / "template" / "mailman.cfg").exists(), "Mailman is not installed: run scripts/setup-mailman"
        shutil.copytree(cache() / "template", folder)
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._lists = count(1)
        self._process: subprocess.Popen[bytes] | None = None

    # -- its processes --

    def start(self, *, wait: bool = True) -> None:
        """Start the processes, and *wait* until the API answers; raise RuntimeError with the end of the log if it does not."""
        assert self._process is None, "Mailman is already running"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                tied_to_parent([*_command("master"), "--force", "-C", str(_config(self.folder, self.port))]),
                env=_environment(self.folder),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # `kill` ends its runner and that one's workers, too
            )
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until the API answers."""
        until(self._answers, lambda: f"Mailman does not answer:\n{self.log[-2000:]}", PATIENCE)

    def kill(self) -> None:
        """Kill it (SIGKILL) with all requests on their way, as a crash would; does nothing if it is not running."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(15)
            self._process = None
            until(self._refuses, lambda: "Mailman is killed, and still listens")  # its workers end a moment later

    def restart(self) -> None:
        """Kill and start again: same port, same data."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Suspend it (SIGSTOP): connections are accepted and nothing is answered, until `thaw`."""
        assert self._process is not None, "Mailman is not running"
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a suspended Mailman (SIGCONT)."""
        assert self._process is not None, "Mailman is not running"
        os.killpg(self._process.pid, signal.SIGCONT)

    @property
    def log(self) -> str:
        """All that its processes have printed, over all starts, and its own log."""
        own = self.folder / "var" / "logs" / "mailman.log"
        return (self.folder / "log").read_text() + (own.read_text() if own.exists() else "")

    # -- its REST API --

    async def api(self, method: str, path: str, data: Any = None, **more: Any) -> httpx.Response:
        """Make one call, whatever its answer; *path* is below `/3.1`, *data* is sent as a form."""
        async with httpx.AsyncClient(
            base_url=f"{self.url}/3.1", auth=(USER, PASSWORD), timeout=PATIENCE, trust_env=False, verify=False
        ) as client:
            return await client.request(method, path, data=data, **more)

    async def get(self, path: str, **more: Any) -> Any:
        """The JSON of one thing."""
        answer = await self.api("GET", path, **more)
        assert 200 == answer.status_code, answer.text
        return answer.json()

    async def new_list(self, name: str = "") -> str:
        """Make a list without members; answers its id, such as `list-1.example.org`."""
        name = name or f"list-{next(self._lists)}"
        answer = await self.api("POST", "/lists", {"fqdn_listname": f"{name}@{DOMAIN}"})
        assert 201 == answer.status_code, answer.text
        return f"{name}.{DOMAIN}"

    async def subscribe(self, list_id: str, address: str, *, confirmed: bool = True, **more: Any) -> httpx.Response:
        """Have an address subscribe, as the web pages of Mailman do: one that has not *confirmed* waits, and is no member."""
        flags = dict.fromkeys(("pre_verified", "pre_confirmed", "pre_approved"), confirmed)
        form = {"list_id": list_id, "subscriber": address, "send_welcome_message": False, **flags, **more}
        return await self.api("POST", "/members", form)

    async def unsubscribe(self, list_id: str, address: str) -> None:
        """Have a member leave."""
        flags = {"pre_confirmed": True, "pre_approved": True}
        answer = await self.api("DELETE", f"/members/{await self.member_id(list_id, address)}", flags)
        assert 204 == answer.status_code, answer.text

    async def prefer(self, list_id: str, address: str, **preferences: str) -> None:
        """Set preferences of a member: `delivery_status="by_user"`, `preferred_language="de"`."""
        path = f"/members/{await self.member_id(list_id, address)}/preferences"
        answer = await self.api("PATCH", path, preferences)
        assert 204 == answer.status_code, answer.text

    async def member_id(self, list_id: str, address: str) -> str:
        """The id of a member; raises AssertionError where there is none."""
        form = {"list_id": list_id, "subscriber": address, "role": "member", "fields": "member_id"}
        found = (await self.api("POST", "/members/find", form)).json()
        assert 1 == found["total_size"], found
        return str(found["entries"][0]["member_id"])

    async def pending(self, list_id: str) -> list[str]:
        """The addresses that have been asked to confirm, and have not."""
        found = await self.get(f"/lists/{list_id}/requests?token_owner=subscriber")
        return sorted(one["email"] for one in found.get("entries", ()))

    @property
    def queue(self) -> int:
        """How many mails wait to be sent to subscribers (nothing sends them here)."""
        return len(list((self.folder / "var" / "queue" / "virgin").glob("*.pck")))

    # -- its database --

    def fill(
        self, list_id: str, addresses: Iterable[str], *, status: int | None = None, language: str | None = None
    ) -> None:
        """Make these addresses members at once; *status* and *language* are preferences of theirs, None = not set."""
        with self._database() as database:
            for address in addresses:
                ids = [
                    database.execute(
                        "INSERT INTO preferences (delivery_status, preferred_language) VALUES (?, ?)", values
                    ).lastrowid
                    for values in ((None, None), (status, language))
                ]
                found = database.execute("SELECT id FROM address WHERE email = ?", (address.lower(),)).fetchone()
                address_id = (
                    found[0]
                    if found
                    else database.execute(
                        "INSERT INTO address (email, _original, display_name, verified_on, registered_on, preferences_id)"
                        " VALUES (?, ?, '', datetime(), datetime(), ?)",
                        (address.lower(), None if address == address.lower() else address, ids[0]),
                    ).lastrowid
                )
                database.execute(
                    "INSERT INTO member (_member_id, role, list_id, address_id, preferences_id, bounce_score, total_warnings_sent)"
                    " VALUES (?, ?, ?, ?, ?, 0, 0)",
                    (uuid4().hex, MEMBER, list_id, address_id, ids[1]),
                )

    def members(self, list_id: str) -> dict[str, int]:
        """The members of a list and the number of their own delivery status (0 = not set)."""
        with self._database() as database:
            rows = database.execute(
                "SELECT address.email, preferences.delivery_status FROM member JOIN address ON address.id = address_id"
                " JOIN preferences ON preferences.id = member.preferences_id WHERE list_id = ? AND role = ?",
                (list_id, MEMBER),
            )
            return {email: status or 0 for email, status in rows}

    def forget_preferred_addresses(self) -> None:
        """Leave accounts without a preferred address, as a deleted address does: their memberships are then found by no search."""
        with self._database() as database:
            database.execute("UPDATE user SET _preferred_address_id = NULL")

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """The database, in one transaction; Mailman may run meanwhile."""
        path = self.folder / "var" / "data" / "mailman.db"
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as database, database:
            yield database

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"Mailman ended at start:\n{self.log[-2000:]}")
        try:
            answer = httpx.get(
                f"{self.url}/3.1/system/versions", auth=(USER, PASSWORD), trust_env=False, timeout=PATIENCE
            )
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def _refuses(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0


MailmanServers = Callable[[], MailmanServer]
"""The type of the fixture `mailman_server`."""


@pytest.fixture(scope="session")
def mailman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailmanServer]:
    """The server that tests share: they make lists of their own, and do not stop it."""
    server = MailmanServer(tmp_path_factory.mktemp("mailman") / "shared")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def mailman_server(tmp_path: Path) -> Iterator[MailmanServers]:
    """Start servers of one test, which may do everything with them."""
    servers: list[MailmanServer] = []

    def start() -> MailmanServer:
        server = MailmanServer(tmp_path / f"mailman-{len(servers)}")
        servers.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.kill()


def make_template() -> None:
    """Make the database with the domain of all lists in it, unless that has been done."""
    template, making = cache() / "template", cache() / "making"
    if (template / "mailman.cfg").exists():
        return
    shutil.rmtree(template, ignore_errors=True)
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    _config(making, 1)
    done = subprocess.run(
        [*_command("mailman"), "--run-as-root", "info"],  # any command makes the database
        env=_environment(making),
        cwd=making,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"mailman info ended with {done.returncode}:\n{done.stderr[-3000:]}")
    with closing(sqlite3.connect(making / "var" / "data" / "mailman.db")) as database, database:
        database.execute("INSERT INTO domain (mail_host) VALUES (?)", (DOMAIN,))
    making.rename(template)


def _command(name: str) -> list[str]:
    """A program of Mailman, as words."""
    return [str(cache() / "venv" / "bin" / "python"), str(cache() / "venv" / "bin" / name)]


def _config(folder: Path, port: int) -> Path:
    """Write the configuration of a Mailman in this folder; answers the file."""
    config = folder / "mailman.cfg"
    values = {"folder": folder, "bin": cache() / "venv" / "bin", "port": port, "user": USER, "password": PASSWORD}
    runners = "".join(f"[runner.{one}]\nstart: no\n" for one in RUNNERS)
    config.write_text(CONFIG.format(**values) + runners)
    return config


def _environment(folder: Path) -> dict[str, str]:
    """The environment of Mailman, with nothing of ours."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "MAILMAN_CONFIG_FILE": str(folder / "mailman.cfg")}


if __name__ == "__main__":
    make_template()
