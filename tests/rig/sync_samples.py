"""Plans, differences and the status of targets as values, with all that their texts and JSON have to show.

local_time   times are shown in UTC, whatever the time zone of the machine
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from server.cli.values import Meaning
from server.sync.model import (
    NOT_KNOWN,
    FieldChange,
    Kind,
    Missing,
    Operation,
    OptionChange,
    Plan,
    Reason,
    State,
    TargetEvent,
    Value,
)
from server.sync.reports import Diff, Parked, TargetStatus, TicketDiff

SITE = "5f0e4d3c-1111-4111-8111-00000000b001"
EVENT = "e0000000-0000-4000-8000-000000000001"


@pytest.fixture
def local_time() -> Iterator[None]:
    """UTC as the time zone of this process."""
    before = os.environ.get("TZ")
    set_zone("UTC")
    yield
    set_zone(before)


def set_zone(name: str | None) -> None:
    """Make this the time zone of the process; None: that of the machine."""
    if name is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = name
    time.tzset()


def at(clock: str, day: int = 10) -> float:
    """This time of a day in March 2027 in UTC; the 10th is a Wednesday."""
    found = datetime.strptime(f"2027-03-{day:02} {clock}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return found.timestamp()


MEANING = Meaning(frozenset({"price", "default_price"}), frozenset({"limit", "size"}))
"""What the fields of these plans mean."""

NOW = at("10:02:13")


def ticket(digit: int) -> str:
    """The id of a ticket, which begins with eight times this digit."""
    return f"{str(digit) * 8}-2222-4333-8444-555555555555"


def change(
    name: str, wix: Value, applied: Value | Missing = NOT_KNOWN, target: Value | Missing = NOT_KNOWN
) -> FieldChange:
    """A field that differs."""
    return FieldChange(name, wix, applied, target)


def option(name: str, price: str) -> OptionChange:
    """An option that is created."""
    return OptionChange(Kind.CREATE, f"option-{name}", name, None, (change("price", price),))


CREATE = Operation(
    Kind.CREATE,
    ticket(2),
    "Family day",
    None,
    Reason.NEW,
    (change("name", "Family day"), change("limit", 60)),
    (option("Adult", "20.00"), option("Child", "8.50"), option("Senior", "12.00")),
)
ADOPT = Operation(
    Kind.ADOPT,
    ticket(7),
    "Early bird",
    "41",
    Reason.SAME_NAME,
    (change("price", "18.00", target="15.00"),),
    text="same name, no id yet",
    cure=f"sync adopt {ticket(7)} --record 41, or sync apply --adopt",
)
UPDATE = Operation(
    Kind.UPDATE,
    ticket(1),
    "General admission",
    "12",
    Reason.BOTH,
    (change("price", "27.50", "25.00", "25.00"), change("limit", 100, 100, 120)),
)
CONFLICT = Operation(
    Kind.CONFLICT,
    ticket(4),
    "Pay what you like",
    "18",
    Reason.TWO_RECORDS,
    others=("44",),
    text="records 18 and 44 bear its id; 44 is younger and looks like a copy",
    cure=f"sync adopt {ticket(4)} --record 18",
)
DEACTIVATE = Operation(
    Kind.DEACTIVATE,
    ticket(3),
    "Friends",
    "15",
    Reason.DELETED,
    text="deleted in Wix; 12 orders, so it stays and is taken off sale",
)


def plan(
    *operations: Operation, equal: int = 245, left_alone: int = 9, unread: int = 0, title: str = "Spring Gala"
) -> Plan:
    """A plan of these operations."""
    return Plan(
        target="pretix-main",
        site=SITE,
        event=EVENT,
        title=title,
        target_event=TargetEvent("wixorg/ev1", "Gala", "EUR"),
        read_at=at("10:02:11"),
        target_read_at=at("10:02:12"),
        operations=operations,
        equal=equal,
        left_alone=left_alone,
        unread=unread,
    )


PLAN = plan(CREATE, ADOPT, UPDATE, CONFLICT, DEACTIVATE)

DIFF = Diff(
    PLAN,
    (
        TicketDiff(
            ticket(1),
            "General admission",
            "12",
            at("09:58:00"),
            (
                change("price", "27.50", "25.00", "25.00"),
                change("limit", 100, 100, 120),
                change("position", 3, target=1),
            ),
            (),
        ),
    ),
    equal=245,
    without=4,
)


def status(name: str, **given: object) -> TargetStatus:
    """A target that runs, with all of its 250 records equal, unless something else is given."""
    usual: dict[str, object] = {
        "name": name,
        "mode": "apply",
        "records": 250,
        "equal": 250,
        "answer": "200",
        "latency_ms": 38.2,
        "faults": 0,
        "due": 0,
        "oldest": None,
        "parked": 0,
        "conflicts": 0,
        "audit_age": 720.0,
        "wait": None,
        "paused": None,
        "paused_for": None,
        "events": (EVENT,),
        "limited": (),
    }
    return TargetStatus(**{**usual, **given})  # type: ignore[arg-type]


STATUS = (
    status("pretix-main", equal=245, due=4, oldest=1.4, parked=1, conflicts=1),
    status(
        "box-office",
        equal=None,
        answer="503",
        latency_ms=None,
        faults=14,
        due=250,
        oldest=1260.0,
        parked=1,
        audit_age=3600.0,
        wait=48.0,
    ),
    status(
        "old-shop", records=12, equal=12, latency_ms=120.0, audit_age=480.0, paused="moving", paused_for=3 * 86400.0
    ),
)

PARKED = (
    Parked(
        "pretix-main",
        SITE,
        ticket(2),
        "Family day",
        State.REFUSED,
        at("10:04:00"),
        1,
        "400 internal_name: at most 255 characters",
        "",
    ),
    Parked(
        "box-office",
        SITE,
        ticket(9),
        "Gala dinner",
        State.UNSURE,
        at("17:30:00", day=5),
        9,
        "its create was not answered and no record is found: it may still appear",
        "",
    ),
)
