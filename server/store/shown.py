"""The tickets of an event that a visitor may see, in the order of its page (lua/shown.lua).

In: events by id or slug, as viewers ask for them. Out: the list of each as JSON, as it was stored by the last reads of its tickets.
Nothing here costs a call to Wix, but where only watched tickets are tracked: there a listing of the site is made due.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server.model import EventName, SiteId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.store.timing import DAY, Timing, micros


@dataclass(frozen=True, slots=True)
class ShownTickets:
    """The `lists` of some events in their order, None where there is no such event or it is not published.

    `complete`: the site was listed, so that an event without a list is not one whose tickets were never read.
    """

    complete: bool
    lists: tuple[str | None, ...]


class Shown:
    """The lists in Redis."""

    def __init__(self, redis: RedisClient, timing: Timing | None = None) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)
        self.timing = timing or Timing()

    async def watch(self, site: SiteId, events: Sequence[EventName]) -> ShownTickets | None:
        """Keep the lists of these events true for their viewers, and answer them; None for an unknown site.

        Raises RedisUnavailable.
        """
        timing = self.timing
        answer = await self.redis.run(
            scripts.WATCH_EVENTS,
            [self.keys.key(site, name) for name in ("site", "due", "shown_watched", "slugs")],
            [
                micros(timing.watch_for),
                micros(timing.lease),
                micros(timing.list_every),
                micros(DAY),
                self.keys.wake,
                *events,
            ],
        )
        if answer is None:
            return None
        complete, *lists = answer
        return ShownTickets(complete == 1, tuple(text or None for text in lists))
