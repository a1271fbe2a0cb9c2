from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.counter import Counter, Rules, State
from server.model import Event, EventId, Price, Registration, Sale, SaleStatus, TicketId
from tests.rig.fake_reader import EVENT, definition
from tests.rig.server import TICKET

EVENT_ID = EventId(EVENT)
SCHEDULED, STARTED, ENDED = SaleStatus.SCHEDULED, SaleStatus.STARTED, SaleStatus.ENDED


@pytest.mark.parametrize(
    ("unsold", "more", "state", "shown"),
    [
        (11, {}, State.AVAILABLE, 11),
        (10, {}, State.LOW, 10),
        (1, {}, State.LOW, 1),
        (0, {}, State.SOLD_OUT, 0),
        (None, {}, State.AVAILABLE, None),
        (5, {"sold_out": True}, State.SOLD_OUT, 0),
        (None, {"sold_out": True}, State.SOLD_OUT, 0),
        (50, {"status": SCHEDULED}, State.SCHEDULED, 50),
        (3, {"status": SCHEDULED}, State.SCHEDULED, 3),
        (0, {"status": SCHEDULED}, State.SCHEDULED, 0),
        (None, {"status": SCHEDULED}, State.SCHEDULED, None),
        (50, {"status": ENDED}, State.ENDED, None),
        (0, {"status": ENDED, "sold_out": True}, State.ENDED, None),
        (None, {"status": ENDED}, State.ENDED, None),
        (3, {"hidden": True}, State.GONE, None),
        (0, {"hidden": True}, State.GONE, None),
        (3, {"hidden": True, "status": SCHEDULED}, State.GONE, None),
        (3, {"hidden": True, "status": ENDED}, State.GONE, None),
    ],
)
def test_state_of_a_ticket(unsold: int | None, more: dict[str, Any], state: State, shown: int | None) -> None:
    """Hidden comes before ended, scheduled, sold out and low; a ticket that is ended or hidden has no number."""
    counter = Counter.of(definition(TICKET, unsold, **more), None, Rules())

    assert (state, shown) == (counter.state, counter.unsold)


@pytest.mark.parametrize(
    ("unsold", "status", "state", "shown"),
    [
        (20, STARTED, State.AVAILABLE, 20),
        (21, STARTED, State.AVAILABLE, None),
        (5, STARTED, State.LOW, 5),
        (6, STARTED, State.AVAILABLE, 6),
        (0, STARTED, State.SOLD_OUT, 0),
        (20, SCHEDULED, State.SCHEDULED, 20),
        (21, SCHEDULED, State.SCHEDULED, None),
        (None, STARTED, State.AVAILABLE, None),
    ],
)
def test_low_at_and_show_at_most_include_their_number(
    unsold: int | None, status: SaleStatus, state: State, shown: int | None
) -> None:
    """LOW_AT and SHOW_AT_MOST include their own number, on sale and before."""
    counter = Counter.of(definition(TICKET, unsold, status=status), None, Rules(low_at=5, show_at_most=20))

    assert (state, shown) == (counter.state, counter.unsold)


def test_show_at_most_holds_for_low_numbers_too() -> None:
    """Even under rules that the settings refuse, a number above SHOW_AT_MOST is not shown."""
    counter = Counter.of(definition(TICKET, 4), None, Rules(low_at=5, show_at_most=3))

    assert (State.LOW, None) == (counter.state, counter.unsold)


def test_no_ticket_is_low_if_low_at_is_zero() -> None:
    """With LOW_AT 0 the last ticket is available, and with none left it is sold out."""
    states = [Counter.of(definition(TICKET, unsold), None, Rules(low_at=0)).state for unsold in (1, 0)]

    assert [State.AVAILABLE, State.SOLD_OUT] == states


@given(
    unsold=st.none() | st.integers(0, 100),
    more=st.fixed_dictionaries(
        {"sold_out": st.booleans(), "hidden": st.booleans(), "status": st.sampled_from(SaleStatus)}
    ),
    rules=st.builds(Rules, st.integers(0, 50), st.none() | st.integers(0, 50)),
)
def test_number_shown_is_exact_or_absent(unsold: int | None, more: dict[str, Any], rules: Rules) -> None:
    """For any ticket and rules, the number shown is Wix's own, 0 if sold out, or absent above the limit."""
    counter = Counter.of(definition(TICKET, unsold, **more), None, rules)

    assert counter.unsold in ({0} if counter.state is State.SOLD_OUT else {None, unsold})
    assert counter.unsold is None or rules.show_at_most is None or counter.unsold <= rules.show_at_most
    if counter.state is State.LOW:
        assert unsold is not None
        assert 0 < unsold <= rules.low_at


