import pytest

from server.cli.table import columns_of, cut, hanging, lines, pad, widths, wrap


def test_columns() -> None:
    """Columns are as wide as their widest cell in a terminal, numbers stand on their right, and no line ends with blanks."""
    rows = [("a", "10", "x"), ("子供", "5", ""), ("e\u0301", "100", "z")]

    assert ["a       10   x", "子供     5", "e\u0301      100   z"] == list(lines(rows, right={1}))
    assert [4, 3, 1] == widths(rows)
    assert ["  a"] == list(lines([("a",)], indent=2))
    assert [] == list(lines([]))


def test_last_cell_is_wrapped() -> None:
    """The last cell is wrapped below itself, and goes below the others where there is too little room beside them."""
    text = "one two three four five six"

    assert ["name   one two three four", "       five six"] == list(lines([("name", text)], 28))
    assert ["name", "    one two three", "    four five six"] == list(lines([("name", text)], 20))
    assert ["name   short"] == list(lines([("name", "short")], 20))
    assert [f"name   {text}"] == list(lines([("name", text)]))


@pytest.mark.parametrize("width", [1, 5, 20, 200])
def test_wrap(width: int) -> None:
    """Wrapping loses no word, and breaks none."""
    text = "one 🎟️ three four-and-a-half  five"

    assert text.split() == " ".join(wrap(text, width)).split()
    assert [] == [line for line in wrap(text, width) if columns_of(line) > width and " " in line]


def test_empty_last_cell() -> None:
    """A row whose last cell is empty is a line all the same."""
    assert ["a"] == list(hanging("a   ", "", 10))


def test_cut() -> None:
    """A text that is too wide ends with an ellipsis, and is never wider than asked for."""
    assert "abc" == cut("abc", 3)
    assert "ab…" == cut("abcd", 3)
    assert "子…" == cut("子供", 3)
    assert "abcd" == cut("abcd", None)
    assert "…" == cut("abcd", 1)


def test_pad() -> None:
    """Padding counts columns, and not characters."""
    assert "子供 " == pad("子供", 5)
    assert "  a" == pad("a", 3, right=True)
    assert "abc" == pad("abc", 2)
