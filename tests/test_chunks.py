import pytest

from server.chunks import chunks


@pytest.mark.parametrize(
    ("items", "size", "expected"),
    [("", 2, []), ("a", 2, ["a"]), ("abcd", 2, ["ab", "cd"]), ("abcde", 2, ["ab", "cd", "e"]), ("ab", 5, ["ab"])],
)
def test_pieces_of_a_sequence(items: str, size: int, expected: list[str]) -> None:
    """Every item is in one piece, in order; each piece has the size, but for the last."""
    assert expected == list(chunks(items, size))
