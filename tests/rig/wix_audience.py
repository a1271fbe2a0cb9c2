"""Contacts of the local Wix as an audience, and the bench of its source."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from sandbox.contacts import ContactBook
from server.counter import Rules
from server.model import SiteId
from server.notify.audience.source import AudienceSource, SourceContext
from server.notify.audience.wix import WixLabel
from server.notify.config import EventAudience, Tool
from server.redis.client import RedisClient
from server.store.schedule import Schedule
from server.wix.client import Wix
from server.wix.credentials import App
from tests.rig.audience_conformance import AudienceBench, Status
from tests.rig.wix import WixRig

LABEL, DATE_FIELD, NOTE = "custom.early-birds", "custom.next-sale", "custom.note"
STATUSES = {
    Status.CONFIRMED: ("SUBSCRIBED", "VALID"),
    Status.PENDING: ("PENDING", "NOT_SET"),
    Status.LEFT: ("UNSUBSCRIBED", "VALID"),
    Status.BOUNCED: ("SUBSCRIBED", "BOUNCED"),
}


class WixAudience(AudienceBench):
    """The contacts of a sandbox with a label; the site is known to Redis."""

    def __init__(self, rig: WixRig, store: RedisClient, client: Wix) -> None:
        self.rig = rig
        self.schedule = Schedule(store)
        self.client = client
        self.secret = rig.sandbox.site.ids.app_secret
        self.book.label(LABEL)
        self.book.field(DATE_FIELD, "DATE")
        self.book.field(NOTE, "TEXT")
        self.source = self.open()

    @property
    def book(self) -> ContactBook:
        """The sandbox's contacts."""
        return self.rig.sandbox.contacts

    @property
    def site(self) -> SiteId:
        """The site's id."""
        return SiteId(self.rig.site)

    def open(self, label: str = LABEL, date_field: str | None = DATE_FIELD) -> WixLabel:
        """A source of the contacts with this label."""
        audience = EventAudience("gala", Tool("w", "wix"), {"label": label}, date_field, line=7)
        return WixLabel(audience, SourceContext(self.site, Path(), self.client, self.schedule))

    async def fill(self, people: Mapping[str, Status], language: str = "") -> None:
        """Contacts with the label, of which each has another field too; and one without the label, who has subscribed."""
        values: dict[str, Any] = {"locale": f"{language}-DE"} if language else {}
        for address, status in people.items():
            self.book.create(email=address, labels=(LABEL,), fields={NOTE: address}, **values)
            self.book.subscribe(address, *STATUSES[status])
        self.book.create(email="other@example.com")
        self.book.subscribe("other@example.com", "SUBSCRIBED", "VALID")

    async def status(self, address: str) -> Status | None:
        """The status of an address's subscription."""
        found = self.book.subscription(address)
        known = {status: key for key, (status, _) in STATUSES.items() if key is not Status.BOUNCED}
        return known.get(found.status) if found else None

    async def leave(self, address: str) -> None:
        """Unsubscribe an address."""
        self.book.subscribe(address, "UNSUBSCRIBED")

    def without_list(self) -> AudienceSource:
        """A source of another label."""
        return self.open(self.missing)

    def outage(self) -> AbstractAsyncContextManager[None]:
        """Contacts and subscriptions answer 503."""
        return self.turned(outage="503", outage_of="contacts")

    def forbidden(self) -> AbstractAsyncContextManager[None]:
        """The app has neither permission."""
        return self.turned(contacts=False, subscriptions=False)

    @asynccontextmanager
    async def turned(self, **knobs: Any) -> AsyncIterator[None]:
        """The knobs of the sandbox, as long as the block."""
        before = self.rig.knobs.now.model_dump()
        self.rig.knobs.turn(**knobs)
        try:
            yield
        finally:
            self.rig.knobs.turn(**before)

    async def date(self) -> str | None:
        """The date that all contacts with the label have."""
        [found] = {one.fields.get(DATE_FIELD, "") for one in self.book.contacts.values() if LABEL in one.labels}
        return str(found)

    async def others(self) -> object:
        """The other fields of all contacts, and the contacts without the label."""
        return [
            ({key: value for key, value in one.fields.items() if key != DATE_FIELD}, one.labels)
            for one in self.book.contacts.values()
        ]


@asynccontextmanager
async def wix_audience(rig: WixRig, store: RedisClient) -> AsyncIterator[WixAudience]:
    """The bench on a running sandbox, whose bulk jobs end at once."""
    ids = rig.sandbox.site.ids
    rig.knobs.turn(job_seconds=0.0)
    async with aclosing(Wix(App(ids.app, ids.app_secret), rig.url)) as client:
        bench = WixAudience(rig, store, client)
        await bench.schedule.add_site(bench.site, Rules(), everything=True)
        yield bench
