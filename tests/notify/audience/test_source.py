import pytest

from server.notify.audience.source import SaleDate

AT = 1796144400.0  # 2026-12-01T17:00:00Z


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Berlin", "2026-12-01T18:00:00+01:00"),
        ("UTC", "2026-12-01T17:00:00+00:00"),
        (None, "2026-12-01T17:00:00+00:00"),
        ("Nowhere/Land", "2026-12-01T17:00:00+00:00"),
        ("../../etc/passwd", "2026-12-01T17:00:00+00:00"),
    ],
)
def test_date_in_the_zone_of_the_event(zone: str | None, text: str) -> None:
    """A date is written in its event's zone, and in UTC where that is not known."""
    assert text == SaleDate(AT, zone).text


def test_no_known_start_is_no_text() -> None:
    """A start that is not known any more has no text."""
    assert "" == SaleDate(None, "Europe/Berlin").text
