"""The log of API calls, and the rate limit.

In: the begin and end of each call. Out: whether it exceeds the limit per minute, and a list of calls for tests and
people. Token requests are logged but not limited.
Source: Wix, "Rate limits" (200 per minute and app instance).
"""

import time
from collections import deque
from dataclasses import dataclass

from sandbox.clock import Clock

WINDOW = 60.0
MAX_KEPT = 100_000
"""Number of calls that are stored."""

TOKEN = "token"  # noqa: S105 - the kind of a call
QUERY_EVENTS, GET_EVENT, GET_EVENT_BY_SLUG = EVENT_CALLS = ("query_events", "get_event", "get_event_by_slug")
"""The kinds of calls that need the permission Read Events."""
(QUERY_CONTACTS, GET_CONTACT, UPDATE_CONTACT, BULK_UPDATE, GET_JOB, LIST_LABELS, LIST_FIELDS) = CONTACT_CALLS = (
    *("query_contacts", "get_contact", "update_contact", "bulk_update_contacts", "get_bulk_job"),
    *("list_labels", "list_extended_fields"),
)
"""The kinds of calls that need the permission Manage Contacts."""
QUERY_SUBSCRIPTIONS, UPSERT_SUBSCRIPTION, BULK_UPSERT = SUBSCRIPTION_CALLS = (
    "query_subscriptions",
    "upsert_subscription",
    "bulk_upsert_subscriptions",
)
"""The kinds of calls that need the permission Manage Email Subscriptions."""
NO_ANSWER = 0


@dataclass(slots=True)
class Call:
    """Call number *n*, begun at *at*; *status* is 0 until it is answered, and if it never is."""

    n: int
    at: float
    method: str
    path: str
    kind: str
    status: int = NO_ANSWER
    ms: int = 0


class CallLog:
    """All calls of the site."""

    def __init__(self, *, clock: Clock = time.time, keep: int = MAX_KEPT) -> None:
        self._clock = clock
        self._kept: deque[Call] = deque(maxlen=keep)
        self._count = 0
        self._window: deque[float] = deque()

    def begin(self, method: str, path: str, kind: str) -> Call:
        """Record a new call."""
        self._count += 1
        call = Call(self._count, self._clock(), method, path, kind)
        self._kept.append(call)
        return call

    def end(self, call: Call, status: int) -> None:
        """Record the response of a call."""
        call.status = status
        call.ms = int((self._clock() - call.at) * 1000)

    def allow(self, limit: int) -> bool:
        """Count one call, unless there were *limit* in the last minute; refused calls do not count."""
        now = self._clock()
        while self._window and self._window[0] <= now - WINDOW:
            self._window.popleft()
        if len(self._window) >= limit:
            return False
        self._window.append(now)
        return True

    def since(self, n: int = 0, kind: str | None = None) -> list[Call]:
        """The stored calls after number *n*, oldest first."""
        return [call for call in self._kept if call.n > n and kind in (None, call.kind)]
