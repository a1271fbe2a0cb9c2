from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from server.campaign import ChannelName, Counts, Progress, State
from server.cli.notify_text import (
    at,
    dry_run_lines,
    forgotten_lines,
    over_line,
    preview_lines,
    span,
    stopped_lines,
)
from server.cli.notify_text import (
    test_lines as lines_of_test,
)
from server.model import EventId
from server.notify.channels.channel import Reply, Result
from server.notify.reports import Audience, CampaignReport, ChannelReport, Forgotten, KeptRow, Preview
from tests.rig.campaigns import SITE, campaign

START = datetime(2026, 12, 1, 17, 0, tzinfo=UTC).timestamp()
"""18:00 in Berlin."""
NOW = START - 2 * 86_400
PREVIEW = Preview(
    site=SITE,
    event=EventId("e"),
    event_name="spring-gala",
    title="Spring Gala",
    begins=datetime(2027, 3, 6, 19, 0, tzinfo=UTC).timestamp(),
    zone="Europe/Berlin",
    start=START,
    deadline=START + 7200,
    tickets=(),
    on_sale=("Early bird", "Balcony"),
    later=(),
    languages=("en", "de", "he"),
    language="en",
    audience=Audience("mailman early-birds.example.org", 5028, 5028, suppressed=14, asked=5014, delivery_off=28),
    pushes=310,
    per_second={ChannelName.MAIL: 25.0, ChannelName.PUSH: 50.0},
    files="preview/spring-gala.{en,de,he}.{html,txt,eml}",
    starts=(START, START),
)


def preview(now: float = NOW, **changes: Any) -> list[str]:
    return list(preview_lines(replace(PREVIEW, **changes), now))


def test_preview() -> None:
    """A preview says what is announced, when and until when, to how many, for how long, and where the message was written."""
    assert [
        (
            "Spring Gala, Sat 6 Mar 2027 20:00 Berlin    sale starts Tue 1 Dec 18:00 (in 2 days), nothing goes out after "
            "20:00"
        ),
        "message   Early bird and Balcony start together: one message. Texts en, de, he; the reader's language, else en",
        (
            "audience  mailman early-birds.example.org: 5,028 members, 28 with delivery off, 14 suppressed here; about "
            "4,986 mails and 310 pushes"
        ),
        (
            "written   preview/spring-gala.{en,de,he}.{html,txt,eml}    at 25 mails a second about 3 min 19 s; nothing "
            "was claimed or sent"
        ),
    ] == preview()


def test_preview_of_other_events() -> None:
    """What is not known is left out; a sale that has begun, one that ends on another day, and other tickets have other words."""
    assert "Spring Gala    no sale start is known" == preview(begins=None, start=None)[0]
    assert preview(now=START + 600, started=START)[0].endswith(
        "sale started Tue 1 Dec 18:00 (10 min ago), nothing goes out after 20:00"
    )
    assert preview(deadline=START + 86_400)[0].endswith("nothing goes out after Wed 18:00")
    assert "sale starts Fri 1 Jan 2027 18:00" in preview(start=START + 31 * 86_400)[0]
    assert "spring-gala, Sat 6 Mar 2027" in preview(title="")[0]
    assert "19:00 UTC    sale starts Tue 1 Dec 17:00" in preview(zone="Mars/Nowhere")[0]
    week = preview(now=START, started=START - 7 * 86_400)[0]
    assert week.endswith("sale started Tue 24 Nov 18:00 (7 days ago), nothing goes out after 20:00")
    assert preview(now=START)[0].endswith("Berlin    on sale, without a start; nothing goes out after 20:00")
    assert preview(begins=None)[0].endswith("(in 2 days), nothing goes out after 20:00 Berlin")
    for starts in ((None, START - 7 * 86_400), (START - 7 * 86_400, START), (None, None)):
        assert preview(starts=starts)[1].startswith("message   one message: Early bird, Balcony. Texts en")
    late = preview(on_sale=("Early bird",), later=("Balcony",), starts=(None, START + 1200))
    assert late[1].startswith("message   one message: Early bird, Balcony. ")
    assert "message   Early bird and Balcony start together: one message." == preview(languages=())[1]
    assert "message   Early bird. Texts" in preview(on_sale=("Early bird",))[1]
    assert (
        "Early bird and Balcony start soon after each other: one message"
        in preview(on_sale=("Early bird",), later=("Balcony",), starts=(START, START + 1200))[1]
    )
    assert "message   no ticket. " in preview(on_sale=())[1]
    assert "now       sold out" in preview(reason="sold out")
    assert "pace      at 25 mails a second about 3 min 19 s; nothing was claimed or sent" == preview(files="")[-1]


def test_audience_of_a_preview() -> None:
    """Everyone who gets nothing is told with the reason; of how many the tool was asked, where that was not all."""
    one = Audience("csv x", 10, 10, unusable=1, twice=2, suppressed=0, asked=4, delivery_off=1, not_in=1)
    line = preview(audience=one)[2]
    assert line.startswith(
        "audience  csv x: 10 members, 1 with delivery off of the first 4, 1 who have left of the first 4, 0 suppressed here, "
    )
    assert line.endswith("1 without a usable address, 2 listed twice; about 5 mails and 310 pushes")
    assert "delivery off" not in preview(audience=replace(one, asked=None))[2]
    assert "1 without a usable address (line 7), 2" in preview(audience=replace(one, unusable_lines=(7,)))[2]
    many = replace(one, unusable=3, unusable_lines=(7, 9))
    assert "3 without a usable address (lines 7, 9 and more), 2" in preview(audience=many)[2]
    nobody = preview(audience=None, per_second={ChannelName.PUSH: 50.0}, pushes=1)
    assert "audience  no tool; 1 push" == nobody[2]
    assert nobody[-1].endswith("}    nothing was claimed or sent")
    assert "audience  no tool; no one" == preview(audience=None, per_second={})[2]


