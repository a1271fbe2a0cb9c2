import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from server.campaign import Campaign, ChannelName, Counts, Progress, RowState, State
from server.cli.notify_status_text import GOES_ON, bar, campaign_lines, over, status_lines, waiting
from server.cli.terminal import Terminal
from server.notify.reports import Backlog, CampaignReport, ChannelReport, PausedServer, PlannedStart, Status
from tests.rig.campaigns import SITE, campaign

PLAIN = Terminal()
BERLIN = "Europe/Berlin"
NOON = datetime(2026, 12, 1, 17, 4, tzinfo=UTC).timestamp()
"""18:04 in Berlin, four minutes after the start."""
UNTIL_20 = datetime(2026, 12, 1, 19, 0, tzinfo=UTC).timestamp()
REASONS = {
    (RowState.FAILED, "5.1.1 no such mailbox"): 11,
    (RowState.FAILED, "5.2.2 mailbox full"): 1,
    (RowState.SKIPPED, "delivery off"): 14,
    (RowState.SKIPPED, "suppressed"): 8,
    (RowState.SKIPPED, "opted out meanwhile"): 6,
    (RowState.WAITING, "4.2.0 try again later"): 56,
}


def gala(**changes: Any) -> Campaign:
    return campaign(**{"start": NOON - 240, "deadline": UNTIL_20, **changes})


def mail(state: State = State.SENDING, *, running: bool = True, note: str = "", **changes: Any) -> ChannelReport:
    """3,162 of 5,028 mails have an end, 125 s after the start."""
    counts = Counts(candidates=3218, waiting=56, sent=3120, failed=12, skipped=28, unknown=2)
    given: dict[str, Any] = {"counts": counts, "total": 5028, "reasons": REASONS, "next_try": NOON + 180, **changes}
    progress = Progress(ChannelName.MAIL, state, started_at=NOON - 125.36, **given)
    ids = ("<tc.8f31c0@example.org>", "<tc.02ab77@example.org>")
    return ChannelReport(progress, state, note, running, 25.0, ids if counts.unknown else ())


def push(state: State = State.PAUSED, note: str = "push.example refused our key (403)") -> ChannelReport:
    progress = Progress(ChannelName.PUSH, state, Counts(120, 0, 0, 120), 310, started_at=NOON - 100)
    return ChannelReport(progress, state, note, running=True, per_second=50.0)


def status_of(*channels: ChannelReport, **more: Any) -> list[str]:
    return list(status_lines(Status((CampaignReport(gala(), channels, BERLIN),), **more), PLAIN, NOON))


def detail_of(channel: ChannelReport) -> list[str]:
    return list(campaign_lines(CampaignReport(gala(), (channel,), BERLIN), PLAIN, NOON))


def test_table_of_campaigns() -> None:
    """The status has a row for each campaign and channel, in columns: how many are sent, wait, failed, and why it is where it is."""
    head, first, second = status_of(mail(), push())

    columns = ["campaign", "channel", "state", "sent", "waiting", "failed", "skipped", "unknown", "note"]
    assert columns == head.split()
    rows = [re.split("   +", line) for line in (first, second)]
    assert ["spring-gala@12-01T18", "mail", "sending", "3,120", "1,866", "12", "28", "2"] == rows[0][:-1]
    assert "about 1 min 15 s to go, until 20:00 Berlin" == rows[0][-1]
    assert ["spring-gala@12-01T18", "push", "paused", "120", "190", "0", "0", "0"] == rows[1][:-1]
    assert "push.example refused our key (403), until 20:00 Berlin" == rows[1][-1]


def test_detail_of_a_campaign() -> None:
    """One campaign is shown with a bar, its pace, what failed and was skipped for which reasons, who waits, and what is unknown."""
    lines = detail_of(mail())

    assert [
        "mail      ############--------    3,162 of about 5,028    25/s of 25/s    about 1 min 15 s    until 20:00 Berlin",
        "failed    12: 5.1.1 no such mailbox 11, 5.2.2 mailbox full 1",
        "skipped   28: delivery off 14, suppressed 8, opted out meanwhile 6",
        "waiting   1,866: 1,810 their turn, 56 put off (4.2.0 try again later 56), next try in 3 min",
        (
            "unknown   2: handed over, no answer, not sent again. In the relay's log: <tc.8f31c0@example.org>, "
            "<tc.02ab77@example.org>"
        ),
    ] == lines


