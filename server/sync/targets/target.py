"""What sync needs of a ticketing system: the Protocol that every target has, and what it says of itself.

A target is one file in this folder and one line in `KINDS` (targets/__init__.py). It knows HTTP, or files, and the words of its
system; it decides nothing about a ticket: plan.py does. Errors are those of errors.py below TargetError, and only those.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from server.model import TicketId
from server.sync.model import Operation, Record, TargetEvent, Unfit, Wanted

Pay = Callable[[], Awaitable[None]]
"""Called by a target before each request: it waits until the target's budget has one."""

BeforeWrite = Callable[[], Awaitable[None]]
"""Called by a target before each request that writes: it extends the lease, and raises LeaseLost where another has it."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a target can do, for plans, for the suite that all targets pass, and for the table in docs/.

    `parallel`: how many records of it may be written at once, by all workers together. `changes_options`: whether a record may
    change between one price and options. `deletes`: whether it can delete a record, and not only take it off sale.
    `limits`: whether it has a number of tickets to sell.
    """

    parallel: int = 1
    changes_options: bool = True
    deletes: bool = False
    limits: bool = True


class Target(Protocol):
    """One ticketing system. *event* is its own name of an event; *key* a record's own name, as `Record.key`.

    Every method but `fit` may raise TargetUnavailable, TargetUnauthorized, TargetForbidden, and a write also TargetRefused and
    TargetUnsure (errors.py says what each means).
    """

    abilities: Abilities

    async def event(self, event: str) -> TargetEvent:
        """Read an event, and check all that sync needs of it, such as the custom field for the Wix id, which is made."""

    def fit(self, wanted: Wanted, event: TargetEvent) -> Wanted | Unfit:
        """Bring values into the form in which the target would answer them, so that they can be compared."""

    async def find(self, event: str, ticket: TicketId, key: str | None) -> list[Record]:
        """All records of the event that bear this id now; *key*, where one is known, is looked at as well.

        An empty answer is no proof where the target's search can miss one: who creates a record lists the event before.
        """

    async def list(self, event: str) -> list[Record]:
        """All records of the event, with our id and without, in the order in which they were made; never a part of them."""

    async def create(self, event: str, wanted: Wanted, attempt: str, before_write: BeforeWrite) -> str:
        """Create a record that bears the id; answers its key. It is on sale only once it is complete.

        *attempt* is the same text in each try of one creation, and so makes the idempotency key. Raises TargetUnsure where the
        record may have been created, or may still be.
        """

    async def update(
        self, event: str, record: Record, wanted: Wanted, operation: Operation, before_write: BeforeWrite
    ) -> None:
        """Write the fields and options that *operation* names, and nothing else; what closes comes first, what opens last."""

    async def deactivate(self, event: str, record: Record, before_write: BeforeWrite, *, delete: bool = False) -> None:
        """Take a record off sale; with *delete* delete it, where the target allows that."""

    async def mark(self, event: str, record: Record, ticket: TicketId | None, before_write: BeforeWrite) -> None:
        """Write the Wix id into the record's custom field (adoption), or clear it there."""

    async def aclose(self) -> None:
        """Close every connection."""
