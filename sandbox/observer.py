"""Who is told what happened: the world speaks, webhooks.py listens and makes Wix's payloads of it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from sandbox.model import Event, Hold, Order, Ticket


class ChangeType(StrEnum):
    """What happened to a thing; most are the slugs of Wix's domain events."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    SALE_STARTED = "sale_started"
    SALE_ENDED = "sale_ended"
    SALE_PERIOD_UPDATED = "sale_period_updated"
    STOCK_MOVED = "stock_moved"  # of which Wix may say nothing: a knob
    STARTED = "started"
    CANCELED = "canceled"
    ENDED = "ended"
    INITIATED = "initiated"
    CONFIRMED = "confirmed"


class Observer(Protocol):
    """Is told of each thing once, after it happened; the value is the thing as it is then."""

    def ticket(self, what: ChangeType, ticket: Ticket, before: Ticket | None = None) -> None:
        """Of a ticket definition; *before* where it was changed."""

    def hold(self, what: ChangeType, hold: Hold, tickets: Mapping[str, Ticket]) -> None:
        """Of a hold; *tickets* has those it is for, by id, unless they are deleted."""

    def order(self, what: ChangeType, order: Order) -> None:
        """Of an order."""

    def event(self, what: ChangeType, event: Event) -> None:
        """Of an event."""
