"""What every target must pass, for each target that needs no server of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from server.sync.conformance.bench import Bench
from server.sync.conformance.check import Check, Verdict, run_check
from server.sync.conformance.suite import CHECKS
from server.sync.targets.target import Abilities
from tests.rig.model_bench import ModelBench
from tests.rig.model_target import ModelTarget
from tests.rig.sqlite_bench import SqliteBench

LITTLE = Abilities(changes_options=False, deletes=False, limits=False)

BENCHES: dict[str, Callable[[Path], Bench]] = {
    "sqlite": SqliteBench,
    "model": lambda _: ModelBench(ModelTarget(page=2)),
    "model by steps": lambda _: ModelBench(ModelTarget(steps=True)),
    "model of little": lambda _: ModelBench(ModelTarget(steps=True, abilities=LITTLE, currency=None)),
}


@pytest.mark.parametrize("name", BENCHES)
@pytest.mark.parametrize("check", CHECKS, ids=[one.name for one in CHECKS])
async def test_the_target_passes(check: Check, name: str, tmp_path: Path) -> None:
    """A target does what every target must do; what it does not declare is skipped by name."""
    result = await run_check(check, BENCHES[name](tmp_path))

    if result.verdict is Verdict.SKIPPED:
        pytest.skip(f"{name}: {check.name}: {result.text}")
    assert (Verdict.PASSED, "") == (result.verdict, result.text)
