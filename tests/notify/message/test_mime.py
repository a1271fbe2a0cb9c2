"""A mail as bytes, and that nothing of a name becomes a header of it."""

import dataclasses
import json
import os
import re
import shutil
import site
import subprocess
import sys
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.notify.message import mime
from server.notify.message.mime import Envelope, Sender, Unsafe, message_id, on_the_wire, previews, written
from server.notify.message.renderer import Rendered
from tests.rig.mail_samples import (
    EVIL_NAMES,
    ROW,
    UNSUBSCRIBE,
    announcement,
    envelope,
    mail_sender,
    renderer,
    ticket,
)

ROOT = Path(__file__).parents[3]
RENDERER = renderer()
LANGUAGES = [one.name for one in RENDERER.languages.all]
HEADERS = [
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
]
PIECES = st.sampled_from(
    [
        "\r\n",
        "\r",
        "\n",
        "\u2028",
        "\x85",
        "\x00",
        "Bcc: x@evil.example",
        "=?utf-8?q?",
        "=?utf-8?b?",
        "?=",
        "=0D=0A",
        "Cg==",
        " ",
        ":",
    ]
)
NAMES = st.lists(PIECES | st.characters() | st.text(max_size=20), max_size=40).map("".join)


def rendered(name: str = "Spring Gala", language: str = "en") -> Rendered:
    said = announcement(title=name, location=name, tickets=(ticket(name),))
    return RENDERER.render(said, language, UNSUBSCRIBE)


PLAIN = rendered()


def parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=policy.default)


def lines(content: bytes, name: str) -> list[str]:
    """The line of a header as it stands, with those that are folded off it."""
    head = content.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    start = next(place for place, line in enumerate(head) if line.startswith(f"{name}:"))
    end = next((place for place in range(start + 1, len(head)) if not head[place].startswith(" ")), len(head))
    return head[start:end]


def test_a_mail_has_the_headers_of_its_kind() -> None:
    """Each header is there once, and says what the standards want of it."""
    content = written(mail_sender(), rendered(), envelope())
    mail = parsed(content)

    assert HEADERS == mail.keys()
    assert '"Example Theatre" <news@example.org>' == lines(content, "From")[0].removeprefix("From: ")
    assert ("ann@example.net", "box-office@example.org") == (mail["To"], mail["Reply-To"])
    assert ("Tue, 01 Dec 2026 17:00:00 +0000", f"<tc.{ROW}@example.org>") == (mail["Date"], mail["Message-ID"])
    assert ("<spring-gala.notify.example.org>", f"<{UNSUBSCRIBE}>") == (mail["List-Id"], mail["List-Unsubscribe"])
    assert "List-Unsubscribe=One-Click" == mail["List-Unsubscribe-Post"]
    assert ("auto-generated", "All") == (mail["Auto-Submitted"], mail["X-Auto-Response-Suppress"])


@pytest.mark.parametrize("name", ["List-Unsubscribe", "List-Unsubscribe-Post", "Message-ID", "To", "List-Id"])
def test_what_programs_look_for_is_on_one_line(name: str) -> None:
    """A long header of these is neither folded nor encoded: else there would be no button, and no way to find a mail."""
    sender = Sender(f"news@{'a' * 60}.{'b' * 60}.example", "x", f"news@{'a' * 60}.example")
    to = dataclasses.replace(envelope(), recipient=f"{'a' * 60}@{'b' * 60}.example.net")
    content = written(sender, rendered(), to)

    assert 1 == len(lines(content, name))
    assert "=?" not in lines(content, name)[0]
    assert len(lines(content, "List-Unsubscribe")[0]) > 300


@pytest.mark.parametrize("language", LANGUAGES)
def test_lines_are_as_short_as_the_standards_want(language: str) -> None:
    """Lines of parts have at most 76 characters, encoded words 75, and their lines 76 (RFC 2045, RFC 2047)."""
    content = written(mail_sender(), rendered("Größe und Schönheit " * 8, language), envelope())
    body = content.partition(b"\r\n\r\n")[2]

    assert 76 >= max(map(len, body.split(b"\r\n")))
    assert 76 >= max(map(len, lines(content, "Subject")))
    assert 75 >= max(map(len, re.findall(r"=\?\S+\?=", "".join(lines(content, "Subject")))))
    assert content.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_parts_say_what_was_rendered(language: str) -> None:
    """A reader of either part gets its text back, letter by letter."""
    said = rendered("גאלה Größe", language)
    text, html = parsed(written(mail_sender(), said, envelope())).iter_parts()

    assert ("text/plain", "text/html") == (text.get_content_type(), html.get_content_type())
    assert [said.text, said.html] == [one.get_content().replace("\r\n", "\n") for one in (text, html)]


