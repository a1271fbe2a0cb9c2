from server.campaign import Counts, RowState, State


def test_states_that_are_over() -> None:
    """Only what ends by itself no more is over: a campaign that was withdrawn or paused may go on."""
    assert {State.STOPPED, State.TOO_LATE, State.DONE} == {one for one in State if one.over}


def test_rows_that_have_ended() -> None:
    """Law 17: A row that was handed over without an answer has ended: it is never sent again."""
    assert {RowState.CLAIMED, RowState.WAITING} == {one for one in RowState if not one.ended}


def test_counts_add_up() -> None:
    """What has ended is the sum of the four ends, which is all that is compared with the candidates."""
    assert 10 == Counts(candidates=99, claimed=50, waiting=60, sent=1, failed=2, skipped=3, unknown=4).ended
    assert 0 == Counts().ended
