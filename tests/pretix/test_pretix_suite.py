"""What every target must pass, against a real pretix."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.sync.conformance.check import Check, Verdict, run_check
from server.sync.conformance.suite import CHECKS
from tests.rig.http_proxy import http_proxy
from tests.rig.pretix import PretixServer
from tests.rig.pretix_bench import PretixBench


@pytest.fixture
async def bench(pretix: PretixServer, tmp_path: Path) -> AsyncIterator[PretixBench]:
    """A bench with an event of its own."""
    async with http_proxy(pretix.url) as proxy:
        found = PretixBench(pretix, proxy, await pretix.new_event(), tmp_path)
        yield found
        await found.aclose()


@pytest.mark.parametrize("check", CHECKS, ids=[one.name for one in CHECKS])
async def test_pretix_passes(check: Check, bench: PretixBench) -> None:
    """The target of pretix does what every target must do; what pretix cannot do is skipped by name."""
    result = await run_check(check, bench)

    if result.verdict is Verdict.SKIPPED:
        pytest.skip(f"{check.name}: {result.text}")
    assert "" == result.text
    assert Verdict.PASSED is result.verdict
