import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import NotStarted
from server.sync.definition import FIELDS, OPTION_FIELDS
from server.sync.mapping import CONVERTERS, Mode, OnDelete, Quota
from server.sync.mapping_file.file import load, write_first
from server.sync.mapping_file.rule_reader import KEYS
from server.sync.mapping_file.target_reader import GENERAL
from tests.rig.json_samples import paths
from tests.rig.sync_file import ENVIRON, HTTP, PRETIX, SECRET, TOKEN, faults_of, target_of, targets_of

BOTH = f"{PRETIX}{HTTP.removeprefix('format = 1')}"


def refused(path: Path, **more: Any) -> str:
    with pytest.raises(NotStarted) as caught:
        load(path, ENVIRON, **more)
    return str(caught.value)


def test_targets_by_name(tmp_path: Path) -> None:
    """The file gives all its targets by name; one without targets gives none."""
    assert ["main", "box-office"] == list(targets_of(tmp_path, BOTH))
    assert {} == targets_of(tmp_path, "format = 1\n")
    assert {} == targets_of(tmp_path, "format = 1\n[targets]\n")


def test_missing_file(tmp_path: Path) -> None:
    """Without the file there are no targets; if it was asked for, that is told with the command that writes one."""
    path = tmp_path / "sync.toml"

    assert {} == load(path, {})
    assert (
        f"the file {path}, which SYNC_FILE names, does not exist: `ticket-counter sync init` writes a first one"
        == refused(path, required=True)
    )


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """A file that cannot be read, or not as text, is named with the reason; so is a folder in its place."""
    path = tmp_path / "sync.toml"
    path.write_bytes(b"format = \xff\xfe")

    assert f"the file {path} cannot be read as UTF-8 text" in refused(path)
    assert f"{tmp_path}, which SYNC_FILE names, is a folder: name a file, such as {tmp_path / 'sync.toml'}" == refused(
        tmp_path
    )
    assert f"the file {path / 'x'} cannot be read: " in refused(path / "x")


@pytest.mark.parametrize("text", [f"\ufeff{PRETIX}", PRETIX.replace("\n", "\r\n")])
def test_file_of_other_editors(tmp_path: Path, text: str) -> None:
    """A file that begins with a byte order mark, or whose lines end as on Windows, is read."""
    path = tmp_path / "sync.toml"
    path.write_bytes(text.encode())

    assert ["main"] == list(load(path, ENVIRON))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("format = 1\n[targets.main\n", "2: this is no TOML: Expected ']' at the end of a table declaration"),
        ("format = 1\n\nkind = pretix", "3: this is no TOML: Invalid value"),
        ('format = 1\nx = """\n\n', "4: this is no TOML: "),
        (
            f"{PRETIX}[targets.main]\n",
            "8: this is no TOML: a key or a table of this name stands above already: give it another name, or join the two",
        ),
        (f'{PRETIX}kind = "http"\n', "8: this is no TOML: a key or a table of this name stands above already"),
        (
            f'{PRETIX}fields = {{ name = "x", name = "y" }}\n',
            "8: this is no TOML: a key or a table of this name stands above already",
        ),
        (
            f'{PRETIX}fields = {{ name = "x" }}\nfields.title = "y"\n[other]\n',
            "9: this is no TOML: a key or a table of this name stands above already",
        ),
    ],
)
def test_broken_toml(tmp_path: Path, text: str, fault: str) -> None:
    """What is no TOML, and a name that stands twice, is told with its line."""
    [found] = faults_of(tmp_path, text)

    assert found.startswith(fault)


def test_deeply_nested_toml(tmp_path: Path) -> None:
    """A file that is nested deeper than anything can read is refused."""
    assert ["1: it is nested too deeply"] == faults_of(tmp_path, f"a = {'[' * 100_000}")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1: format is missing: write format = 1 at the top"),
        ("\nformat = 2", "2: format is 2: this version reads format 1"),
        ("format = true", "1: format is true: this version reads format 1"),
        ("format = '1'", '1: format is "1": this version reads format 1'),
        ("format = 1\ntarget = 3", '2: the file has no "target". Did you mean targets?'),
        ("format = 1\ntargets = 3", "2: targets are tables, such as [targets.pretix-main]"),
        ("format = 1\ntargets.main = 3", "2: main: a target is a table: [targets.main]"),
        *(
            (
                PRETIX.replace(".main", f'."{name}"'),
                f'2: "{name}" names a target: use 1 to 40 letters (a-z), digits and -',
            )
            for name in ("Main", "main_1", "größe", "", "a b", "a" * 40 + "b")
            if len(name) <= 40
        ),
        (PRETIX.replace(".main", f".{'a' * 41}"), f'2: "{"a" * 39}…" names a target: use 1 to 40'),
    ],
)
def test_faults_of_the_file(tmp_path: Path, text: str, fault: str) -> None:
    """What is wrong with the file as a whole, or with a target's name, is told with its line."""
    [found] = faults_of(tmp_path, text)

    assert found.startswith(fault)


