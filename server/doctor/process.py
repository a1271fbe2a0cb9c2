"""File descriptors: whether a process may open as many as MAX_CONNECTIONS viewers need.

In: the kernel's limit for this process, which the server has too if it is started in the same way. Out: findings.
"""

import resource
from collections.abc import AsyncIterator

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding, Level
from server.http.descriptors import Descriptors

NAME = "process"


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Compare the limit with the setting."""
    settings = deployment.settings
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    yield of_limit(hard, settings.max_connections, is_set="max_connections" in settings.model_fields_set)


def of_limit(hard: int, max_connections: int, *, is_set: bool) -> Finding:
    """What the hard limit means, to which the server raises its own; it is a fault where MAX_CONNECTIONS *is_set* above it."""
    short = Descriptors.of(hard).shortage(max_connections)
    if short is None:
        return Finding.ok(NAME, f"a process may open enough files for {max_connections} viewers")
    return Finding(NAME, Level.FAULT if is_set else Level.NOTICE, short.what, short.why, short.cure)
