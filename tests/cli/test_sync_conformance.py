import asyncio
import json
import re
import socket
from typing import Any

import pytest
from typer.testing import CliRunner

from docs import receiver
from server.cli import commands
from server.cli.sync_conformance import print_report
from server.sync.conformance.bench import Bench
from server.sync.conformance.check import Check, Result, Verdict
from server.sync.conformance.run import Report
from server.sync.model import TargetEvent
from server.sync.targets.target import Abilities
from tests.rig.broken_receivers import StaysOnSale, serving
from tests.rig.receiver import EVENT, SECRET


@pytest.fixture(autouse=True)
def pages_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of ten records, so that fewer are made."""
    monkeypatch.setattr(receiver, "PAGE", 10)


async def check(*words: str, **given: str | None) -> tuple[int, str, str]:
    """Run `sync conformance` on the receiver's event, without a terminal: status, output, errors."""
    words = ("sync", "conformance", *words, "--event", EVENT, "--allow-http", "--allow-private")
    environment = {"CONFORMANCE_SECRET": SECRET, **given}
    answer = await asyncio.to_thread(CliRunner().invoke, commands.app, words, env=environment)
    return answer.exit_code, answer.stdout, answer.stderr


async def test_system_that_conforms() -> None:
    """Each check of a system that does all that it should is a line, the sum comes last, and the status is 0."""
    async with serving() as url:
        status, out, errors = await check(url)

    assert (0, "") == (status, errors)
    assert (
        "passed  unsigned                       A request without a signature is 401, and nothing is written.\n" in out
    )
    assert ", 0 failed, " in out.splitlines()[-1]
    assert SECRET not in out


async def test_broken_system_as_json() -> None:
    """A system that fails a check is status 4; with --json all checks are in one object of format 1."""
    async with serving(StaysOnSale) as url:
        status, out, errors = await check(url, "--json")

    found: dict[str, Any] = json.loads(out)
    failed = {one["check"]: one["text"] for one in found["checks"] if one["verdict"] == "failed"}
    assert (4, "", 1) == (status, errors, len(out.splitlines()))
    assert [1, EVENT, len(failed)] == [found["format"], found["event"], found["failed"]]
    assert "off sale" in failed["deactivate"] or "on sale" in failed["deactivate"]


@pytest.mark.parametrize(
    ("url", "cures"),
    [
        ("http://box.example.org/tickets", ["--allow-http"]),
        ("https://10.0.0.1/tickets", ["--allow-private"]),
        ("http://10.0.0.1/tickets", ["--allow-http", "--allow-private"]),
    ],
)
def test_addresses_that_need_an_option(url: str, cures: list[str]) -> None:
    """An address that is only allowed by an option names that option, and no setting of a file that is not read."""
    words = ("sync", "conformance", url, "--event", EVENT)
    answer = CliRunner().invoke(commands.app, words, env={"CONFORMANCE_SECRET": SECRET})

    assert (2, 1) == (answer.exit_code, len(answer.stderr.splitlines()))
    assert cures == re.findall(r"add (--allow-[a-z]+)", answer.stderr)
    assert "allow_" not in answer.stderr


def test_name_at_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does a name whose address is private, which is found when it is called."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", ("10.0.0.1", 443))])
    words = ("sync", "conformance", "https://box.example.org/tickets", "--event", EVENT)
    answer = CliRunner().invoke(commands.app, words, env={"CONFORMANCE_SECRET": SECRET})

    assert 2 == answer.exit_code
    assert "box.example.org is at 10.0.0.1, which is not public: add --allow-private if that is right" in answer.stderr
    assert "allow_" not in answer.stderr


async def _nothing(_: Bench) -> None:
    """A check that passes."""


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.PASSED, 0), (Verdict.SKIPPED, 0), (Verdict.FAILED, 4)])
def test_report(verdict: Verdict, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Only a check that failed makes the status 4; the sum is the last line, or one object has all."""
    result = Result(Check("texts", "Texts read back.", _nothing), verdict, "saw \x1b[2J")
    report = Report(TargetEvent("ev1", "Gala\x1b", None), Abilities(), (result,), None, ("limit",), 2)

    assert status == print_report(report, json=False)
    lines = capsys.readouterr().out
    assert f"1 {verdict}" in lines.splitlines()[-1]
    assert "\x1b" not in lines
    assert status == print_report(report, json=True)
    found = json.loads(capsys.readouterr().out)
    assert {"check": "texts", "about": "Texts read back.", "verdict": str(verdict), "text": "saw \x1b[2J"} == found[
        "checks"
    ][0]
    assert [1, None, ["limit"], 2] == [found[one] for one in ("format", "page", "not_kept", "still_on_sale")]


@pytest.mark.parametrize(
    ("words", "given", "text"),
    [
        ((), {"CONFORMANCE_SECRET": None}, "CONFORMANCE_SECRET is not set: it holds the system's secret"),
        (("--secret-env", "OTHER"), {}, "OTHER is not set: it holds the system's secret"),
        ((), {}, "the checks cannot begin: "),
    ],
)
async def test_what_cannot_begin(words: tuple[str, ...], given: dict[str, str | None], text: str) -> None:
    """Without a secret, or without an answer, it is one line with what to do, and status 2."""
    status, out, errors = await check("http://127.0.0.1:9/tickets", *words, **given)

    assert (2, "") == (status, out)
    assert errors.startswith(f"ticket-counter: {text}")
    assert 1 == len(errors.splitlines())
    assert SECRET not in errors
