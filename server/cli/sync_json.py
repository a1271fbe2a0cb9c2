"""Plans, outcomes, differences, status and parked tickets as JSON, for programs: `"format": 1` stands in each.

Values are whole, and in the form of server/sync/model.py. Times are ISO 8601 in UTC, durations in seconds. A member that is missing is
*not known*; null is a value: no end, no limit, no record. A command in a `cure` is whole, as it is typed.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from server.cli.plan_text import cure
from server.sync.definition import iso
from server.sync.model import FieldChange, Missing, Operation, OptionChange, Outcome, Plan, Value
from server.sync.reports import Diff, Parked, Summary, TargetStatus, TicketDiff

FORMAT = 1
"""Raised when a member changes its meaning or goes; new ones may come without."""

Json = dict[str, Any]


def text(found: Mapping[str, Any]) -> str:
    """One object on one line; only ASCII, so that no name of a ticket can control a terminal."""
    return json.dumps({"format": FORMAT, **found})


def plan(found: Plan) -> Json:
    """`sync plan --json`."""
    return {
        **_about(found),
        "operations": [_operation(one, found.target, found.event) for one in found.operations],
        "equal": found.equal,
        "left_alone": found.left_alone,
        "notes": list(found.notes),
    }


def outcome(found: Outcome, target: str, event: str) -> Json:
    """`sync apply --json`: what became of one operation on an event of Wix at a target."""
    return {
        "type": "operation",
        "state": str(found.state),
        "text": found.text,
        "written_record": found.record,
        **_operation(found.operation, target, event),
    }


def summary(found: Summary, about: Plan) -> Json:
    """The last line of `sync apply --json`."""
    return {
        "type": "sum",
        **_about(about),
        "done": {str(kind): number for kind, number in found.done.items()},
        "open": len(found.open),
        "person_needed": found.person_needed,
        "seconds": round(found.seconds, 3),
        "workers": str(found.workers),
    }


def other_digest(about: Plan) -> Json:
    """The only line of `sync apply --json` where the plan is not the one that was approved: nothing was written."""
    return {"type": "other_digest", **_about(about), "person_needed": True}


def diff(found: Diff) -> Json:
    """`sync diff --json`."""
    return {
        **_about(found.plan),
        "tickets": [_ticket_diff(one) for one in found.tickets],
        "equal": found.equal,
        "without": found.without,
    }


def status(found: Iterable[TargetStatus]) -> Json:
    """`sync status --json`: null for what is not known, or is not the case."""
    return {
        "targets": [
            {
                "name": one.name,
                "mode": one.mode,
                "records": one.records,
                "equal": one.equal,
                "answer": one.answer,
                "latency_ms": one.latency_ms,
                "faults": one.faults,
                "due": one.due,
                "oldest": one.oldest,
                "parked": one.parked,
                "conflicts": one.conflicts,
                "audit_age": one.audit_age,
                "wait": one.wait,
                "paused": one.paused,
                "paused_for": one.paused_for,
                "events": list(one.events),
                "limited": list(one.limited),
                "workers": str(one.workers),
            }
            for one in found
        ]
    }


def parked(found: Iterable[Parked]) -> Json:
    """`sync parked --json`."""
    return {
        "parked": [
            {
                "target": one.target,
                "site": one.site,
                "event": one.event,
                "ticket": one.ticket,
                "name": one.name,
                "state": str(one.state),
                "at": iso(one.at),
                "tries": one.tries,
                "text": one.text,
                "cure": cure(one.cure, one.target, one.event),
            }
            for one in found
        ]
    }


def _about(found: Plan) -> Json:
    """What a plan was made from."""
    return {
        "target": found.target,
        "site": found.site,
        "event": found.event,
        "title": found.title,
        "target_event": {
            "key": found.target_event.key,
            "name": found.target_event.name,
            "currency": found.target_event.currency,
        },
        "read_at": None if found.read_at is None else iso(found.read_at),
        "target_read_at": iso(found.target_read_at),
        "complete": not found.unread,
        "unread": found.unread,
        "digest": found.digest,
    }


def _operation(found: Operation, target: str, event: str) -> Json:
    return {
        "kind": str(found.kind),
        "ticket": found.ticket,
        "name": found.name,
        "record": found.record,
        "reason": str(found.reason),
        "why": found.text,
        "fields": [_field(one) for one in found.fields],
        "options": [_option(one) for one in found.options],
        "others": list(found.others),
        "edits": found.edits,
        "cure": cure(found.cure, target, event),
    }


def _option(found: OptionChange) -> Json:
    return {
        "kind": str(found.kind),
        "id": found.id,
        "name": found.name,
        "key": found.key,
        "fields": [_field(one) for one in found.fields],
    }


def _field(found: FieldChange) -> Json:
    sides: dict[str, Value | Missing] = {"wix": found.wix, "applied": found.applied, "target": found.target}
    return {"name": found.name, **{side: value for side, value in sides.items() if not isinstance(value, Missing)}}


def _ticket_diff(found: TicketDiff) -> Json:
    return {
        "ticket": found.ticket,
        "name": found.name,
        "record": found.record,
        **({} if found.applied_at is None else {"applied_at": iso(found.applied_at)}),
        "fields": [_field(one) for one in found.fields],
        "options": [_option(one) for one in found.options],
    }
