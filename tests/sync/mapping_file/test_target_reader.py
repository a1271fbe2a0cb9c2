from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from server.sync.mapping import Mode, OnDelete, Quota, TargetSettings
from server.sync.mapping_file.file import load
from server.sync.mapping_file.target_reader import GENERAL
from tests.rig.sync_file import ENVIRON, HTTP, PRETIX, SECRET, TOKEN, faults_of, target_of

EVENT = "0B5F1A2E-4444-4444-8444-00000000E001"


def with_line(line: str, text: str = PRETIX) -> str:
    """The file with this line in the place of that of the same key, or at its end."""
    key = line.partition("=")[0]
    lines = text.splitlines()
    if any(one.partition("=")[0] == key for one in lines):
        return "\n".join(line if one.partition("=")[0] == key else one for one in lines)
    return "\n".join((*lines, line))


def test_settings_of_a_target(tmp_path: Path) -> None:
    """Without further settings a target has the defaults, its own settings, and its secret from the environment."""
    found = target_of(tmp_path, PRETIX)

    assert ("main", "pretix", "https://tickets.example.org") == (found.name, found.kind, found.url)
    assert (TOKEN, {"organizer": "wixorg", "language": "en"}) == (found.secret.get_secret_value(), found.own)
    assert "PRETIX_TOKEN" == found.secret_env
    assert {"spring-gala": "ev1"} == found.events
    assert (Mode.APPLY, Quota.LIMIT, OnDelete.DEACTIVATE) == (found.mode, found.quota, found.on_delete)
    assert (3, 300, False, False) == (
        found.max_deactivate,
        found.requests_per_minute,
        found.allow_http,
        found.allow_private,
    )


def test_every_setting(tmp_path: Path) -> None:
    """Each setting is read."""
    found = target_of(
        tmp_path,
        f"""\
format = 1
[targets.old-shop-2]
kind = "http"
url = "http://10.0.0.7:8080/tickets/"
secret_env = "BOX_SECRET"
mode = "observe"
quota = "unsold"
on_delete = "delete"
max_deactivate = 0
requests_per_minute = 30
allow_http = true
allow_private = true
[targets.old-shop-2.events]
"{EVENT}" = "G 2027/1"
"sömmer-ball" = "2"
""",
    )

    assert ("old-shop-2", "http", "http://10.0.0.7:8080/tickets/") == (found.name, found.kind, found.url)
    assert (Mode.OBSERVE, Quota.UNSOLD, OnDelete.DELETE) == (found.mode, found.quota, found.on_delete)
    assert (0, 30, True, True) == (
        found.max_deactivate,
        found.requests_per_minute,
        found.allow_http,
        found.allow_private,
    )
    assert {EVENT.lower(): "G 2027/1", "sömmer-ball": "2"} == found.events
    assert SECRET == found.secret.get_secret_value()


