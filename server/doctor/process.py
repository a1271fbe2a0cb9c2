"""File descriptors: whether a process may open as many as MAX_CONNECTIONS viewers need.

In: the kernel's limit for this process, which the server has too if it is started in the same way. Out: findings.
"""

import resource
import sys
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
    viewers = Descriptors(sys.maxsize if hard == resource.RLIM_INFINITY else hard).for_viewers
    if viewers >= max_connections:
        return Finding.ok(NAME, f"a process may open enough files for {max_connections} viewers")
    return Finding(
        NAME,
        Level.FAULT if is_set else Level.NOTICE,
        f"a process may open {hard} files, which is enough for {viewers} viewers, and MAX_CONNECTIONS is {max_connections}",
        f"from viewer {viewers + 1} on each is told to come back later",
        "raise the limit (LimitNOFILE= in a systemd unit, `ulimit -Hn`, --ulimit nofile= for containers), or set "
        f"MAX_CONNECTIONS={viewers}",
    )
