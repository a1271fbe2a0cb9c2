from pathlib import Path

import pytest

from server.notify.config import EventAudience, Tool
from server.notify.file.reader import EVENT_KEYS, TOOL_KEYS
from tests.rig.notify_file import ENVIRON, PASSWORD, TOML, config_of, faults_of

EVENT = "0B5F1A2E-4444-4444-8444-00000000E001"


def with_line(line: str, text: str = TOML) -> str:
    """The file with this line in the place of that of the same key, or at its end."""
    key = line.partition("=")[0]
    lines = text.splitlines()
    if any(one.partition("=")[0] == key for one in lines):
        return "\n".join(line if one.partition("=")[0] == key else one for one in lines)
    return "\n".join((*lines, line))


def in_tool(line: str) -> str:
    """The file with this line at the end of its tool."""
    return TOML.replace("[events", f"{line}\n[events")


def only(folder: Path, text: str) -> EventAudience:
    [found] = config_of(folder, text).events.values()
    return found


def test_event_with_a_tool(tmp_path: Path) -> None:
    """An event has its tool, with its secret from the environment, its part of the tool, and its line."""
    found = only(tmp_path, TOML)

    tool = found.tool
    assert isinstance(tool, Tool)
    assert ("main", "lists", "https://lists.example.org") == (tool.name, tool.kind, tool.url)
    assert (PASSWORD, "LISTS_PASSWORD") == (tool.secret.get_secret_value(), tool.secret_env)
    assert ({"user": "restadmin"}, False) == (tool.own, tool.allow_http)
    assert ("spring-gala", {"list": "early-birds.example.org"}) == (found.event, found.audience)
    assert (None, False, 7) == (found.date_field, found.push, found.line)


def test_every_key_of_an_event(tmp_path: Path) -> None:
    """Each key of an event is read; an id is compared in lower case."""
    text = TOML.replace("spring-gala", EVENT) + 'tag = "vip"\ndate_field = "info"\npush = true\n'
    found = only(tmp_path, text)

    assert EVENT.lower() == found.event
    assert {"list": "early-birds.example.org", "tag": "vip"} == found.audience
    assert ("info", True) == (found.date_field, found.push)


def test_event_with_push_alone(tmp_path: Path) -> None:
    """An event may have no tool where browsers are told."""
    found = only(tmp_path, "format = 1\n[events.gala]\npush = true\n")

    assert (None, {}, True, 2) == (found.tool, found.audience, found.push, found.line)


def test_tool_without_address_and_secret(tmp_path: Path) -> None:
    """A kind may need no address and no secret, and its events nothing but the tool."""
    text = 'format = 1\n[tools.a]\nkind = "files"\nfile = "a.csv"\n[events.gala]\ntool = "a"\ndate_field = "any text.csv"\n'
    found = only(tmp_path, text)

    assert found.tool is not None
    assert ("", "", {"file": "a.csv"}) == (found.tool.url, found.tool.secret_env, found.tool.own)
    assert "any text.csv" == found.date_field


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (with_line('knd = "x"'), ['10: an event with a tool of kind lists has no "knd". There are date_field, list, ']),
        (with_line('lst = "x"'), ['10: an event with a tool of kind lists has no "lst". Did you mean list?']),
        (in_tool('usr = "x"'), ['7: a tool of kind lists has no "usr". Did you mean user?']),
        (with_line('kind = "list"'), ['3: there is no kind "list". Did you mean lists?']),
        (with_line("kind = 3"), ["3: there is no kind 3. There are choice, files, lists."]),
        (TOML.replace('kind = "lists"\n', ""), ["2: kind is missing: choice or files or lists"]),
        (with_line("user = 3"), ['5: user is a text: write it in quotes, as user = "3"']),
        (with_line('user = " "'), ["5: user is empty, or has characters that it cannot have: "]),
        (with_line('user = "a\\nb"'), ["5: user is empty, or has characters that it cannot have: "]),
        (TOML.replace('user = "restadmin"\n', ""), ["2: user is missing: the name to log in with"]),
        (TOML.replace('list = "early-birds.example.org"\n', ""), ["7: list is missing: the list's address"]),
        (with_line('tool = "man"'), ['8: tool: there is no tool "man". Did you mean main?']),
        (with_line("tool = 3"), ['8: tool is a text: write it in quotes, as tool = "3"']),
        (with_line("push = 1"), ["10: push is true or false, without quotes"]),
        (in_tool("allow_http = 1"), ["7: allow_http is true or false, without quotes"]),
        (with_line('date_field = "informations"'), ['10: date_field is "informations"; it can be info or description']),
        (
            TOML.replace("[tools.main]", "[tools.Main]"),
            ['2: "Main" names a tool: use 1 to 40 letters (a-z), digits', 'no tool "main". Did you mean Main?'],
        ),
        (TOML.replace("spring-gala", '"a/b"'), ['7: "a/b" is no event\'s id or slug: copy it from the address of']),
        (f"{TOML}[events.x]\n", ["10: x has no one to tell: name a tool, or write push = true"]),
        (f"{TOML}[events.x]\npush = true\nlist = 'y'\n", ['12: x, which has no tool, has no "list". ']),
        (f"{TOML}[events.x]\npush = true\ndate_field = 'y'\n", ["12: date_field needs a tool that holds the date"]),
        (
            f'{TOML}[events.{EVENT}]\npush = true\n[events."{EVENT.lower()}"]\npush = true\n',
            [f"12: {EVENT.lower()} stands there twice: remove one"],
        ),
        (
            f'{TOML}[tools.m]\nkind = "choice"\nserver = "evil.example.org/"\n',
            ['12: server is "evil.example.org/", but can have letters (a-z) and digits only: the part of it'],
        ),
        (f'{TOML}[events."\\u001b[31mx"]\npush = true\n', [r'10: "\u001b[31mx" is no event']),
        (f'{TOML}[events."\\u009bx"]\npush = true\n', [r'10: "\u009bx" is no event']),
        ('format = 1\n[tools]\n"\\u001bx" = 3\n', [r"3: \u001bx is a table: [tools.\u001bx]"]),
        ("format = 1\ntools = 3\n", ["2: tools are tables, such as [tools.lists]"]),
        ("format = 1\nevents.x = 3\n", ["2: x is a table: [events.x]"]),
        ('format = 1\n[events.x]\ntool = "y"\n', ["3: tool: there is no [tools.y] in this file"]),
        (
            'format = 1\n[tools.a]\nkind = "choice"\n[events.x]\ntool = "a"\nlist = "b"\ndate_field = "c"\n',
            ["2: server or url is missing", "7: date_field: a tool of kind choice holds no date: remove the line"],
        ),
        (
            'format = 1\n[tools.a]\nkind = "choice"\nurl = "https://a.example"\nserver = "us6"\n',
            ["5: write either server or url, not both"],
        ),
    ],
)
def test_faults(tmp_path: Path, text: str, faults: list[str]) -> None:
    """What is wrong with a tool or an event is told with its line and the cure."""
    found = faults_of(tmp_path, text)

    assert len(faults) == len(found)
    assert [] == [(one, other) for one, other in zip(faults, found, strict=True) if one not in other]
    assert [] == [one for one in found if not one[0].isdigit()]


