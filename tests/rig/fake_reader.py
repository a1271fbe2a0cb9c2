"""Reads without Wix: stores what a worker would have read, through the real script."""

from typing import Any

from server.counter import Rules
from server.model import Definition, Event, EventId, Price, Sale, SaleStatus, SiteId, TicketId
from server.redis.client import RedisClient, Use
from server.redis.namespace import DEFAULT_PREFIX
from server.store.budget import Priority, Wait
from server.store.schedule import Schedule
from server.store.snapshots import Kept, ReadResult, Snapshots

EVENT = "0b5f1a2e-4444-4444-8444-00000000e001"


def definition(ticket: str, unsold: int | None = 3, **more: Any) -> Definition:
    """A ticket on sale at one price; *more* wins."""
    given: dict[str, Any] = {
        "id": TicketId(ticket),
        "event": EventId(EVENT),
        "name": "General admission",
        "event_details": Event(EventId(EVENT)),
        "hidden": False,
        "shown_off_sale": True,
        "status": SaleStatus.STARTED,
        "unsold": unsold,
        "sold_out": unsold == 0,
        "held": None,
        "prices": (Price("25.00", "USD"),),
        "shared": False,
        "fee": None,
        "sale": Sale(),
        "start_us": None,
        "end_us": None,
        "position": f"0000000000 {ticket}",
        "facts": {"id": ticket, "name": more.get("name", "General admission")},
    }
    return Definition(**{**given, **more})


class FakeReader:
    """A worker that reads one site; each `read` begins later than the one before."""

    def __init__(self, redis_url: str, site: str, rules: Rules | None = None, *, prefix: str = DEFAULT_PREFIX) -> None:
        self.store = RedisClient(redis_url, Use.WORK, prefix)
        self.schedule = Schedule(self.store)
        self.site = SiteId(site)
        self.rules = rules or Rules()
        self.snapshots = Snapshots(self.store, self.rules)

    async def version(self) -> int:
        """Begin a read; answers its version."""
        version = await self.schedule.spend(self.site, Priority.HINTED)
        assert not isinstance(version, Wait)
        return version

    async def read(self, *definitions: Definition, version: int | None = None, event: Event | None = None) -> Kept:
        """Store these as read from Wix, with what is known of their event; answers what became of the last."""
        version = version or await self.version()
        findings = [ReadResult.of(one, event, self.rules) for one in definitions]
        return (await self.snapshots.keep(self.site, version, findings))[-1]

    async def delete(self, ticket: str) -> None:
        """Store that Wix answered 404."""
        version = await self.version()
        await self.snapshots.keep(self.site, version, [ReadResult.deleted(TicketId(ticket), EventId(EVENT))])

    async def aclose(self) -> None:
        """Close the connections."""
        await self.store.aclose()