def test_name_prices_and_sale_are_shown_as_read() -> None:
    """A visible ticket shows its event, name, prices and sale as they were read."""
    prices = (Price("20.00", "USD", "a", "Adult"), Price("8.50", "USD", "b", "Child"))
    sale = Sale("2026-01-10T09:00:00Z", "2026-06-20T18:00:00Z", "Europe/Berlin")

    counter = Counter.of(
        definition(TICKET, 48, name="Family day", prices=prices, shared=True, sale=sale), None, Rules()
    )

    assert (TICKET, EVENT, "Family day") == (counter.ticket, counter.event, counter.name)
    assert (prices, True, sale) == (counter.prices, counter.shared, counter.sale)


def test_hidden_and_deleted_tickets_look_the_same() -> None:
    """A hidden ticket and one that never existed have the same counter."""
    hidden = definition(TICKET, 3, hidden=True, name="Secret show", shared=True)

    assert Counter.gone(TicketId(TICKET)) == Counter.of(hidden, None, Rules())
    assert Counter(TicketId(TICKET), state=State.GONE) == Counter.gone(TicketId(TICKET))


def test_counter_is_unknown_by_default() -> None:
    """A counter without values is unknown and has no number."""
    counter = Counter(TicketId(TICKET))

    assert (State.UNKNOWN, None, (), None) == (counter.state, counter.unsold, counter.prices, counter.event)


def test_rules_hash() -> None:
    """Equal rules have one hash, and each setting that shapes a counter changes it."""
    names = {Rules(low, most).hash for low in (1, 10, 11) for most in (None, 0, 1, 10)}

    assert Rules().hash == Rules(10, None).hash
    assert 12 == len(names)
    assert {12} == {len(name) for name in names}


def test_definitions_that_differ_only_in_facts_are_equal() -> None:
    """Two definitions that differ only in facts are equal: no counter depends on facts."""
    one = definition(TICKET, 3)
    other = replace(one, facts={"description": "another text"})

    assert one == other
    assert Counter.of(one, None, Rules()) == Counter.of(other, None, Rules())


# -- what rules allow --

MANY = 9
PRICES = (Price("25.00", "USD"),)


def a_counter(state: State, unsold: int | None, **more: Any) -> Counter:
    """A counter with this state and number, and otherwise as such a state has it."""
    if state is State.GONE:
        return replace(Counter.gone(TicketId(TICKET)), unsold=unsold, **more)
    return Counter(TicketId(TICKET), EVENT_ID, state, unsold, () if state is State.CLOSED else PRICES, **more)


@pytest.mark.parametrize(
    "rules",
    [Rules(0), Rules(3), Rules(0, 0), Rules(0, 5), Rules(3, 3), Rules(3, 5), Rules(3, MANY), Rules(MANY)],
    ids=str,
)
def test_rules_allow_exactly_what_they_make(rules: Rules) -> None:
    """Law 13: The states and numbers that rules allow are those that they make of some ticket, and no others."""
    made = {
        (counter.state, counter.unsold)
        for unsold in (None, *range(MANY + 2))
        for status in SaleStatus
        for hidden in (True, False)
        for registration in Registration
        for counter in [
            Counter.of(
                definition(TICKET, unsold, status=status, hidden=hidden),
                Event(EVENT_ID, registration=registration),
                rules,
            )
        ]
    }

    numbers = (None, *range(-1, MANY + 2))
    allowed = {(state, unsold) for state in State for unsold in numbers if rules.allow(a_counter(state, unsold))}
    assert made == allowed


@pytest.mark.parametrize("show_at_most", [None, 5, 20])
def test_huge_numbers_follow_show_at_most(show_at_most: int | None) -> None:
    """Law 13: However large a number is, only SHOW_AT_MOST decides whether it may be shown."""
    rules = Rules(3, show_at_most)

    assert (show_at_most is None) == rules.allow(a_counter(State.AVAILABLE, 10**30))
    assert (show_at_most is None) == rules.allow(a_counter(State.SCHEDULED, 10**30))
    assert not rules.allow(a_counter(State.AVAILABLE, -(10**30)))


def test_a_closed_sale_has_no_prices() -> None:
    """Law 13: No rules allow a counter whose sale is closed to claim a price."""
    assert Rules().allow(a_counter(State.CLOSED, None))
    assert not Rules().allow(replace(a_counter(State.CLOSED, None), prices=PRICES))


@pytest.mark.parametrize(
    "more",
    [
        {"name": "Gala"},
        {"event": EVENT},
        {"prices": PRICES},
        {"shared": True},
        {"sale": Sale("a")},
        {"buy": "https://a"},
    ],
)
def test_gone_says_nothing_else(more: dict[str, Any]) -> None:
    """Law 13: No rules allow a counter to say anything of a ticket that is gone."""
    assert not Rules().allow(replace(Counter.gone(TicketId(TICKET)), **more))