def test_dry_run() -> None:
    """A dry run says how many messages would be claimed, until when, and of whom."""
    first, second = dry_run_lines(PREVIEW, START + 60)

    assert (
        first
        == f"would claim 4,986 mails and 310 pushes now, until {at(START + 7200, START + 60, 'Europe/Berlin')}. Nothing was claimed or sent."
    )
    assert second.startswith("audience  mailman early-birds.example.org: 5,028 members")
    alone = replace(PREVIEW, audience=None, deadline=None, per_second={ChannelName.PUSH: 50.0})
    assert ["would claim 310 pushes now. Nothing was claimed or sent."] == list(dry_run_lines(alone, START))


def test_where_to_look_after_a_test() -> None:
    """After a test that was accepted it is told where to look; after another one what became of it, and what helps."""
    lines = list(lines_of_test(Reply(Result.SENT, "mail", code="250"), "<tc.x@example.org>"))
    assert "accepted by the relay, as <tc.x@example.org>. Now look at the mail that arrived:" == lines[0]
    text = "\n".join(lines)
    assert [] == [
        word
        for word in ("spam folder", "Authentication-Results", "DKIM-Signature: h=", "List-Unsubscribe-Post")
        if word not in text
    ]

    refused = Reply(Result.SERVER_FAULT, "mail", "the relay refuses the login.", "535", cure="Correct NOTIFY_SMTP_URL")
    assert ["not sent: the relay refuses the login. Correct NOTIFY_SMTP_URL."] == list(lines_of_test(refused, "<x>"))
    assert ["not known whether it was sent: no reason was given."] == list(
        lines_of_test(Reply(Result.UNKNOWN, "mail"), "<x>")
    )


def test_stopped_campaign() -> None:
    """After a stop it is told how many got nothing, and what has it go on."""
    progress = Progress(ChannelName.MAIL, State.STOPPED, Counts(10, sent=10), 822)
    report = CampaignReport(campaign(), (ChannelReport(progress, State.STOPPED),))

    [line] = stopped_lines(report)
    assert "spring-gala@12-01T18 is stopped; what is in flight still arrives. Not sent: 812 by mail. " in line
    assert line.endswith("To have it go on: ticket-counter notify send spring-gala@12-01T18")
    assert "Not sent" not in next(stopped_lines(replace(report, channels=())))


def test_stop_of_what_is_over() -> None:
    """Of a campaign that is over it is told how, and that nothing was stopped."""

    def report(*states: State) -> CampaignReport:
        channels = [
            ChannelReport(Progress(name, state), state) for name, state in zip(ChannelName, states, strict=False)
        ]
        return CampaignReport(campaign(), tuple(channels))

    name = "spring-gala@12-01T18"
    assert f"{name} is done already: nothing was stopped" == over_line(report(State.DONE, State.DONE))
    assert f"{name} is too late already: nothing was stopped" == over_line(report(State.TOO_LATE))
    assert f"{name} is done by mail and stopped by push already: nothing was stopped" == (
        over_line(report(State.DONE, State.STOPPED))
    )
    assert f"{name} is over already: nothing was stopped" == over_line(report())


def test_what_was_forgotten() -> None:
    """After forgetting a person it is told what was deleted, what could not be, what stays, and where else the person is."""
    lines = list(forgotten_lines(Forgotten(2, 1, (KeptRow("a", START, "Europe/Berlin"), KeptRow("b", START)), 1), NOW))

    assert "Deleted: 2 rows of campaigns, 1 request on the way to a tool." == lines[0]
    assert lines[1].startswith(
        "Kept until they end, so that nobody is sent to twice: the rows of a (until Tue 1 Dec 18:00 Berlin), b (until Tue 1 Dec 17:00 UTC). Run"
    )
    assert lines[2].startswith("1 campaign hashed addresses by a key that NOTIFY_KEYS lacks now")
    assert [True, True, True] == [
        word in line
        for word, line in zip(("suppression", "Push subscriptions", "marketing tool"), lines[3:], strict=True)
    ]
    assert 4 == len(list(forgotten_lines(Forgotten(0, 0), NOW)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (45.4, "45 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (599, "9 min 59 s"),
        (1260, "21 min"),
        (3599, "1 h"),
        (7800, "2 h 10 min"),
        (86_399, "24 h"),
        (2 * 86_400, "2 days"),
    ],
)
def test_how_long(seconds: float, text: str) -> None:
    """A duration has one or two units."""
    assert text == span(seconds)


def test_when_on_another_day() -> None:
    """A time of today is told without its day."""
    now = datetime(2026, 12, 1, 11, 0, tzinfo=UTC).timestamp()

    assert ("18:05 Berlin", "Wed 2 Dec 18:05 Berlin") == (
        at(now + 6 * 3600 + 300, now, "Europe/Berlin"),
        at(now + 30 * 3600 + 300, now, "Europe/Berlin"),
    )