def test_campaign_that_no_worker_runs() -> None:
    """Where no worker runs a campaign that should go on, that is told, and what starts one, or has it read the file again."""
    first = detail_of(mail(running=False))[1]

    assert first.startswith(
        "state     sending: about 1 min 15 s to go, until 20:00 Berlin, no worker runs it: start `ticket-"
    )
    assert status_of(mail(running=False))[1].endswith(
        "or `worker`. One that runs may have read an older notify.toml: restart it"
    )


@pytest.mark.parametrize(
    ("state", "note"),
    [
        (State.STOPPED, "1,866 not sent"),
        (State.TOO_LATE, "no worker ran at its end: 1,866 not sent"),
        (State.DONE, ""),
    ],
)
def test_campaign_that_is_over(state: State, note: str) -> None:
    """Of a campaign that is over nothing waits, and nothing is said of time or of workers."""
    channel = mail(state, note=note, running=False)
    row = re.split("   +", status_of(channel)[1])
    lines = detail_of(channel)

    assert [str(state), "3,120", "0"] == row[2:5]
    assert note == (row[8] if len(row) > 8 else "")
    assert [] == [line for line in lines if line.startswith("waiting") or "until" in line]
    assert [f"state     {state}: {note}" if note else f"state     {state}"] == lines[1:2]
    assert ("3,162 of 3,218" if state is State.DONE else "3,162 of about 5,028") in lines[0]


def test_deadline_that_has_passed() -> None:
    """After the deadline nothing goes on, whatever was written before it."""
    report = CampaignReport(gala(deadline=NOON - 1), (mail(),))

    assert over(report.channels[0], report, NOON)
    assert not over(mail(), CampaignReport(gala(), (mail(),)), NOON)


def test_rows_that_are_put_off_or_in_flight() -> None:
    """Who waits is told apart: whose turn is to come, who is being sent to, who was put off and is tried again."""
    counts = Counts(candidates=7, claimed=3, waiting=2, sent=2)
    line = detail_of(replace(mail(counts=counts, total=None, reasons={}, next_try=NOON - 5), message_ids=()))[1]

    assert "waiting   5: 3 being sent, 2 put off, tried again now" == line
    gone = replace(mail(counts=Counts(unknown=5, candidates=5), total=5, reasons={}), message_ids=("<tc.1@x>",))
    assert detail_of(gone)[-1].endswith("In the relay's log: <tc.1@x> and 4 more")
    unlisted = replace(gone, message_ids=())
    assert "unknown   5: handed over, no answer, not sent again." == detail_of(unlisted)[-1]


def test_many_reasons() -> None:
    """Of many reasons the most frequent are told, and the rest as one number."""
    reasons = {(RowState.FAILED, f"reason {number}"): number for number in range(1, 12)}
    line = detail_of(mail(reasons=reasons))[1]

    assert "reason 11 11, reason 10 10" in line
    assert line.endswith("reason 4 4, others 6")


def test_slow_pace_and_bar() -> None:
    """A pace of less than ten is told with one more figure; a bar is as long as the part that has an end."""
    assert "2.5/s of 25/s" in detail_of(replace(mail(), measured=2.5))[0]
    assert [0, 12, 20] == [
        bar(one).count("#")
        for one in (
            mail(counts=Counts(), total=0),
            mail(),
            mail(State.DONE, counts=Counts(), total=0),
        )
    ]


def test_what_is_planned() -> None:
    """A start that is to come is a row, with how long it is until then and the tickets; without anything that is said."""
    one = PlannedStart(SITE, "autumn-ball", "Autumn Ball", ("Early", "Balcony"), NOON + 7800, NOON + 15_000, BERLIN)
    row = re.split("   +", list(status_lines(Status((), (one,)), PLAIN, NOON))[1])

    assert ["autumn-ball", "-", "planned"] == row[:3]
    assert "starts in 2 h 10 min, 20:14 Berlin: Early, Balcony" == row[-1]
    assert ["No campaign is kept, and no sale start is planned."] == list(status_lines(Status(()), PLAIN, NOON))


