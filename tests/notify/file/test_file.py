import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import NotStarted
from server.notify.config import HOUR
from server.notify.file.file import load, write_first
from tests.rig.json_samples import paths
from tests.rig.notify_file import KEY, KINDS, PASSWORD, SETTINGS, TOML, VAPID, config_of, faults_of
from tests.rig.settings import valid_settings

OTHER_VAPID = "WBCKJwRTHsa0Q4dNSSJ1mHZPbnwJDaKYqjzv2yzm0lU"
PUSH = "format = 1\n[events.gala]\npush = true\n"
NOTHING: dict[str, Any] = dict.fromkeys(SETTINGS)


def refused(folder: Path, text: str, **given: Any) -> str:
    with pytest.raises(NotStarted) as caught:
        config_of(folder, text, **given)
    return str(caught.value)


def test_defaults(tmp_path: Path) -> None:
    """Without further settings the window is two hours, starts within one are one message, and mails go at the usual pace."""
    found = config_of(tmp_path, TOML)

    assert (tmp_path / "notify.toml", "https://tickets.example.org") == (found.file, found.public_url)
    assert (2 * HOUR, HOUR, None, "en") == (found.window, found.together, found.templates, found.language)
    assert ["spring-gala"] == list(found.events)
    mail = found.mail
    assert mail is not None
    assert ("smtp://relay.example.org:587", "news@example.org") == (mail.url.get_secret_value(), mail.sender)
    assert ("Example Hall", "1 Example Street, Exampleton") == (mail.sender_name, mail.postal_address)
    assert ("news@example.org", "news@example.org") == (mail.reply_to, mail.envelope_sender)
    assert (25.0, 4) == (mail.per_second, mail.connections)
    assert found.push is None


def test_every_key(tmp_path: Path) -> None:
    """Each key of the file and each setting is read."""
    (tmp_path / "ours").mkdir()
    head = 'window_hours = 3\ntogether_minutes = 90.5\nlanguage = "de"\ntemplates = "ours"\n'
    tail = "push = true\n[mail]\nper_second = 3\nconnections = 2\n[push]\nper_second = 0.5\nconnections = 3\n"
    given: dict[str, Any] = {
        "notify_reply_to": "office@example.org",
        "notify_envelope_sender": "bounces@example.org",
        "notify_push_hosts": "push.example",
        "notify_vapid_keys": f"{VAPID}, {OTHER_VAPID}",
        "root_path": "/counter",
    }
    found = config_of(tmp_path, TOML.replace("format = 1\n", f"format = 1\n{head}") + tail, **given)

    assert (3 * HOUR, 90.5 * 60, "de") == (found.window, found.together, found.language)
    assert tmp_path / "ours" == found.templates
    assert "https://tickets.example.org/counter" == found.public_url
    mail, push = found.mail, found.push
    assert mail is not None
    assert push is not None
    assert ("office@example.org", "bounces@example.org") == (mail.reply_to, mail.envelope_sender)
    assert (3.0, 2, 0.5, 3) == (mail.per_second, mail.connections, push.per_second, push.connections)
    assert [VAPID, OTHER_VAPID] == [one.get_secret_value() for one in push.keys]
    assert ("mailto:office@example.org", ("push.example",)) == (push.contact, push.hosts)