def test_two_secrets_while_one_is_changed(tmp_path: Path) -> None:
    """A secret may be two, with a blank between."""
    path = tmp_path / "sync.toml"
    path.write_text(HTTP)

    assert SecretStr(f"{SECRET} {SECRET}x") == load(path, {"BOX_SECRET": f"{SECRET} {SECRET}x"})["box-office"].secret


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('knd = "x"', '8: a target of kind pretix has no "knd". Did you mean kind?'),
        ('secret_env = "X"', '8: a target of kind pretix has no "secret_env". '),
        ('kind = "pretx"', '3: there is no kind "pretx". Did you mean pretix?'),
        ("kind = 3", "3: there is no kind 3. There are http, pretix."),
        ("organizer = 1.5", "5: organizer is a text, a whole number, true or false"),
        ('organizer = " "', '5: organizer is empty: write it as organizer = "your-organizer"'),
        ('organizer = ""', "5: organizer is empty: write it as "),
        ('language = ""', '8: language is empty: write it as language = "en"'),
        ('mode = "watch"', '8: mode is "watch"; it can be apply or observe'),
        ("mode = true", "8: mode is true; it can be apply or observe"),
        ('quota = "sold"', '8: quota is "sold"; it can be limit or unsold'),
        ("on_delete = false", "8: on_delete is false; it can be deactivate or delete"),
        ("on_delete = 1.5", "8: on_delete is 1.5; it can be deactivate or delete"),
        ('on_delete = "True"', '8: on_delete is "True"; it can be'),
        ('on_delete = "keep"', '8: on_delete is "keep"; it can be deactivate or delete'),
        ("max_deactivate = -1", "8: max_deactivate is a whole number from 0 to 10000"),
        ("max_deactivate = true", "8: max_deactivate is a whole number"),
        ('requests_per_minute = "9"', "8: requests_per_minute is a whole number from 30 to 6000"),
        ("requests_per_minute = 0", "8: requests_per_minute is a whole number"),
        ('allow_http = "yes"', "8: allow_http is true or false, without quotes"),
        ("allow_private = 1", "8: allow_private is true or false"),
        ("events = 3", "7: events is a table such as"),
        (
            'events = { "a b" = "ev1" }',
            '7: events: "a b" is no event\'s id or slug: copy it from the address of its page',
        ),
        ('events = { "a/b" = "ev1" }', '7: events: "a/b" is no event\'s id or slug'),
        ('events = { "" = "ev1" }', '7: events: "" is no event\'s id or slug'),
        ("events = { a = 3 }", '7: events: a needs the event of the target as a text, such as "ev1"'),
        ('events = { a = " " }', "7: events: a needs the event of the target"),
        ('events = { a = "x\\ny" }', "7: events: a needs the event of the target"),
        (
            'events = { a = "x", b = "x" }',
            '7: events: two events of Wix are "x", whose records could not be told apart',
        ),
        (
            f'events = {{ "{EVENT}" = "x", "{EVENT.lower()}" = "y" }}',
            f"7: events: {EVENT.lower()} stands there twice: remove one",
        ),
    ],
)
def test_faults_of_settings(tmp_path: Path, line: str, fault: str) -> None:
    """A setting that is wrong is told with its line and the cure."""
    [found] = faults_of(tmp_path, with_line(line))

    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("kind", "2: kind is missing: http or pretix"),
        ("url", '2: url is missing: write "https://tickets.example.org"'),
        ("organizer", '2: organizer is missing: write it as organizer = "your-organizer"'),
        ("token_env", '2: token_env is missing: name the variable that has the secret, as "MAIN_TOKEN"'),
    ],
)
def test_missing_settings(tmp_path: Path, key: str, fault: str) -> None:
    """What a target needs and does not have is told with the line of its table."""
    text = "\n".join(line for line in PRETIX.splitlines() if not line.startswith(f"{key} ="))

    assert [fault] == faults_of(tmp_path, text)


def test_target_without_events(tmp_path: Path) -> None:
    """A target may have no event yet."""
    assert {} == target_of(tmp_path, HTTP).events


@pytest.mark.parametrize(
    "url",
    [
        "https://tickets.example.org:8443/shop",
        "https://bücher.example",
        "https://1.1.1.1",
        "https://[2606:4700:4700::1111]/x",
        "https://tickets.localhost.example",
    ],
)
def test_public_addresses(tmp_path: Path, url: str) -> None:
    """An address of the web may be a target's, and stays as it is written."""
    assert url == target_of(tmp_path, with_line(f'url = "{url}"')).url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        (
            "http://tickets.example.org",
            "url: with http:// everyone on the way can read along: use https://, or set allow",
        ),
        ("tickets.example.org", 'url is no address: write one such as "https://tickets.example.org"'),
        ("ftp://tickets.example.org", "url is no address"),
        ("https://", "url is no address"),
        ("https://[::1", "url is no address"),
        ("https://a.example:port", "url is no address"),
        ("https://me@a.example", "url may have no name, password, blank, ? or #, since it is shown in logs"),
        ("https://a.example/?key=x", "url may have no name"),
        ("https://a.example/#x", "url may have no name"),
        ("https://a.example/a b", "url may have no name"),
        ("https://a.example/a\\nb", "url may have no name"),
        *(
            (
                f"https://{host}/",
                f"url: {host.strip('[]').lower()} is a private address: if that is right, set allow_private",
            )
            for host in (
                "10.0.0.1",
                "127.0.0.1",
                "127.1",
                "2130706433",
                "0x7f000001",
                "169.254.169.254",
                "192.168.1.1",
                "100.64.0.1",
                "0.0.0.0",
                "[::1]",
                "[fd00::1]",
                "[fe80::1]",
                "[::ffff:10.0.0.1]",
                "localhost",
                "a.LOCALHOST",
            )
        ),
    ],
)
def test_addresses_that_are_refused(tmp_path: Path, url: str, fault: str) -> None:
    """An address that is not https, not public, or not fit for logs is refused."""
    [found] = faults_of(tmp_path, with_line(f'url = "{url}"'))

    assert found.startswith(f"4: {fault}")


