"""Durations and sizes of a campaign's run, together, so that tests can have shorter ones."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """Durations are in seconds.

    `page`: members of a page. `fresh`: how old a page may be that tells consent. `retry`, `longest_retry`: until a tool that does not
    answer is asked again. `refused`: the same where only a person can help. `poll`: until a paused server is looked at again. `grace`:
    what is in flight when the process ends has so long. `look`, `look_after`: the offer is looked at after so many seconds, or
    messages. `rest`: between two passes that found no one new. `first_wait`: until a recipient is tried again, doubling with each
    try. `mark_every`: between two tries to mark a row while Redis does not answer. `lease`: how long a worker has a campaign after
    it last said so.
    """

    page: int = 500
    fresh: float = 60.0
    retry: float = 1.0
    longest_retry: float = 15.0
    refused: float = 30.0
    poll: float = 1.0
    grace: float = 7.0
    look: float = 10.0
    look_after: int = 500
    rest: float = 10.0
    lease: float = 10.0
    first_wait: float = 60.0
    mark_every: float = 0.5
