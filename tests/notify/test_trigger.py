"""The trigger decides by what is so now."""

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.campaign import Campaign
from server.model import TicketId
from server.notify.trigger import Decision, Joining, Opening, TicketView, decide
from tests.rig.campaigns import campaign

HOUR = 3600.0
START = 1_796_148_000.0
"""Tue 1 Dec 2026 18:00 in Berlin."""


def ticket(name: str, start: float | None = START, **changes: Any) -> TicketView:
    """A ticket that is on sale."""
    return replace(TicketView(TicketId(name), name, start, on_sale=True, scheduled=False), **changes)


def later(name: str, start: float, **changes: Any) -> TicketView:
    """A ticket that is shown before its sale."""
    return ticket(name, start, on_sale=False, scheduled=True, **changes)


def decided(*tickets: TicketView, now: float = START + 5, since: float = START - 24 * HOUR, **changes: Any) -> Decision:
    settings: dict[str, Any] = {"announced": {}, "campaigns": [], "window": 2 * HOUR, "together": HOUR, **changes}
    return decide(tickets, now=now, since=since, **settings)


def opening(*names: str, start: float = START) -> Decision:
    return Decision(open=Opening(tuple(TicketId(name) for name in names), start))


def ongoing(name: str, start: float, **changes: Any) -> Campaign:
    return campaign(name=name, start=start, deadline=start + 2 * HOUR, **changes)


def test_ticket_that_went_on_sale_is_announced() -> None:
    """A ticket that is on sale, whose sale has begun within the window, is announced."""
    assert opening("a") == decided(ticket("a"))
    assert opening("a") == decided(ticket("a"), now=START + 2 * HOUR)


def test_nothing_is_announced_before_it_is_on_sale() -> None:
    """A ticket that is hidden, scheduled or sold out is not announced, nor one without a start."""
    assert decided(later("a", START + HOUR)).is_empty
    assert decided(ticket("a", on_sale=False)).is_empty
    assert decided(ticket("a", None)).is_empty
    assert decided().is_empty


def test_start_that_is_moved() -> None:
    """A start that is moved later is announced then; earlier, at once; one that is removed, not at all."""
    assert decided(later("a", START + HOUR), now=START).is_empty
    assert opening("a", start=START + HOUR) == decided(ticket("a", START + HOUR), now=START + HOUR)
    assert opening("a", start=START - HOUR) == decided(ticket("a", START - HOUR), now=START - HOUR + 60)
    assert decided(ticket("a", None), now=START + HOUR).is_empty


def test_announced_ticket_stays_announced() -> None:
    """A ticket that was announced is not announced again, however its start is moved."""
    for start in (START - HOUR, START, START + HOUR):
        assert decided(ticket("a", start), now=START + HOUR, announced={TicketId("a"): "gala"}).is_empty


def test_ticket_that_is_created_late_or_shown_again() -> None:
    """A ticket that is first seen on sale within the window is announced; hidden at its start and shown again, too."""
    assert opening("a") == decided(ticket("a"), now=START + HOUR)
    assert decided(ticket("a", on_sale=False)).is_empty
    assert opening("a") == decided(ticket("a"), now=START + 1.9 * HOUR)


def test_what_began_before_notify_was_switched_on() -> None:
    """A sale that began before notify was switched on for its event is neither announced nor recorded as missed."""
    assert decided(ticket("a"), since=START + 1).is_empty
    assert decided(ticket("a"), since=START + 1, now=START + 9 * HOUR).is_empty
    assert opening("a") == decided(ticket("a"), since=START)


def test_what_is_too_late_is_recorded() -> None:
    """A sale that began longer ago than the window is recorded, once, and not announced."""
    late = decided(ticket("a"), ticket("b", START + 60), now=START + 3 * HOUR)

    assert Decision(too_late=Opening((TicketId("a"), TicketId("b")), START)) == late
    assert decided(ticket("a"), now=START + 3 * HOUR, announced=["a"]).is_empty


def test_starts_within_an_hour_are_one_campaign() -> None:
    """Tickets whose sales start within an hour are one campaign, those that start later in it included; others are another."""
    tickets = [
        ticket("a"),
        ticket("b"),
        later("c", START + HOUR / 2),
        later("d", START + HOUR),
        later("e", START + HOUR + 1),
    ]

    assert opening("a", "b", "c", "d") == decided(*tickets)
    assert opening("a") == decided(ticket("a"), ticket("b", START + 1.5 * HOUR), now=START + 1.6 * HOUR)


def test_ticket_joins_a_campaign() -> None:
    """A ticket whose sale starts within an hour of a campaign's start, on either side, joins the nearest one and makes none."""
    campaigns = [ongoing("first", START), ongoing("second", START + 1.5 * HOUR)]
    join = decided(
        ticket("a", START - HOUR / 2), ticket("b", START + HOUR), now=START + 1.2 * HOUR, campaigns=campaigns
    )

    assert (Joining("first", (TicketId("a"),)), Joining("second", (TicketId("b"),))) == join.join
    assert join.open is None


