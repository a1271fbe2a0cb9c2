"""Clients of a fake Wix, and what they ask for.

The fixtures `wix` and `client` of tests/wix/conftest.py make them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from server.model import SiteId, TicketId
from server.wix.client import Wix
from server.wix.credentials import ApiKey, App
from tests.rig.fake_wix import Reply
from tests.rig.server import OTHER, SITE, TICKET

SAMPLES: dict[str, Any] = json.loads((Path(__file__).parent.parent / "samples" / "definitions.json").read_text())
SITE_ID, ELSEWHERE = SiteId(SITE), SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
TICKETS = [TicketId(TICKET), TicketId(OTHER)]
APP = App("a1b2c3d4-0000-4000-8000-00000000a001", "app-secret")
KEY = ApiKey("IST.key", {SITE_ID: "7c9e6679-2222-4222-8222-00000000c001"})
QUERY = "/ticket-definitions/query"

Client = Callable[..., Wix]


async def pay() -> bool:
    """Pay for any second call."""
    return True


def listed(*definitions: Any, **metadata: Any) -> Reply:
    """Wix's answer to a query, with these definitions."""
    return Reply(content={"ticketDefinitions": list(definitions), "metadata": metadata})


def counted(kind: str, outcome: str) -> float:
    """How many calls of this kind have ended so, in this process."""
    return REGISTRY.get_sample_value("ticketcounter_wix_calls_total", {"kind": kind, "outcome": outcome}) or 0.0
