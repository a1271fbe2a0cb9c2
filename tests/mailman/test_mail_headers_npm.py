"""Our mails are read by a mail library of another language: mailparser of Node.js, which scripts/setup-mailparser installs."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from server.notify.message.mime import written
from tests.rig.mail_samples import (
    ADDRESS,
    EVIL_NAMES,
    ROW,
    SENDER,
    UNSUBSCRIBE,
    announcement,
    envelope,
    mail_sender,
    renderer,
    ticket,
)

ROOT = Path(__file__).parent.parent.parent
RENDERER = renderer()
LANGUAGES = [one.name for one in RENDERER.languages.all]
HEADERS = {
    "from",
    "to",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "auto-submitted",
    "x-auto-response-suppress",
    "mime-version",
    "content-type",
}


@pytest.fixture(scope="module")
def folder() -> str:
    """Where mailparser is installed."""
    run = subprocess.run([ROOT / "scripts" / "setup-mailparser"], check=True, stdout=subprocess.PIPE, text=True)
    return run.stdout.strip()


def read(folder: str, mails: list[bytes]) -> list[dict[str, Any]]:
    """What mailparser finds in these mails."""
    run = subprocess.run(
        ["node", ROOT / "tests" / "rig" / "read_mails.js", folder],
        input=json.dumps([base64.b64encode(mail).decode() for mail in mails]),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_another_library_reads_what_we_wrote(folder: str, language: str) -> None:
    """Headers, both parts, names and the links to leave are read as they were meant, in each language."""
    rendered = RENDERER.render(announcement(), language, UNSUBSCRIBE)
    (found,) = read(folder, [written(mail_sender(), rendered, envelope())])

    assert (sorted(HEADERS), rendered.subject) == (sorted(found["names"]), found["subject"])
    assert ([["news@example.org", SENDER]], [["ann@example.net", ""]]) == (found["from"], found["to"])
    assert (f"<tc.{ROW}@example.org>", "2026-12-01T17:00:00.000Z") == (found["messageId"], found["date"])
    assert UNSUBSCRIBE == found["list"]["unsubscribe"]["url"]
    assert f"List-Unsubscribe: <{UNSUBSCRIBE}>" == found["lines"]["list-unsubscribe"]
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" == found["lines"]["list-unsubscribe-post"]
    assert rendered.text.strip() == found["text"].strip()
    assert rendered.html.strip() == found["html"].strip()
    assert ADDRESS in found["text"]


def test_no_name_of_an_attacker_is_read_as_a_header(folder: str) -> None:
    """In each language, whatever a ticket is called, another library finds our headers and one recipient."""
    mails = []
    for name in EVIL_NAMES:
        for language in LANGUAGES:
            said = announcement(title=name, location=name, tickets=(ticket(name),))
            mails.append(written(mail_sender(), RENDERER.render(said, language, UNSUBSCRIBE), envelope()))
    found = read(folder, mails)

    assert len(EVIL_NAMES) * len(LANGUAGES) == len(found)
    for one in found:
        assert (HEADERS, len(HEADERS)) == (set(one["names"]), len(one["names"]))
        assert ([["ann@example.net", ""]], [], []) == (one["to"], one["cc"], one["bcc"])
        assert "<script>" not in one["html"]
