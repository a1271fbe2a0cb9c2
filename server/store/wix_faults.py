"""What was wrong the last time that Wix failed for a site, for the commands that say so.

In: the error of a call, as the worker that met it told it. Out: the same, as long as no call has been answered since. It is kept with the
pause of the site (Schedule.pause), in one step.
"""

import json
from dataclasses import dataclass

from server.model import SiteId
from server.redis.client import RedisClient
from server.store.keys import Keys


@dataclass(frozen=True, slots=True)
class WixFault:
    """What was wrong, and what to do; *in_a_row*: how many calls have failed since one was answered."""

    text: str
    hint: str
    in_a_row: int


def written(text: str, hint: str) -> str:
    """A fault as it is kept."""
    return json.dumps({"text": text, "hint": hint})


async def lasting_fault(redis: RedisClient, site: SiteId) -> WixFault | None:
    """The fault of a site whose last call failed; None where Wix answers. Raises RedisUnavailable."""
    faults, text = await redis.do("HMGET", Keys(redis.namespace).key(site, "reads"), "faults", "fault")
    if not int(faults or 0):
        return None
    try:
        found = json.loads(text)
        return WixFault(str(found["text"]), str(found["hint"]), int(faults))
    except (ValueError, TypeError, KeyError):
        # Paused by another version, which says it differently or not at all.
        return WixFault("Wix did not answer", "see `wix_fault` in the log of the worker", int(faults))
