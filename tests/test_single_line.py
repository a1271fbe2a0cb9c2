"""Names of others on one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.single_line import LONGEST_NAME, clean, printable

OPENS, CLOSES = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068", "\u202c\u2069"
NAMES = st.lists(st.characters() | st.sampled_from(f"{OPENS}{CLOSES}=?\r\n\u2028"), max_size=300).map("".join)


@given(NAMES)
def test_a_clean_name_is_one_line_with_balanced_directions(name: str) -> None:
    """Whatever a name contains, it ends each change of direction that it begins, and none that it did not."""
    found = clean(name)
    ends: list[str] = []
    for one in found:
        if one in OPENS:
            ends.append("\u202c" if one in "\u202a\u202b\u202d\u202e" else "\u2069")
        elif one in CLOSES:
            assert ends.pop() == one

    assert [] == ends
    assert [found] == (found.splitlines() or [""])
    assert found == found.strip()
    assert LONGEST_NAME >= len([one for one in found if one not in CLOSES])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a\u202cb\u2069c", "abc"),
        ("\u202eabc", "\u202eabc\u202c"),
        ("\u2067a\u202eb\u2069c\u202cd", "\u2067a\u202eb\u202c\u2069cd"),
        ("\u202ea\u2068b\u202cc\u2069d", "\u202ea\u2068b\u2069\u202ccd"),
        ("\u202aa\u202cb", "\u202aa\u202cb"),
    ],
)
def test_changes_of_direction_end_in_the_name(name: str, expected: str) -> None:
    """What is not ended is ended, in its order, and an end of nothing is left out."""
    assert expected == clean(name)


def test_blanks_for_what_is_not_printable() -> None:
    """Characters that control a terminal, or turn what follows, are blanks; letters of any script stay."""
    assert "a [2J b\u05d0  c" == printable("a\x1b[2J\nb\u05d0\u202e\u200fc")