def test_a_short_subject_is_readable_as_it_stands() -> None:
    """A subject of ASCII is written as it is."""
    assert ["Subject: Tickets are on sale: Spring Gala"] == lines(
        written(mail_sender(), rendered(), envelope()), "Subject"
    )


@pytest.mark.parametrize(
    "name", ["Théâtre “Exemple”", 'A "quoted" \\ name, Ltd.', "x" * 140, "=?utf-8?q?a?=", "a\r\nBcc: x@y.z"]
)
def test_the_senders_name_is_a_name_and_nothing_else(name: str) -> None:
    """Whatever the setting says, From has one address with a name."""
    mail = parsed(written(Sender("news@example.org", name, "news@example.org"), rendered(), envelope()))
    (address,) = mail["From"].addresses

    assert ("news@example.org", HEADERS) == (address.addr_spec, mail.keys())
    assert name.replace("\r\n", "").replace(" ", "") == address.display_name.replace(" ", "")


def test_an_address_with_an_umlaut_makes_a_mail_of_utf8() -> None:
    """Only the header that needs it has letters beyond ASCII (RFC 6532)."""
    content = written(mail_sender(), rendered(), envelope("jürgen@example.net"))

    assert "jürgen@example.net" == parsed(content)["To"]
    assert content.replace("ü".encode(), b"").isascii()


def test_the_same_row_has_the_same_message_id() -> None:
    """At each try a mail has the same Message-ID, and another row has another one."""
    later = dataclasses.replace(envelope(), at=envelope().at + 600)
    first, second = (parsed(written(mail_sender(), rendered(), one)) for one in (envelope(), later))

    assert first["Message-ID"] == second["Message-ID"] == message_id(ROW, "example.org")
    assert first["Date"] != second["Date"]


@pytest.mark.parametrize(
    ("campaign", "label"),
    [
        ("spring-gala@12-01T18", "spring-gala"),
        ("Große Gala!@x.2", "gro-e-gala"),
        ("@", "event"),
        ("a\r\nBcc: x", "a-bcc-x"),
    ],
)
def test_the_list_id_is_made_of_letters_and_digits(campaign: str, label: str) -> None:
    """Whatever an event is called, List-Id is a name below our domain (RFC 2919)."""
    mail = parsed(written(mail_sender(), rendered(), dataclasses.replace(envelope(), campaign=campaign)))

    assert f"<{label}.notify.example.org>" == mail["List-Id"]


def test_a_domain_with_an_umlaut_is_written_as_dns_has_it() -> None:
    """Addresses of ours stand in the form that every relay takes."""
    assert "news@xn--bcher-kva.example" == on_the_wire(" news@bücher.example ")
    assert "News@example.org" == on_the_wire("News@example.org")


@pytest.mark.parametrize("name", EVIL_NAMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_of_an_attacker_adds_no_header(name: str, language: str) -> None:
    """A mail has its own headers and no other, whatever a ticket is called."""
    assert HEADERS == parsed(written(mail_sender(), rendered(name, language), envelope())).keys()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NAMES, st.sampled_from(LANGUAGES))
