"""The file `.env`: lines NAME=value, as python-dotenv reads them.

In: a path. Out: the variables, and the lines that are none. A key of several lines that was pasted without quotes is one value, as it was meant: python-dotenv
would take its first line for the value. Raises OSError or UnicodeDecodeError where the file cannot be read as text.
"""

import logging
import re
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

# It would warn each time that the file is read: `unread_lines` says which lines it means.
logging.getLogger("dotenv.main").setLevel(logging.ERROR)

_NAME = r"^([ \t]*(?:export[ \t]+)?[A-Za-z_][A-Za-z0-9_]*[ \t]*=[ \t]*)"
_UNQUOTED_PEM = re.compile(
    rf"{_NAME}(-----BEGIN [A-Z0-9 ]+-----\s[A-Za-z0-9+/=\s]*-----END [A-Z0-9 ]+-----)", re.MULTILINE
)
_UNQUOTED_BASE64 = re.compile(
    rf"{_NAME}((?:[A-Za-z0-9+/]{{64}}\n){{3,}}|(?:[A-Za-z0-9+/]{{76}}\n){{3,}})((?![A-Z]+=+$)[A-Za-z0-9+/]{{1,75}}={{0,2}}$)?",
    re.MULTILINE,
)
"""Base64 as the program base64 and OpenSSL wrap it; the last line is not the next variable, as `HOST=` would be."""


def variables(path: Path) -> dict[str, str | None]:
    """The variables of the file, in its order; None where a line has no `=`. No file has none."""
    return dotenv_values(stream=StringIO(_text(path)))


def names_given_twice(path: Path) -> list[str]:
    """The names, in capitals, that have two values in the file: the last one counts."""
    values: dict[str, set[str]] = {}
    for one in parse_stream(StringIO(_text(path))):
        if one.key is not None and one.value:
            values.setdefault(one.key.upper(), set()).add(one.value)
    return sorted(name for name, its in values.items() if len(its) > 1)


def unread_lines(path: Path) -> list[int]:
    """The numbers of the lines that set nothing: they are not NAME=value."""
    found = parse_stream(StringIO(_text(path)))
    return [one.original.line for one in found if one.error or (one.key is not None and one.value is None)]


def _text(path: Path) -> str:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    return with_quoted_keys(text.replace("\r\n", "\n"))


def with_quoted_keys(text: str) -> str:
    """The text with quotes around each key of several lines that has none."""
    text = _UNQUOTED_PEM.sub(lambda found: f'{found[1]}"{found[2]}"', text)
    return _UNQUOTED_BASE64.sub(lambda found: f'{found[1]}"{found[2]}{found[3] or ""}"\n', text)
