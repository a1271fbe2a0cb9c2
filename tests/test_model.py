"""Values: what they hold, and how often a ticket is read."""

import pytest

from server.model import Definition, Hint, Named, Pace, SaleStatus
from tests.rig.fake_reader import definition
from tests.rig.server import TICKET

SCHEDULED, STARTED, ENDED = SaleStatus.SCHEDULED, SaleStatus.STARTED, SaleStatus.ENDED


def test_definitions_are_immutable() -> None:
    """A definition cannot be changed after it was read."""
    found: Definition = definition(TICKET, 3)

    with pytest.raises(AttributeError):
        found.unsold = 4  # type: ignore[misc]


def test_hint_holds_no_number() -> None:
    """A hint holds ids and a reason; without more it names tickets by their own id."""
    assert ("order", (), None, Named.TICKETS) == (
        (hint := Hint("order")).reason,
        hint.tickets,
        hint.event,
        hint.named,
    )


@pytest.mark.parametrize(
    ("hidden", "status", "pace"),
    [
        (False, STARTED, Pace.LIVE),
        (False, SCHEDULED, Pace.LIVE),
        (False, ENDED, Pace.SLOW),
        (True, STARTED, Pace.LIVE),
        (True, ENDED, Pace.SLOW),
    ],
)
def test_pace_of_reads(hidden: bool, status: SaleStatus, pace: Pace) -> None:
    """A ticket that can no longer be bought is read seldom, one that is or will be on sale is read often."""
    assert pace == definition(TICKET, hidden=hidden, status=status).pace
