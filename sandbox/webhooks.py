"""Turns changes into the webhooks that Wix would send: type, envelope, compact JWT.

In: notifications from the world (observer.py). Out: envelopes for delivery.py, signed when first needed, since a
signature takes a millisecond.
Sources: Wix, "About webhooks", "Webhook structure", "Domain events"; RFC 7515.
"""

import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jwt

from sandbox import payloads
from sandbox.clock import Clock, iso
from sandbox.entity import entity, period
from sandbox.event_entity import event_entity
from sandbox.knobs import LiveKnobs
from sandbox.model import Event, Hold, Order, Ticket
from sandbox.observer import ChangeType
from sandbox.site import Site

FLAT = "wix.events.ticketing.events."
TICKET = "wix.events.v3.ticket_definition"
RESERVATION = "wix.events.v1.ticket_reservation"
EVENT = "wix.events.v3.event"

ORDERS = {
    ChangeType.INITIATED: (f"{FLAT}OrderInitiated", payloads.order_initiated),
    ChangeType.CONFIRMED: (f"{FLAT}OrderConfirmed", payloads.order_confirmed),
    ChangeType.UPDATED: (f"{FLAT}OrderUpdated", payloads.order_updated),
}
SLUGS = {
    ChangeType.STOCK_MOVED: ChangeType.UPDATED,
    ChangeType.REORDERED: ChangeType.UPDATED,
    ChangeType.DELETED_WITH_EVENT: ChangeType.DELETED,
}
"""What a change of a ticket is called in its domain event, where that is not its own value."""
SALES = frozenset({ChangeType.SALE_STARTED, ChangeType.SALE_ENDED})

EVENTS_APP = "140603ad-af8d-84a5-2c80-a0f60cb47351"
"""The id of Wix's Events & Tickets app, the sender when a sale starts or ends."""

Json = dict[str, Any]


class Post(Protocol):
    """Accepts one webhook: its type, its envelope, and the time of the change."""

    def __call__(self, type_: str, envelope: Json, at: float) -> None:
        """Store it and send it later."""


