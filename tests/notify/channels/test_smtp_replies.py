"""What a relay's reply means, by its code, its text and its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.notify.channels.channel import Reply, Result
from server.notify.channels.smtp_replies import Command, Place

PLACE = Place("mail", "relay.example.org", "news@example.org")
CODES = st.integers(400, 599)
TEXTS = st.text() | st.builds(
    "{}.{}.{} {}".format, st.integers(0, 9), st.integers(0, 1200), st.integers(0, 1200), st.text()
)


def meaning(answer: str, command: Command = Command.RCPT) -> Reply:
    return PLACE.meaning(command, int(answer[:3]), answer[4:])


@pytest.mark.parametrize(
    ("answer", "result", "reason"),
    [
        ("450 4.2.0 x", Result.AGAIN, "4.2.0 the mailbox takes no mail"),
        ("450 4.2.1 x", Result.AGAIN, "4.2.1 the mailbox is disabled"),
        ("451 x", Result.AGAIN, "451 the relay has a fault"),
        ("452 4.2.2 x", Result.AGAIN, "4.2.2 the mailbox is full"),
        ("450 4.1.2 x", Result.AGAIN, "4.1.2 no such domain"),
        ("450 4.7.1 x", Result.AGAIN, "4.7.1 not permitted"),
        ("499 x", Result.AGAIN, "499 not now"),
        ("550 5.1.1 x", Result.FAILED, "5.1.1 no such mailbox"),
        ("550 5.1.99 x", Result.FAILED, "5.1.99 the address is refused"),
        ("552 x", Result.FAILED, "552 the mailbox is full"),
        ("553 5.6.7 x", Result.FAILED, "5.6.7 the relay cannot send to an address like this"),
        ("599 x", Result.FAILED, "599 refused"),
        ("550 4.1.1 the figures contradict each other", Result.FAILED, "550 the mailbox is refused"),
    ],
)
def test_a_recipients_fault_has_a_reason_of_ours(answer: str, result: Result, reason: str) -> None:
    """What is of one recipient is counted by a reason, and pauses nothing."""
    found = meaning(answer)

    assert (result, reason, False, "") == (found.result, found.reason, found.pause, found.cure)


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        ("421 x", False),
        ("452 4.3.1 x", False),
        ("451 4.5.0 x", False),
        ("501 5.5.4 x", False),
        ("554 5.6.0 x", False),
        ("530 x", True),
        ("535 x", True),
        ("550 5.1.7 x", True),
        ("550 5.7.1 x", True),
    ],
)
@pytest.mark.parametrize("command", [Command.RCPT, Command.DATA])
def test_what_is_ours_or_the_relays_leaves_the_recipient_waiting(answer: str, pause: bool, command: Command) -> None:
    """A fault that another recipient would meet too is none of this one's; what no one would get past pauses."""
    found = meaning(answer, command)

    assert (Result.SERVER_FAULT, pause) == (found.result, found.pause)
    assert found.cure


@pytest.mark.parametrize(
    ("code", "pause"), [("421", False), ("450", False), ("530", True), ("550", True), ("552", True)]
)
def test_at_mail_no_recipient_was_named_yet(code: str, pause: bool) -> None:
    """A reply to MAIL is about the sender: a permanent one pauses at once, and names the relay and the sender."""
    found = meaning(f"{code} x", Command.MAIL)

    assert (Result.SERVER_FAULT, pause) == (found.result, found.pause)
    assert found.reason.startswith(f"relay.example.org refused the sender news@example.org ({code} at MAIL)")


def test_a_login_that_is_refused_has_its_own_cure() -> None:
    """The cure of a refused login is another one than that of a refused sender."""
    login, sender = meaning("535 5.7.8 x", Command.AUTH), meaning("550 5.7.1 x", Command.MAIL)

    assert "NOTIFY_SMTP_URL" in login.cure
    assert "NOTIFY_FROM" in sender.cure


def test_waits_are_read_up_to_an_hour() -> None:
    """Only a temporary reply has a wait, in seconds or minutes."""
    assert 300.0 == meaning("450 4.2.0 Greylisted for 5 minutes").retry_after
    assert 60.0 == meaning("450 4.2.0 retry in 60s").retry_after
    assert None is meaning("450 4.2.0 later").retry_after
    assert None is meaning("450 4.2.0 retry in 0 seconds").retry_after
    assert None is meaning("450 4.2.0 retry in 99 minutes").retry_after
    assert None is meaning("550 5.2.0 60 seconds").retry_after


@given(CODES, TEXTS, st.sampled_from(Command))
def test_no_word_of_the_relay_is_kept(code: int, text: str, command: Command) -> None:
    """Law 18: whatever a relay says, the reply has none of its words, since they may name the recipient."""
    secret = "ann@example.net"
    found = PLACE.meaning(command, code, f"{text} {secret} {text}")

    assert secret not in repr(found)
    assert found.result in ({Result.SERVER_FAULT, Result.AGAIN} if code < 500 else {Result.SERVER_FAULT, Result.FAILED})
    assert not (found.pause and code < 500)


def test_faults_without_a_reply_are_told_by_their_place() -> None:
    """What was not handed over is a server's fault; what was, and was not answered, is unknown."""
    lost, unknown = PLACE.fault(Command.RCPT, "the connection was lost"), PLACE.unknown("handed over")

    assert (Result.SERVER_FAULT, "relay.example.org: the connection was lost (RCPT)") == (lost.result, lost.reason)
    assert (Result.UNKNOWN, "handed over", "") == (unknown.result, unknown.reason, unknown.cure)
