import json
import os
from pathlib import Path

import pytest

from server.cli import doctor
from server.cli.terminal import Terminal
from server.doctor.finding import Finding
from tests.rig.commands import Commands
from tests.rig.host_site import HostSite

NO_KEY = {
    "WIX_APP_ID": "app",
    "WIX_APP_SECRET": "secret",
    "REDIS_URL": "redis://127.0.0.1:9",
    "WIX_API_URL": "http://127.0.0.1:9",
}


async def test_findings_as_text(tmp_path: Path) -> None:
    """Each finding says what is wrong, why that matters and what to do; with faults the exit status is 1."""
    status, out, errors = await Commands("doctor", tmp_path, NO_KEY).run()

    assert (1, "") == (status, errors)
    assert "FAULT   settings  WIX_PUBLIC_KEY is not set" in out
    assert "why:" in out
    assert "do:" in out
    assert out.splitlines()[-1].endswith(("faults.", "notice.", "notices."))


async def test_findings_as_json(tmp_path: Path) -> None:
    """With --json there is one object, with all findings and how many are faults."""
    status, out, _ = await Commands("doctor", tmp_path, NO_KEY).run("--json")

    found = json.loads(out)
    assert (1, 1) == (status, found["format"])
    assert out.isascii()
    assert found["faults"] == sum(one["level"] == "fault" for one in found["findings"]) > 1
    assert {"check", "level", "what", "why", "cure"} == found["findings"][0].keys()


async def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    """Each setting that cannot be used is a fault, and it is told that nothing else was looked at."""
    status, out, _ = await Commands("doctor", tmp_path, {"PORT": "x", "MAX_STALE": "-1"}).run("--json")

    found = json.loads(out)["findings"]
    assert 1 == status
    assert ["PORT", "MAX_STALE"] == [one["what"].partition(":")[0] for one in found[:2]]
    assert "nothing else was looked at" == found[2]["what"]


async def test_page_of_a_site(tmp_path: Path, site: HostSite) -> None:
    """With --site the page is opened too; the browser gives up its sandbox only where that is asked for."""
    words = ["--no-browser-sandbox"] if os.geteuid() == 0 else []
    url = site.put("/", "<p>Hello")

    _, out, _ = await Commands("doctor", tmp_path, NO_KEY).run("--json", "--site", url, *words)

    (found,) = [one for one in json.loads(out)["findings"] if one["check"] == "site"]
    assert "neither the script of the counter nor its element" in found["what"]


def test_names_that_control_a_terminal() -> None:
    """What others wrote is printed on one line, without what controls a terminal; lines have the terminal's width."""
    found = Finding.fault("wix", "name \x1b[31m\nof \u202e others " + "word " * 30, "why", "do this")

    shown = list(doctor.lines(found, Terminal(80)))

    assert [] == [line for line in shown if len(line) > 80 or not line.isprintable()]
    assert shown[0].startswith("FAULT   wix       name")


def test_level_is_coloured() -> None:
    """Where there are colours, the level has one, and nothing else."""
    (line,) = doctor.lines(Finding.ok("redis", "it answers"), Terminal(80, colour=True))

    assert "\x1b[32mok\x1b[0m      redis     it answers" == line


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("no fault.", ["ok"]),
        ("1 fault, 1 notice.", ["fault", "notice"]),
        ("2 faults, 2 notices.", ["fault", "notice"] * 2),
    ],
)
def test_last_line(text: str, levels: list[str]) -> None:
    """The last line counts faults and notices."""
    assert text == doctor.summary([getattr(Finding, one)("redis", "it") for one in levels])
