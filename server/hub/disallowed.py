"""Counters that our rules do not allow, or that no process of ours wrote: they are not shown, wherever they come from.

In: what the feed finds that a topic does not take. Out: a metric, a warning that says what to do, and how soon the stored
counter may be read for one that was published. There are three causes: a process with another LOW_AT or SHOW_AT_MOST, a process
of another version, and another program that writes to our keys or channels.
"""

from collections.abc import Callable

from server import logs, metrics
from server.hub.topics import TicketTopic
from server.logs import RepeatedWarning

READ_EVERY = 1.0
"""Seconds between two reads of a topic because of what is published: many messages cause no more."""
HINT = (
    "run all processes with the same LOW_AT, SHOW_AT_MOST and version; if they are, another program writes to our keys or "
    "channels: set another REDIS_PREFIX, and a password for Redis"
)

log = logs.logger("disallowed")


class Disallowed:
    """What one process does not show; *now* gives the event loop's time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # When each topic was last to be read because of what was published.
        self._read_at: dict[TicketTopic, float] = {}
        self._warning = RepeatedWarning(log, "counter_disallowed", clock=now)

    def stored(self, topic: TicketTopic) -> None:
        """Report a counter that was stored."""
        self._report(topic, "stored")

    def published(self, topic: TicketTopic) -> bool:
        """Report a counter that was published; tell whether what is stored should be read now."""
        self._report(topic, "published")
        now = self._now()
        if now - self._read_at.get(topic, -READ_EVERY) < READ_EVERY:
            return False
        self._read_at[topic] = now
        return True

    def discard(self, topic: TicketTopic) -> None:
        """Forget a topic that is closed."""
        self._read_at.pop(topic, None)

    def _report(self, topic: TicketTopic, how: str) -> None:
        metrics.disallowed.labels(how).inc()
        self._warning.warn(topic.site, site=topic.site, ticket=topic.ticket, how=how, hint=HINT)
