"""Counters that were made by other rules than ours: another process has other settings, or was not restarted yet.

In: what the feed finds stored. Out: reads asked for, by a worker with our rules; a warning; whether
this lasts longer than a restart of all processes may take. Until it is read again no viewer sees such a counter (topics.py).
"""

from collections.abc import Callable, Iterable, Sequence

from server.hub.rereads import Rereads
from server.hub.topics import TicketTopic
from server.model import SiteId, WatchedTicket
from server.store.rules_warning import RulesWarning

RESTART = 60.0
"""Seconds that a restart of all processes may take."""


class OtherRules:
    """One process's view of other rules than its own; *now* gives the event loop's time."""

    def __init__(self, rereads: Rereads, rules_hash: str, now: Callable[[], float]) -> None:
        self.rereads = rereads
        self.rules_hash = rules_hash
        self._now = now
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

    async def found(self, site: SiteId, topics: Sequence[TicketTopic]) -> None:
        """Ask for reads of these topics, whose counters have other rules, and warn. Raises RedisUnavailable."""
        if not topics:
            return
        await self.rereads.ask(site, topics)
        self._warning.warn(site, topics=len(topics))
