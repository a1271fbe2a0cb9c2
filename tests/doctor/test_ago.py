import pytest

from server.doctor.ago import ago


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
