import asyncio

import pytest

from server.errors import WixUnavailable
from server.model import SiteId
from server.wix.tokens import Token, Tokens
from tests.rig.wix import ManualClock

ONE, TWO = SiteId("5f0e4d3c-1111-4111-8111-00000000b001"), SiteId("5f0e4d3c-1111-4111-8111-00000000b002")


class TokenServer:
    """Gives out numbered tokens that live for 100 s; fails while *down*."""

    def __init__(self) -> None:
        self.requests: list[SiteId] = []
        self.down = False

    async def request(self, site: SiteId) -> Token:
        self.requests.append(site)
        await asyncio.sleep(0)
        if self.down:
            raise WixUnavailable("no token")
        return Token(f"token {len(self.requests)}", 100.0)


async def test_concurrent_calls_share_one_request() -> None:
    """Calls that need a token of one site at the same time share one request, and each site has its own."""
    server = TokenServer()
    tokens = Tokens(server.request, ManualClock())

    first = await asyncio.gather(*(tokens.get(ONE) for _ in range(10)))
    other = await tokens.get(TWO)

    assert ({"token 1"}, "token 2", [ONE, TWO]) == (set(first), other, server.requests)


async def test_token_is_renewed_before_it_expires() -> None:
    """A token is used for four fifths of its lifetime, then another is asked for."""
    server, clock = TokenServer(), ManualClock()
    tokens = Tokens(server.request, clock)
    await tokens.get(ONE)

    clock.advance(79.9)
    before = await tokens.get(ONE)
    clock.advance(0.1)

    assert ("token 1", "token 2") == (before, await tokens.get(ONE))


async def test_discarded_token_is_replaced_once() -> None:
    """A token that Wix refused is replaced; a late refusal of an old one does not discard the new one."""
    server = TokenServer()
    tokens = Tokens(server.request, ManualClock())
    old = await tokens.get(ONE)

    tokens.discard(ONE, old)
    new = await tokens.get(ONE)
    tokens.discard(ONE, old)
    tokens.discard(TWO, old)

    assert ("token 2", "token 2") == (new, await tokens.get(ONE))


async def test_failed_request_is_repeated_by_the_next_call() -> None:
    """Without a token the error of the request is raised, and the next call asks again."""
    server = TokenServer()
    tokens = Tokens(server.request, ManualClock())
    server.down = True
    with pytest.raises(WixUnavailable):
        await tokens.get(ONE)
    server.down = False

    assert "token 2" == await tokens.get(ONE)
