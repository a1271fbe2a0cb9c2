import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from server.notify.audience import kinds
from server.notify.audience.source import Kind
from server.notify.file.first_file import first_file
from tests.rig.notify_file import KINDS, PASSWORD, config_of

ENVIRON = {"MY_LISTS_PASSWORD": PASSWORD}


def switched_on(text: str, *, optional: bool = False) -> str:
    """The file with the # of each setting removed, and with the second # of what may be left out."""
    text = re.sub(r"^##(?=\S)", "" if optional else "# ", text, flags=re.MULTILINE)
    return re.sub(r"^#(?! |$)", "", text, flags=re.MULTILINE)


def test_first_file_says_nothing() -> None:
    """As it is written, the file has no tool and no event."""
    assert {"format": 1} == tomllib.loads(first_file(KINDS))


@pytest.mark.parametrize("optional", [False, True])
def test_first_file_switched_on(tmp_path: Path, optional: bool) -> None:
    """With its settings switched on, with those that may be left out or without, the file is right."""
    (tmp_path / "templates").mkdir()
    text = switched_on(first_file({name: KINDS[name] for name in ("lists", "files")}), optional=optional)
    found = config_of(tmp_path, text, ENVIRON)

    assert ["event-of-files", "event-of-lists"] == list(found.events)
    assert ["my-files", "my-lists"] == [one.tool.name for one in found.events.values() if one.tool]
    assert [optional, optional] == [one.date_field is not None for one in found.events.values()]
    assert ("info" if optional else None) == found.events["event-of-lists"].date_field
    config_of(tmp_path, switched_on(first_file({"choice": KINDS["choice"]})), {})


def test_defaults_of_the_first_file(tmp_path: Path) -> None:
    """What the file shows of the settings of all events is what applies without them."""
    text = switched_on(first_file({}).replace('##templates = "templates"', ""), optional=True)
    tail = '[tools.a]\nkind = "files"\nfile = "a.csv"\n[events.b]\ntool = "a"\npush = true\n'
    shown, bare = config_of(tmp_path, text + tail), config_of(tmp_path, f"format = 1\n{tail}")

    assert bare.events.keys() == shown.events.keys()
    assert replace(bare, events={}) == replace(shown, events={})


def test_every_key_is_explained() -> None:
    """The file has each key of each kind, with an explanation above it, but for those that say which tool it is."""
    for kind in KINDS.values():
        lines = first_file({kind.name: kind}).partition("# -- ")[2].splitlines()
        keys = {match[1]: number for number, line in enumerate(lines) if (match := re.match(r"#+([a-z_]+) =", line))}
        wanted = {"kind", "tool", "push", *kind.tool, *kind.optional_tool, *kind.event, *kind.optional_event}
        wanted |= {key for key in ("date_field",) if kind.date_field} | ({kind.secret} if kind.secret else set())
        wanted |= {key for key in ("allow_http",) if "url" in {*kind.tool, *kind.optional_tool}}
        assert wanted == set(keys)
        assert ["kind", "tool"] == sorted(key for key, number in keys.items() if not lines[number - 1].startswith("# "))


def test_examples_are_those_of_the_meanings() -> None:
    """A key has the example that its meaning gives; no line is longer than a window is wide."""
    kind = Kind(
        "x",
        "X",
        tool={"part": "the part, such as us6; or none", "url": "its address " * 20},
        date_field="a field, such as NEXT",
    )
    lines = first_file({"x": kind}).splitlines()

    assert {'#part = "us6"', '#url = "https://lists.example.org"', '##date_field = "NEXT"'} <= set(lines)
    assert [] == [line for line in lines if len(line) > 124]


def test_kind_without_anything() -> None:
    """A kind without keys and secret has its place in the file too."""
    text = switched_on(first_file({"x": Kind("x", "Nothing")}))

    assert {"my-x": {"kind": "x"}} == tomllib.loads(text)["tools"]
    assert {"event-of-x": {"tool": "my-x"}} == tomllib.loads(text)["events"]


@pytest.mark.parametrize("name", sorted(kinds()))
@pytest.mark.parametrize("optional", [False, True])
def test_every_kind_of_tool_switched_on(tmp_path: Path, name: str, optional: bool) -> None:
    """What the file shows of each kind that there is can be switched on as it stands there, and loads."""
    kind = kinds()[name]
    text = switched_on(first_file({name: kind}), optional=optional)
    for choice in kind.one_of:  # of these only one may stand there
        for key in sorted(choice)[1:]:
            text = re.sub(rf"^{key} = .*\n", "", text, flags=re.MULTILINE)
    (tmp_path / "templates").mkdir()
    variables = dict.fromkeys(re.findall(r'_env = "(\w+)"', text), PASSWORD)
    found = config_of(tmp_path, text, variables, known={name: kind})

    assert [f"event-of-{name}"] == list(found.events)
    [event] = found.events.values()
    assert event.tool is not None
    assert (name, f"my-{name}") == (event.tool.kind, event.tool.name)
    assert (optional and bool(kind.date_field)) == (event.date_field is not None)
