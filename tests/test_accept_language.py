import pytest

from server.accept_language import preferred

KNOWN = ("en", "de", "he")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr,he;q=0.5,de;q=0.7", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "en"),
        ("HE-il", "he"),
        ("iw", "he"),
        ("de;q=0, he;q=0.1", "he"),
        ("de;q=wrong, he;q=0.1", "he"),
        ("de ; q = 0.2 , he;q=0.1", "de"),
        ("de;level=1;q=0.2,en;q=0.1", "de"),
        ("fr", "en"),
        ("*", "en"),
        (";;;,,,=;q=", "en"),
        ("de;q=7,he", "de"),
    ],
)
def test_the_preferred_language_is_chosen(header: str, language: str) -> None:
    """The reader's most wanted language that we have is chosen, and English where there is none."""
    assert language == preferred(header, KNOWN)


def test_a_header_of_any_length_is_read_to_a_limit() -> None:
    """Only the first languages of a header are looked at, however many it names."""
    assert "en" == preferred("fr," * 20 + "de", KNOWN)
    assert "de" == preferred("fr," * 19 + "de", KNOWN)


def test_what_is_chosen_otherwise() -> None:
    """Where none of our languages is named, the given one is chosen."""
    assert "he" == preferred("fr", KNOWN, "he")
