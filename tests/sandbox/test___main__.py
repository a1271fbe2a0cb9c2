import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from sandbox import __main__ as program
from sandbox.app import Sandbox
from tests.rig import server
from tests.rig.redis import until
from tests.rig.wix import WixRig, sandbox_site

ROOT = Path(__file__).parent.parent.parent

Run = Callable[..., "SandboxProcess"]


class SandboxProcess:
    """`python -m sandbox` as a process in its own folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.began = time.monotonic()
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sandbox", "--port", "0", *options],
                cwd=folder,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def url(self) -> str:
        until(lambda: self.process.poll() is not None or "\n" in self.out, lambda: self.err)
        [found] = re.findall(r"http://127\.0\.0\.1:\d+/", self.out)
        return str(found).rstrip("/")

    def world(self) -> Any:
        return httpx.get(f"{self.url()}/sandbox/world", trust_env=False).json()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; returns the exit status, and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(10), time.monotonic() - began


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    running: list[SandboxProcess] = []

    def start(*options: str) -> SandboxProcess:
        found = SandboxProcess(tmp_path / f"run-{len(running)}", *options)
        running.append(found)
        return found

    yield start
    for one in running:
        one.process.kill()
        one.process.wait(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sandbox_starts_and_ends(run: Run, number: int) -> None:
    """One line on standard output has the shop page's address; a signal ends the process soon, with status 0."""
    sandbox = run()
    url = sandbox.url()

    answer = httpx.get(f"{url}/sandbox/site", trust_env=False)
    status, took = sandbox.stop(number)

    assert (200, 0, 1) == (answer.status_code, status, sandbox.out.count("\n"))
    assert took < 3
    assert "Traceback" not in sandbox.err


def test_state_folder_keeps_ids_and_secrets(run: Run, tmp_path: Path) -> None:
    """A second start in the same folder has the same ids and secrets, a new stock, and its new address in the .env."""
    state = tmp_path / "state"
    first = run("--state", str(state))
    url = first.url()
    ids = [ticket["id"] for ticket in first.world()["tickets"]]
    kept = json.loads((state / "sandbox.json").read_text())
    httpx.post(f"{url}/sandbox/tickets/{ids[0]}/buy", trust_env=False)
    first.stop()

    second = run("--state", str(state))
    tickets = second.world()["tickets"]

    assert ids == [ticket["id"] for ticket in tickets]
    assert 0 == tickets[0]["sold"]
    again = json.loads((state / "sandbox.json").read_text())
    assert {**kept, "url": second.url()} == again
    assert f"WIX_API_URL={second.url()}\n" in (state / ".env").read_text()
    assert 0o600 == stat.S_IMODE((state / ".env").stat().st_mode)


def test_command_line_options(run: Run) -> None:
    """The sandbox does what its command-line options say."""
    sandbox = run(
        *("--hold-seconds", "7", "--rate-limit", "5", "--resend-scale", "0.5", "--tickets", "120"),
        *("--webhook", "http://127.0.0.1:9/a", "--webhook", "http://127.0.0.1:9/b"),
        *("--seed-at", "2060-01-01T00:00:00Z"),
    )

    world = sandbox.world()
    sandbox_site = httpx.get(f"{sandbox.url()}/sandbox/site", trust_env=False).json()

    assert (7.0, 5, 0.5) == tuple(world["knobs"][name] for name in ("hold_seconds", "rate_limit", "resend_scale"))
    assert ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"] == sandbox_site["webhooks"]
    late = next(ticket for ticket in world["tickets"] if ticket["kind"] == "scheduled")
    assert (128, "2060-01-01T00:01:00Z") == (len(world["tickets"]), late["sale"]["start"])


async def test_signal_ends_the_sandbox_gracefully(capsys: pytest.CaptureFixture[str]) -> None:
    """The address is printed once the sandbox listens, not before; a signal shuts it down gracefully."""
    listening = program.listen("127.0.0.1", 0)
    serving = asyncio.create_task(program._serve(Sandbox(sandbox_site()), listening, "http://here"))
    output = await server.until(lambda: capsys.readouterr().out)

    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 5)

    assert "Wix sandbox: http://here/\n" == output


def run_command(*words: str) -> tuple[int, str]:
    """Run the command in this process; returns its status and its output."""
    app = typer.Typer()
    app.command()(program.main)
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


def test_port_in_use_is_reported() -> None:
    """A port in use is one line and status 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, output = run_command("--port", str(taken.getsockname()[1]))

    assert (2, 1) == (status, output.count("\n"))
    assert "cannot listen" in output


@pytest.mark.parametrize("moment", ["tomorrow", "2026-02-11"])
def test_invalid_date_is_reported(moment: str) -> None:
    """A date that cannot be parsed is one line and status 2."""
    status, output = run_command("--seed-at", moment)

    assert (2, True) == (status, moment in output)


def test_help_explains_every_option() -> None:
    """Every option is explained."""
    status, output = run_command("--help")

    assert 0 == status
    for option in ("--port", "--webhook", "--state", "--host", "--hold-seconds", "--rate-limit", "--resend-scale"):
        assert option in output


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "127.0.0.1")],
)
def test_printed_address_can_be_opened(host: str, shown: str) -> None:
    """The printed address is one that a person on this machine can open."""
    assert shown == program._shown(host)


async def test_answers_are_not_delayed_by_the_kernel(wix: WixRig) -> None:
    """A kept connection gets each answer at once: no packet waits for an acknowledgement (Nagle's algorithm)."""
    began = time.perf_counter()

    for _ in range(20):
        await wix.http.post("/sandbox/tokens/revoke", json={})

    assert time.perf_counter() - began < 0.5
