"""Reads that this process asks for: of tickets whose stored counters it does not show to anyone.

In: topics, as the feed finds them. Out: a hint to the schedule for each, once a minute at most, so that a worker reads the
tickets again. It helps where a worker has our rules; else only the settings can be corrected.
"""

from collections.abc import Callable, Sequence

from server.errors import RedisUnavailable
from server.hub.topics import TicketTopic, TopicState
from server.model import Hint, SiteId
from server.store.schedule import Schedule

MARK_EVERY = 60.0
"""Seconds between two hints for a ticket: one helps only if a worker with our rules reads it."""


class Rereads:
    """The hints of one process; *now* gives the event loop's time."""

    def __init__(self, schedule: Schedule, now: Callable[[], float]) -> None:
        self.schedule = schedule
        self._now = now
        # When each topic was marked last.
        self._marked: dict[TicketTopic, float] = {}

    async def ask(self, site: SiteId, topics: Sequence[TicketTopic]) -> None:
        """Have the tickets of these topics read again, but for those that were closed meanwhile. Raises RedisUnavailable."""
        now = self._now()
        open_ = [topic for topic in topics if topic.state is not TopicState.CLOSED]
        new = [topic for topic in open_ if now - self._marked.get(topic, -MARK_EVERY) >= MARK_EVERY]
        if not new:
            return
        # Before the await, during which some may be discarded.
        self._marked |= dict.fromkeys(new, now)
        try:
            await self.schedule.mark(site, Hint("rules", tuple(topic.ticket for topic in new)))
        except RedisUnavailable:
            for topic in new:
                self.discard(topic)
            raise

    def discard(self, topic: TicketTopic) -> None:
        """Forget a topic whose stored counter is shown, or which has no viewer any more."""
        self._marked.pop(topic, None)
