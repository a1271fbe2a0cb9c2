"""`notify status --watch`: shows campaigns while they run, as a bar on a terminal, and as lines elsewhere.

In: notify, opened. Out: text or JSON as campaigns go on; it returns when nothing more happens by itself.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from server.campaign import ChannelName
from server.cli import notify_json, notify_status_text
from server.cli.terminal import Terminal, write
from server.notify.reports import CampaignReport

if TYPE_CHECKING:
    from server.notify.kept_campaigns import KeptCampaigns

LOOK_EVERY = 1.0
"""Seconds."""
LINES_EVERY = 10.0
"""Seconds between two times that lines are printed where there is no terminal."""
SAMPLES = 10
"""Looks of which the pace is made."""


async def watch_campaigns(notify: "KeptCampaigns", campaign: str | None, site: str | None, *, json: bool) -> bool:
    """Show this campaign, or all that go on; answers whether a person is needed at the end."""
    paces = Paces()
    shown = Shown(json=json)
    with shown:
        while True:
            found = await _reports(notify, campaign, site)
            reports = [paces.measured(one) for one in found]
            going = [one for one in reports if _goes_on(one, notify.now)]
            shown.update(going or reports, notify.now)
            if not going:
                break
            await asyncio.sleep(LOOK_EVERY)
    shown.end(reports, notify.now)
    return any(one.person_needed for one in reports)


async def _reports(notify: "KeptCampaigns", campaign: str | None, site: str | None) -> Sequence[CampaignReport]:
    if campaign is not None:
        return [await notify.report(campaign, site)]
    return (await notify.status(site)).campaigns


def _goes_on(report: CampaignReport, now: float) -> bool:
    return any(not notify_status_text.over(channel, report, now) for channel in report.channels)


class Paces:
    """Measures the pace of each channel between looks."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, ChannelName], deque[tuple[float, int]]] = {}

    def measured(self, report: CampaignReport) -> CampaignReport:
        """The report with the pace of the last looks."""
        channels = []
        for one in report.channels:
            key = (report.campaign.site, report.campaign.name, one.progress.channel)
            seen = self._seen.setdefault(key, deque(maxlen=SAMPLES))
            seen.append((time.monotonic(), one.counts.ended - one.counts.skipped))
            (began, before), (now, done) = seen[0], seen[-1]
            channels.append(replace(one, measured=(done - before) / (now - began)) if done > before else one)
        return replace(report, channels=tuple(channels))


class Shown:
    """What is shown: a bar on standard error where that is a terminal, else lines on standard output now and then."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._live: Live | None = None
        self._last: list[str] = []
        self._due = 0.0
        if sys.stderr.isatty() and not json:
            self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, reports: Sequence[CampaignReport], now: float) -> None:
        """Show how far they are."""
        if self._live is not None:
            lines = _lines(reports, Terminal.of(sys.stderr), now)
            self._live.update(Text.from_ansi("\n".join(lines)), refresh=True)
        elif time.monotonic() >= self._due:
            self._print(reports, now)

    def end(self, reports: Sequence[CampaignReport], now: float) -> None:
        """Show what they came to."""
        self._print(reports, now)

    def _print(self, reports: Sequence[CampaignReport], now: float) -> None:
        if self._json:
            lines = [notify_json.text(notify_json.campaign(one)) for one in reports]
        else:
            lines = _lines(reports, Terminal.of_output(), now)
        if lines != self._last:
            for line in lines:
                write(line)
        self._last, self._due = lines, time.monotonic() + LINES_EVERY


def _lines(reports: Sequence[CampaignReport], terminal: Terminal, now: float) -> list[str]:
    found = []
    for one in reports:
        found += [one.campaign.name] if len(reports) > 1 else []
        found += notify_status_text.campaign_lines(one, terminal, now)
    return found
