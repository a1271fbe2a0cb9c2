import json
from dataclasses import replace

from server.campaign import ChannelName, Counts, Progress, RowState, State
from server.cli import notify_json
from server.notify.channels.channel import Reply, Result
from server.notify.reports import (
    Backlog,
    CampaignReport,
    ChannelReport,
    Forgotten,
    KeptRow,
    PausedServer,
    PlannedStart,
    Status,
)
from tests.cli.test_notify_text import PREVIEW
from tests.rig.campaigns import SITE, campaign

AT = 1_796_144_400.0
"""2026-12-01T17:00:00Z."""
REASONS = {(RowState.FAILED, "5.1.1 no such mailbox"): 12, (RowState.WAITING, "4.2.0 later"): 56}
COUNTS = Counts(candidates=3218, waiting=50, claimed=6, sent=3120, failed=12, skipped=28, unknown=2)
PROGRESS = Progress(ChannelName.MAIL, State.SENDING, COUNTS, 5028, 2, AT, None, "", REASONS, AT + 60)
MAIL = ChannelReport(PROGRESS, State.SENDING, "", True, 25.0, ("<tc.x@example.org>",))
REPORT = CampaignReport(campaign(start=AT, deadline=AT + 7200, opened_at=AT + 1), (MAIL,))


def test_text_is_one_line_of_ascii() -> None:
    """Each object is one line of ASCII that has its format first."""
    text = notify_json.text({"title": "Gala\n\x1b[31m é"})

    assert text.startswith('{"format": 1, ')
    assert text.isascii()
    assert 1 == len(text.splitlines())


def test_campaign() -> None:
    """A campaign has its state, and of each channel counts that add up to its candidates, reasons, and Message-IDs."""
    found = json.loads(notify_json.text(notify_json.campaign(REPORT)))
    mail = found["channels"]["mail"]

    assert ("spring-gala@12-01T18", "sending", "2026-12-01T17:00:00Z") == (
        found["campaign"],
        found["state"],
        found["start"],
    )
    assert mail["candidates"] == sum(mail[one] for one in ("sent", "waiting", "failed", "skipped", "unknown"))
    assert (5028, 1866, 50, 6) == (mail["candidates"], mail["waiting"], mail["put_off"], mail["in_flight"])
    assert {"mail": {"failed": {"5.1.1 no such mailbox": 12}, "waiting": {"4.2.0 later": 56}}} == found["reasons"]
    assert (["<tc.x@example.org>"], True) == (found["message_ids"], found["person_needed"])
    assert (None, None, True) == (found["stopped_at"], mail["note"], mail["running"])


def test_state_of_several_channels() -> None:
    """The state of a campaign is that of the channel that needs a person, else of one that goes on, else of any."""

    def state(*states: State) -> str:
        report = replace(REPORT, channels=tuple(replace(MAIL, state=one) for one in states))
        return str(notify_json.campaign(report)["state"])

    assert ["paused", "sending", "done", "none"] == [
        state(State.SENDING, State.PAUSED),
        state(State.DONE, State.SENDING),
        state(State.DONE, State.TOO_LATE),
        state(),
    ]


def test_status() -> None:
    """The status has campaigns, planned starts, paused servers, requests and hints; what is not known is null."""
    found = notify_json.status(
        Status(
            (REPORT,),
            (PlannedStart(SITE, "ball", "Ball", ("Early",), AT, AT + 7200),),
            (PausedServer("mail", "refused", "Allow it", AT, None),),
            (
                Backlog(SITE, "opt-out", 2, 1, AT, {"csv x": "fault"}),
                Backlog(SITE, "sign-up", 1, 1, given_up={"gala": "why"}),
            ),
            ("hint",),
        )
    )

    assert notify_json.campaign(REPORT) == found["campaigns"][0]
    assert ("ball", ["Early"], "2026-12-01T19:00:00Z") == tuple(
        found["planned"][0][one] for one in ("event", "tickets", "deadline")
    )
    assert {
        "server": "mail",
        "reason": "refused",
        "cure": "Allow it",
        "since": "2026-12-01T17:00:00Z",
        "next_try": None,
    } == (found["paused"][0])
    assert [{"csv x": "fault"}, {}] == [one["faults"] for one in found["requests"]]
    assert [{}, {"gala": "why"}] == [one["given_up"] for one in found["requests"]]
    assert (["hint"], True) == (found["hints"], found["person_needed"])


def test_preview() -> None:
    """A preview has its numbers, its times, and where it was written."""
    found = notify_json.preview(PREVIEW)

    assert (4986, 310, ["Early bird", "Balcony"]) == (found["audience"]["mails"], found["pushes"], found["names"])
    assert ("2027-03-06T19:00:00Z", {"mail": 25.0, "push": 50.0}) == (found["begins"], found["per_second"])
    assert (PREVIEW.files, None) == (found["files"], found["reason"])
    assert notify_json.preview(replace(PREVIEW, audience=None))["audience"] is None


def test_answers() -> None:
    """The answers of `test` and `forget` have no address."""
    assert {"result": "sent", "code": "250", "reason": None, "cure": None, "message_id": "<tc.x@example.org>"} == (
        notify_json.reply(Reply(Result.SENT, "mail", code="250"), "<tc.x@example.org>")
    )
    assert {
        "rows": 1,
        "requests": 2,
        "kept": [{"campaign": "a", "until": "2026-12-01T17:00:00Z"}],
        "unreadable": 3,
    } == notify_json.forgotten(Forgotten(1, 2, (KeptRow("a", AT),), 3))