class WebhookEmitter:
    """An Observer that builds envelopes. *rng* generates ids of domain events; while *muted*, no webhook is sent."""

    def __init__(
        self, site: Site, knobs: LiveKnobs, post: Post, *, clock: Clock, rng: random.Random | None = None
    ) -> None:
        self.muted = False
        self._ids = site.ids
        self._knobs = knobs
        self._post = post
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - ids of a sandbox are no secrets
        self._sequences: Counter[str] = Counter()
        self._owner = json.dumps({"identityType": "WIX_USER", "wixUserId": site.ids.owner})
        self._app = json.dumps({"identityType": "APP", "appId": EVENTS_APP})

    # -- the Observer --

    def ticket(self, what: ChangeType, ticket: Ticket, before: Ticket | None = None) -> None:
        """A ticket definition's domain event."""
        knobs = self._knobs.now
        sent = {
            ChangeType.SALE_STARTED: knobs.sale_events,
            ChangeType.SALE_ENDED: knobs.sale_events,
            ChangeType.STOCK_MOVED: knobs.stock_updates,
            ChangeType.REORDERED: knobs.reorder_updates,
            ChangeType.DELETED_WITH_EVENT: knobs.tickets_of_deleted_events,
        }
        if not sent.get(what, True):
            return
        written = entity(ticket, None, knobs)
        identity = self._app if what in SALES else self._owner
        match what:
            case ChangeType.CREATED:
                body = self._created(written)
            case ChangeType.UPDATED | ChangeType.STOCK_MOVED | ChangeType.REORDERED:
                was = entity(before, None, knobs) if before else written
                body = self._updated(written, payloads.modified(was, written))
            case ChangeType.DELETED | ChangeType.DELETED_WITH_EVENT:
                body = {"deletedEvent": {"deletedEntity": self._entity_value(written)} if knobs.deleted_entity else {}}
            case ChangeType.SALE_PERIOD_UPDATED:
                body = _action({"afterUpdate": period(ticket)})
            case _:
                body = _action({"ticketDefinition": written})
        self._domain(TICKET, SLUGS.get(what, what), ticket.id, body, identity)

    def hold(self, what: ChangeType, hold: Hold, tickets: Mapping[str, Ticket]) -> None:
        """A reservation's domain event, and the deprecated flat one."""
        knobs, visitor = self._knobs.now, _visitor(hold.visitor)
        if knobs.reservation_events:
            written = payloads.reservation(hold)
            body = self._created(written) if what is ChangeType.CREATED else self._updated(written)
            self._domain(RESERVATION, what, hold.id, body, visitor)
        if knobs.old_reservation_events:
            now = self._clock()
            old = payloads.old_reservation(hold, tickets, now)
            self._send(f"{FLAT}Reservation{what.value.capitalize()}", old, visitor, now)

    def order(self, what: ChangeType, order: Order) -> None:
        """An order's flat event."""
        type_, write = ORDERS[what]
        now = self._clock()
        identity = self._owner if what is ChangeType.UPDATED else _visitor(order.visitor)
        self._send(type_, write(order, now, self._knobs.now), identity, now)

    def event(self, what: ChangeType, event: Event) -> None:
        """An event's domain event."""
        if what is ChangeType.SOLD_OUT_CHANGED and not self._knobs.now.closing_updates:
            return
        # Without fields, as a read returns it: registration and the page's address are not in it.
        written = event_entity(event, (), self._ids.instance, self._knobs.now)
        match what:
            case ChangeType.CREATED:
                body = self._created(written)
            case ChangeType.UPDATED | ChangeType.SOLD_OUT_CHANGED:
                body = self._updated(written)
            case ChangeType.DELETED:
                body = {"deletedEvent": {}}
            case ChangeType.PUBLISHED:
                body = _action(payloads.event_published(event, self._clock()))
            case _:
                body = _action(payloads.event_action(event, self._clock(), titled=what is ChangeType.CANCELED))
        by_itself = what in {ChangeType.STARTED, ChangeType.ENDED, ChangeType.SOLD_OUT_CHANGED}
        slug = ChangeType.UPDATED if what is ChangeType.SOLD_OUT_CHANGED else what
        self._domain(EVENT, slug, event.id, body, self._app if by_itself else self._owner)

    # -- the app itself --

    def app_installed(self) -> None:
        """The app was installed on the site."""
        self._send("AppInstalled", {"appId": self._ids.app, "originInstanceId": None}, self._owner, self._clock())

    def app_removed(self) -> None:
        """The app was removed from the site."""
        self._send("AppRemoved", {"appId": self._ids.app}, self._owner, self._clock())

    # -- JSON --

    def _entity_value(self, written: Json) -> Json | str:
        return _to_json(written) if self._knobs.now.entity_as_string else written

    def _created(self, written: Json) -> Json:
        return {"createdEvent": {"entity": self._entity_value(written)}}

    def _updated(self, written: Json, modified: Json | None = None) -> Json:
        more = {"modifiedFields": modified} if modified else {}
        return {"updatedEvent": {"currentEntity": self._entity_value(written), **more}}

    def _domain(self, fqdn: str, slug: ChangeType, id_: str, body: Json, identity: str) -> None:
        now = self._clock()
        self._sequences[id_] += 1
        payload = {
            "id": str(uuid.UUID(int=self._rng.getrandbits(128), version=4)),
            "entityFqdn": fqdn,
            "slug": slug.value,
            "entityId": id_,
            "eventTime": iso(now),
            "triggeredByAnonymizeRequest": False,
            "originatedFrom": "",
            "entityEventSequence": str(self._sequences[id_]),
            **body,
        }
        self._send(f"{fqdn}_{slug}", payload, identity, now)

    def _send(self, type_: str, payload: Json, identity: str, at: float) -> None:
        if self.muted:
            return
        envelope: Json = {
            "data": _to_json(payload),
            "instanceId": self._ids.instance,
            "eventType": type_,
            "identity": identity,
        }
        if self._knobs.now.account_info:
            envelope["accountInfo"] = {"accountId": self._ids.account, "siteId": self._ids.site}
        self._post(type_, envelope, at)


def signer(site: Site, knobs: LiveKnobs) -> Callable[[Json, float], str]:
    """The function that signs an envelope at a given time: a compact RS256 JWT, the envelope as a string in `data`."""
    headers = {"kid": site.kid}

    def sign(envelope: Json, at: float) -> str:
        issued = int(at)
        claims = {"data": _to_json(envelope), "iat": issued, "exp": issued + int(knobs.now.jwt_life)}
        return jwt.encode(claims, site.key, algorithm="RS256", headers=headers)

    return sign


def _action(body: Json) -> Json:
    return {"actionEvent": {"body": body}}


def _visitor(id_: str) -> str:
    return json.dumps({"identityType": "ANONYMOUS_VISITOR", "anonymousVisitorId": id_})


def _to_json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
