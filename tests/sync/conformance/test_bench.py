import inspect

import pytest

from server.errors import LeaseLost
from server.sync.conformance.bench import Bench, Fault, Meter, keys
from server.sync.conformance.expectation import NotOffered, Stopped, Unmet
from server.sync.model import Kind, Reason, Unfit
from tests.rig.model_bench import ModelBench, model_settings
from tests.rig.model_target import ModelTarget

OFFERS = {
    "other_event": (),
    "by_hand": ("name",),
    "edit": ("1", {}),
    "copy": ("1", "ev1"),
    "sell": ("1",),
    "add_unmapped": ("1",),
    "unmapped": ("1",),
    "settled": (),
    "requests": (),
}


@pytest.mark.parametrize("name", OFFERS)
async def test_nothing_is_offered_by_itself(name: str) -> None:
    """A bench offers only what its class writes, and says by name what it does not."""
    bench = Bench(ModelTarget(), model_settings(), "ev1", Meter())

    with pytest.raises(NotOffered, match=r"\w+"):
        await getattr(bench, name)(*OFFERS[name])


async def test_no_faults_by_itself() -> None:
    """Faults are not offered either."""
    bench = Bench(ModelTarget(), model_settings(), "ev1", Meter())

    assert frozenset() == bench.faults
    with pytest.raises(NotOffered, match="faults"):
        await bench.fail(Fault.CUT, writes=True)


def test_every_offer_is_tested() -> None:
    """What a bench may offer is what these tests go through."""
    offered = {name for name, one in vars(Bench).items() if "raise NotOffered(" in _source(one)}

    assert {*OFFERS, "fail", "wanted"} == offered


async def test_stopped() -> None:
    """The process ends before the request that was named, and not before another."""
    meter = Meter()
    meter.stop_at = 2
    await meter.pay()

    with pytest.raises(Stopped):
        await meter.pay()


async def test_interrupted_once() -> None:
    """What is to happen before a request happens once, before that one."""
    meter, seen = Meter(), list[int]()

    async def happen() -> None:
        seen.append(meter.paid)

    meter.interrupt(2, happen)
    for _ in range(4):
        await meter.pay()

    assert [2] == seen


async def test_lease() -> None:
    """Without the lease nothing is written, and it is not counted as a write."""
    meter = Meter()
    await meter.before_write()
    meter.lease_lost = True

    with pytest.raises(LeaseLost):
        await meter.before_write()
    assert 1 == meter.writes


async def test_what_does_not_fit_is_not_offered() -> None:
    """A ticket for which the target has no place is not brought, but told."""
    bench = ModelBench(ModelTarget())
    ticket = await bench.ticket()
    fitted = await bench.fitted(ticket, currency="USD")

    assert isinstance(fitted, Unfit)
    assert Reason.CURRENCY is fitted.reason
    with pytest.raises(NotOffered, match="EUR"):
        await bench.wanted(ticket, currency="USD")


async def test_bring() -> None:
    """A ticket is created, then updated, and then nothing is left to do."""
    bench = ModelBench(ModelTarget())
    ticket = await bench.ticket()
    kinds = []
    for name in ("Early", "Late", "Late"):
        operation = await bench.bring(await bench.wanted(ticket, name=name))
        kinds.append(operation and operation.kind)

    assert [Kind.CREATE, Kind.UPDATE, None] == kinds
    assert "Late" == (await bench.one(ticket, "brought")).fields["name"]


async def test_fields_that_are_set_aside() -> None:
    """A field that the target does not keep is compared no more."""
    bench = ModelBench(ModelTarget(ignores=frozenset({"limit"})))
    ticket = await bench.ticket()
    await bench.bring(await bench.wanted(ticket))
    before = await bench.plan(await bench.wanted(ticket))
    bench.set_aside.add("limit")

    assert before is not None
    assert await bench.plan(await bench.wanted(ticket)) is None


async def test_one() -> None:
    """Two records where one is expected are named."""
    target = ModelTarget()
    bench = ModelBench(target)
    wanted = await bench.wanted(await bench.ticket())
    target.copy("ev1", await bench.create(wanted), "ev1")

    with pytest.raises(Unmet, match=r"^made one: expected one record with its id, saw 2 \(1, 2\)$"):
        await bench.one(wanted.ticket, "made one")
    assert "none" == keys([])


async def test_waits_for_a_record_that_appears_later() -> None:
    """Where a target says that a record is found only later, a look-up waits that long."""

    class Later(ModelTarget):
        looked = 0

        async def find(self, *given: object) -> list[object]:  # type: ignore[override]
            self.looked += 1
            return [] if self.looked < 3 else await super().find(*given)  # type: ignore[arg-type, return-value]

    bench = ModelBench(Later())
    bench.appears_within = 5.0
    wanted = await bench.wanted(await bench.ticket())
    await bench.create(wanted)

    assert "1" == (await bench.one(wanted.ticket, "made one")).key


def _source(member: object) -> str:
    return inspect.getsource(member) if inspect.isfunction(member) else ""
