"""The interface through which the world reports changes; webhooks.py implements it and builds Wix's payloads."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from sandbox.model import Event, Hold, Order, Ticket


class ChangeType(StrEnum):
    """What happened to an object; most values are the slugs of Wix's domain events."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    SALE_STARTED = "sale_started"
    SALE_ENDED = "sale_ended"
    SALE_PERIOD_UPDATED = "sale_period_updated"
    STOCK_MOVED = "stock_moved"  # Wix may send no webhook for it: the knob stock_updates
    DELETED_WITH_EVENT = "deleted_with_event"  # the same: the knob tickets_of_deleted_events
    REORDERED = "reordered"  # the same: the knob reorder_updates
    SOLD_OUT_CHANGED = "sold_out_changed"  # registration closed or opened by itself: the knob closing_updates
    PUBLISHED = "published"
    STARTED = "started"
    CANCELED = "canceled"
    ENDED = "ended"
    INITIATED = "initiated"
    CONFIRMED = "confirmed"


class Observer(Protocol):
    """Gets each change once, after it happened, with the object as it is then."""

    def ticket(self, what: ChangeType, ticket: Ticket, before: Ticket | None = None) -> None:
        """A ticket definition changed; *before* is its old value, if there was one."""

    def hold(self, what: ChangeType, hold: Hold, tickets: Mapping[str, Ticket]) -> None:
        """A hold changed; *tickets* has its tickets by id, except deleted ones."""

    def order(self, what: ChangeType, order: Order) -> None:
        """An order changed."""

    def event(self, what: ChangeType, event: Event) -> None:
        """An event changed."""
