"""Campaigns, previews and what became of a command of notify, also that it was refused, as JSON, for programs: `"format": 1` stands in each.

Times are ISO 8601 in UTC, durations in seconds. null is what is not known, or is not the case. No address of a person is in it.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from server.campaign import State
from server.cli.notify_status_text import waiting
from server.cli.start import print_error
from server.cli.terminal import write
from server.notify.channels.channel import Reply
from server.notify.reports import CampaignReport, ChannelReport, Forgotten, Preview, Status

FORMAT = 1
"""Raised when a member changes its meaning or goes; new ones may come without."""

Json = dict[str, Any]


def text(found: Mapping[str, Any]) -> str:
    """One object on one line; only ASCII, so that no name of a ticket can control a terminal."""
    return json.dumps({"format": FORMAT, **found})


def refused(reason: str, *, json: bool) -> None:
    """Say on standard error why nothing was done; with *json* as an object on standard output, too."""
    if json:
        write(text({"error": reason}))
    print_error(reason)


def status(found: Status) -> Json:
    """`notify status --json`."""
    return {
        "campaigns": [campaign(one) for one in found.campaigns],
        "planned": [
            {
                "site": one.site,
                "event": one.event_name,
                "title": one.title,
                "tickets": list(one.tickets),
                "start": _time(one.start),
                "deadline": _time(one.deadline),
                "zone": one.zone,
            }
            for one in found.planned
        ],
        "paused": [
            {
                "server": one.name,
                "reason": one.reason,
                "cure": one.cure,
                "since": _time(one.since),
                "next_try": _time(one.next_try),
            }
            for one in found.paused
        ],
        "requests": [
            {
                "site": one.site,
                "kind": one.kind,
                "waiting": one.waiting,
                "parked": one.parked,
                "oldest": _time(one.oldest),
                "faults": dict(one.faults or {}),
                "given_up": dict(one.given_up or {}),
            }
            for one in found.backlogs
        ],
        "hints": list(found.hints),
        "person_needed": found.person_needed,
    }


def campaign(found: CampaignReport) -> Json:
    """`notify status CAMPAIGN --json`."""
    one = found.campaign
    return {
        "campaign": one.name,
        "site": one.site,
        "event": one.event_name,
        "title": one.title,
        "tickets": list(one.tickets),
        "start": _time(one.start),
        "deadline": _time(one.deadline),
        "zone": found.zone,
        "opened_at": _time(one.opened_at),
        "opened_by": one.opened_by,
        "stopped_at": _time(one.stopped_at),
        "stopped_by": one.stopped_by or None,
        "state": _state(found),
        "channels": {str(channel.progress.channel): _channel(channel) for channel in found.channels},
        "reasons": {str(channel.progress.channel): _reasons(channel) for channel in found.channels},
        "message_ids": [id_ for channel in found.channels for id_ in channel.message_ids],
        "person_needed": found.person_needed,
    }


def preview(found: Preview) -> Json:
    """`notify preview --json`, and `notify send --dry-run --json`."""
    about = found.audience
    return {
        "site": found.site,
        "event": found.event_name,
        "title": found.title,
        "begins": _time(found.begins),
        "zone": found.zone,
        "started": _time(found.started),
        "start": _time(found.start),
        "deadline": _time(found.deadline),
        "tickets": list(found.tickets),
        "names": [*found.on_sale, *found.later],
        "languages": list(found.languages),
        "language": found.language,
        "audience": None
        if about is None
        else {
            "place": about.place,
            "members": about.members,
            "read": about.read,
            "unusable": about.unusable,
            "unusable_lines": list(about.unusable_lines),
            "twice": about.twice,
            "suppressed": about.suppressed,
            "asked": about.asked,
            "delivery_off": about.delivery_off,
            "not_in": about.not_in,
            "mails": about.mails,
        },
        "pushes": found.pushes,
        "per_second": {str(name): pace for name, pace in found.per_second.items()},
        "reason": found.reason or None,
        "files": found.files or None,
    }


def reply(found: Reply, message_id: str) -> Json:
    """`notify test --json`."""
    return {
        "result": str(found.result),
        "code": found.code or None,
        "reason": found.reason or None,
        "cure": found.cure or None,
        "message_id": message_id,
    }


def forgotten(found: Forgotten) -> Json:
    """`notify forget --json`."""
    return {
        "rows": found.rows,
        "requests": found.requests,
        "kept": [{"campaign": one.campaign, "until": _time(one.until)} for one in found.kept],
        "unreadable": found.unreadable,
    }


def unsuppressed(lists: int) -> Json:
    """`notify unsuppress --json`."""
    return {"lists": lists}


def _state(found: CampaignReport) -> str:
    """The state of all channels in one word: that of the channel that needs a person, else that goes on, else any."""
    states = [one.state for one in found.channels]
    needing = [one for one in states if one is State.PAUSED]
    going = [one for one in states if not one.over]
    return str(next(iter((*needing, *going, *states)), "none"))


def _channel(found: ChannelReport) -> Json:
    counts = found.counts
    return {
        "state": str(found.state),
        "note": found.note or None,
        "candidates": found.candidates,
        "sent": counts.sent,
        "waiting": waiting(found),
        "failed": counts.failed,
        "skipped": counts.skipped,
        "unknown": counts.unknown,
        "put_off": counts.waiting,
        "in_flight": counts.claimed,
        "passes": found.progress.passes,
        "started_at": _time(found.progress.started_at),
        "ended_at": _time(found.progress.ended_at),
        "next_try": _time(found.progress.next_try),
        "running": found.running,
    }


def _reasons(found: ChannelReport) -> Json:
    reasons: Json = {}
    for (state, reason), number in found.progress.reasons.items():
        reasons.setdefault(str(state), {})[reason] = number
    return reasons


def _time(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
