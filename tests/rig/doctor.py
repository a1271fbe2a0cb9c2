"""What doctor finds, for tests: the findings of one check, or of all, and those that are faults."""

import json
from collections.abc import Iterable, Mapping

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding, Level
from server.doctor.run import Check, run
from server.settings import Settings
from tests.rig.deployment import Deployment as Processes

WITHIN = 60.0
"""Seconds for the command."""


async def found_by(check: Check, deployment: Deployment) -> list[Finding]:
    """All findings of one check."""
    return [one async for one in check(deployment)]


async def examined(settings: Settings) -> list[Finding]:
    """All findings of all checks."""
    return [one async for one in run(settings)]


def faults(findings: Iterable[Finding]) -> list[str]:
    """What was found of each fault."""
    return [one.what for one in findings if one.level is Level.FAULT]


def levels(findings: Iterable[Finding]) -> list[str]:
    """The level of each finding."""
    return [str(one.level) for one in findings]


async def told_by_doctor(processes: Processes, *checks: str, **more: str) -> list[Mapping[str, str]]:
    """What the command finds of these checks, where processes run; *more* are other settings of the command."""
    command = processes.start("doctor", "--json", **{"LOG_LEVEL": "WARNING", **more})
    await command.ended(WITHIN)
    found = json.loads(command.out.splitlines()[-1])["findings"]
    return [one for one in found if one["check"] in checks]
