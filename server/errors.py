"""What can go wrong, as a tree; its two parents tell the caller whether to come back.

TicketCounterError
├── Temporary            the same call may work later
│   ├── WixUnavailable   Wix said 401, 403, 429, 5xx, nonsense, or nothing
│   ├── RedisUnavailable Redis is down, too slow, out of memory, or failing over
│   └── NoSiteYet        a public request while no site is known: Redis is empty, or new
└── Permanent            the same call will fail again
    ├── Forged           a webhook that Wix did not sign
    ├── Malformed        signed by Wix, but not of the shape that Wix documents
    ├── WixRefused       Wix said 400: the request itself is wrong
    ├── NotThere         Wix said 404
    ├── BadRequest       a public request that names no counter
    ├── UnknownSite      a public request for a site that is not ours
    ├── RedisUnfit       a Redis that would lose data or is too old
    └── NotStarted       a process that cannot start as it is set up
"""


class TicketCounterError(Exception):
    """The root of all of ours: its text says what was wrong, where, and what to do."""


class Temporary(TicketCounterError):
    """The same call may work later."""


class Permanent(TicketCounterError):
    """The same call will fail again."""


class WixUnavailable(Temporary):
    """Wix gave no usable answer; `retry_after` is in seconds where Wix named it, `status` 0 where no answer came."""

    def __init__(
        self, text: str, *, status: int = 0, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


class RedisUnavailable(Temporary):
    """Redis did not take the command; nothing is known about whether it will have an effect."""


class NoSiteYet(Temporary):
    """No site is known yet; a worker makes those of its settings known within seconds."""

    reason = "no_site"


class TooManyUnconfirmed(Temporary):
    """An address has asked for more tickets than it may have at once that Wix has not confirmed."""

    reason = "unknown_tickets"


class Forged(Permanent):
    """The body is not a token signed with the app's key, or its time is over."""


class Malformed(Permanent):
    """The signature is right, the content is not what Wix documents."""


class WixRefused(Permanent):
    """Wix found the request itself wrong (400)."""

    def __init__(self, text: str, *, status: int = 400, request_id: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.request_id = request_id


class NotThere(Permanent):
    """Wix knows no such ticket definition (404)."""


class BadRequest(Permanent):
    """A public request that cannot be answered; `field` is the query parameter at fault."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class UnknownSite(Permanent):
    """A public request for a site that no app instance of ours belongs to."""


class RedisUnfit(Permanent):
    """This Redis would lose what we promise to keep, or lacks what we need."""


class NotStarted(Permanent):
    """A process cannot start as it is set up; the text names the setting or command that helps."""
