"""Access tokens of a Wix app: one per site, renewed before it expires, discarded when Wix refuses it.

In: a site. Out: a token that is valid now, or the error of the request for a new one. Concurrent calls share one request.
Source: Wix, "Create Access Token" (a token lives for 4 h).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server.model import SiteId

SHARE_OF_LIFE = 0.8
"""A token is renewed after this share of its lifetime, so that no read waits for an expired one."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and the seconds for which it is valid."""

    text: str
    lifetime: float


class Tokens:
    """The tokens of one app. *request* asks Wix for a new one; *clock* gives seconds, from any start."""

    def __init__(
        self, request: Callable[[SiteId], Awaitable[Token]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._request = request
        self._clock = clock
        # Each with the time at which it is renewed.
        self._tokens: dict[SiteId, tuple[str, float]] = {}
        self._locks: dict[SiteId, asyncio.Lock] = {}

    async def get(self, site: SiteId) -> str:
        """A valid token of the site; raises what *request* raises."""
        async with self._locks.setdefault(site, asyncio.Lock()):
            held = self._tokens.get(site)
            if held is None or self._clock() >= held[1]:
                token = await self._request(site)
                held = self._tokens[site] = token.text, self._clock() + SHARE_OF_LIFE * token.lifetime
            return held[0]

    def discard(self, site: SiteId, used: str) -> None:
        """Wix refused this token; one that has replaced it meanwhile stays."""
        if self._tokens.get(site, ("", 0.0))[0] == used:
            del self._tokens[site]
