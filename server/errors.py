"""What can go wrong, as a tree.

TicketCounterError
├── WixUnavailable         Wix answered 401, 403, 429, 5xx, something unreadable, or nothing: try again later
│   └── WixForbidden       the app lacks a permission: 403, or 401 to a new token
├── WixRefused             Wix answered 400: the request itself is wrong
├── NotThere               Wix answered 404
├── Forged                 a webhook that Wix did not sign
│   ├── OtherKey           signed as Wix signs, but not with our app's key
│   └── WrongTime          signed by Wix, but expired or not valid yet by our clock
├── Malformed              signed by Wix, but not of the shape that Wix documents
├── RedisUnavailable       Redis is down, too slow, out of memory, or failing over: try again later
├── RedisUnfit             a Redis that would lose data or is too old
├── TargetError            a ticketing system that sync writes to
│   ├── TargetUnavailable  no usable answer: down, too slow, 429, 5xx: try again later
│   │   └── TargetUnsure   the same for a write, which may have had its effect, or may still have it
│   ├── TargetUnauthorized it refuses our credentials (401)
│   ├── TargetForbidden    it does not let us use this event (403), or has no such event: none of its tickets can be written
│   └── TargetRefused      it refuses this one write (400, 403, 409, 422)
├── AudienceError          a marketing tool that knows who has subscribed
│   ├── AudienceUnavailable no usable answer: try again later
│   └── AudienceRefused    it refuses our credentials, or has no such list: only a person can help
│       └── RequestRefused it does not take this one address, now or later: there is nothing to mend
├── LeaseLost              another process has taken over what this one was writing
├── NotStarted             a process that cannot start as it is set up
└── Refused                a public request that gets no counter
    ├── BadRequest         it names no counter
    ├── UnknownSite        it names a site that is not ours
    ├── UnknownTicket      it names no site, and no site is known to have its tickets: try again later
    ├── SiteNotFound       the same, and Redis does not answer: try again later
    ├── OriginNotAllowed   it comes from a page that ORIGINS does not list
    ├── NoSiteYet          no site is known yet: try again later
    ├── TooManyConnections a limit is reached, or the process shuts down: try again later
    └── TooManyUnconfirmed an address watches too many tickets that Wix has not confirmed: try again later
"""


class TicketCounterError(Exception):
    """The root of the tree: the text says what was wrong, where, and what to do, where `hint` does not say that."""

    hint = ""


class WixUnavailable(TicketCounterError):
    """Wix gave no usable answer; `retry_after` is in seconds where Wix named it, `status` 0 where no answer came."""

    def __init__(
        self,
        text: str,
        *,
        status: int = 0,
        request_id: str | None = None,
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(text)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.hint = hint


class WixForbidden(WixUnavailable):
    """Wix answered 403, or 401 to a new token: the app, or the API key, lacks a permission."""


class WixRefused(TicketCounterError):
    """Wix found the request itself wrong (400)."""

    def __init__(self, text: str, *, status: int = 400, request_id: str | None = None, hint: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.request_id = request_id
        self.hint = hint


class NotThere(TicketCounterError):
    """Wix knows no such ticket definition (404); the hint is for a call that no id can be to blame for."""

    def __init__(self, text: str, *, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class Forged(TicketCounterError):
    """The body is not a token signed with the app's key, or it has expired."""


class OtherKey(Forged):
    """A webhook as Wix sends them, whose signature is not of WIX_PUBLIC_KEY: the key may be another app's."""


class WrongTime(Forged):
    """The signature is right, but by our clock the token has expired or is not valid yet."""


class Malformed(TicketCounterError):
    """The signature is right, the content is not what Wix documents."""


class RedisUnavailable(TicketCounterError):
    """Redis did not take the command; whether it will still have an effect is unknown."""


class RedisUnfit(TicketCounterError):
    """This Redis would lose what we promise to keep, or lacks what we need."""


class TargetError(TicketCounterError):
    """A ticketing system that sync writes to did not do as asked; the text has its own words."""


class TargetUnavailable(TargetError):
    """It gave no usable answer, and a read or a repeated write changes nothing; `retry_after` in seconds where it named it."""

    def __init__(self, text: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class TargetUnsure(TargetUnavailable):
    """A write was not answered: it may have had its effect, or may still have it. Look the record up before anything else.

    `replayed`: the answer is an old one, of a record that is no more, so a new attempt is needed.
    """

    def __init__(self, text: str, *, status: int = 0, retry_after: float | None = None, replayed: bool = False) -> None:
        super().__init__(text, status=status, retry_after=retry_after)
        self.replayed = replayed


class TargetUnauthorized(TargetError):
    """It refuses our credentials (401)."""


class TargetForbidden(TargetError):
    """It does not let us use this event (403), has no such event, or lacks what each of its tickets needs: the event waits."""


class TargetRefused(TargetError):
    """It refuses this write, and would refuse it again; `status` is that of HTTP."""

    def __init__(self, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class AudienceError(TicketCounterError):
    """A marketing tool that knows who has subscribed did not do as asked; the text says which, and never names a subscriber."""


class AudienceUnavailable(AudienceError):
    """It gave no usable answer; `retry_after` in seconds where it named it."""

    def __init__(self, text: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class AudienceRefused(AudienceError):
    """It refuses our credentials, or has no such list, tag or segment: the text says what there is, and what to do."""


class RequestRefused(AudienceRefused):
    """It does not take the address that a visitor gave, now or later, whatever is mended; all other requests may go on."""


class LeaseLost(TicketCounterError):
    """Another process may write by now what this one was writing, so it stops."""


class NotStarted(TicketCounterError):
    """A process cannot start as it is set up; the text names the setting or command that helps."""


class Refused(TicketCounterError):
    """A public request gets no counter. `reason` is a label of the metric `refused`, `field` the parameter at fault."""

    reason = "request"
    field: str | None = None


class BadRequest(Refused):
    """The request cannot be answered as it is written."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class UnknownSite(Refused):
    """No app instance of ours belongs to this site."""

    field = "site"


class UnknownTicket(Refused):
    """Several sites are known, the request names none, and none of them has any of its tickets; a new one is soon read."""

    field = "ticket"


class SiteNotFound(Refused):
    """The same, while Redis does not answer which site has them."""

    reason = "site_not_found"


class UnknownEvent(Refused):
    """No event of this id or slug is known, or it is not published: the answer is the same."""

    field = "event"


class EventNotListed(Refused):
    """The same, while the site was not listed: the event may only not have been read yet."""

    field = "event"


class OriginNotAllowed(Refused):
    """The page's origin is not in ORIGINS."""

    reason = "origin"


class NoSiteYet(Refused):
    """No site is known yet: none is configured, or no worker has added it."""

    reason = "no_site"


class TooManyConnections(Refused):
    """There is no room for another connection; `reason` says which limit was reached."""

    def __init__(self, text: str, *, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


class TooManyUnconfirmed(Refused):
    """The address watches as many tickets as it may that Wix has not confirmed."""

    reason = "unknown_tickets"
