"""What the sandbox refuses, as words: api.py gives each Wix's status and body, control.py a plain text.

A refusal names what is wrong with the request; anything else that is raised is a bug of ours and shows as status 500.
"""


class Refused(Exception):
    """The request cannot be done; its text says why."""


class NotFound(Refused):
    """No ticket, event, hold or order of this id."""


class Invalid(Refused):
    """A member of the request is wrong: its *field* as a dotted path, and Wix's name of the broken *rule*."""

    def __init__(self, field: str, text: str, rule: str = "OTHER") -> None:
        super().__init__(f"{field}: {text}")
        self.field = field
        self.text = text
        self.rule = rule


class BadFilter(Invalid):
    """A query's filter that Wix would not take; Count has an error code of its own for it."""


class StaleRevision(Refused):
    """The revision that was sent is not the present one."""


class InvalidSalePeriod(Refused):
    """A sale that ends before it starts."""


class TooManyTickets(Refused):
    """An event has as many ticket definitions as it may."""


class NotForSale(Refused):
    """This cannot be bought now: not on sale, hidden, over, or fewer left than wanted."""


class StartupError(Exception):
    """The sandbox cannot start with what it was given; the text says what to do."""
