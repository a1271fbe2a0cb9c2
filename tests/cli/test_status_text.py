import re
from dataclasses import replace

import pytest

from server.cli.status_text import Outcomes, parked_lines, retried, status_lines, summary_lines
from server.cli.table import columns_of
from server.cli.terminal import Terminal
from server.sync.model import Kind, Outcome, State
from server.sync.reports import Summary, Workers
from tests.rig.sync_samples import CONFLICT, CREATE, DEACTIVATE, PARKED, STATUS, UPDATE, at, status

pytestmark = pytest.mark.usefixtures("local_time")

WIDE = Terminal(200)
NOW = at("10:05:00")


def test_status() -> None:
    """The status has a row for each target: what is equal, whether it answers, what is due or parked, and whether it is written."""
    assert (
        """\
target        equal        answers             due   oldest   parked   conflicts   audit        state
pretix-main   245 of 250   yes, 38 ms            4   1.4 s         1           1   12 min ago   running
box-office    not known    no: 503, 14 times   250   21 min        1           0   1 h ago      waits, next try in 48 s
old-shop      12 of 12     yes, 120 ms           0   -             0           0   8 min ago    paused for 3 days: "moving"
""".splitlines()
        == list(status_lines(STATUS, WIDE))
    )


def test_status_on_a_narrow_terminal() -> None:
    """Where the rows do not fit, each target has a block of lines, which do."""
    found = list(status_lines(STATUS, Terminal(60)))

    assert ["pretix-main", "  equal       245 of 250", "  answers     yes, 38 ms"] == found[:3]
    assert ["pretix-main", "box-office", "old-shop"] == [line for line in found if not line.startswith(" ")]
    assert [] == [line for line in found if columns_of(line) > 60]
    assert list(status_lines(STATUS, Terminal())) == list(status_lines(STATUS, WIDE))


@pytest.mark.parametrize(
    ("given", "column", "text"),
    [
        ({"equal": None, "faults": 0, "latency_ms": None, "answer": ""}, "answers", "not asked yet"),
        ({"latency_ms": None, "answer": "", "workers": Workers.NONE}, "answers", "not asked now"),
        ({"faults": 1, "answer": "401"}, "answers", "no: 401"),
        ({"faults": 1, "answer": ""}, "answers", "no"),
        ({"latency_ms": None, "answer": "200"}, "answers", "yes, 200"),
        ({"audit_age": None}, "audit", "not yet"),
        ({"mode": "observe"}, "state", "observe"),
        ({"workers": Workers.RUN}, "state", "running"),
        ({"workers": Workers.OTHER_SETTINGS}, "state", "running"),
        ({"workers": Workers.NONE}, "state", "no worker"),
        ({"workers": Workers.NONE, "mode": "observe"}, "state", "observe"),
        ({"workers": Workers.NONE, "wait": 48.0}, "state", "waits, next try in 48 s"),
        ({"workers": Workers.NONE, "paused": "moving"}, "state", 'paused: "moving"'),
        ({"paused": "a\x1b[2Jb", "paused_for": None}, "state", 'paused: "a [2Jb"'),
    ],
)
def test_status_of_one(given: dict[str, object], column: str, text: str) -> None:
    """Each column says what is known, and that nothing is known."""
    blocks = list(status_lines([status("shop", **given)], Terminal(40)))

    assert text in [line.split("   ", 1)[-1].strip() for line in blocks if line.strip().startswith(column)]


def test_status_of_events() -> None:
    """A target without events says how to begin, and an event that waits for a number says the command."""
    found = list(
        status_lines(
            [status("shop", events=(), limited=("Gala: 37 wait: ticket-counter sync apply x --to shop\x1b[2J",))], WIDE
        )
    )
    assert [
        "No event is synced to shop before its first `ticket-counter sync apply`.",
        "shop: Gala: 37 wait: ticket-counter sync apply x --to shop [2J",
    ] == found[2:]


def test_parked() -> None:
    """Parked tickets are rows: where, which, what kind, since when, after how many tries, and the target's own words."""
    assert (
        """\
pretix-main   Family day    22222222   refused   10:04, try 1   400 internal_name: at most 255 characters
box-office    Gala dinner   99999999   unsure    Fri, try 9     its create was not answered and no record is found: it may still appear
2 parked. Each tries again when its ticket, the mapping or the credentials change, and once a day. Now: ticket-counter sync retry
""".splitlines()
        == list(parked_lines(PARKED, WIDE, NOW))
    )


def test_parked_conflicts() -> None:
    """A conflict in that list says how a person decides; with nothing parked that is the only line."""
    conflict = replace(PARKED[0], state=State.CONFLICT, text="", cure=f"sync adopt {PARKED[0].ticket} --record 18")

    found = list(parked_lines([conflict], WIDE, NOW))
    assert found[0].endswith("   a person decides")
    assert f"  to do: ticket-counter sync adopt {conflict.ticket} --to pretix-main --record 18" == found[1]
    assert found[2].startswith("1 conflict. It tries again ")
    assert ["Nothing is parked."] == list(parked_lines([], WIDE, NOW))
    assert list(parked_lines([conflict, PARKED[1]], WIDE, NOW))[-1].startswith("1 parked, 1 conflict. ")