def test_campaign_of_an_event_that_is_gone() -> None:
    """A campaign whose event does not stand in notify.toml any more is listed, and says so."""
    assert status_of()[1].endswith("its event is not in notify.toml")
    assert ["its event is not in notify.toml"] == list(campaign_lines(CampaignReport(gala(), ()), PLAIN, NOON))


def test_what_stands_in_the_way() -> None:
    """A server that is paused, opt-outs that wait or were given up, and hints follow the table."""
    cure = "No subscriber is at fault. Allow that sender there, then: notify send spring-gala"
    text = "refused the sender news@example.org (550 5.7.1 at MAIL)"
    servers = (
        PausedServer("relay.example.org", text, cure, NOON - 60, NOON + 60),
        PausedServer("push push.example", "busy.", "", NOON - 60, NOON - 1),
        PausedServer("mail", "x"),
    )
    faults = {"csv readers.csv": "cannot be written"}
    backlogs = (
        Backlog(SITE, "opt-out", 2, 1, NOON - 3600, faults),
        Backlog(SITE, "sign-up", 1, 1, None, None, {"gala": "bad address"}),
    )
    lines = status_of(mail(), paused=servers, backlogs=backlogs, hints=("a hint",))[2:]

    assert f"paused: relay.example.org: {text}. {cure}. Next try in 1 min." == lines[0]
    assert "paused: push push.example: busy. It is tried now." == lines[1]
    assert "paused: mail: x." == lines[2]
    assert lines[3].startswith("2 opt-outs on the way to the tool, the oldest for 1 h. ")
    assert lines[3].endswith(" Who opted out gets nothing meanwhile.")
    assert f"opt-out at csv readers.csv: cannot be written. {GOES_ON}" == lines[4]
    assert lines[5].startswith("1 opt-out given up after a week: ")
    assert "1 sign-up on the way to the tool." == lines[6]
    assert lines[7].startswith("1 sign-up given up, nobody was asked to confirm: ")
    assert "sign-up for gala, given up: bad address." == lines[8]
    assert "a hint" == lines[9]


def test_narrow_terminal() -> None:
    """On a wide terminal the note is wrapped beside the others; on a narrow one each row is a block of lines."""
    report = Status((CampaignReport(gala(), (mail(),)),))
    wide = list(status_lines(report, Terminal(120), NOON))
    narrow = list(status_lines(report, Terminal(60), NOON))

    assert max(map(len, wide)) <= 120
    assert wide[0].startswith("campaign")
    assert "spring-gala@12-01T18" == narrow[0]
    assert "  waiting   1,866" in narrow


def test_colours_and_control_characters() -> None:
    """On a terminal with colours the bar has one, beside the word; text of others cannot control the terminal."""
    note = "\x1b[31mred\u202e"
    channel = mail(State.PAUSED, note=note)
    [first, second, *_] = campaign_lines(CampaignReport(gala(), (channel,)), Terminal(200, colour=True), NOON)

    assert "\x1b[31m############--------\x1b[0m" in first
    assert second.startswith("state     paused:  [31mred ,")
    assert not {"\x1b", "\u202e"} & set("".join(status_of(channel)))


def test_nothing_waits_where_nothing_is_sent() -> None:
    """Who is left of a campaign that ended does not wait."""
    assert [1866, 0, 0] == [
        waiting(one) for one in (mail(), mail(State.STOPPED), mail(State.WITHDRAWN, ended_at=time.time()))
    ]


def test_zone_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are in the event's zone, which is named, wherever the machine is; without one they are in UTC, which is named too."""
    for zone, until in (
        (BERLIN, "until 20:00 Berlin"),
        ("America/New_York", "until 14:00 New York"),
        (None, "until 19:00 UTC"),
    ):
        for place in ("Asia/Tokyo", "UTC"):
            monkeypatch.setenv("TZ", place)
            time.tzset()
            [first, *_] = campaign_lines(CampaignReport(gala(), (mail(),), zone), PLAIN, NOON)
            assert first.endswith(until)
    monkeypatch.undo()
    time.tzset()


def test_note_that_is_a_sentence() -> None:
    """A note that ends with a full stop is followed by a comma alone."""
    assert (
        "(NOTIFY_ENVELOPE_SENDER), until" in status_of(mail(State.PAUSED, note="Allow it (NOTIFY_ENVELOPE_SENDER)."))[1]
    )
