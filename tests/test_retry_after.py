from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from server import retry_after


@pytest.mark.parametrize(("text", "expected"), [("7", 7.0), (" 0 ", 0.0), ("99999999999", 999999999.0)])
def test_a_number_is_seconds(text: str, expected: float) -> None:
    """A number is in seconds; one that is far too long is cut."""
    assert expected == retry_after.seconds(text)


@pytest.mark.parametrize("usegmt", [True, False])
def test_a_date_is_seconds_from_now(usegmt: bool) -> None:
    """A date is as many seconds as it lies ahead, with `GMT` as well as with `-0000`."""
    found = retry_after.seconds(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=usegmt))

    assert found is not None
    assert 50 < found <= 60


def test_a_past_date_is_now() -> None:
    """A date in the past means now."""
    assert 0.0 == retry_after.seconds("Thu, 01 Jan 2026 00:00:00 GMT")


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "٣", "Thu, 01 Jan 99999 00:00:00 GMT"])
def test_nonsense_is_none(text: str) -> None:
    """Anything else says nothing."""
    assert retry_after.seconds(text) is None
