import io

import pytest

from server.notify.audience.csv_records import LONGEST_LINE, Records, fields_of


def read(content: bytes, delimiter: str = ",") -> list[tuple[int, list[str] | None]]:
    return list(Records(io.BytesIO(content), delimiter, 1))


def test_records_with_their_lines() -> None:
    """Each record has the number of its first line; an empty line has no values."""
    found = read(b'a,b\r\n\r\n"c\r\nd","e ""f"""\ng')

    assert [(1, ["a", "b"]), (2, []), (3, ["c\r\nd", 'e "f"']), (5, ["g"])] == found


def test_reading_goes_on_at_any_record() -> None:
    """The place in the file after each record, and the number of its line, are those of the next one."""
    content = b'a\n"b\nb"\nc\n'
    file = io.BytesIO(content)
    found = Records(file, ",", 1)
    places = [(file.tell(), found.line) for _ in found]

    assert [(2, 2), (8, 4), (10, 5)] == places
    assert [(4, ["c"])] == list(Records(io.BytesIO(content[8:]), ",", 4))


@pytest.mark.parametrize(
    "line",
    [
        b'"never closed',
        b'"closed"and more',
        b"\xff\xfe",
        b"nul\0",
        b"x" * (LONGEST_LINE + 5),
        b"x" * (3 * LONGEST_LINE),
    ],
)
def test_line_at_fault_costs_itself_alone(line: bytes) -> None:
    """A line that cannot be read is one, and the lines around it are read."""
    found = read(b"a\n" + line + b"\nb\nc,d\n")

    assert [(1, ["a"]), (2, None), (3, ["b"]), (4, ["c", "d"])] == found


def test_quote_inside_a_value_opens_nothing() -> None:
    """A single quote sign in the middle of a value, as in inches, does not swallow what follows."""
    assert [(1, ['5" nails', "a"]), (2, ["b"])] == read(b'5" nails,a\nb\n')


def test_line_that_is_too_long_at_the_end() -> None:
    """A last line that is too long and has no end is one line at fault."""
    assert [(1, None)] == read(b"x" * (LONGEST_LINE + 1))


def test_values_of_one_record() -> None:
    """Another delimiter can be read, and more than one record is none."""
    assert ["a,b", "c"] == fields_of(b"a,b;c\r\n", ";")
    assert fields_of(b"a\nb\n", ",") is None
