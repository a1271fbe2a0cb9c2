from structlog.testing import capture_logs

from server.store.rules_warning import RulesWarning
from tests.rig.stored_site import SITE_ID
from tests.rig.wix import ManualClock


def test_once_a_minute() -> None:
    """Of each site a person is told once a minute that processes differ, and what to do."""
    clock = ManualClock(0.0)
    warning = RulesWarning(clock=clock)
    with capture_logs() as logs:
        for _ in range(4):
            warning.warn(SITE_ID, topics=2)
            clock.advance(20)

    assert [("warning", "rules_differ", SITE_ID, 2)] * 2 == [
        (one["log_level"], one["event"], one["site"], one["topics"]) for one in logs
    ]
    assert "restart all with the same LOW_AT and SHOW_AT_MOST" in logs[0]["hint"]
