"""What the commands of notify show, as values. No address of a person stands in any of them.

Times are in seconds since 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from server.campaign import Campaign, ChannelName, Counts, Progress, State
from server.model import EventId, SiteId, TicketId


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """How far a campaign is on one channel. `state` and `note` are as they are now, also where no worker has written them yet.

    `running`: a worker holds the right to run it. `per_second`: the limit of the channel, None = it is not set up. `message_ids`: those
    of mails that were handed over and not answered, as far as they are listed. `measured`: the pace of the last seconds, messages a
    second, where it was looked at twice.
    """

    progress: Progress
    state: State
    note: str = ""
    running: bool = False
    per_second: float | None = None
    message_ids: tuple[str, ...] = ()
    measured: float | None = None

    @property
    def counts(self) -> Counts:
        """The rows."""
        return self.progress.counts

    @property
    def candidates(self) -> int:
        """How many recipients there are: as the tool says, or as were found, which may be more; at the end those that were found.

        A list may have an address twice, which is one recipient.
        """
        if self.state is State.DONE:
            return self.counts.candidates
        return max(self.progress.total or 0, self.counts.candidates)

    @property
    def left(self) -> int:
        """Recipients that have no end yet: whose turn has not come, who wait for another try, or who are being sent to."""
        return self.candidates - self.counts.ended

    def seconds_left(self, now: float) -> float | None:
        """How long it takes at the pace that it had so far; None where nothing can be said."""
        if self.state is not State.SENDING or not self.left:
            return None
        pace = self.pace(now) or self.per_second
        return self.left / pace if pace else None

    def pace(self, now: float) -> float | None:
        """Messages a second, as measured or since it started; None while there are too few to tell."""
        if self.measured is not None:
            return self.measured
        started, ended = self.progress.started_at, self.progress.ended_at
        done = self.counts.ended - self.counts.skipped
        if started is None or done < FEWEST_FOR_A_PACE:
            return None
        return done / max(1.0, (now if ended is None else ended) - started)


UNKNOWN_IS_NEWS = 86_400.0
"""Seconds after the end of a campaign in which recipients that are unknown need a person."""
FEWEST_FOR_A_PACE = 20
"""Messages of which a pace is told."""


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """A campaign and its channels, as they were `at` this time; `zone` is the event's, None = it is not known."""

    campaign: Campaign
    channels: tuple[ChannelReport, ...]
    zone: str | None = None
    at: float = 0.0

    @property
    def person_needed(self) -> bool:
        """Whether only a person can help, or has to know: a channel is paused, or recipients are unknown, and were so lately."""
        return any(one.state is State.PAUSED or (one.counts.unknown and self._is_news(one)) for one in self.channels)

    def _is_news(self, channel: ChannelReport) -> bool:
        if not channel.state.over and channel.progress.ended_at is None:
            return True
        ends = (channel.progress.ended_at, self.campaign.stopped_at, self.campaign.deadline)
        return self.at - next(one for one in ends if one is not None) < UNKNOWN_IS_NEWS

    @property
    def over(self) -> bool:
        """Whether nothing more happens by itself."""
        return all(one.state.over for one in self.channels)


@dataclass(frozen=True, slots=True)
class PlannedStart:
    """A sale start that will be announced: `tickets` are names, `zone` is the event's."""

    site: SiteId
    event_name: str
    title: str
    tickets: tuple[str, ...]
    start: float
    deadline: float
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class PausedServer:
    """A relay or a push service that gets nothing now: why, since when, what helps, and when it is tried next."""

    name: str
    reason: str
    cure: str = ""
    since: float | None = None
    next_try: float | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Requests of visitors on their way to a tool: `kind` is opt-out or sign-up; `parked` were given up.

    `faults` and `given_up` (why those were) by what the request is about: the place of an opt-out; the event of a sign-up, as
    notify.toml names it.
    """

    site: SiteId
    kind: str
    waiting: int
    parked: int
    oldest: float | None = None
    faults: Mapping[str, str] | None = None
    given_up: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """All of it: campaigns, the newest first; what is planned, the earliest first; `hints`: what else a person should know."""

    campaigns: tuple[CampaignReport, ...]
    planned: tuple[PlannedStart, ...] = ()
    paused: tuple[PausedServer, ...] = ()
    backlogs: tuple[Backlog, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def person_needed(self) -> bool:
        """Whether only a person can help, or has to know."""
        return (
            any(one.person_needed for one in self.campaigns)
            or bool(self.paused)
            or any(one.parked for one in self.backlogs)
        )


@dataclass(frozen=True, slots=True)
class Audience:
    """Who would get a message by one tool. `members`: as the tool counts them; `read`: those that were read.

    Lines of a file that cannot be read count in both. Of these `unusable` have no address that mail can be sent to, `unusable_lines`
    are the first lines of a file of which that is so, `twice` are listed more than once, `suppressed` have left here.
    `delivery_off` and `not_in` (no members any more) are of the `asked` that the tool was asked about one by one, None = it cannot be
    asked, or says so on its pages.
    """

    place: str
    members: int
    read: int
    unusable: int = 0
    twice: int = 0
    suppressed: int = 0
    asked: int | None = None
    delivery_off: int = 0
    not_in: int = 0
    unusable_lines: tuple[int, ...] = ()

    @property
    def mails(self) -> int:
        """How many mails that makes, about."""
        return max(0, self.read - self.unusable - self.twice - self.suppressed - self.delivery_off - self.not_in)


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be announced of an event, and to how many. `start` is that of the sale; `pushes`: browsers that are told.

    `started` is when tickets that are on sale began to be, None = they have no start, or it is to come. `on_sale` and `later`: names of
    tickets that are on sale at the start, and with it but later; `starts`: those of the sale of each that is known. `reason`: why nothing can be announced
    now, "" = it can. `files`: where the message was written, "" = nowhere.
    """

    site: SiteId
    event: EventId
    event_name: str
    title: str
    begins: float | None
    zone: str | None
    start: float | None
    deadline: float | None
    tickets: tuple[TicketId, ...]
    on_sale: tuple[str, ...]
    later: tuple[str, ...]
    languages: tuple[str, ...]
    language: str
    audience: Audience | None
    pushes: int
    per_second: Mapping[ChannelName, float]
    reason: str = ""
    files: str = ""
    started: float | None = None
    starts: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A campaign that still needs the row of a person, `until` its end; `zone` is its event's."""

    campaign: str
    until: float
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted of a person: `rows` of campaigns that are over, `requests`. `kept`: campaigns that still need their row."""

    rows: int
    requests: int
    kept: tuple[KeptRow, ...] = ()
    unreadable: int = 0
