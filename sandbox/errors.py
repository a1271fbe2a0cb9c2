"""Errors for bad requests: api.py answers them with Wix's status and body, control.py with plain text.

The text says what is wrong with the request. Any other exception is a bug and becomes status 500.
"""


class Refused(Exception):
    """The request is refused; the text says why."""


class NotFound(Refused):
    """There is no ticket, event, hold or order with this id."""


class EventNotFound(NotFound):
    """There is no such event; the Events API has its own code for it."""


class Invalid(Refused):
    """A member of the request is wrong: *field* is its dotted path, *rule* is Wix's name of the violated rule."""

    def __init__(self, field: str, text: str, rule: str = "OTHER") -> None:
        super().__init__(f"{field}: {text}")
        self.field = field
        self.text = text
        self.rule = rule


class BadFilter(Invalid):
    """The filter of a query is invalid; Count has its own error code for it."""


class StaleRevision(Refused):
    """The revision in the request is not the current one."""


class InvalidSalePeriod(Refused):
    """The sale ends before it starts."""


class TooManyTickets(Refused):
    """The event has the maximum number of ticket definitions."""


class BadReorder(Refused):
    """The tickets cannot be put in that order: they are not of one event, or it is one and the same."""


class SlugTaken(Refused):
    """Another event of the site has this slug."""


class WrongStatus(Refused):
    """The event's status does not allow this, as to publish what is no draft."""


class NotForSale(Refused):
    """The ticket cannot be bought now: not on sale, hidden, registration closed, or too few left."""


class StartupError(Exception):
    """The sandbox cannot start with these options; the text says what to do."""
