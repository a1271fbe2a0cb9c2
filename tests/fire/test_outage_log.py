"""Ten minutes without Wix, thirty times as fast: what the log of each process says of it."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from tests.rig.deployment import Deployment
from tests.rig.fake_wix import Reply, running
from tests.rig.process import PROGRAM, Command, Run
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import SITE, TICKET, until
from tests.rig.wix_client import QUERY, SAMPLES, listed

FASTER = 30
QUICK = f"""
from server import logs
logs.OutageLog.__init__.__kwdefaults__.update(every=logs.WARN_EVERY / {FASTER}, longest=logs.WARN_LONGEST / {FASTER})
logs.RepeatedWarning.__init__.__defaults__ = (logs.WARN_EVERY / {FASTER},)
{PROGRAM}
"""
"""The program with shorter times between two log lines of the same fault."""
SITES = [SITE, *(f"5f0e4d3c-1111-4111-8111-0000000000{number}" for number in range(10, 29))]
"""Twenty sites, so that reads fail as often as those of one site do in ten minutes."""
FAULTS = (Reply(503), Reply(429, headers={"retry-after": "1"}), Reply(500, b"<html>"), None)
"""What Wix answers, one after the other; None: nothing."""


def events(process: Command, since: int) -> list[str]:
    """The events of the log lines of a process after the first *since* characters."""
    return re.findall(r"^\S+ \[\w+ *\] (\w+)", process.err[since:], re.MULTILINE)


@pytest.mark.alone
@pytest.mark.parametrize("commands", [("worker", "web"), ("serve",)], ids=" and ".join)
async def test_outage_of_wix_is_few_log_lines(command: Run, redis_server: Servers, commands: tuple[str, ...]) -> None:
    """An outage of ten minutes of 20 sites makes at most 10 log lines in each process, the last of which says that it is over."""

    def run(*words: str, **settings: str) -> Command:
        return command(*words, program=QUICK, **settings)

    async with running() as wix:
        wix.reply(QUERY, listed(SAMPLES["fixed"]))
        settings = {"WIX_API_URL": wix.url, "WIX_SITES": ",".join(SITES), "WATCH_EVERY": "1"}
        settings |= {"MAX_STALE": "8", "RECONCILE": "5"}
        deployment = Deployment(run, redis_server().url, settings)
        processes = [deployment.start(name) for name in commands]
        url = await processes[-1].url()

        async def state() -> Any:
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"{url}/v1/counters", params={"ticket": TICKET, "site": SITE})
                return answer.json()["counters"][0]["state"]

        async def shows(expected: str) -> bool:
            return bool(expected == await state())

        await until(lambda: shows("low"), 30)
        await until(lambda: deployment.log.count("site_listed") == len(SITES), 60)
        before = [len(one.err) for one in processes]
        asked = len(wix.requests)

        for fault in FAULTS:
            if fault is None:
                wix.hold()
            else:
                for path in (QUERY, "/events/query", ""):
                    wix.reply(path, fault)
            ends = asyncio.get_running_loop().time() + 600 / FASTER / len(FAULTS)
            while asyncio.get_running_loop().time() < ends:
                await state()  # a viewer
                await asyncio.sleep(0.5)
        faults = len(wix.requests) - asked
        for path in ("/events/query", ""):
            wix.reply(path)
        wix.reply(QUERY, listed(SAMPLES["fixed"]))
        wix.resume()
        await until(lambda: shows("low"), 30)
        await until(lambda: "wix_back" in deployment.log and "counters_verified" in deployment.log, 30)
        await asyncio.sleep(12)  # the longest pause, after which other sites would still say something

    told = [events(process, since) for process, since in zip(processes, before, strict=True)]
    report(f"{faults} calls of {len(SITES)} sites in the outage; the logs of {' and '.join(commands)}: {told}")
    assert faults >= 40
    assert max(map(len, told)) <= 10
    assert {"wix_fault", "wix_back", "counters_withdrawn", "counters_verified"} == {
        one for some in told for one in some
    }
    assert {"wix_back", "counters_verified"} >= {some[-1] for some in told}
