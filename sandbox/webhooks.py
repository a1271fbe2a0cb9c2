"""What happened, as the webhooks that Wix would send: type, envelope, compact JWT.

In: words from the world (observer.py). Out: envelopes, posted to whoever sends them (delivery.py) and signed when they
are first needed, since a signature costs a millisecond.
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
from sandbox.knobs import Board
from sandbox.model import Event, Hold, Order, Ticket
from sandbox.observer import What
from sandbox.site import Site

FLAT = "wix.events.ticketing.events."
TICKET = "wix.events.v3.ticket_definition"
RESERVATION = "wix.events.v1.ticket_reservation"
EVENT = "wix.events.v3.event"

ORDERS = {
    What.INITIATED: (f"{FLAT}OrderInitiated", payloads.order_initiated),
    What.CONFIRMED: (f"{FLAT}OrderConfirmed", payloads.order_confirmed),
    What.UPDATED: (f"{FLAT}OrderUpdated", payloads.order_updated),
}
SALES = frozenset({What.SALE_STARTED, What.SALE_ENDED})

EVENTS_APP = "140603ad-af8d-84a5-2c80-a0f60cb47351"
"""The id of Wix's own Events & Tickets app: it is what starts and ends sales."""

Json = dict[str, Any]


class Post(Protocol):
    """Takes one webhook: its type, its envelope, and when it happened."""

    def __call__(self, type_: str, envelope: Json, at: float) -> None:
        """Keep it, and send it in its own time."""


class Scribe:
    """A Herald that writes envelopes. *dice* make the ids of domain events; *silent* = what happens is not news."""

    def __init__(
        self, site: Site, board: Board, post: Post, *, clock: Clock, dice: random.Random | None = None
    ) -> None:
        self.silent = False
        self._ids = site.ids
        self._board = board
        self._post = post
        self._clock = clock
        self._dice = dice or random.Random()  # noqa: S311 - ids of a sandbox are no secrets
        self._told: Counter[str] = Counter()
        self._owner = json.dumps({"identityType": "WIX_USER", "wixUserId": site.ids.owner})
        self._app = json.dumps({"identityType": "APP", "appId": EVENTS_APP})

    # -- the Herald --

    def ticket(self, what: What, ticket: Ticket, before: Ticket | None = None) -> None:
        """A ticket definition's domain event."""
        knobs = self._board.now
        if (what in SALES and not knobs.sale_events) or (what is What.STOCK_MOVED and not knobs.stock_updates):
            return
        written = entity(ticket, None, knobs)
        who = self._app if what in SALES else self._owner
        match what:
            case What.CREATED:
                body = self._created(written)
            case What.UPDATED | What.STOCK_MOVED:
                was = entity(before, None, knobs) if before else written
                body = self._updated(written, payloads.modified(was, written))
            case What.DELETED:
                body = {"deletedEvent": {"deletedEntity": self._form(written)} if knobs.deleted_entity else {}}
            case What.SALE_PERIOD_UPDATED:
                body = _action({"afterUpdate": period(ticket)})
            case _:
                body = _action({"ticketDefinition": written})
        slug = What.UPDATED if what is What.STOCK_MOVED else what
        self._domain(TICKET, slug, ticket.id, body, who)

    def hold(self, what: What, hold: Hold, tickets: Mapping[str, Ticket]) -> None:
        """A reservation's domain event, and the deprecated flat one."""
        knobs, visitor = self._board.now, _visitor(hold.visitor)
        if knobs.reservation_events:
            written = payloads.reservation(hold)
            body = self._created(written) if what is What.CREATED else self._updated(written)
            self._domain(RESERVATION, what, hold.id, body, visitor)
        if knobs.old_reservation_events:
            now = self._clock()
            old = payloads.old_reservation(hold, tickets, now)
            self._send(f"{FLAT}Reservation{what.value.capitalize()}", old, visitor, now)

    def order(self, what: What, order: Order) -> None:
        """An order's flat event."""
        type_, write = ORDERS[what]
        now = self._clock()
        who = self._owner if what is What.UPDATED else _visitor(order.visitor)
        self._send(type_, write(order, now, self._board.now), who, now)

    def event(self, what: What, event: Event) -> None:
        """An event's domain event."""
        written = payloads.event(event)
        match what:
            case What.CREATED:
                body = self._created(written)
            case What.UPDATED:
                body = self._updated(written)
            case What.DELETED:
                body = {"deletedEvent": {}}
            case _:
                body = _action(payloads.event_action(event, self._clock(), titled=what is What.CANCELED))
        by_itself = what in {What.STARTED, What.ENDED}
        self._domain(EVENT, what, event.id, body, self._app if by_itself else self._owner)

    # -- the app itself --

    def app_installed(self) -> None:
        """Somebody put the app on the site."""
        self._send("AppInstalled", {"appId": self._ids.app, "originInstanceId": None}, self._owner, self._clock())

    def app_removed(self) -> None:
        """Somebody took the app off the site."""
        self._send("AppRemoved", {"appId": self._ids.app}, self._owner, self._clock())

    # -- forms --

    def _form(self, written: Json) -> Json | str:
        return _text(written) if self._board.now.entity_as_string else written

    def _created(self, written: Json) -> Json:
        return {"createdEvent": {"entity": self._form(written)}}

    def _updated(self, written: Json, modified: Json | None = None) -> Json:
        more = {"modifiedFields": modified} if modified else {}
        return {"updatedEvent": {"currentEntity": self._form(written), **more}}

    def _domain(self, fqdn: str, slug: What, id_: str, body: Json, who: str) -> None:
        now = self._clock()
        self._told[id_] += 1
        payload = {
            "id": str(uuid.UUID(int=self._dice.getrandbits(128), version=4)),
            "entityFqdn": fqdn,
            "slug": slug.value,
            "entityId": id_,
            "eventTime": iso(now),
            "triggeredByAnonymizeRequest": False,
            "originatedFrom": "",
            "entityEventSequence": str(self._told[id_]),
            **body,
        }
        self._send(f"{fqdn}_{slug}", payload, who, now)

    def _send(self, type_: str, payload: Json, who: str, at: float) -> None:
        if self.silent:
            return
        envelope: Json = {
            "data": _text(payload),
            "instanceId": self._ids.instance,
            "eventType": type_,
            "identity": who,
        }
        if self._board.now.account_info:
            envelope["accountInfo"] = {"accountId": self._ids.account, "siteId": self._ids.site}
        self._post(type_, envelope, at)


def signer(site: Site, board: Board) -> Callable[[Json, float], str]:
    """What makes an envelope of some moment a compact JWT: RS256, the envelope as a JSON string in `data`."""
    headers = {"kid": site.kid}

    def sign(envelope: Json, at: float) -> str:
        issued = int(at)
        claims = {"data": _text(envelope), "iat": issued, "exp": issued + int(board.now.jwt_life)}
        return jwt.encode(claims, site.key, algorithm="RS256", headers=headers)

    return sign


def _action(body: Json) -> Json:
    return {"actionEvent": {"body": body}}


def _visitor(id_: str) -> str:
    return json.dumps({"identityType": "ANONYMOUS_VISITOR", "anonymousVisitorId": id_})


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