@pytest.mark.parametrize("url", ["http://10.0.0.1:8345", "http://localhost:8345", "http://[::1]:1"])
def test_addresses_that_are_allowed(tmp_path: Path, url: str) -> None:
    """A private address and plain http can be allowed, each by its setting."""
    text = with_line(f'url = "{url}"')

    assert url == target_of(tmp_path, f"{text}\nallow_http = true\nallow_private = true").url
    assert 1 == len(faults_of(tmp_path, f"{text}\nallow_http = true"))
    assert 1 == len(faults_of(tmp_path, f"{text}\nallow_private = true"))


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        (
            f'token = "{TOKEN}"',
            [
                '8: token: no secret belongs into this file: put it into the environment or .env, and name the variable: token_env = "MAIN_TOKEN"',
                "8: token: a secret stands in this file: put it into the environment, and change it",
            ],
        ),
        *(
            (
                f'{key} = "hunter2"',
                [
                    f'8: {key}: no secret belongs into this file: put it into the environment or .env, and name the variable: token_env = "MAIN_TOKEN"'
                ],
            )
            for key in ("secret", "password", "api_key", "Authorization")
        ),
        (
            'token_env = "hunter2hunter2"',
            ["6: token_env is the name of a variable in capitals, such as MAIN_TOKEN, and never the secret itself"],
        ),
        (
            "token_env = 3",
            ["6: token_env is the name of a variable in capitals, such as MAIN_TOKEN, and never the secret itself"],
        ),
        (
            'organizer = "whsec_hunter2"',
            ["5: organizer: a secret stands in this file: put it into the environment, and change it"],
        ),
        (
            f'events = {{ a = "x{TOKEN}" }}',
            ["7: events: a secret stands in this file: put it into the environment, and change it"],
        ),
        (
            'left_out = { policyText = "whsec_hunter2" }',
            ["8: left_out: a secret stands in this file: put it into the environment, and change it"],
        ),
        ('token_env = "NO_SUCH"', ["6: token_env: NO_SUCH is not set: put it into the environment or into .env"]),
        ('token_env = "EMPTY"', ["6: token_env: EMPTY is not set: put it into the environment or into .env"]),
        (
            'token_env = "QUOTED"',
            ["6: token_env: the value of QUOTED has characters that no secret has: copy it again"],
        ),
    ],
)
def test_secrets(tmp_path: Path, line: str, faults: list[str]) -> None:
    """A secret comes only from the environment; one in the file is told and never shown, also where it stands in a list."""
    found = faults_of(tmp_path, with_line(line), {**ENVIRON, "EMPTY": "", "QUOTED": "“hunter2”"})

    assert faults == found
    assert [] == [text for text in found if "hunter2" in text or TOKEN in text]


def test_secret_in_a_list(tmp_path: Path) -> None:
    """A secret is found in a list too."""
    text = f'{PRETIX}own_list = ["x", ["whsec_hunter2"]]\n'

    assert ['8: a target of kind pretix has no "own_list"', "8: own_list: a secret stands in this file"] == [
        fault.partition(". ")[0].partition(": put")[0] for fault in faults_of(tmp_path, text)
    ]


def test_secret_as_a_key(tmp_path: Path) -> None:
    """A secret is found, and not shown, where it stands as the name of a field, which errors would repeat."""
    found = faults_of(tmp_path, f'{PRETIX}[targets.main.fields]\n{TOKEN} = "x"\n')

    assert "9: fields: a secret stands in this file: put it into the environment, and change it" in found
    assert TOKEN not in str(found)


def test_further_settings_of_a_kind(tmp_path: Path) -> None:
    """A kind may have further settings that can be left out, and may need no secret and no address."""

    class Csv:
        OWN_SETTINGS = frozenset({"separator"})
        DEFAULTS = '[settings]\nfolder = "x"\n[fields]\na = { from = "name" }\n[left_out]\n' + "\n".join(
            f'{name} = "no"'
            for name in (
                *("description", "policyText", "hidden", "pricingMethod", "feeType", "initialLimit", "salePeriod"),
                *("saleStatus", "sortIndex", "createdDate", "eventDetails", "salesDetails"),
                *("limitPerCheckout", "extendedFields", "seatingDetails"),
            )
        )

    def of(*lines: str) -> TargetSettings:
        path = tmp_path / "sync.toml"
        path.write_text("\n".join(("format = 1", "[targets.files]", 'kind = "csv"', 'folder = "tickets"', *lines)))
        return load(path, {}, classes={"csv": Csv})["files"]

    assert ({"folder": "tickets"}, "", "") == (of().own, of().url, of().secret.get_secret_value())
    assert {"folder": "tickets", "separator": ";"} == of('separator = ";"').own


def test_every_general_setting_is_explained() -> None:
    """Each setting of a target that is not of one kind is explained, and each is a field of TargetSettings or a part of it."""
    elsewhere: dict[str, Any] = {"fields": "rules"}
    known = set(TargetSettings.__dataclass_fields__)

    assert set() == {elsewhere.get(name, name) for name in GENERAL} - known
    assert {"name", "url", "secret", "secret_env", "own"} == known - {elsewhere.get(name, name) for name in GENERAL}
    assert [] == [name for name, text in GENERAL.items() if not text]
