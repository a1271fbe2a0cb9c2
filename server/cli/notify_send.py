"""`notify send`: has a campaign go on that is stopped or paused, or opens one for tickets that are on sale and were not announced.

In: settings and options. Out: text or JSON, and an exit status. A person is asked first; where there is no terminal, --yes is needed.
"""

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.campaign import Campaign, State
from server.cli import notify_json, notify_service, notify_status_text, notify_text, values
from server.cli.start import print_error
from server.cli.terminal import Terminal, write
from server.errors import NotStarted
from server.notify.reports import CampaignReport, Preview
from server.settings import Settings

if TYPE_CHECKING:
    from server.notify.service import Notify

DONE, NOTHING_TO_SEND, NOT_DONE = 0, 3, 4
UNCLAIMED = "nothing was claimed or sent yet"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for besides the name."""

    site: str | None = None
    dry_run: bool = False
    again: bool = False
    yes: bool = False
    json: bool = False


def send_campaign(settings: Settings, what: str, options: Options) -> int:
    """Do it, and return the exit status. Raises NotStarted where there is nobody to ask, and what reading the audience raises."""
    if not (options.dry_run or options.yes) and (options.json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        raise NotStarted("where no terminal can ask, add --yes, or --dry-run to see how many would get it")
    return asyncio.run(_send(settings, what, options))


async def _send(settings: Settings, what: str, options: Options) -> int:
    async with notify_service.opened(settings) as notify:
        campaign = None if options.again else await notify.to_go_on(what, options.site)
        if campaign is not None:
            return await _go_on(notify, campaign, options)
        withdrawn = None if options.again else await notify.to_go_on(what, options.site, states=(State.WITHDRAWN,))
        found = await notify.to_send(what, options.site, again=options.again)
        if (found is None or found.reason) and withdrawn is not None:
            return await _go_on(notify, withdrawn, options)
        if found is None or found.reason:
            why = (
                found.reason
                if found
                else "no ticket of it is on sale that was not announced (--again announces it again)"
            )
            return _nothing(f"there is nothing to send of {what}: {why}", options)
        return await _open(notify, found, options)


async def _open(notify: "Notify", found: Preview, options: Options) -> int:
    someone = (found.audience.mails if found.audience else 0) + found.pushes
    nobody = "" if someone else f"warning: nobody would get it: the audience of {found.event_name} is empty"
    if options.dry_run:
        if options.json:
            write(notify_json.text({**notify_json.preview(found), **({"error": nobody} if nobody else {})}))
        else:
            for line in notify_text.dry_run_lines(found, notify.now):
                write(line)
    if nobody:
        notify_json.refused(nobody, json=options.json and not options.dry_run)
        return NOTHING_TO_SEND
    if options.dry_run:
        return DONE
    if not options.yes:
        for line in notify_text.preview_lines(found, notify.now, claimed=UNCLAIMED):
            write(line)
        if not _agreed():
            write("Nothing was sent.")
            return NOT_DONE
    campaign = await notify.send(found, again=options.again)
    await _told(notify, await notify.report(campaign.name, campaign.site), "is open", options)
    return DONE


async def _go_on(notify: "Notify", campaign: Campaign, options: Options) -> int:
    report = await notify.report(campaign.name, campaign.site)
    if notify.now >= campaign.deadline:
        return _nothing(f"there is nothing to send of {campaign.name}: its time is over", options)
    withdrawn = [one.note.rstrip(".") for one in report.channels if one.state is State.WITHDRAWN]
    if withdrawn and not _held(report):
        until = notify_text.at(campaign.deadline, notify.now, report.zone)
        why = "; ".join(dict.fromkeys(withdrawn))
        again = "it goes on by itself if one of its tickets can be bought again"
        return _nothing(f"{campaign.name} is withdrawn: {why}. There is nothing to do: {again} until {until}", options)
    if not _held(report):
        return _nothing(f"{campaign.name} is neither stopped nor paused", options)
    left = sum(one.left for one in report.channels)
    if options.dry_run:
        if options.json:
            write(notify_json.text(notify_json.campaign(report)))
        else:
            until = notify_text.at(campaign.deadline, notify.now, report.zone)
            write(
                f"would go on with {values.printable(campaign.name)}: {left:,} left, until {until}. Nothing was claimed or sent."
            )
        return DONE
    if not options.yes:
        for line in notify_status_text.campaign_lines(report, Terminal.of_output(), notify.now):
            write(line)
        if not _agreed():
            write("Nothing was sent.")
            return NOT_DONE
    if not await notify.go_on(campaign):
        why = "; ".join(one.note for one in report.channels if one.state is State.PAUSED)
        text = f"{campaign.name} is paused, and goes on by itself once that is mended: {why}"
        notify_json.refused(text, json=options.json)
        return NOT_DONE
    await _told(notify, await notify.report(campaign.name, campaign.site), "goes on", options)
    return DONE


async def _told(notify: "Notify", report: CampaignReport, what: str, options: Options) -> None:
    if options.json:
        write(notify_json.text(notify_json.campaign(report)))
        return
    name = values.printable(report.campaign.name)
    until = notify_text.at(report.campaign.deadline, notify.now, report.zone)
    write(
        f"{name} {what}: the workers send until {until}. How far they are: ticket-counter notify status {name} --watch"
    )
    if not await notify.is_served(report.campaign):
        print_error("no worker has read of this event: start `ticket-counter serve` or `worker`, or restart it")


def _held(report: CampaignReport) -> bool:
    """Whether a person, or a refusal, keeps it from going on."""
    return any(one.state in {State.STOPPED, State.PAUSED} for one in report.channels)


def _nothing(text: str, options: Options) -> int:
    notify_json.refused(text, json=options.json)
    return NOTHING_TO_SEND


def _agreed() -> bool:
    print("\nSend it? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - the question
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
