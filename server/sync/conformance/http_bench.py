"""A system behind a URL as the checks see it: what its own interface offers, and no more."""

from collections.abc import Mapping
from typing import Any

from server.errors import NotStarted, TargetError
from server.model import TicketId
from server.sync.conformance.bench import Bench, Meter
from server.sync.conformance.expectation import expect
from server.sync.conformance.signed import SignedRequests
from server.sync.mapping import TargetSettings
from server.sync.mapping_file.kinds import kinds
from server.sync.mapping_file.target_reader import TargetReader
from server.sync.targets.http import HttpTarget
from server.sync.targets.http_json import TICKET
from server.toml_file.faults import Faults
from server.toml_file.lines import lines

PAGES = (11, 21, 26, 51, 101)
"""How many records are made, one number after the other, until the list has a second page."""
NOTE = "conformance_note"
"""A member that no mapping names."""


class HttpBench(Bench):
    """The bench of a system that speaks docs/http-target.md."""

    target: HttpTarget
    single_fields = False  # PUT has all members that are ours

    def __init__(self, settings: TargetSettings, event: str) -> None:
        meter = Meter()
        super().__init__(HttpTarget(settings, meter.pay), settings, event, meter)
        self.requests_of = SignedRequests(settings, meter.pay)

    async def aclose(self) -> None:
        """Close every connection."""
        await self.target.aclose()
        await self.requests_of.aclose()

    async def measure_page(self) -> None:
        """Make records until the list has a second page, and see how many are on the first."""
        for number in PAGES:
            records = await self.target.list(self.event)
            for index in range(len(records), number):
                await self.create(await self.wanted(await self.ticket(), name=f"Fills a page {index}"))
            answer = await self.requests_of.get({"event": self.event})
            page = answer.json()
            if page["next"] is not None:
                self.page = len(page["records"])
                return

    async def by_hand(self, name: str) -> str:
        """A record that gave up its id."""
        wanted = await self.wanted(await self.ticket(), name=name)
        key = await self.create(wanted)
        record = await self.one(wanted.ticket, "created a record")
        await self.target.mark(self.event, record, None, self.meter.before_write)
        return key

    async def edit(self, key: str, fields: Mapping[str, Any]) -> None:
        """PUT of these members alone."""
        answer = await self.requests_of.send("PUT", f"/{key}", dict(fields))
        expect(answer.status < 300, f"sent PUT with {', '.join(fields)} alone", "200 or 204", answer.status)

    async def add_unmapped(self, key: str) -> None:
        """A member that we do not send again."""
        await self.edit(key, {NOTE: "keep me"})

    async def unmapped(self, key: str) -> object:
        """That member."""
        return next(one.fields.get(NOTE) for one in await self.target.list(self.event) if one.key == key)

    async def take_off_sale(self) -> int:
        """Take all records off sale that the checks have made; answers how many could not be.

        They are not listed: what is wrong with the system may be its list.
        """
        left = 0
        for ticket, key in self.made.items():
            try:
                found = [key] if key else [one.key for one in await self.target.find(self.event, ticket, None)]
                answers = [await self.requests_of.send("DELETE", f"/{one}") for one in found]
            except TargetError:
                left += 1
            else:
                left += sum(not (one.status < 300 or one.status in {404, 410}) for one in answers)
        return left

    async def post(self, ticket: TicketId, **members: Any) -> dict[str, Any]:
        """The body of a POST for a ticket; it is remembered, so that its record is taken off sale."""
        self.made.setdefault(ticket, None)
        wanted = await self.wanted(ticket)
        return {TICKET: ticket, "event": self.event, **wanted.fields, "options": [], **members}


def http_settings(url: str, secret: str, *, event: str, allow_http: bool, allow_private: bool) -> TargetSettings:
    """The settings of a target of kind http at this address, with the shipped mapping; raises NotStarted."""
    faults = Faults("conformance", lines(""))
    table = {
        "kind": "http",
        "url": url,
        "secret_env": "SECRET",
        "allow_http": allow_http,
        "allow_private": allow_private,
        "events": {"conformance": event},
    }
    found = TargetReader("conformance", table, faults, {"SECRET": secret}).target(kinds())
    if found is None or faults:
        raise NotStarted("; ".join(one.partition(": ")[2] for one in faults.texts()))
    return found
