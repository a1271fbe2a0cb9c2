"""How many file descriptors a process may open, and what the last of them are for.

In: the kernel's limit for this process. Out: the number of viewers, and the first descriptor that no connection from
outside gets; and what to say where that is fewer viewers than MAX_CONNECTIONS. A viewer stays for hours, a webhook for milliseconds: if viewers took the last descriptors, Wix's webhooks
could not come in until one of them left, and no file or connection to Redis could be opened.
"""

import contextlib
import resource
import sys
from dataclasses import dataclass
from typing import Self

KEPT_BACK = 1024
"""Descriptors that no viewer gets; a quarter of all if there are fewer than 4096."""
RESERVED_SHARE = 8
"""One in so many of those is reserved for Redis, Wix and files: no connection from outside gets it."""


def raise_limit() -> None:
    """Raise this process's soft limit of open files to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):  # macOS reports no limit, and then does not accept that value
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass(frozen=True, slots=True)
class Shortage:
    """What to say where a process may open too few files for MAX_CONNECTIONS viewers, for the log and for `doctor`."""

    what: str
    why: str
    cure: str


@dataclass(frozen=True, slots=True)
class Descriptors:
    """All descriptors of a process, from 0 to below *limit*."""

    limit: int

    @classmethod
    def of_this_process(cls) -> Self:
        """Those of this process, by its present limit: `raise_limit` comes first."""
        return cls.of(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    @classmethod
    def of(cls, limit: int) -> Self:
        """Those that a limit of the kernel allows, which may be none at all (RLIM_INFINITY)."""
        return cls(sys.maxsize if limit == resource.RLIM_INFINITY else limit)

    def shortage(self, max_connections: int) -> Shortage | None:
        """What to say if these are too few for so many viewers."""
        viewers = self.for_viewers
        if viewers >= max_connections:
            return None
        enough = max_connections + KEPT_BACK
        return Shortage(
            f"a process may open {self.limit} files, which is enough for {viewers} viewers, and MAX_CONNECTIONS is {max_connections}",
            f"from viewer {viewers + 1} on each is told to come back later",
            f"raise the limit of open files to {enough} (LimitNOFILE={enough} in a systemd unit, --ulimit nofile={enough} for a "
            f"container, `ulimit -n {enough}` in a shell, as root where it is refused), or set MAX_CONNECTIONS={viewers}",
        )

    @property
    def for_viewers(self) -> int:
        """How many viewers may be connected at once."""
        return self.limit - self._kept_back

    @property
    def first_reserved(self) -> int:
        """The number of the first reserved descriptor.

        The kernel gives the lowest free number, so a new connection's descriptor tells how many are in use.
        """
        return self.limit - self._kept_back // RESERVED_SHARE

    @property
    def _kept_back(self) -> int:
        return min(KEPT_BACK, self.limit // 4)
