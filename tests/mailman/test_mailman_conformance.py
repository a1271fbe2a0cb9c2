"""A list of a real Mailman does what every audience must do."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from server.notify.audience.mailman import Mailman
from server.notify.audience.source import AudienceSource
from tests.rig.audience_conformance import CHECKS, AudienceBench, Check, Status
from tests.rig.http_proxy import Fault, HttpProxy, http_proxy
from tests.rig.mailman import PASSWORD, MailmanServer
from tests.rig.mailman_source import CONTEXT, mailman_audience

OWN = "Welcome, all of you!"
BEGIN = "Tickets on sale, Spring Gala: "


class MailmanBench(AudienceBench):
    """A new list, behind a proxy that can fail."""

    statuses = frozenset({Status.CONFIRMED, Status.PENDING, Status.LEFT})
    missing = "nobody.example.org"
    secret = PASSWORD

    def __init__(self, server: MailmanServer, proxy: HttpProxy, list_id: str) -> None:
        self.server = server
        self.proxy = proxy
        self.list_id = list_id
        self.source = self.open(list_id)

    def open(self, list_id: str) -> Mailman:
        """The source of a list."""
        return Mailman(mailman_audience(self.proxy.url, list_id, date_field="info"), CONTEXT)

    async def fill(self, people: Mapping[str, Status], language: str = "") -> None:
        """Members and others of the list."""
        await self.server.api("PATCH", f"/lists/{self.list_id}/config", {"info": OWN})
        confirmed = [address for address, status in people.items() if status is Status.CONFIRMED]
        self.server.fill(self.list_id, confirmed, language=language or None)
        for address, status in people.items():
            if status is not Status.CONFIRMED:
                await self.server.subscribe(self.list_id, address, confirmed=status is Status.LEFT)
            if status is Status.LEFT:
                await self.server.unsubscribe(self.list_id, address)

    async def status(self, address: str) -> Status | None:
        """Whether an address is a member, or was asked."""
        if address in self.server.members(self.list_id):
            return Status.CONFIRMED
        return Status.PENDING if address in await self.server.pending(self.list_id) else None

    async def leave(self, address: str) -> None:
        """As on Mailman's own page."""
        await self.server.unsubscribe(self.list_id, address)

    def without_list(self) -> AudienceSource:
        """A source of a list that Mailman does not have."""
        return self.open(self.missing)

    @asynccontextmanager
    async def _answering(self, status: int) -> AsyncIterator[None]:
        self.proxy.add(Fault(status))
        yield
        await self.proxy.heal()

    def outage(self) -> AbstractAsyncContextManager[None]:
        """Every call is answered 503."""
        return self._answering(503)

    def forbidden(self) -> AbstractAsyncContextManager[None]:
        """Every call is answered 401."""
        return self._answering(401)

    async def _info(self) -> list[str]:
        return str((await self.server.get(f"/lists/{self.list_id}/config/info"))["info"]).splitlines()

    async def date(self) -> str | None:
        """The date in the list's info."""
        return next((line.removeprefix(BEGIN) for line in await self._info() if line.startswith(BEGIN)), "")

    async def others(self) -> object:
        """The other lines of the info, and the members."""
        lines = [line for line in await self._info() if not line.startswith(BEGIN)]
        return lines, sorted(self.server.members(self.list_id))


@pytest.fixture
async def bench(mailman: MailmanServer) -> AsyncIterator[MailmanBench]:
    """A new list."""
    async with http_proxy(mailman.url) as proxy:
        found = MailmanBench(mailman, proxy, await mailman.new_list())
        yield found
        await found.source.aclose()


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__)
async def test_mailman_passes_the_conformance_checks(check: Check, bench: MailmanBench) -> None:
    """A list of Mailman does what every audience must do."""
    await check(bench)
