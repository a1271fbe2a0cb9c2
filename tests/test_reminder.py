from structlog.testing import capture_logs

from server import logs
from server.reminder import Reminder
from tests.rig.wix import ManualClock


def said(reminder: Reminder, *of: str) -> list[str]:
    """Let it warn of each, and answer what came of it."""
    with capture_logs() as lines:
        for one in of:
            reminder.say(one, about=one)
    return [f"{line['log_level']} {line['event']} {line['about']}" for line in lines]


def test_at_once_and_seldom_again() -> None:
    """What goes on is said at once, and again when the time has passed; each thing has a time of its own."""
    clock = ManualClock()
    reminder = Reminder(logs.logger("test"), "amiss", 60, clock=clock)

    assert ["warning amiss this"] == said(reminder, "this", "this")
    clock.advance(59)
    assert ["warning amiss that"] == said(reminder, "this", "that")
    clock.advance(1)
    assert ["warning amiss this"] == said(reminder, "this", "that")


def test_over() -> None:
    """The end of what was said is said once; of what was not said there is no end, and it may begin again at once."""
    reminder = Reminder(logs.logger("test"), "amiss", clock=ManualClock())
    said(reminder, "this")
    assert "this" in reminder

    with capture_logs() as lines:
        for one in ("this", "this", "that"):
            reminder.over(one, about=one)

    assert [("info", "amiss_no_more", "this")] == [(one["log_level"], one["event"], one["about"]) for one in lines]
    assert "this" not in reminder
    assert ["warning amiss this"] == said(reminder, "this")


def test_on_the_clock_of_the_machine() -> None:
    """Without a clock of its own it goes by the machine's, by which the first warning is never too early."""
    assert ["warning amiss "] == said(Reminder(logs.logger("test"), "amiss"), "", "")