def test_no_text_at_all_adds_a_header(name: str, language: str) -> None:
    """Any text may be a name: the mail is written, read again as it was meant, and has no further header."""
    said = rendered(name, language)
    mail = parsed(written(mail_sender(), said, envelope()))

    assert (HEADERS, said.subject) == (mail.keys(), mail["Subject"])


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_the_last_check_lets_nothing_through(subject: str) -> None:
    """Where a subject was not cleaned, the mail is either written as meant, or not at all."""
    said = dataclasses.replace(PLAIN, subject=subject)
    try:
        content = written(mail_sender(), said, envelope())
    except (Unsafe, ValueError):
        return
    assert HEADERS == parsed(content).keys()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"Subject:", b"Bcc: x@evil.example\r\nSubject:", "it has the headers"),
        (b"Subject:", b"no header\r\nSubject:", "it has the headers"),
        (b"Date:", b"Date:\r\n\r\nx:", "it has the headers"),
        (b"List-Unsubscribe: <", b"List-Unsubscribe: <x", "its List-Unsubscribe is read"),
        (b"Spring Gala\r\nDate", b"Autumn\r\nDate", "its Subject is read"),
        (b"ann@", b"bob@", "its To is read"),
        (b"<news@", b"<fake@", "its From is read"),
        (b"Early", b"Late", "its text/plain is read"),
        (b"text/html", b"text/other", "its parts are not"),
        (b"Early", b"E\rrly", "that does not end as lines"),
        (b"Early", b"E" * 1000, "that is too long"),
    ],
)
def test_bytes_that_say_something_else_are_not_sent(
    monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes, expected: str
) -> None:
    """What was written is compared with what was meant, so that a fault in writing it sends nothing."""
    original = mime._assembled
    monkeypatch.setattr(mime, "_assembled", lambda *args: original(*args).replace(old, new, 1))
    with pytest.raises(Unsafe, match=expected):
        written(mail_sender(), RENDERER.render(announcement(), "en", UNSUBSCRIBE), envelope())


@pytest.mark.parametrize("field", ["recipient", "row", "unsubscribe"])
@pytest.mark.parametrize(
    "ending", ["\r\nBcc: x@evil.example", "\r\n x", "\nBcc: x@evil.example", "\r\r\n", "\r\n\r\nx"]
)
def test_a_line_break_in_a_value_is_not_sent(field: str, ending: str) -> None:
    """A value that would begin another line of the head is noticed, whatever the line is."""
    changed: dict[str, Any] = {field: f"{getattr(envelope(), field)}{ending}"}
    one = dataclasses.replace(envelope(), **changed)
    with pytest.raises(Unsafe):
        written(mail_sender(), rendered(), one)


def test_previews_are_files_of_each_language() -> None:
    """For each language there are the HTML, the text, and the mail with its headers."""
    files = previews(RENDERER, mail_sender(), announcement(), envelope())

    assert {f"{one}.{kind}" for one in LANGUAGES for kind in ("html", "txt", "eml")} == files.keys()
    assert files["de.html"].startswith(b"<!DOCTYPE html>")
    assert "Karten für Spring Gala" in files["de.txt"].decode()
    assert "Der Vorverkauf läuft: Spring Gala" == parsed(files["de.eml"])["Subject"]


def pythons() -> dict[str, str]:
    """Each supported Python that is found, by its version: on the PATH, and pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    names = [sys.executable, *(f"python3.{minor}" for minor in range(11, 17))]
    names += map(str, sorted(root.glob("versions/3.*/bin/python3")))
    found: dict[str, str] = {}
    for name in names:
        program = shutil.which(name)
        code = "import sys; print('%d.%d.%d' % sys.version_info[:3], sys.version_info >= (3, 11))"
        run = program and subprocess.run([program, "-c", code], check=False, capture_output=True, text=True, timeout=60)
        if program and run and run.returncode == 0 and run.stdout.endswith("True\n"):
            found.setdefault(run.stdout.split()[0], program)
    return found


@pytest.mark.parametrize("version", pythons())
def test_each_python_writes_the_same_headers(version: str) -> None:
    """Under each supported Python a name of an attacker adds no header; some versions write encoded words as headers."""
    names = [*EVIL_NAMES, "Größe " * 30, "=?utf-8?q?" * 30]
    path = os.pathsep.join((str(ROOT), *site.getsitepackages()))
    run = subprocess.run(
        [pythons()[version], "-W", "ignore", "-m", "tests.rig.mail_on_python"],
        input=json.dumps(names),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 0 == run.returncode, run.stderr
    found = json.loads(run.stdout)

    assert version == ".".join(map(str, found["python"]))
    assert len(names) * len(LANGUAGES) == len(found["mails"])
    for mail in found["mails"]:
        assert (HEADERS, True) == (mail["names"], mail["subject"])
        assert ("Théâtre “Exemple”, GmbH", 2) == (mail["from"], len(mail["lines"]))
        assert 76 >= mail["body"]


def test_an_envelope_names_no_campaign_of_a_person() -> None:
    """What is in a mail of its recipient is the address in To, and the token in the link."""
    one: Envelope = envelope()
    content = written(mail_sender(), rendered(), one)

    assert 1 == content.count(b"ann@example.net")
