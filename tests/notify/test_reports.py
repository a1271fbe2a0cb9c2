from dataclasses import replace

import pytest

from server.campaign import ChannelName, Counts, Progress, State
from server.notify.reports import Audience, Backlog, CampaignReport, ChannelReport, PausedServer, Status
from tests.rig.campaigns import campaign

NOW = 1000.0


def channel(state: State = State.SENDING, total: int | None = 100, **counts: int) -> ChannelReport:
    progress = Progress(ChannelName.MAIL, state, Counts(**counts), total, started_at=NOW - 10)
    return ChannelReport(progress, state, per_second=25.0)


def test_recipients_that_are_left() -> None:
    """Who has no end yet is left: of as many as the tool names, or of as many as were found where that is more."""
    assert (100, 40) == (channel(candidates=60, sent=60).candidates, channel(candidates=60, sent=60).left)
    more = channel(candidates=120, sent=60, failed=1, skipped=2, unknown=3, waiting=4, claimed=50)
    assert (120, 54) == (more.candidates, more.left)
    assert (7, 7) == (channel(total=None, candidates=7).candidates, channel(total=None, candidates=7).left)


def test_recipients_at_the_end() -> None:
    """Of a channel that is done there are as many recipients as were found, though the tool lists an address twice."""
    done = channel(State.DONE, total=10, candidates=9, sent=7, failed=1, skipped=1)
    assert (9, 0) == (done.candidates, done.left)


def test_pace_and_time_left() -> None:
    """The pace is that since the start, of what was sent or tried; with too little of it nothing is told, but the limit counts."""
    early = channel(candidates=19, sent=19)
    assert (None, 81 / 25) == (early.pace(NOW), early.seconds_left(NOW))
    going = channel(candidates=50, sent=40, skipped=10)
    assert (4.0, 12.5) == (going.pace(NOW), going.seconds_left(NOW))
    assert (2.0, 25.0) == (replace(going, measured=2.0).pace(NOW), replace(going, measured=2.0).seconds_left(NOW))
    ended = replace(going, progress=replace(going.progress, ended_at=NOW - 5))
    assert 8.0 == ended.pace(NOW)


def test_time_left_is_not_known() -> None:
    """Of what does not send, or has nothing left, no time is told; nor where no pace and no limit is known."""
    assert channel(State.PAUSED, candidates=50, sent=50).seconds_left(NOW) is None
    assert channel(candidates=100, sent=100).seconds_left(NOW) is None
    assert replace(channel(), per_second=None).seconds_left(NOW) is None


def test_person_needed() -> None:
    """A person is needed where a channel is paused, recipients are unknown, a server is paused, or requests were given up."""
    good = CampaignReport(campaign(), (channel(), channel(State.DONE)))
    paused = CampaignReport(campaign(), (channel(), channel(State.PAUSED)))
    unknown = CampaignReport(campaign(), (channel(State.DONE, candidates=1, unknown=1),))

    assert [False, True, True] == [one.person_needed for one in (good, paused, unknown)]
    site = campaign().site
    assert [False, True, True, False, True] == [
        Status((good,)).person_needed,
        Status((good, paused)).person_needed,
        Status((good,), paused=(PausedServer("mail", "refused"),)).person_needed,
        Status((good,), backlogs=(Backlog(site, "opt-out", 1, 0),)).person_needed,
        Status((good,), backlogs=(Backlog(site, "opt-out", 0, 1),)).person_needed,
    ]


@pytest.mark.parametrize(("state", "ended"), [(State.DONE, True), (State.TOO_LATE, False), (State.STOPPED, False)])
def test_unknown_recipients_are_news_for_a_day(state: State, *, ended: bool) -> None:
    """Recipients that are unknown need a person for 24 hours after the end of their campaign, and as long as it goes on."""
    stopped = 5000.0 if state is State.STOPPED else None
    about = campaign(start=0.0, deadline=5000.0 if stopped is None else 7200.0, stopped_at=stopped)
    one = channel(state, candidates=1, unknown=1)
    one = replace(one, progress=replace(one.progress, ended_at=5000.0 if ended else None))
    going = channel(State.SENDING, candidates=1, unknown=1)

    assert [True, False] == [
        CampaignReport(about, (one,), at=5000.0 + age).person_needed for age in (86_399.0, 86_401.0)
    ]
    assert CampaignReport(about, (going,), at=1e9).person_needed


def test_mails_of_an_audience() -> None:
    """As many mails go out as members were read, less those who get none for any reason."""
    assert 5028 - 28 - 14 == Audience("x", 5028, 5028, suppressed=14, asked=5014, delivery_off=28).mails
    assert 3 == Audience("x", 9, 9, unusable=1, twice=1, suppressed=1, asked=6, delivery_off=1, not_in=2).mails
    assert 0 == Audience("x", 0, 1, unusable=2).mails
