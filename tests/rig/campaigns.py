"""Campaigns as they are opened, for tests."""

import time
from dataclasses import replace
from typing import Any

from server.campaign import Campaign
from server.model import EventId, SiteId, TicketId

SITE = SiteId("11111111-aaaa-4aaa-8aaa-000000000001")
EVENT = EventId("22222222-aaaa-4aaa-8aaa-000000000002")
TICKETS = (TicketId("33333333-aaaa-4aaa-8aaa-000000000003"), TicketId("44444444-aaaa-4aaa-8aaa-000000000004"))


def campaign(**changes: Any) -> Campaign:
    """A campaign that began a minute ago and has two hours."""
    start = time.time() - 60
    base = Campaign(
        name="spring-gala@12-01T18",
        site=SITE,
        event=EVENT,
        event_name="spring-gala",
        title="Spring Gala",
        tickets=TICKETS[:1],
        start=start,
        deadline=start + 7200,
        opened_at=start,
        key="0a1b2c3d",
    )
    return replace(base, **changes)
