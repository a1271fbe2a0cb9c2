"""What was applied is remembered as it was."""

from server.model import TicketId
from server.store.sync_records import StoredRecord
from server.sync.applied import applied_json, applied_of
from server.sync.model import Applied, Wanted, WantedOption


def test_applied_is_remembered_as_it_was() -> None:
    """Fields and options come back as they were written; nothing remembered is not known, which is not nothing applied."""
    wanted = Wanted(
        TicketId("t"), "Gala", {"price": "25.00", "limit": None}, {"note": "x"}, (WantedOption("a", "Adult", {"p": 1}),)
    )

    memory = StoredRecord(applied=applied_json(wanted), applied_at=7.0, digest="d")

    assert Applied(7.0, {"price": "25.00", "limit": None}, {"a": {"p": 1}}) == applied_of(memory, "d")
    assert applied_of(StoredRecord(), "") is None
    assert applied_of(memory, "another") is None
    assert Applied(0.0, {}, {}) == applied_of(StoredRecord(applied={}), "")
