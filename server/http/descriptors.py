"""How many file descriptors a process may open, and what the last of them are for.

In: the kernel's limit for this process. Out: the number of viewers, and the first descriptor that no connection from
outside gets. A viewer stays for hours, a webhook for milliseconds: if viewers took the last descriptors, Wix's webhooks
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
class Descriptors:
    """All descriptors of a process, from 0 to below *limit*."""

    limit: int

    @classmethod
    def of_this_process(cls) -> Self:
        """Those of this process, by its present limit: `raise_limit` comes first."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return cls(sys.maxsize if soft == resource.RLIM_INFINITY else soft)

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
