"""The outbox against a simple model: whatever workers do, in any order."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from server.campaign import ChannelName, RowState, Skip, State
from server.errors import LeaseLost
from server.redis.client import RedisClient, Use
from server.store.campaigns import Campaigns
from server.store.outbox import MOST_ATTEMPTS, Claim, Outbox
from server.store.suppressions import Suppressions
from tests.rig.campaigns import SITE, campaign
from tests.rig.default_keys import key
from tests.rig.redis import RedisServer

ROWS = st.sampled_from("abcd")
WORKERS = st.sampled_from(["one", "two", "three"])
LATER = 3600.0


@dataclass
class Row:
    """A row of the model."""

    state: RowState
    worker: str
    attempts: int = 0
    later: bool = False


class OutboxMachine(RuleBasedStateMachine):
    """Three workers at one outbox."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.rows: dict[str, Row] = {}
        self.claims: dict[str, list[str]] = {}
        self.sent: dict[str, int] = {}
        self.holder = ""
        self.stopped = False
        self.suppressed: set[str] = set()

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def begins(self) -> None:
        self.server.ask("FLUSHALL")
        self.store = RedisClient(self.server.url, Use.WORK)
        self.campaigns = Campaigns(self.store)
        found = self.do(self.campaigns.open(campaign()))
        self.campaign = found
        self.outboxes = {name: Outbox(self.store, found, ChannelName.MAIL, name) for name in ("one", "two", "three")}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.do(self.store.aclose())
        self.loop.close()

    def loses(self, *workers: str) -> None:
        """What these workers have claimed is unknown."""
        for row in self.rows.values():
            if row.state is RowState.CLAIMED and row.worker in workers:
                row.state = RowState.UNKNOWN

    @rule(row=ROWS)
    def holder_claims_row(self, row: str) -> None:
        """As most claims are: by whoever has the lease."""
        if not self.stopped:
            if not self.holder:
                self.takes("one")
            self.claims_row(self.holder, row)

    @rule(worker=WORKERS, row=ROWS)
    def worker_dies_in_the_middle(self, worker: str, row: str) -> None:
        """A claim, and another worker after it."""
        self.holder_claims_row(row)
        self.lease_ends()
        self.takes(worker)

    @rule(worker=WORKERS)
    def takes(self, worker: str) -> None:
        expected = self.holder in {"", worker}
        assert expected == self.do(self.outboxes[worker].take())
        if expected and self.holder != worker:
            self.holder = worker
            self.loses(*{"one", "two", "three"} - {worker})

    @rule()
    def lease_ends(self) -> None:
        """The worker was killed, or suspended for too long."""
        self.do(self.store.do("DEL", key(SITE, "notify", "lease", self.campaign.name, "mail")))
        self.holder = ""

    @rule(worker=WORKERS)
    def gives_back(self, worker: str) -> None:
        self.do(self.outboxes[worker].release())
        if self.holder == worker:
            self.holder = ""
            self.loses(worker)

    @rule(worker=WORKERS)
    def extends(self, worker: str) -> None:
        try:
            self.do(self.outboxes[worker].extend())
        except LeaseLost:
            assert self.holder != worker
        else:
            assert self.holder == worker

    @rule(worker=WORKERS, row=ROWS)
    def claims_row(self, worker: str, row: str) -> None:
        was = self.rows.get(row)
        if self.holder != worker:
            expected = Claim.LEASE_LOST
        elif self.stopped:
            expected = Claim.STOPPED
        elif was and was.state is not RowState.WAITING:
            expected = Claim.ENDED
        elif was and was.later:
            expected = Claim.NOT_YET
        elif row in self.suppressed:
            expected = Claim.SUPPRESSED
            self.rows[row] = Row(RowState.SKIPPED, worker)
        else:
            expected = Claim.CLAIMED
            self.rows[row] = Row(RowState.CLAIMED, worker, (was.attempts if was else 0) + 1)
        assert expected == self.do(self.outboxes[worker].claim(row, [f"k.{row}"]))

    @rule(
        worker=WORKERS,
        row=ROWS,
        state=st.sampled_from([RowState.SENT, RowState.FAILED, RowState.UNKNOWN, RowState.WAITING, RowState.WAITING]),
        later=st.booleans(),
        counts=st.booleans(),
    )
    def marks(self, worker: str, row: str, state: RowState, *, later: bool, counts: bool) -> None:
        next_try = time.time() + LATER if later else None
        self.do(self.outboxes[worker].mark(row, state, f"reason {state}", next_try=next_try, counts=counts))
        was = self.rows.get(row)
        if was is None or was.worker != worker:
            return
        if was.state is RowState.UNKNOWN and state in {RowState.SENT, RowState.FAILED}:
            was.state = state
        elif was.state is RowState.CLAIMED:
            was.state = state
            if state is RowState.WAITING:
                was.later = later
                was.attempts -= not counts
                if counts and was.attempts >= MOST_ATTEMPTS:
                    was.state = RowState.FAILED
        else:
            return
        if state is RowState.SENT:
            self.sent[row] = self.sent.get(row, 0) + 1

    @rule(worker=WORKERS, row=ROWS)
    def skips(self, worker: str, row: str) -> None:
        self.do(self.outboxes[worker].skip(row, Skip.DELIVERY_OFF))
        was = self.rows.get(row)
        if was is None or was.state is RowState.WAITING:
            self.rows[row] = Row(RowState.SKIPPED, worker)

    @rule(row=ROWS)
    def opts_out(self, row: str) -> None:
        self.do(Suppressions(self.store).add(SITE, [f"k.{row}"], "opted out"))
        self.suppressed.add(row)

    @rule()
    def stops_or_goes_on(self) -> None:
        if self.stopped:
            assert self.do(self.campaigns.go_on(SITE, self.campaign.name))
        else:
            assert self.do(self.campaigns.stop(SITE, self.campaign.name, "Ada"))
        self.stopped = not self.stopped

    @rule(worker=WORKERS)
    def ends(self, worker: str) -> None:
        try:
            done = self.do(self.outboxes[worker].finish(State.DONE))
        except LeaseLost:
            assert self.holder != worker
        else:
            assert self.holder == worker
            assert all(row.state.ended for row in self.rows.values()) == done

    @invariant()
    def agrees(self) -> None:
        """Counts, sets and lists are those of the model, and no one has more than one message."""
        if not hasattr(self, "outboxes"):
            return
        outbox = self.outboxes["one"]
        found = self.do(outbox.progress())
        states = [row.state for row in self.rows.values()]
        assert {state: states.count(state) for state in RowState} == {
            state: getattr(found.counts, state) for state in RowState
        }
        assert len(self.rows) == found.counts.candidates
        assert all(number > 0 for number in found.reasons.values())
        assert {name for name, row in self.rows.items() if row.state is RowState.WAITING} == set(
            self.do(outbox.waiting())
        )
        assert sorted(name for name, row in self.rows.items() if row.state is RowState.UNKNOWN) == self.do(
            outbox.unknown()
        )
        may = {
            name
            for name in "abcd"
            if (row := self.rows.get(name)) is None or (row.state is RowState.WAITING and not row.later)
        }
        assert may == self.do(outbox.new(list("abcd")))
        assert all(number == 1 for number in self.sent.values())


def test_outbox_agrees_with_its_model(redis_shared: RedisServer) -> None:
    """Whatever three workers do in any order, no one has two messages, law 17, and the counts add up after each step."""
    OutboxMachine.server = redis_shared
    run_state_machine_as_test(OutboxMachine, settings=settings(max_examples=30, stateful_step_count=40, deadline=None))
    redis_shared.ask("FLUSHALL")