def test_two_targets_of_one_event(tmp_path: Path) -> None:
    """Two targets that write to the same event of the same system are refused; another event, or system, is none of it."""
    other = PRETIX.removeprefix("format = 1\n").replace("main", "other")

    assert ['13: events: main writes to "ev1" already'] == faults_of(tmp_path, PRETIX + other)
    assert ['13: events: main writes to "ev1" already'] == faults_of(
        tmp_path, PRETIX + other.replace("tickets.example.org", "Tickets.example.org/")
    )
    assert 2 == len(targets_of(tmp_path, PRETIX + other.replace('"ev1"', '"ev2"')))
    assert 2 == len(targets_of(tmp_path, PRETIX + other.replace("wixorg", "another")))


def test_all_faults_at_once(tmp_path: Path) -> None:
    """All faults of all targets are told at once, in the order of their lines, each with its cure, and without a secret."""
    text = f"""\
format = 1
tragets = 1
[targets.pretix-main]
kind = "pretix"
url = "http://10.0.0.1"
organizer = "wixorg"
token_env = "{TOKEN}"
password = "hunter2"
mode = "wach"
[targets.pretix-main.fields]
name = {{ from = "nam", language = "en" }}
internal_name = "{{name}}"
meta_data = {{ from = "id" }}
free_price = {{ from = "guest_price", as = "isset" }}
[targets.box]
kind = "htp"
[targets.files]
kind = "http"
url = "https://box.example.org"
secret_env = "NO_SUCH"
fields.price.from = "prise"
"""
    found = faults_of(tmp_path, text)

    assert [2, 5, 5, 7, 8, 9, 11, 12, 13, 14, 16, 20, 21] == [int(one.partition(":")[0]) for one in found]
    assert [] == [one for one in found if "hunter2" in one or TOKEN in one or SECRET in one]
    assert '21: price: a definition has no "prise". Did you mean price?' == found[-1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.data(), st.sampled_from([3, -1, 1.5, True, "", "x", "whsec_hunter2", [], ["x"], {}, {"a": 1}, {"from": "name"}])
)
def test_any_value_at_any_place(tmp_path: Path, data: st.DataObject, value: Any) -> None:
    """Whatever stands at any place of a file, it is read, or refused with the line of a fault."""
    base = tomllib.loads(
        f'{BOTH}fields = {{ title = {{ from = "name", as = "text" }} }}\n[targets.main.options]\nvalue = "x"\n'
    )
    path = data.draw(st.sampled_from(paths(base)))
    holder: Any = base
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    text = "".join(f"{name} = {inline(one)}\n" for name, one in base.items())
    file = tmp_path / "sync.toml"
    file.write_text(text)

    faults: list[str] = []
    try:
        assert all(one.digest for one in load(file, ENVIRON).values())
    except NotStarted as error:
        faults = str(error).splitlines()[1:]

    assert bool(faults) or "hunter2" not in text
    assert [] == [
        one for one in faults if not re.match(rf"  {re.escape(str(file))}:[0-9]+: .", one) or "hunter2" in one
    ]


def inline(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}" = {inline(one)}' for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def test_first_file_is_written_once(tmp_path: Path) -> None:
    """The first file is written where there is none, says nothing yet, and is never written over another."""
    path = tmp_path / "sync.toml"
    write_first(path, "pretix")

    assert {} == load(path, {})
    path.write_text("mine")
    with pytest.raises(NotStarted, match="exists already, and is left as it is"):
        write_first(path, "pretix")
    assert "mine" == path.read_text()


def test_first_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A kind that does not exist, and a folder that does not, are told."""
    with pytest.raises(NotStarted, match=re.escape('there is no kind "prtix". Did you mean pretix?')):
        write_first(tmp_path / "sync.toml", "prtix")
    with pytest.raises(NotStarted, match="cannot be written"):
        write_first(tmp_path / "none" / "sync.toml", "pretix")


def test_file_of_the_guide(tmp_path: Path) -> None:
    """The file in docs/sync.md is right, and its page names every setting, every way to a value, and every field."""
    page = (Path(__file__).parents[3] / "docs" / "sync.md").read_text()
    [text] = re.findall(r"```toml\n(.+?)```", page, re.DOTALL)
    path = tmp_path / "sync.toml"
    path.write_text(text)

    assert ["pretix-main", "box-office"] == list(load(path, {"PRETIX_MAIN_TOKEN": TOKEN, "BOX_OFFICE_SECRET": SECRET}))
    words = {*GENERAL, *CONVERTERS, *FIELDS, *OPTION_FIELDS}
    assert [] == [word for word in words - {"kind"} if f"`{word}`" not in page]
    assert [] == [key for key in KEYS if not re.search(rf"\b{key} = ", page) and key != "template"]
    for choices in (Mode, Quota, OnDelete):
        assert [] == [word for word in choices if f"`{word}`" not in page]


def test_secrets_of_targets_are_not_shown(tmp_path: Path) -> None:
    """A target's secret is in no representation of it."""
    assert [] == [
        secret for secret in (TOKEN, SECRET) if secret in repr((target_of(tmp_path, PRETIX), target_of(tmp_path, HTTP)))
    ]
