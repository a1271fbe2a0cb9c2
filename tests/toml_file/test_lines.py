import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.toml_file.lines import line_of, lines

SAMPLE = '''\
# a comment with a = 1 and [x]
top = 1
[targets.main]   # [targets.other]
url = "https://a # not a comment"
  "quoted key" = 'it''s'
fields.name = { from = "a", values = { yes = "[", no = "}" } }
multi = """
fake = 1
[not.a.table]
\\"""" # the end
raw = \'\'\'
fake = 2\'\'\'
list = [
  1, # in = 3
  { inner = 2 },
  "x",
]
when = 2027-03-01 18:00:00
a . "b.c" . d = +1.5e3

[[many]]
x = true
[[many]]
x = []
[targets."other one"]
"\\u00fc" = {}
'''.replace("it''s", "its")


def test_lines_of_a_file() -> None:
    """Each key has its line: in tables, dotted, quoted, in inline tables, and behind texts and arrays of several lines."""
    found = lines(SAMPLE)

    assert {
        ("top",): 2,
        ("targets",): 3,
        ("targets", "main"): 3,
        ("targets", "main", "url"): 4,
        ("targets", "main", "quoted key"): 5,
        ("targets", "main", "fields"): 6,
        ("targets", "main", "fields", "name"): 6,
        ("targets", "main", "fields", "name", "from"): 6,
        ("targets", "main", "fields", "name", "values"): 6,
        ("targets", "main", "fields", "name", "values", "yes"): 6,
        ("targets", "main", "fields", "name", "values", "no"): 6,
        ("targets", "main", "multi"): 7,
        ("targets", "main", "raw"): 11,
        ("targets", "main", "list"): 13,
        ("targets", "main", "list", "inner"): 15,
        ("targets", "main", "when"): 18,
        ("targets", "main", "a"): 19,
        ("targets", "main", "a", "b.c"): 19,
        ("targets", "main", "a", "b.c", "d"): 19,
        ("many",): 21,
        ("many", "x"): 22,
        ("targets", "other one"): 25,
        ("targets", "other one", "ü"): 26,
    } == dict(found)
    assert tomllib.loads(SAMPLE)


def test_nearest_table() -> None:
    """A key that is not there has the line of the table around it, and a file without any the first."""
    found = lines("\n[a]\nb.c = 1\n")

    assert (3, 3, 2, 1) == (
        line_of(found, "a", "b", "c"),
        line_of(found, "a", "b", "x", "y"),
        line_of(found, "a", "x"),
        line_of({}, "x"),
    )


@pytest.mark.parametrize("text", ["= 1", "a = ", "a = ["])
def test_text_that_is_no_toml(text: str) -> None:
    """A text that tomllib would refuse is refused, and never read for ever."""
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)
    with pytest.raises(ValueError, match="at character"):
        lines(text)


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6) | st.sampled_from(["a", "b-c", "name", "id"])
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.datetimes().map(lambda one: one.replace(microsecond=0))
    | st.dates()
)
TABLES = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)),
    max_size=5,
)


def escaped(text: str) -> str:
    """The text in a string of TOML, where anything unusual is escaped."""
    return "".join(one if one.isprintable() and one not in '"\\' else f"\\U{ord(one):08X}" for one in text)


class Written:
    """TOML in any layout that hypothesis draws, and the line of each key."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.text = ""
        self.lines: dict[tuple[str, ...], int] = {}

    def any_of(self, *forms: str) -> str:
        return self.data.draw(st.sampled_from(forms))

    def gap(self) -> None:
        self.text += self.any_of("", "", "\n", "# a = 1\n", "\r\n", '\n # "[x]"\n\t')

    def key(self, *path: str) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)
        key = path[-1]
        forms = [f'"{escaped(key)}"']
        if key.isascii() and key.replace("-", "").replace("_", "").isalnum():
            forms.append(key)
        if "'" not in key and key.isprintable():
            forms.append(f"'{key}'")
        self.text += self.any_of(*forms)

    def value(self, value: Any, *path: str) -> None:
        if isinstance(value, dict):
            self.text += "{"
            for number, (key, inner) in enumerate(value.items()):
                self.text += self.any_of(",", " , ") if number else " "
                self.key(*path, key)
                self.text += self.any_of("=", " = ")
                self.value(inner, *path, key)
            self.text += "}"
        elif isinstance(value, list):
            self.text += "["
            for inner in value:
                self.gap()
                self.value(inner, *path)
                self.gap()
                self.text += ","
            self.gap()
            self.text += "]"
        elif isinstance(value, str):
            self.text += self.string(value)
        elif isinstance(value, bool):
            self.text += str(value).lower()
        else:
            self.text += str(value)

    def string(self, value: str) -> str:
        text = escaped(value)
        forms = [f'"{text}"', f'"""{text}"""', f'"""\n\n{text}\\""""']
        if "'" not in value and value.isprintable():
            forms += [f"'{value}'", f"'''\n{value}\n'''"]
        return self.any_of(*forms)

    def tables(self, found: dict[str, Any]) -> None:
        """Each table with a header, and all else in a list of tables."""
        for name, value in found.items():
            self.gap()
            if isinstance(value, dict) and self.data.draw(st.booleans()):
                self.text += "\n["
                self.key(name)
                self.text += self.any_of("]\n", " ] # x = 1\n")
                self.pairs(value, name)
            else:
                self.text += "\n[["
                self.key(f"{name} of many")
                self.text += "]]\n"
                self.pairs({"value": value}, f"{name} of many")

    def pairs(self, table: dict[str, Any], *path: str) -> None:
        for key, value in table.items():
            self.gap()
            self.key(*path, key)
            path_of, inner = (*path, key), value
            if isinstance(value, dict) and len(value) == 1 and self.data.draw(st.booleans()):
                [(dotted, inner)] = value.items()
                path_of = (*path_of, dotted)
                self.text += self.any_of(".", " . ")
                self.key(*path_of)
            self.text += self.any_of("=", " =\t")
            self.value(inner, *path_of)
            self.text += self.any_of("\n", " # x = [\n")


def keys_of(value: Any, *path: str) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from keys_of(inner, *path, key)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, *path)


@settings(deadline=None)
@given(TABLES, st.data())
def test_any_layout(found: dict[str, Any], data: st.DataObject) -> None:
    """In any layout of any content each key that tomllib reads has the line in which it was written."""
    written = Written(data)
    written.tables(found)
    read = tomllib.loads(written.text)

    assert written.lines == dict(lines(written.text))
    assert set(keys_of(read)) == set(written.lines)
