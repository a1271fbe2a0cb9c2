"""What a plan says of itself."""

from dataclasses import replace

from server.model import TicketId
from server.sync.model import NOT_KNOWN, FieldChange, Kind, Operation, OptionChange, Plan, Reason, TargetEvent

A = TicketId("11111111-bbbb-4bbb-8bbb-000000000001")
EDITED = FieldChange("price", "25.00", "25.00", "19.00")
CHANGED = FieldChange("price", "27.50", "25.00", "25.00")
OPERATION = Operation(Kind.UPDATE, A, "Gala", "12", Reason.EDITED, (EDITED,), applied_at=5.0)
PLAN = Plan("box", "site", "event", "Gala", TargetEvent("ev1", "Gala", "EUR"), 1.0, 2.0, (OPERATION,), 3, 4)


def test_digest_leaves_out_when_things_were() -> None:
    """Two plans that would do the same have one digest; another value makes another one."""
    assert 6 == len(PLAN.digest)
    later = replace(PLAN, read_at=8.0, target_read_at=9.0, operations=(replace(OPERATION, applied_at=6.0),))
    assert PLAN.digest == later.digest
    assert PLAN.digest != replace(PLAN, operations=(replace(OPERATION, fields=(CHANGED,)),)).digest


def test_edits_are_values_that_somebody_changed_in_the_target() -> None:
    """What changed in Wix alone is none, and neither is what is not known."""
    unknown = replace(EDITED, applied=NOT_KNOWN)
    option = OptionChange(Kind.UPDATE, "a", "Adult", "7", (EDITED,))

    assert 1 == OPERATION.edits
    assert 2 == replace(OPERATION, options=(option,)).edits
    assert 0 == replace(OPERATION, fields=(CHANGED, unknown)).edits


def test_plan_counts_its_operations() -> None:
    """How many of each kind."""
    assert (1, 0) == (PLAN.count(Kind.UPDATE), PLAN.count(Kind.CREATE))
