"""What every target must pass, for each target that needs no server of its own."""

import pytest

from server.sync.conformance.check import Check, Verdict, run_check
from server.sync.conformance.suite import CHECKS
from server.sync.targets.target import Abilities
from tests.rig.model_bench import ModelBench
from tests.rig.model_target import ModelTarget

MODELS = {
    "model": ModelTarget,
    "model by steps": lambda: ModelTarget(steps=True),
    "model that can do little": lambda: ModelTarget(
        abilities=Abilities(changes_options=False, deletes=False, limits=False), currency=None
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("check", CHECKS, ids=[one.name for one in CHECKS])
async def test_the_model_passes(check: Check, name: str) -> None:
    """The model target does what every target must do; what it does not declare is skipped by name."""
    result = await run_check(check, ModelBench(MODELS[name]()))

    if result.verdict is Verdict.SKIPPED:
        pytest.skip(result.text)
    assert (Verdict.PASSED, "") == (result.verdict, result.text)
