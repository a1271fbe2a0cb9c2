"""What viewers of an event on a HubRig are sent, and what they wait for."""

import json
from typing import Any

from tests.rig.default_keys import key
from tests.rig.fake_reader import EVENT
from tests.rig.hub_rig import SITE_ID, FakeViewer, HubRig

UNKNOWN_EVENT = "99999999-4444-4444-8444-00000000e009"
SOON = {"bye": {"retry_ms": [0, 3000]}}
"""Sent before the close when the list has changed."""


def listed(*tickets: str) -> dict[str, Any]:
    """The list of these tickets."""
    return {"event": EVENT, "tickets": [*tickets]}


def messages(viewer: FakeViewer) -> list[dict[str, Any]]:
    """All that a viewer was sent, in order."""
    return [json.loads(text) for write in viewer.writes for text in write]


def counters(viewer: FakeViewer) -> list[tuple[str, str]]:
    """The counters among it: ticket and state."""
    return [(one["ticket"], one["state"]) for one in messages(viewer) if "state" in one]


async def listed_site(rig: HubRig) -> None:
    """End a listing of the site, so that what is not known does not exist."""
    await rig.store.do("HSET", key(SITE_ID, "site"), "complete", 1)