@pytest.mark.parametrize(
    "url", ["https://lists.example.org:8443/rest", "http://127.0.0.1:8001", "http://localhost:1", "http://10.0.0.7"]
)
def test_addresses(tmp_path: Path, url: str) -> None:
    """An address is https, or on this machine or a private address, and stays as it is written."""
    found = only(tmp_path, with_line(f'url = "{url}"')).tool

    assert found is not None
    assert url == found.url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://lists:8001", "url: with http:// everyone on the way can read along: use https://, or set allow_http"),
        ("http://1.1.1.1", "url: with http:// everyone"),
        ("lists.example.org", 'url is no address: write one such as "https://lists.example.org"'),
        ("ftp://lists.example.org", "url is no address"),
        ("https://[::1", "url is no address"),
        ("https://a.example:0", "url is no address"),
        ("https://me:it@a.example", "url may have no name, password, blank, ? or #, since it is shown in logs"),
        ("https://a.example/?key=x", "url may have no name"),
    ],
)
def test_addresses_that_are_refused(tmp_path: Path, url: str, fault: str) -> None:
    """An address that everyone on the way can read along with, or that is not fit for logs, is refused."""
    [found] = faults_of(tmp_path, with_line(f'url = "{url}"'))

    assert found.startswith(f"4: {fault}")


def test_http_that_is_allowed(tmp_path: Path) -> None:
    """Plain http to another machine can be allowed."""
    found = only(tmp_path, in_tool("allow_http = true").replace("https://lists.example.org", "http://lists:8001")).tool

    assert found is not None
    assert ("http://lists:8001", True) == (found.url, found.allow_http)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            in_tool(f'password = "{PASSWORD}"'),
            [
                '7: password: no secret belongs into this file: put it into the environment or .env, and name the variable: password_env = "MAIN_PASSWORD"',
                "7: password: a secret stands in this file: put it into the environment, and change it",
            ],
        ),
        (
            with_line(f'password_env = "{PASSWORD}"'),
            [
                "6: password_env is the name of a variable in capitals, such as MAIN_PASSWORD, and never the secret itself"
            ],
        ),
        (
            with_line('password_env = "NO_SUCH"'),
            ["6: password_env: NO_SUCH is not set: put it into the environment or into .env"],
        ),
        (
            TOML.replace('password_env = "LISTS_PASSWORD"\n', ""),
            ['2: password_env is missing: name the variable that has the secret, as "MAIN_PASSWORD"'],
        ),
        (
            with_line(f'list = "{PASSWORD}"'),
            ["9: list: a secret stands in this file: put it into the environment, and change it"],
        ),
        (
            with_line(f'{PASSWORD} = "x"'),
            [
                '10: an event with a tool of kind lists has no "…". There are date_field, list, push, segment, tag, tool.',
                "10: …: a secret stands in this file: put it into the environment, and change it",
            ],
        ),
    ],
)
def test_secrets(tmp_path: Path, text: str, faults: list[str]) -> None:
    """A secret comes only from the environment; one in the file is told, and never shown."""
    found = faults_of(tmp_path, text, ENVIRON)

    assert faults == found
    assert PASSWORD not in str(found)


def test_faults_of_a_tool_are_told_once(tmp_path: Path) -> None:
    """An event of a tool that is wrong is not told to have an unknown tool, nor unknown keys."""
    assert ['3: there is no kind "lsts". Did you mean lists?'] == faults_of(tmp_path, with_line('kind = "lsts"'))


def test_every_key_is_explained() -> None:
    """Each key of a tool and of an event that is not of one kind has its meaning."""
    assert ["kind", "allow_http", "tool", "date_field", "push"] == [*TOOL_KEYS, *EVENT_KEYS]
    assert all((*TOOL_KEYS.values(), *EVENT_KEYS.values()))
