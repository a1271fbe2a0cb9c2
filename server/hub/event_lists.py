"""Reads the lists of tickets of the events that are watched here.

In: topics of events, as the feed asks for them: when a subscription is confirmed, when something is published, and in each round.
Out: topics that hold the stored list, or the reason for which there is none; the hub tells the viewers. What is published is only
a hint to read.
"""

from collections.abc import Sequence

from server.chunks import chunks
from server.errors import EventNotListed, UnknownEvent
from server.hub.hub import Hub
from server.hub.topics import EventTopic, TopicState
from server.model import SiteId
from server.store.schedule import READ_AT_ONCE
from server.store.shown import Shown


class EventLists:
    """The lists of one process's events."""

    def __init__(self, shown: Shown, hub: Hub) -> None:
        self.shown = shown
        self.hub = hub

    async def read(self, site: SiteId, topics: Sequence[EventTopic]) -> None:
        """Keep these events of a site watched, and take what is stored of them. Raises RedisUnavailable."""
        for some in chunks(topics, READ_AT_ONCE):
            found = await self.shown.watch(site, [topic.name for topic in some])
            for topic, text in zip(some, found.lists if found else [None] * len(some), strict=True):
                if topic.state is not TopicState.CLOSED:
                    self._take(topic, text, complete=found is not None and found.complete)

    def _take(self, topic: EventTopic, text: str | None, *, complete: bool) -> None:
        topic.read()
        if text is not None and topic.take(text):
            self.hub.update(topic)
        elif text is None and complete:
            self.hub.refuse(topic, UnknownEvent(f"no event {topic.name[:60]!r} with tickets is known here"))
        elif not topic.verified:
            # A list that is known stays: Redis may have lost its data, and gets it back.
            self.hub.refuse(topic, EventNotListed("the tickets of this event are not known yet: come back in a while"))