def test_parked_with_one_cure() -> None:
    """What helps several tickets in a row is said once, below the last of them; the cures of a target and an event are its own."""
    limit = replace(PARKED[0], state=State.LIMIT, text="37 of 40", cure="sync apply --deactivate 37", event="gala")
    other = replace(limit, target="shop")
    found = list(parked_lines([limit, limit, limit, other, replace(other, event="")], WIDE, NOW))

    assert [
        "  to do: ticket-counter sync apply gala --to pretix-main --deactivate 37",
        "  to do: ticket-counter sync apply gala --to shop --deactivate 37",
        "  to do: ticket-counter sync apply EVENT --to shop --deactivate 37",
    ] == [found[3], found[5], found[7]]
    assert 9 == len(found)


def test_parked_off_a_terminal() -> None:
    """Off a terminal ids are whole and nothing is wrapped; on a narrow one the reason is wrapped."""
    assert PARKED[0].ticket in next(parked_lines(PARKED, Terminal(), NOW))
    assert 3 == len(list(parked_lines(PARKED, Terminal(), NOW)))
    assert [] == [line for line in list(parked_lines(PARKED, Terminal(90), NOW))[:-1] if columns_of(line) > 90]


def test_outcomes() -> None:
    """What was done is shown as in the plan, with the record and what to know of it; what was not is marked `!`, with the reason and what to do."""
    outcomes = Outcomes([CREATE, UPDATE, CONFLICT, DEACTIVATE], "shop", "gala", WIDE)
    found = [
        Outcome(CREATE, State.EQUAL, record="51"),
        Outcome(CREATE, State.EQUAL, "replaces record 3", record="51"),
        Outcome(replace(CREATE, record=None), State.EQUAL, "nothing\x1b[1m was left"),
        Outcome(DEACTIVATE, State.GONE),
        Outcome(CREATE, State.UNSURE),
        Outcome(UPDATE, State.REFUSED, "400 price: too\x1b[1m high"),
        Outcome(CONFLICT, State.CONFLICT, "two records"),
    ]

    assert [
        "+ create      Family day          22222222   record 51",
        "+ create      Family day          22222222   record 51; replaces record 3",
        "+ create      Family day          22222222   nothing [1m was left",
        "- deactivate  Friends             33333333   record 15",
        "! unsure      Family day          22222222   the outcome is not known",
        "! refused     General admission   11111111   400 price: too [1m high",
        "! conflict    Pay what you like   44444444   two records",
        f"  to do: ticket-counter sync adopt {CONFLICT.ticket} --to shop --record 18",
    ] == [line for one in found for line in outcomes.lines(one)]


def test_outcomes_elsewhere() -> None:
    """An outcome may be of an operation that was not planned; with colours only the word has one."""
    outcomes = Outcomes([], "shop", "gala", Terminal(200, colour=True))

    assert [f"\x1b[35m! unsure    \x1b[0m  Family day   {CREATE.ticket}   the outcome is not known"] == list(
        outcomes.lines(Outcome(CREATE, State.UNSURE))
    )


@pytest.mark.parametrize("state", [one for one in State if one not in {State.EQUAL, State.GONE}])
def test_outcome_without_text(state: State) -> None:
    """An outcome that brings no text of its own still says what it means."""
    assert re.search(
        r"11111111   \w.{8,}",
        next(Outcomes([CREATE, UPDATE, CONFLICT], "shop", "gala", WIDE).lines(Outcome(UPDATE, state))),
    )


def test_summary() -> None:
    """The end of an apply says what was done, how long it took, what is left, and what happens from then on."""
    further = "Further changes in Wix are applied to shop as they happen, by `ticket-counter serve` or `worker`."

    assert ["Done: 2 create, 1 update, in 1.9 s.", further] == list(
        summary_lines(Summary({Kind.UPDATE: 1, Kind.CREATE: 2}, (), 1.9), "shop")
    )
    assert ["Nothing was to be done, in 0.2 s.", further] == list(summary_lines(Summary({}, (), 0.2), "shop"))
    for workers, says in ((Workers.NONE, "no worker runs"), (Workers.OTHER_SETTINGS, "restart")):
        *_, last = summary_lines(Summary({}, (), 0.2, workers), "shop")
        assert says in last
    assert [
        "Nothing was done, in 0.2 s.",
        "1 not done: `ticket-counter sync parked` and `sync plan` say why, and what to do.",
        further,
    ] == list(summary_lines(Summary({}, (Outcome(CONFLICT, State.CONFLICT),), 0.2), "shop"))


def test_retried() -> None:
    """The answer of a retry says how many are due."""
    assert "Nothing is parked, so nothing is tried again." == retried(0)
    assert "1 ticket is due again: `ticket-counter sync status` shows what becomes of it." == retried(1)
    assert "2 tickets are due again: `ticket-counter sync status` shows what becomes of them." == retried(2)
