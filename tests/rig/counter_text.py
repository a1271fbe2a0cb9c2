"""The text of a counter as a worker stores and publishes it."""

from typing import Any

from server.counter import Counter, Rules
from server.wire import counter_body, with_v
from tests.rig.fake_reader import definition
from tests.rig.server import TICKET


def counter_text(v: int, unsold: int | None = 3, ticket: str = TICKET, rules: Rules | None = None, **more: Any) -> str:
    """What is stored of a ticket on sale of which so many are left, in this version; *more* are facts of its definition."""
    return with_v(v, counter_body(Counter.of(definition(ticket, unsold, **more), None, rules or Rules())))
