import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.model import EventId, Hint, Install, Named, TicketId
from server.wire import guid
from server.wix import webhooks
from tests.rig.fake_reader import EVENT
from tests.rig.json_samples import JSON, changed, paths
from tests.rig.server import OTHER, TICKET

FOLDER = Path(__file__).parent.parent / "samples"
EVENTS: dict[str, dict[str, Any]] = {
    **json.loads((FOLDER / "webhooks.json").read_text()),
    **json.loads((FOLDER / "events.json").read_text()),
}
SOLD_OUT, LATE = "66666666-aaaa-4aaa-8aaa-000000000006", "77777777-aaaa-4aaa-8aaa-000000000007"


def hint(
    reason: str,
    *tickets: str,
    event: str | None = None,
    named: Named = Named.TICKETS,
    ends: int | None = None,
    of_event: bool = False,
) -> Hint:
    ids = tuple(TicketId(one) for one in tickets)
    return Hint(reason, ids, EventId(event) if event else None, named, ends, of_event)


def meaning(type_: str, payload: dict[str, Any]) -> Hint | Install | None:
    """What a webhook asks for; nothing, if its type is not handled."""
    return webhooks.KNOWN[type_](payload) if type_ in webhooks.KNOWN else None


HOLD_ENDS = 1_770_805_110 * 1_000_000
"""10:18:30 of the day of the samples, at which Wix's pending reservation ends."""

ORDER = {"eventId": EVENT, "tickets": [{"ticketDefinitionId": OTHER}]}
RESERVED = {"tickets": [{"ticketDefinitionId": TICKET}, {"ticketDefinitionId": OTHER}]}

UNSEEN: dict[str, dict[str, Any]] = {
    "order_paid": {"eventType": "wix.events.ticketing.events.OrderPaid", "data": ORDER},
    "order_deleted": {"eventType": "wix.events.ticketing.events.OrderDeleted", "data": ORDER},
    "reservation_updated_legacy": {
        "eventType": "wix.events.ticketing.events.ReservationUpdated",
        "data": {"eventId": EVENT, "quantities": [{"ticketDefinitionId": TICKET, "quantity": 2}]},
    },
    "ticket_reservation_deleted": {
        "eventType": "wix.events.v1.ticket_reservation_deleted",
        "data": {"entityId": SOLD_OUT, "deletedEvent": {"deletedEntity": RESERVED}},
    },
    **{
        f"event_{slug}": {"eventType": f"wix.events.v3.event_{slug}", "data": {"entityId": EVENT, body: {}}}
        for slug, body in (("updated", "updatedEvent"), ("published", "actionEvent"), ("started", "actionEvent"))
    },
}
"""Types of which Wix publishes no example, after its types."""

MEANINGS: dict[str, Hint | Install | None] = {
    "order_confirmed": hint("order_confirmed", TICKET, OTHER, event=EVENT),
    "order_updated_canceled": hint("order_updated", TICKET, OTHER, event=EVENT),
    "order_initiated": hint("order_initiated", TICKET, OTHER, event=EVENT, named=Named.LINES),
    "order_paid": hint("order_paid", OTHER, event=EVENT),
    "order_deleted": hint("order_deleted", OTHER, event=EVENT),
    "reservation_created_legacy": hint("reservation_created", TICKET, event=EVENT, ends=HOLD_ENDS),
    "reservation_updated_legacy": hint("reservation_updated", TICKET, event=EVENT),
    "ticket_reservation_created": hint("reservation_created", TICKET, ends=HOLD_ENDS),
    "ticket_reservation_updated": hint("reservation_updated", TICKET),
    "ticket_reservation_deleted": hint("reservation_deleted", TICKET, OTHER),
    "ticket_definition_created": hint("definition_created", TICKET, event=EVENT),
    "ticket_definition_updated": hint("definition_updated", TICKET, event=EVENT),
    "ticket_definition_deleted": hint("definition_deleted", SOLD_OUT, event=EVENT),
    "ticket_definition_deleted_without_entity": hint("definition_deleted", SOLD_OUT),
    "ticket_definition_sale_started": hint("definition_sale_started", LATE),
    "ticket_definition_sale_ended": hint("definition_sale_ended", TICKET),
    "ticket_definition_sale_period_updated": hint("definition_sale_period_updated", TICKET),
    "event_canceled": hint("event_canceled", event=EVENT, named=Named.EVENT, of_event=True),
    "event_ended": hint("event_ended", event=EVENT, named=Named.EVENT, of_event=True),
    "event_deleted": hint("event_deleted", event=EVENT, named=Named.EVENT, of_event=True),
    "event_updated": hint("event_updated", event=EVENT, named=Named.EVENT, of_event=True),
    "event_published": hint("event_published", event=EVENT, named=Named.EVENT, of_event=True),
    "event_started": hint("event_started", event=EVENT, named=Named.EVENT, of_event=True),
    "email_subscription_changed": None,
    "app_installed": Install(installed=True),
    "app_removed": Install(installed=False),
}


