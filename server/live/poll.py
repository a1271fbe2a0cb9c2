"""A poll: a viewer that stays until it has seen enough, as a socket would see it.

In: what a request asks for. Out: the topics at the end, or why there are none. JSON is a poll, and so is the beginning of a stream of
an event, whose status depends on whether there is such an event.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

from server.errors import Refused
from server.hub.hub import Hub
from server.hub.topics import EventTopic, Topic
from server.live.admission import Admitted
from server.wire import Close

FIRST_READ_WITHIN = 1.0
"""Seconds that a poll waits for what has never been read."""


class Poll:
    """A viewer of `topics`, which are set at its end."""

    def __init__(self) -> None:
        self.topics: Sequence[Topic] = ()
        self.changed = asyncio.Event()
        # Why the hub sent it away.
        self.code: Close | None = None
        self.refusal: Refused | None = None

    @property
    def ended(self) -> bool:
        """Whether the hub sent it away."""
        return self.code is not None or self.refusal is not None

    @property
    def without_list(self) -> bool:
        """Whether an event was asked for whose list could not be read."""
        return any(isinstance(topic, EventTopic) and not topic.verified for topic in self.topics)

    def show(self, topics: Collection[Topic]) -> None:  # noqa: ARG002 - it reads all of its topics at the end
        """These topics have a new frame."""
        self.changed.set()

    def beat(self, text: str) -> None:
        """A poll gets no heartbeat."""

    def bye(self, text: str, code: Close = Close.RESTART) -> None:  # noqa: ARG002 - the answer says when to come back
        """End the poll."""
        self.code = code
        self.changed.set()

    def refuse(self, refusal: Refused) -> None:
        """End the poll with an error."""
        self.refusal = refusal
        self.changed.set()


async def polled(hub: Hub, admitted: Admitted, enough: Callable[[Sequence[Topic]], bool]) -> Poll:
    """Poll until the topics show enough, or the hub sends the poll away, or FIRST_READ_WITHIN has passed."""
    poll = Poll()
    audience = hub.join(poll, *admitted)
    try:
        async with asyncio.timeout(FIRST_READ_WITHIN):
            while not poll.ended and not enough(audience.topics):
                poll.changed.clear()
                await poll.changed.wait()
    except TimeoutError:
        pass
    finally:
        poll.topics = audience.topics
        hub.leave(audience, poll)
    return poll