def test_push_alone_needs_no_relay(tmp_path: Path) -> None:
    """Where no event has a tool, nothing that only mails need has to be set."""
    given = {**NOTHING, "notify_keys": KEY, "notify_vapid_keys": VAPID, "public_url": "https://a.example"}
    given["notify_from"] = "news@example.org"
    found = config_of(tmp_path, PUSH, **given)

    assert found.mail is None
    assert found.push is not None
    assert "mailto:news@example.org" == found.push.contact


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, or an event in it, there is nothing to do; a command says how to begin, and so does a file that was asked for."""
    monkeypatch.chdir(tmp_path)
    path = Path("notify.toml")
    absent = valid_settings()
    assert load(absent, None, {}, known=KINDS) is None
    off = valid_settings(notify_file=None)
    assert load(off, None, {}, known=KINDS) is None
    text = f"the file {path}, which NOTIFY_FILE names, does not exist: `ticket-counter notify init` writes a first one"
    for given_, required in ((valid_settings(notify_file=path), False), (absent, True)):
        with pytest.raises(NotStarted) as caught:
            load(given_, None, {}, required=required, known=KINDS)
        assert text == str(caught.value)
    with pytest.raises(NotStarted, match="notify is switched off: set NOTIFY_FILE"):
        load(off, None, {}, required=True)

    path.write_text("format = 1\n")
    assert load(valid_settings(notify_file=path), None, {}, known=KINDS) is None
    assert f"the file {tmp_path / path} names no event: add one to it, such as [events.spring-gala]" == refused(
        tmp_path, "format = 1"
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1: format is missing: write format = 1 at the top"),
        ("format = 2", "1: format is 2: this version reads format 1"),
        ("format = 1\nevent = 3", '2: the file has no "event". Did you mean events?'),
        ("format = 1\nwindow_hours = 0", "2: window_hours is a number from 0.05 to 48"),
        ("format = 1\nwindow_hours = '2'", "2: window_hours is a number"),
        ("format = 1\nwindow_hours = true", "2: window_hours is a number"),
        ("format = 1\nwindow_hours = nan", "2: window_hours is a number"),
        ("format = 1\nwindow_hours = 1\ntogether_minutes = 61", "3: together_minutes is a number from 0 to 60"),
        (
            "format = 1\nlanguage = 'German'",
            '2: language is "German": write the short name of one, such as en, de or he',
        ),
        ("format = 1\nlanguage = 3", "2: language is 3: "),
        ("format = 1\ntemplates = 'none'", '2: templates: there is no folder "none" beside this file'),
        ("format = 1\ntemplates = 3", "2: templates: there is no folder 3"),
        ("format = 1\n\nlanguage = 'fr'", '3: language = "fr": there are no texts of it. There are de, en, he.'),
        ("format = 1\nmail = 3", "2: mail is a table: [mail]"),
        ("format = 1\n[mail]\nper_secnd = 3", '3: mail has no "per_secnd". Did you mean per_second?'),
        ("format = 1\n[mail]\nper_second = 0", "3: per_second is a number from 0.01 to 1000"),
        ("format = 1\n[push]\nconnections = 1.5", "3: connections is a whole number from 1 to 50"),
        ("format = 1\n[push]\nconnections = true", "3: connections is a whole number"),
        ("format = 1\n[push", "2: this is no TOML: "),
    ],
)
def test_faults_of_the_file(tmp_path: Path, text: str, fault: str) -> None:
    """What is wrong with the file as a whole is told with its line and the cure."""
    [found] = faults_of(tmp_path, text)

    assert found.startswith(fault)


def test_files_that_are_wrong_in_the_folder_of_templates(tmp_path: Path) -> None:
    """A template that nothing would read, or that is not UTF-8, is told at the line that names its folder, with its own name."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "sale_start.html.j2").write_text("")
    (tmp_path / "ours" / "sale_started.txt.j2").write_bytes(b"caf\xe9")
    found = faults_of(tmp_path, "format = 1\ntemplates = 'ours'\n")

    assert 2 == len(found)
    assert any("ours/sale_started.txt.j2: it is not UTF-8 (byte 4)" in one for one in found)
    assert any("Did you mean sale_started.html.j2?" in one for one in found)
    assert all(one.startswith("2: ") for one in found)


def test_all_settings_that_lack_are_told_at_once(tmp_path: Path) -> None:
    """What the settings lack for a mail and a push is told at once, each with what to do, below what is wrong with the file."""
    lacking = [
        "NOTIFY_KEYS is not set: it encrypts and hashes addresses. `ticket-counter notify keys` makes one",
        "PUBLIC_URL is not set: it is where the links in messages lead",
        "NOTIFY_VAPID_KEYS is not set, and spring-gala has push = true: it signs push messages. `ticket-counter notify keys` makes one",
        "NOTIFY_SMTP_URL is not set: mails go out by a relay, such as smtp://user:password@relay.example.org:587",
        "NOTIFY_FROM, NOTIFY_SENDER_NAME and NOTIFY_POSTAL_ADDRESS are not set: a mail must say who writes",
    ]
    head, *lines = refused(tmp_path, f"{TOML}push = true\n", **NOTHING).splitlines()
    assert f"{tmp_path / 'notify.toml'} needs more settings:" == head
    assert [f"  {line}" for line in lacking] == lines

    faults = faults_of(tmp_path, f"{TOML}push = true\nlst = 3\n", **NOTHING)
    assert lacking == faults[1:]
    assert faults[0].startswith('11: an event with a tool of kind lists has no "lst"')


