"""What ends a check: an expectation that is not met, something that is not offered, or the end of our process, as a test of it."""

LONGEST = 80
"""Characters of a value in a line."""


class Unmet(Exception):
    """A check failed: what was done, what was expected, what was seen."""

    def __init__(self, done: str, expected: str, seen: object) -> None:
        super().__init__(f"{done}: expected {expected}, saw {seen}")


class NotOffered(Exception):
    """What a check needs is not offered by this target, or by its bench."""


class Stopped(BaseException):
    """Our process ended before this request: a target that catches errors does not catch this."""


def expect(met: bool, done: str, expected: str, seen: object) -> None:
    """Raise Unmet unless it is *met*."""
    if not met:
        raise Unmet(done, expected, seen)


def brief(value: object) -> str:
    """A value as a check says that it saw it: on one line, and not long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
