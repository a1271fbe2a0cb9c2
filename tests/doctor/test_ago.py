import pytest

from server.doctor.ago import ago, many


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("just now", 0.4),
        ("just now", -3),
        ("12 s ago", 12),
        ("3 min ago", 190),
        ("2 h ago", 7300),
        ("5 d ago", 432_100),
    ],
)
def test_words_of_durations(text: str, seconds: float) -> None:
    """A duration has one unit, the largest that fits."""
    assert text == ago(seconds)


def test_number_with_its_word() -> None:
    """A word is in the plural for each number but one."""
    assert ["0 tickets", "1 ticket", "2 tickets"] == [many(number, "ticket") for number in range(3)]
