"""Ids that Wix has not confirmed: how many are watched here, in all and for one address, and which makes room.

In: topics as they are watched, left, confirmed or closed. Out: a refusal for an address that asks for too many, and the
topics that are to be closed. Any client may ask for any id, and each one is a topic here and a subscription in Redis. The
oldest makes room, never the newest: a real ticket is read some milliseconds after it was first asked for, an invented one
never is, so a flood of invented ids displaces its own. And one address cannot ask for so many at once that the reads of
others come late.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator

from server.errors import TooManyUnconfirmed
from server.hub.topics import Topic

MAX_UNCONFIRMED = 5_000
"""At once: some 10 MB."""
MAX_PER_ADDRESS = 500
"""Of those, the ones that one address was first to ask for: ten pages whose tickets all are new here."""


class Unconfirmed:
    """Topics of one hub. *most* is no less than one request may ask for (query.MOST_TICKETS)."""

    def __init__(self, most: int = MAX_UNCONFIRMED, most_per_address: int = MAX_PER_ADDRESS) -> None:
        self.most = most
        self.most_per_address = most_per_address
        # First those without viewers, then the others in the order in which they were asked for.
        self._topics: OrderedDict[Topic, None] = OrderedDict()
        # How many of them each address was first to ask for.
        self._per_address: Counter[str] = Counter()

    def __contains__(self, topic: Topic) -> bool:
        return topic in self._topics

    def __len__(self) -> int:
        return len(self._topics)

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics)

    def admit(self, new: int, address: str) -> None:
        """Let an address ask for so many new topics; raises TooManyUnconfirmed. Its first request is never too much."""
        asked = self._per_address.get(address, 0)
        if asked and asked + new > self.most_per_address:
            raise TooManyUnconfirmed("too many tickets that Wix has not confirmed yet: come back in a while")

    def add(self, topic: Topic) -> None:
        """Count a topic that an audience begins to watch, as the newest."""
        if topic not in self._topics:
            self._per_address[topic.asked_by] += 1
        self._topics[topic] = None
        self._topics.move_to_end(topic)

    def unwatched(self, topic: Topic) -> None:
        """Make a topic without viewers the first that is closed to make room."""
        self._topics.move_to_end(topic, last=False)

    def discard(self, topic: Topic) -> bool:
        """Stop counting a topic, which is confirmed or closed; tells whether it was counted."""
        if topic not in self._topics:
            return False
        del self._topics[topic]
        self._per_address[topic.asked_by] -= 1
        if not self._per_address[topic.asked_by]:
            del self._per_address[topic.asked_by]
        return True

    @property
    def over_limit(self) -> Topic | None:
        """The topic that makes room next, while there are too many."""
        return next(iter(self._topics)) if len(self) > self.most else None
