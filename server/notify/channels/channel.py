"""What notify needs of a way to send: one message to one recipient, and what its server replied.

A Reply says whose fault it is. Only a reply tells: what was handed over and not answered is unknown, and is never sent again. A
`reason` is a text of ours for a status: a server's own words may contain the recipient's address, so they are not kept.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from server.campaign import ChannelName
from server.notify.announcement import Announcement
from server.notify.audience.source import Member


class Result(StrEnum):
    """What became of one try."""

    SENT = "sent"  # the server took it
    AGAIN = "again"  # not now, for this recipient: 450, a full mailbox
    FAILED = "failed"  # never, for this recipient: 550, 410
    UNKNOWN = "unknown"  # handed over, and no answer came
    SERVER_FAULT = (
        "server fault"  # nothing was handed over, and no recipient is at fault: 421, a lost line, TLS, 535, 401
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """One try. `server` is who replied: faults and pauses are counted for each. `code` is the status that it gave.

    `pause`: it will refuse all others too (530, 535, a 5xx at MAIL, 401 and 403 of push). `retry_after` in seconds, where it said so.
    `cure`: what a person can do.
    """

    result: Result
    server: str
    reason: str = ""
    code: str = ""
    pause: bool = False
    retry_after: float | None = None
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way. `row` is the row's id, of which the Message-ID is made, the same at each try.

    `address` is folded (for push: the subscription's endpoint), `language` is one that we have texts for, `deadline` is in seconds
    since 1970, `unsubscribe` an address of the web. `test`: it says that it is one.
    """

    row: str
    member: Member
    address: str
    language: str
    deadline: float
    announcement: Announcement
    unsubscribe: str
    campaign: str
    test: bool = False


class Channel(Protocol):
    """One way to send. `per_second`: messages a second for all workers together; `parallel`: at once in this process."""

    name: ChannelName
    per_second: float
    parallel: int

    def server(self, member: Member) -> str:
        """Who will be asked to take a message to this member: a relay, or a push service."""
        ...

    async def send(self, delivery: Delivery) -> Reply:
        """Try once; never raises for what a server does. It is never cancelled but at the end of the process."""
        ...

    async def aclose(self) -> None:
        """Close the connections that are open."""
        ...
