"""Numbers that were withdrawn because they could not be verified for MAX_STALE, as log lines.

In: each topic whose number is withdrawn. Out: one line when that begins, more at growing distances while it lasts, and one when no
number is withdrawn any more. What a worker, or Wix, had to do with it is in the worker's log.
"""

import time
from collections.abc import Callable

from server import logs
from server.hub.topics import TicketTopic, TopicState
from server.logs import OutageLog

HINT = (
    "no read has confirmed these numbers for MAX_STALE, so visitors see none: see in the log of the worker why (wix_fault, "
    "store_unavailable), and whether one runs; `ticket-counter doctor` looks at all of it"
)

log = logs.logger("withdrawals")


class Withdrawals:
    """The numbers that are withdrawn in this process now; *clock* is in seconds, from any start."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._topics: set[TicketTopic] = set()
        self._new: list[TicketTopic] = []
        self._lines = OutageLog(log, "counters_withdrawn", "counters_verified", clock=clock)

    def add(self, topic: TicketTopic) -> None:
        """The topic shows no number any more."""
        self._topics.add(topic)
        self._new.append(topic)

    def tell(self) -> None:
        """Log what has changed since the last time; numbers are withdrawn one by one, so this is called once a second."""
        if self._new:
            first, self._new = self._new[0], []
            self._lines.fault(withdrawn=len(self._topics), site=first.site, ticket=first.ticket, hint=HINT)
        if not self._topics:
            return
        verified = any(topic.verified for topic in self._topics)
        self._topics = {one for one in self._topics if not one.verified and one.state is not TopicState.CLOSED}
        if self._topics:
            return
        if verified:
            self._lines.works()
        else:
            # Nobody looks at them any more.
            self._lines.forget()