def test_campaign_that_is_over_is_not_joined() -> None:
    """A ticket does not join a campaign of which nothing goes out any more, or that only records what was missed."""
    over = replace(ongoing("over", START - HOUR), deadline=START)
    missed = ongoing("missed", START, too_late=True)

    assert opening("a") == decided(ticket("a"), campaigns=[over, missed])


def test_campaign_with_a_message_out_is_not_joined() -> None:
    """A ticket does not join a campaign that has told somebody, or that a person stopped: it is announced by one of its own."""
    first, second = ongoing("first", START), ongoing("second", START + 1.5 * HOUR)
    at: dict[str, Any] = {"now": START + 1.2 * HOUR, "campaigns": [first, second]}
    late = ticket("a", START + HOUR)

    assert Decision(join=(Joining("second", (late.id,)),)) == decided(late, **at)
    assert Decision(join=(Joining("first", (late.id,)),)) == decided(late, **at, closed={"second"})
    assert opening("a", start=START + HOUR) == decided(late, **at, closed={"first", "second"})
    stopped = [replace(one, stopped_at=START + 60) for one in (first, second)]
    assert opening("a", start=START + HOUR) == decided(late, now=START + 1.2 * HOUR, campaigns=stopped)


TIMES = st.integers(-16, 16).map(lambda quarter: START + quarter * HOUR / 4)
TICKETS = st.builds(
    lambda name, start, state: ticket(name, start, on_sale=state == "on sale", scheduled=state == "scheduled"),
    st.sampled_from("abcdef"),
    st.none() | TIMES,
    st.sampled_from(["on sale", "on sale", "scheduled", "hidden"]),
)
ALL = st.lists(TICKETS, max_size=6, unique_by=lambda one: one.id)
CAMPAIGNS = st.lists(TIMES, max_size=2, unique=True).map(lambda starts: [ongoing(f"c{at:.0f}", at) for at in starts])


@given(ALL, TIMES, CAMPAIGNS, st.data())
def test_no_ticket_joins_what_takes_none(
    tickets: list[TicketView], now: float, campaigns: list[Campaign], data: Any
) -> None:
    """Whatever is closed, stopped or over announces nothing more, and what is due is announced all the same, by another campaign."""
    closed = {one.name for one in campaigns if data.draw(st.booleans())}
    seen = [replace(one, stopped_at=data.draw(st.none() | TIMES)) for one in campaigns]
    open_ = [one for one in seen if one.name not in closed and one.stopped_at is None and now < one.deadline]

    decision = decided(*tickets, now=now, campaigns=seen, closed=closed)

    assert {one.name for one in open_} >= {one.campaign for one in decision.join}
    assert decided(*tickets, now=now, campaigns=open_) == decision
    due = [one for one in tickets if one.on_sale and one.start is not None and 0 <= now - one.start <= 2 * HOUR]
    assert not due or decision.open or decision.join


@given(ALL, TIMES, TIMES, CAMPAIGNS, st.randoms(use_true_random=False))
def test_same_decision_in_any_order(
    tickets: list[TicketView], now: float, since: float, campaigns: Any, random: Any
) -> None:
    """The decision is the same whatever the order of tickets and campaigns."""
    expected = decided(*tickets, now=now, since=since, campaigns=campaigns)
    random.shuffle(tickets)
    random.shuffle(campaigns)

    assert expected == decided(*tickets, now=now, since=since, campaigns=campaigns)


@given(ALL, st.lists(TIMES, min_size=1, max_size=6), TIMES, st.data())
def test_each_ticket_is_announced_once_and_in_time(
    tickets: list[TicketView], times: list[float], since: float, data: Any
) -> None:
    """However starts move and however often it is looked, a ticket is announced once, within its window, and in few rounds."""
    announced: dict[TicketId, str] = {}
    campaigns: list[Campaign] = []
    told: set[str] = set()
    for now in sorted(times):
        for rounds in itertools.count():
            decision = decided(*tickets, now=now, since=since, announced=announced, campaigns=campaigns, closed=told)
            if decision.is_empty:
                break
            assert rounds <= len(tickets)
            by_id = {one.id: one for one in tickets}
            for one, late in ((decision.open, False), (decision.too_late, True)):
                if one is None:
                    continue
                name = f"c{len(campaigns)}"
                campaigns.append(ongoing(name, one.start, too_late=late))
                assert since <= one.start
                assert late == (now - one.start > 2 * HOUR)
                for id_ in one.tickets:
                    assert id_ not in announced
                    assert 0 <= (by_id[id_].start or 0) - one.start <= HOUR
                    assert by_id[id_].on_sale or (by_id[id_].scheduled and not late)
                    announced[id_] = name
            for join in decision.join:
                assert join.campaign not in told
                for id_ in join.tickets:
                    assert id_ not in announced
                    announced[id_] = join.campaign
        told |= {one.name for one in campaigns if data.draw(st.booleans())}
        for view in tickets:
            may = view.on_sale and view.start is not None and since <= view.start
            assert not may or view.id in announced
        tickets = [replace(one, start=data.draw(st.none() | TIMES)) for one in tickets]
