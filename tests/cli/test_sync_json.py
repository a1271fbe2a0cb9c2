import json
from dataclasses import replace
from typing import Any

import pytest

from server.cli import sync_json
from server.sync.model import Kind, Outcome, State
from server.sync.reports import Summary
from tests.rig.sync_samples import CONFLICT, CREATE, DIFF, EVENT, PARKED, PLAN, STATUS, UPDATE, plan

ABOUT = {
    "target": "pretix-main",
    "site": "5f0e4d3c-1111-4111-8111-00000000b001",
    "event": "e0000000-0000-4000-8000-000000000001",
    "title": "Spring Gala",
    "target_event": {"key": "wixorg/ev1", "name": "Gala", "currency": "EUR"},
    "read_at": "2027-03-10T10:02:11Z",
    "target_read_at": "2027-03-10T10:02:12Z",
    "complete": True,
    "unread": 0,
    "digest": PLAN.digest,
}

OPERATION = {
    "kind": "update",
    "ticket": "11111111-2222-4333-8444-555555555555",
    "name": "General admission",
    "record": "12",
    "reason": "both",
    "why": "",
    "fields": [
        {"name": "price", "wix": "27.50", "applied": "25.00", "target": "25.00"},
        {"name": "limit", "wix": 100, "applied": 100, "target": 120},
    ],
    "options": [],
    "others": [],
    "edits": 1,
    "cure": "",
}


def test_plan() -> None:
    """A plan as JSON has all that it was made from, and each operation with whole values; what is not known is left out."""
    found = sync_json.plan(PLAN)

    assert ABOUT == {name: found[name] for name in ABOUT}
    assert [245, 9, []] == [found["equal"], found["left_alone"], found["notes"]]
    assert ["create", "adopt", "update", "conflict", "deactivate"] == [one["kind"] for one in found["operations"]]
    create, adopt, update, conflict, _ = found["operations"]
    assert OPERATION == update
    assert {"name": "limit", "wix": 60} == create["fields"][1]
    assert {
        "kind": "create",
        "id": "option-Child",
        "name": "Child",
        "key": None,
        "fields": [{"name": "price", "wix": "8.50"}],
    } == create["options"][1]
    assert {"name": "price", "wix": "18.00", "target": "15.00"} == adopt["fields"][0]
    assert ["44"] == conflict["others"]
    assert f"ticket-counter sync adopt {conflict['ticket']} --to pretix-main --record 18" == conflict["cure"]
    assert adopt["cure"].endswith(f" --record 41, or ticket-counter sync apply {EVENT} --to pretix-main --adopt")


def test_plan_of_unread_tickets() -> None:
    """A plan that does not know all tickets is not complete."""
    found = sync_json.plan(plan(unread=2))

    assert [False, 2] == [found["complete"], found["unread"]]


def test_apply() -> None:
    """An apply has an object for each operation, and the sum as the last."""
    done = sync_json.outcome(Outcome(UPDATE, State.EQUAL, "replaces record 3", record="12"), "shop", EVENT)
    open_ = sync_json.outcome(Outcome(CONFLICT, State.CONFLICT, "two records"), "shop", EVENT)
    left = Outcome(CREATE, State.REFUSED, "400")
    summary = sync_json.summary(Summary({Kind.UPDATE: 1}, (left,), 1.23456), PLAN)

    assert {
        "type": "operation",
        "state": "equal",
        "text": "replaces record 3",
        "written_record": "12",
        **OPERATION,
    } == done
    assert f"ticket-counter sync adopt {CONFLICT.ticket} --to shop --record 18" == open_["cure"]
    assert {
        "type": "sum",
        **ABOUT,
        "done": {"update": 1},
        "open": 1,
        "person_needed": True,
        "seconds": 1.235,
        "workers": "run",
    } == summary
    assert {"type": "other_digest", **ABOUT, "person_needed": True} == sync_json.other_digest(PLAN)


def test_diff() -> None:
    """A difference has the three sides of each field; a side that is missing is not known."""
    found = sync_json.diff(DIFF)

    assert [245, 4] == [found["equal"], found["without"]]
    assert [
        {
            "ticket": "11111111-2222-4333-8444-555555555555",
            "name": "General admission",
            "record": "12",
            "applied_at": "2027-03-10T09:58:00Z",
            "fields": [*OPERATION["fields"], {"name": "position", "wix": 3, "target": 1}],  # type: ignore[misc]
            "options": [],
        }
    ] == found["tickets"]


def test_status() -> None:
    """The status has each target with its numbers; null is what is not known, or is not the case."""
    first, second, third = sync_json.status(STATUS)["targets"]

    assert {
        "name": "pretix-main",
        "mode": "apply",
        "records": 250,
        "equal": 245,
        "answer": "200",
        "latency_ms": 38.2,
        "faults": 0,
        "due": 4,
        "oldest": 1.4,
        "parked": 1,
        "conflicts": 1,
        "audit_age": 720.0,
        "wait": None,
        "paused": None,
        "paused_for": None,
        "events": ["e0000000-0000-4000-8000-000000000001"],
        "limited": [],
        "workers": "run",
    } == first
    assert [None, 48.0] == [second["equal"], second["wait"]]
    assert ["moving", 259200.0] == [third["paused"], third["paused_for"]]


@pytest.mark.parametrize(("event", "named"), [(EVENT, EVENT), ("", "EVENT")])
def test_cures_of_parked(event: str, named: str) -> None:
    """What helps a parked ticket is a whole command, with the event where that is known."""
    one = replace(PARKED[0], cure="sync apply --deactivate 37", event=event)

    [found] = sync_json.parked([one])["parked"]
    assert event == found["event"]
    assert f"ticket-counter sync apply {named} --to pretix-main --deactivate 37" == found["cure"]


def test_parked() -> None:
    """Parked tickets are listed with their times in UTC."""
    assert {
        "target": "pretix-main",
        "site": "5f0e4d3c-1111-4111-8111-00000000b001",
        "event": "",
        "ticket": "22222222-2222-4333-8444-555555555555",
        "name": "Family day",
        "state": "refused",
        "at": "2027-03-10T10:04:00Z",
        "tries": 1,
        "text": "400 internal_name: at most 255 characters",
        "cure": "",
    } == sync_json.parked(PARKED)["parked"][0]


@pytest.mark.parametrize("found", [sync_json.plan(PLAN), sync_json.diff(DIFF), sync_json.status(STATUS), {"due": 1}])
def test_format(found: dict[str, Any]) -> None:
    """Each object is one line that names the format, version 1, first, and is the same when it is read again."""
    text = sync_json.text(found)

    assert text.startswith('{"format": 1, ')
    assert 1 == len(text.splitlines())
    assert {"format": 1, **found} == json.loads(text)


def test_names_are_whole_and_harmless() -> None:
    """Every character of a name is there after reading, and none of them can control a terminal before."""
    name = "\x1b[2J\u202e🎟️\u2028\x9b\ud800[b]"
    text = sync_json.text({"name": name})

    assert text.isascii()
    assert text.isprintable()
    assert name == json.loads(text)["name"]