@pytest.mark.parametrize(
    ("text", "given", "fault"),
    [
        (
            TOML,
            {"notify_sender_name": None, "notify_postal_address": " "},
            "NOTIFY_SENDER_NAME and NOTIFY_POSTAL_ADDRESS are not set: a mail must say who writes",
        ),
        (TOML, {"notify_from": None}, "NOTIFY_FROM is not set: a mail must say who writes"),
        (TOML, {"public_url": "http://a.example"}, "PUBLIC_URL does not begin with https://: "),
        (
            PUSH,
            {"notify_from": None},
            "NOTIFY_FROM is not set, and gala has push = true: push services want an address",
        ),
        (
            TOML,
            {"public_url": f"https://a.example/{'a' * 140}"},
            "PUBLIC_URL and ROOT_PATH have 158 characters together: 150 is the most",
        ),
        (PUSH, {"notify_vapid_keys": None}, "NOTIFY_VAPID_KEYS is not set, and gala has push = true"),
    ],
)
def test_one_setting_that_lacks(tmp_path: Path, text: str, given: dict[str, Any], fault: str) -> None:
    """A single thing that the settings lack is one line."""
    found = refused(tmp_path, text, **given)

    assert found.startswith(fault)
    assert 1 == len(found.splitlines())


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"])
def test_plain_http_on_this_machine(tmp_path: Path, url: str) -> None:
    """On this machine our own pages may be plain http."""
    assert url == config_of(tmp_path, TOML, public_url=url).public_url


def test_write_first(tmp_path: Path) -> None:
    """A first file is written where there is none, and never over one."""
    path = tmp_path / "notify.toml"
    write_first(path, known=KINDS)

    assert {"format": 1} == tomllib.loads(path.read_text())
    with pytest.raises(NotStarted, match="exists already, and is left as it is"):
        write_first(path, known=KINDS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.data(), st.sampled_from([3, -1, 1.5, True, "", "x", PASSWORD, [], ["x"], {}, {"a": 1}, {"kind": "lists"}]))
def test_any_value_at_any_place(tmp_path: Path, data: st.DataObject, value: Any) -> None:
    """Whatever stands at any place of a file, it is read, or refused with the line of a fault, and no secret is shown."""
    tables = tomllib.loads(f"{TOML}push = true\n[mail]\nper_second = 1\n[push]\nconnections = 1\n")
    path = data.draw(st.sampled_from(paths(tables)))
    holder: Any = tables
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    text = _toml(tables)
    try:
        config_of(tmp_path, text)
    except NotStarted as error:
        head, *lines = str(error).splitlines()
        name = re.escape(str(tmp_path / "notify.toml"))
        assert [] == [line for line in lines if not re.match(rf"  {name}:[0-9]+: .", line) or PASSWORD in line]
        assert lines or head.endswith("names no event: add one to it, such as [events.spring-gala]")
    else:
        assert PASSWORD not in text


def _toml(value: Any) -> str:
    """A table as TOML, in inline tables."""
    return "".join(f"{_inline(key)} = {_inline(one)}\n" for key, one in value.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_inline(key)} = {_inline(one)}' for key, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(_inline(one) for one in value)}]"
    if isinstance(value, str):
        escaped = "".join(f"\\U{ord(sign):08x}" for sign in value)
        return f'"{escaped}"'
    return str(value).lower()


def test_key_that_is_none(tmp_path: Path) -> None:
    """A text that is no key is told with the settings, before the file is read, with what makes one."""
    found = refused(tmp_path, PUSH, notify_vapid_keys="v")

    assert found.startswith("these settings cannot be used:\n")
    assert "NOTIFY_VAPID_KEYS has a key that is none: `ticket-counter notify keys` makes one" in found
