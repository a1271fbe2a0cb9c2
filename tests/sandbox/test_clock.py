import pytest

from sandbox import clock


def test_dates_are_written_to_the_millisecond() -> None:
    """A date is written in UTC, to the millisecond, ending in Z."""
    assert "2026-02-11T10:00:05.123Z" == clock.iso(clock.parse("2026-02-11T11:00:05.123+01:00"))


@pytest.mark.parametrize("text", ["2026-01-10T09:00:00Z", "2026-01-10T09:00:00.250Z"])
def test_sale_dates_without_milliseconds(text: str) -> None:
    """A sale date has milliseconds only if they are not zero."""
    assert text == clock.short(clock.parse(text))


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-01-10", "2026-01-10T09:00:00"])
def test_date_without_time_or_zone_is_refused(text: str) -> None:
    """A text that is no exact moment is refused."""
    with pytest.raises(ValueError, match=r"zone|Invalid"):
        clock.parse(text)
