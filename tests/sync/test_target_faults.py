"""Who waits after a fault of a target, and for how long."""

from collections.abc import AsyncIterator

import pytest

from server.errors import TargetForbidden, TargetUnauthorized, TargetUnavailable
from server.sync.target_faults import LONGEST_NAMED, LONGEST_TARGET_WAIT, TargetFaults
from tests.rig.applier_rig import EVENT_ID, NAME, SITE_ID, TARGET_EVENT, ApplierRig
from tests.rig.model_target import Fault


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[ApplierRig]:
    async with ApplierRig.on(redis_url) as found:
        yield found


def faults(rig: ApplierRig, chance: float = 1.0) -> TargetFaults:
    """The faults of the target, with the longest waits."""
    return TargetFaults(NAME, rig.target, rig.stores, chance=lambda: chance, clock=rig.clock)


async def wait(rig: ApplierRig) -> float:
    """Seconds for which the target waits."""
    return (await rig.stores.targets.read(NAME)).wait_until - rig.clock()


async def test_waits_double_up_to_a_limit(rig: ApplierRig) -> None:
    """Each fault in a row makes the target wait longer; a good answer begins again."""
    waits = []
    for _ in range(8):
        await faults(rig).pause(TargetUnavailable("down"))
        waits.append(await wait(rig))
    assert [2, 4, 8, 16, 32, 60, 60, 60] == waits
    assert LONGEST_TARGET_WAIT == waits[-1]

    await faults(rig).over(rig.event, None, 0.05)
    state = await rig.stores.targets.read(NAME)
    assert (0, 0.05) == (state.faults, state.latency)
    await faults(rig).pause(TargetUnavailable("down"))
    assert 2.0 == await wait(rig)


async def test_wait_is_random_between_nothing_and_the_most(rig: ApplierRig) -> None:
    """Full jitter: clients that failed together do not come back together; never at once, though."""
    assert (0.0, 4.0, 8.0) == tuple(faults(rig, chance).wait(3) for chance in (0.0, 0.5, 1.0))
    await faults(rig, 0.0).pause(TargetUnavailable("down"))
    assert 0.2 == pytest.approx(await wait(rig))


@pytest.mark.parametrize(("named", "waits"), [(7.0, 7.0), (0.0, 0.0), (86_400.0, LONGEST_NAMED)])
async def test_retry_after_is_kept_up_to_a_limit(rig: ApplierRig, named: float, waits: float) -> None:
    """A target that names a time is asked again then, within ten minutes."""
    await faults(rig).pause(TargetUnavailable("too many", status=429, retry_after=named))

    assert waits == await wait(rig)


@pytest.mark.parametrize(
    ("error", "next_answer", "of_target"),
    [
        (TargetUnavailable("too many", status=429), None, True),
        (TargetUnavailable("503", status=503), Fault.UNAVAILABLE, True),
        (TargetUnavailable("503", status=503), Fault.UNAUTHORIZED, True),
        (TargetUnavailable("503", status=503), Fault.FORBIDDEN, False),
        (TargetUnavailable("503", status=503), None, False),
    ],
)
async def test_target_that_answers_something_is_not_down(
    rig: ApplierRig, error: TargetUnavailable, next_answer: Fault | None, *, of_target: bool
) -> None:
    """Whether the target is down is seen by a request that costs it nothing."""
    if next_answer:
        rig.target.next[False] = next_answer

    assert of_target is await faults(rig).is_of_target(error, TARGET_EVENT)


async def test_forbidden_event_waits_alone(rig: ApplierRig) -> None:
    """The wait is the event's, is remembered with the error, and ends with the next good answer."""
    followed = (await rig.stores.records.followed(SITE_ID, NAME))[EVENT_ID]

    seconds = await faults(rig).forbidden(rig.event, followed, TargetForbidden("403"))

    after = (await rig.stores.records.followed(SITE_ID, NAME))[EVENT_ID]
    assert (16.0, 16.0, 1, "403") == (seconds, after.wait_until - rig.clock(), after.faults, after.error)
    assert 0 > await wait(rig)
    await faults(rig).over(rig.event, after, 0.1)
    assert 0 == (await rig.stores.records.followed(SITE_ID, NAME))[EVENT_ID].faults


async def test_refused_credentials_make_the_target_wait(rig: ApplierRig) -> None:
    """401 is an error of the target, told in `sync status`."""
    await faults(rig).pause(TargetUnauthorized("401: Invalid token"))

    assert "401: Invalid token" == (await rig.stores.targets.read(NAME)).error
