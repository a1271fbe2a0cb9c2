"""What an apply reports."""

from server.model import TicketId
from server.sync.model import Kind, Operation, Outcome, Reason, State
from server.sync.reports import Summary


def test_person_is_needed_for_what_is_left() -> None:
    """Something that was not done is for a person to look at."""
    operation = Operation(Kind.CONFLICT, TicketId("t"), "Gala", None, Reason.COPIED)

    assert not Summary({Kind.CREATE: 2}, (), 1.0).person_needed
    assert Summary({}, (Outcome(operation, State.CONFLICT),), 1.0).person_needed
