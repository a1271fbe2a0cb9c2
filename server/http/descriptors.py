"""How many descriptors a process may open, and who may have the last of them.

In: the limit that the kernel holds this process to. Out: the number of viewers, and the number of a descriptor, from
which on there is none to give away. A viewer stays for hours, a webhook for some milliseconds: were viewers let in to
the last descriptor, Wix could not tell us anything until one of them leaves, and no file or Redis could be opened.
"""

import resource
import sys
from dataclasses import dataclass
from typing import Self

KEPT_BACK = 1024
"""Descriptors that no viewer gets; a quarter of all where there are fewer than 4096."""
OURS = 8
"""One in so many of those is not for connections from outside at all, but for Redis, Wix and files."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """All descriptors of a process, from 0 to below *limit*."""

    limit: int

    @classmethod
    def of_this_process(cls) -> Self:
        """As many as it may open by now: run.py asks for all that it can get."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return cls(sys.maxsize if soft == resource.RLIM_INFINITY else soft)

    @property
    def for_viewers(self) -> int:
        """How many viewers there may be at once."""
        return self.limit - self._kept_back

    @property
    def edge(self) -> int:
        """The number from which on a descriptor is ours.

        The kernel gives the lowest that is free, so a new connection's own number tells how many are in use.
        """
        return self.limit - self._kept_back // OURS

    @property
    def _kept_back(self) -> int:
        return min(KEPT_BACK, self.limit // 4)
