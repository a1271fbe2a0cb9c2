"""The records of a CSV file (RFC 4180), read from any line on, so that a reader can stop and go on later.

In: an open file. Out: each record with its lines and values, None where it cannot be read: what is wrong with one line, such as a
quote that is not closed, costs that line alone.
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

LONGEST_LINE = 65_536
"""Bytes."""
MOST_LINES = 10
"""Lines of one record: a value in quotes may have several."""


class Records:
    """The records of an open file from where it stands: `line` is the number of that line, and of the one that is read next."""

    def __init__(self, file: BinaryIO, delimiter: str, line: int) -> None:
        self.line = line
        self._file = file
        self._delimiter = delimiter

    def __iter__(self) -> Iterator[tuple[int, list[str] | None]]:
        """The number of the first line, and the values, None where it cannot be read, [] where it is empty.

        A quote that is not closed costs its own line, not those after it.
        """
        file = self._file
        while first := _line(file):
            after, text, lines = file.tell(), first, 1
            while text.count(b'"') % 2 and lines < MOST_LINES and (more := _line(file)):
                text, lines = text + more, lines + 1
            fields = fields_of(text, self._delimiter)
            if fields is None and lines > 1:
                file.seek(after)
                fields, lines = fields_of(first, self._delimiter), 1
            begin, self.line = self.line, self.line + lines
            yield begin, fields


def _line(file: BinaryIO) -> bytes:
    """The next line; one that is too long has its end cut off, and cannot be read. Empty at the end of the file."""
    line = file.readline(LONGEST_LINE)
    if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
        while (more := file.readline(LONGEST_LINE)) and not more.endswith(b"\n"):
            pass
        return b"\0\n"
    return line


def fields_of(record: bytes, delimiter: str) -> list[str] | None:
    """The values of one record (RFC 4180)."""
    try:
        text = record.decode()
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return None
    if not text.strip():
        return []
    return rows[0] if len(rows) == 1 and "\0" not in text else None
