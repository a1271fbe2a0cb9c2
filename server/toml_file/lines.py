"""The line of each key of a TOML text, which Python's tomllib does not keep.

In: a TOML text that tomllib accepts. Out: the first line, counted from 1, of each table and key, by its path: `a.b = 1` in the
table `[t]` has the path ("t", "a", "b"). What stands in an array has the path of the array. Source: TOML 1.0.
"""

import re
from collections.abc import Mapping

_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""",
    re.DOTALL,
)
_BARE = re.compile(r"[^\s,\]}#]+(?: [0-9][^\s,\]}#]*)?")  # a number, true, false, or a time, which may hold one blank
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_SHORT = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}

Path = tuple[str, ...]


def lines(text: str) -> Mapping[Path, int]:
    """The line of each key and table."""
    return _Scan(text).lines


def line_of(found: Mapping[Path, int], *path: str) -> int:
    """The line of this key, or of the nearest table around it; 1 where none is found."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, 1)


class _Scan:
    """One pass over the text; `at` is the place of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line, self.counted = 1, 0  # the line of this character
        self.lines: dict[Path, int] = {}
        table: Path = ()
        while self._skip() < len(text):
            if text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str] = _BLANK) -> int:
        """Go on behind what matches here; answers the place."""
        if found := pattern.match(self.text, self.at):
            self.at = found.end()
        return self.at

    def _header(self) -> Path:
        """`[a.b]` or `[[a.b]]`."""
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        self.at += brackets
        path = self._key(())
        self._skip()
        self.at += brackets
        return path

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self._skip()
        self.at += 1  # the sign =
        self._value(path)

    def _key(self, path: Path) -> Path:
        """A key, which may have dots; each of its parts is noted."""
        while True:
            self._skip()
            start = self.at
            end = self._skip(_KEY)
            if end == start:
                raise ValueError(f"no key at character {start}")
            path = (*path, _name(self.text[start:end]))
            self.line += self.text.count("\n", self.counted, start)
            self.counted = start
            self.lines.setdefault(path, self.line)
            if self._skip(_DOT) == end:
                return path

    def _value(self, path: Path) -> None:
        self._skip()
        if self.text.startswith("[", self.at):
            self._list(path, "]")
        elif self.text.startswith("{", self.at):
            self._list(path, "}")
        else:
            start = self.at
            if self._skip(_STRING) == start and self._skip(_BARE) == start:
                raise ValueError(f"no value at character {start}")

    def _list(self, path: Path, end: str) -> None:
        """An array, or an inline table."""
        self.at += 1
        self._skip()
        while not self.text.startswith(end, self.at):
            if end == "}":
                self._pair(path)
            else:
                self._value(path)
            self._skip()
            if self.text.startswith(",", self.at):
                self.at += 1
                self._skip()
        self.at += 1


def _name(key: str) -> str:
    """A key without its quotes."""
    if key.startswith("'"):
        return key[1:-1]
    if not key.startswith('"'):
        return key
    return _ESCAPE.sub(
        lambda one: chr(int(one[1] or one[2], 16)) if one[1] or one[2] else _SHORT.get(one[3], one[3]), key[1:-1]
    )