@pytest.mark.parametrize("name", MEANINGS)
def test_each_webhook_names_its_tickets(name: str) -> None:
    """Each webhook asks for its tickets, once each and in order, or for its event's, or for nothing."""
    sample = {**EVENTS, **UNSEEN}[name]

    assert MEANINGS[name] == meaning(sample["eventType"], sample["data"])


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, HOLD_ENDS),
        ({"status": "CONFIRMED"}, None),
        ({"status": "EXPIRED"}, None),
        ({"status": None}, None),
        ({"expirationDate": None}, None),
        ({"expirationDate": "soon"}, None),
        ({"expirationDate": 1_770_805_110}, None),
        ({"expirationDate": "2026-02-11T11:18:30+01:00"}, HOLD_ENDS),
    ],
)
def test_end_of_a_hold_is_parsed(changes: dict[str, Any], ends: int | None) -> None:
    """Only a pending reservation ends by itself; an invalid end is ignored."""
    data = copy.deepcopy(EVENTS["ticket_reservation_created"]["data"])
    data["createdEvent"]["entity"] |= changes

    assert hint("reservation_created", TICKET, ends=ends) == webhooks.KNOWN["wix.events.v1.ticket_reservation_created"](
        data
    )


def test_each_type_is_tested() -> None:
    """Every handled type is in the table above, and so is every sample."""
    samples = {**EVENTS, **UNSEEN}

    assert samples.keys() == MEANINGS.keys()
    assert webhooks.KNOWN.keys() == {samples[name]["eventType"] for name, asked in MEANINGS.items() if asked}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"tickets": [{"ticketDefinitionId": TICKET}]}, hint("order_paid", TICKET)),
        ({**ORDER, "invoice": {"items": [{"id": TICKET}]}}, hint("order_paid", OTHER, event=EVENT)),
        (
            {"eventId": EVENT, "tickets": [], "invoice": {"items": [{"id": TICKET}, {"id": TICKET.upper()}]}},
            hint("order_paid", TICKET, event=EVENT, named=Named.LINES),
        ),
        ({"invoice": {"items": [{"id": TICKET}]}}, None),
        (
            {"eventId": EVENT, "tickets": [{"ticketDefinitionId": "x"}], "invoice": {"items": [{"id": 1}]}},
            hint("order_paid", event=EVENT, named=Named.EVENT),
        ),
        ({"eventId": EVENT.upper()}, hint("order_paid", event=EVENT, named=Named.EVENT)),
        ({"eventId": EVENT, "invoice": []}, hint("order_paid", event=EVENT, named=Named.EVENT)),
        ({"eventId": "x"}, None),
        ({}, None),
    ],
)
def test_tickets_of_an_order(payload: dict[str, Any], expected: Hint | None) -> None:
    """An order names its tickets, else its invoice's lines within its event, else the event, else nothing."""
    assert expected == meaning("wix.events.ticketing.events.OrderPaid", payload)


@pytest.mark.parametrize(
    "payload", [{}, {"deletedEvent": {}}, {"deletedEvent": None}, {"createdEvent": {"entity": []}}]
)
@pytest.mark.parametrize("type_", sorted(webhooks.KNOWN.keys() - {"AppInstalled", "AppRemoved"}))
def test_webhook_that_names_nothing(type_: str, payload: dict[str, Any]) -> None:
    """A webhook that names nothing, as a deletion may, asks for nothing."""
    assert meaning(type_, payload) is None


@pytest.mark.parametrize("type_", ["", "AppInstalled2", "wix.events.v3.ticket_definition_", "wix.stores.v1.changed"])
def test_unknown_types_are_ignored(type_: str) -> None:
    """A similar but unknown type is ignored."""
    assert type_ not in webhooks.KNOWN


@given(st.sampled_from(sorted(MEANINGS)), st.data())
def test_any_webhook_asks_for_guids_or_nothing(name: str, data: st.DataObject) -> None:
    """Whatever replaces a member of a webhook, it asks for GUIDs in lower case, or for nothing."""
    sample = {**EVENTS, **UNSEEN}[name]
    path = data.draw(st.sampled_from(paths(sample["data"])))

    found = meaning(sample["eventType"], changed(sample["data"], *path, to=data.draw(JSON)))

    if isinstance(found, Hint):
        assert found.tickets or found.event
        assert all(one == guid(one) for one in (*found.tickets, *([found.event] if found.event else [])))


def test_no_personal_data_in_a_hint() -> None:
    """No personal data of an order is in the hint that it becomes."""
    found = repr(meaning(EVENTS["order_confirmed"]["eventType"], EVENTS["order_confirmed"]["data"]))

    assert [] == [word for word in ("Ada", "Example", "@", "2QXK", "6a5b4c3d") if word in found]
