"""Counters that were made by other rules than ours: another process has other settings, or was not restarted yet.

In: what the feed finds stored. Out: hints, so that a worker with our rules reads those tickets again; a warning; whether
this lasts longer than a restart of all processes may take. Until it is read again no viewer sees such a counter (topics.py).
"""

from collections.abc import Callable, Iterable, Sequence

from server.errors import RedisUnavailable
from server.hub.topics import Topic
from server.model import Hint, SiteId, WatchedTicket
from server.store.rules_warning import RulesWarning
from server.store.schedule import Schedule

MARK_EVERY = 60.0
"""Seconds between two hints for a ticket: one helps only if a worker with our rules reads it."""
RESTART = 60.0
"""Seconds that a restart of all processes may take."""


class OtherRules:
    """One process's view of other rules than its own; *now* gives the event loop's time."""

    def __init__(self, schedule: Schedule, rules_hash: str, now: Callable[[], float]) -> None:
        self.schedule = schedule
        self.rules_hash = rules_hash
        self._now = now
        # When each topic with such a counter was marked last.
        self._marked: dict[Topic, float] = {}
        # Since when a site has had other rules than ours.
        self._since: float | None = None
        self._warning = RulesWarning(clock=now)

    @property
    def same_rules(self) -> bool:
        """Whether the sites that are watched here have our rules, but for the minute that a restart of all may take."""
        return self._since is None or self._now() - self._since < RESTART

    def compare(self, rules: Iterable[str]) -> None:
        """Take the rules of all sites that are watched here."""
        if set(rules) <= {self.rules_hash}:
            self._since = None
        elif self._since is None:
            self._since = self._now()

    def are_ours(self, stored: WatchedTicket) -> bool:
        """Whether what is stored of a ticket, if there is anything, was made by our rules."""
        return stored.v is None or stored.rules == self.rules_hash

    async def found(self, site: SiteId, topics: Sequence[Topic]) -> None:
        """Ask for reads of these topics, whose counters have other rules, and warn. Raises RedisUnavailable."""
        if not topics:
            return
        now = self._now()
        new = [topic for topic in topics if now - self._marked.get(topic, -MARK_EVERY) >= MARK_EVERY]
        if new:
            # Before the await, during which some may be discarded.
            self._marked |= dict.fromkeys(new, now)
            try:
                await self.schedule.mark(site, Hint("rules", tuple(topic.ticket for topic in new)))
            except RedisUnavailable:
                for topic in new:
                    self.discard(topic)
                raise
        self._warning.warn(site, topics=len(topics))

    def discard(self, topic: Topic) -> None:
        """Forget a topic whose counter has our rules, or which has no viewer any more."""
        self._marked.pop(topic, None)
