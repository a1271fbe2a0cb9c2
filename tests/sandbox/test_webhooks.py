import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from sandbox.knobs import LiveKnobs
from sandbox.seed import seed
from sandbox.webhooks import WebhookEmitter, signer
from sandbox.world import World
from tests.rig.wix import IDS, ManualClock, sandbox_site

FOLDER = Path(__file__).parent.parent / "samples"
SAMPLES: dict[str, Any] = {
    **json.loads((FOLDER / "events.json").read_text()),
    **json.loads((FOLDER / "webhooks.json").read_text()),
}
TICKET = IDS.tickets["fixed"]


class EmitterRig:
    """A seeded world and every webhook emitted since."""

    def __init__(self) -> None:
        self.emitted: list[tuple[str, dict[str, Any], float]] = []
        self.knobs = LiveKnobs()
        self.clock = ManualClock()
        self.emitter = WebhookEmitter(sandbox_site(), self.knobs, self.take, clock=self.clock)
        self.world = World(self.emitter, clock=self.clock, rng=random.Random(1))
        seed(self.world, IDS, self.clock())
        self.emitted.clear()

    def take(self, type_: str, envelope: dict[str, Any], at: float) -> None:
        self.emitted.append((type_, envelope, at))

    @property
    def payloads(self) -> dict[str, dict[str, Any]]:
        """The innermost JSON by type."""
        return {type_: json.loads(envelope["data"]) for type_, envelope, _ in self.emitted}


@pytest.fixture
def rig() -> EmitterRig:
    return EmitterRig()


def shape(value: Any) -> Any:
    """The members and types of a JSON value; a list has the shape of its first item."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def public(value: Any) -> Any:
    """The JSON without sortIndex, which is sent, but is not in the public types, of which the samples were made."""
    if isinstance(value, dict):
        return {name: public(inner) for name, inner in value.items() if name != "sortIndex"}
    return [public(inner) for inner in value] if isinstance(value, list) else value


def read_as_wix_does(token: str) -> tuple[dict[str, Any], Any]:
    """Verify and decode a webhook's body in the steps of Wix's own receiver: the envelope, and its data."""
    key = load_pem_public_key(sandbox_site().public_pem.encode())
    assert token == token.strip()
    claims = jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False, "verify_iat": False})  # type: ignore[arg-type] # PyJWT's union has more keys
    envelope = json.loads(claims["data"])
    assert isinstance(envelope["data"], str)
    assert json.loads(envelope["identity"])["identityType"]
    return envelope, json.loads(envelope["data"])


START = 1_770_000_000.0

ACTIONS: dict[str, tuple[str, Callable[[EmitterRig], Any]]] = {
    "order_confirmed": ("OrderConfirmed", lambda rig: rig.world.buy(TICKET, 2)),
    "order_initiated": ("OrderInitiated", lambda rig: rig.world.buy(TICKET)),
    "order_updated_canceled": ("OrderUpdated", lambda rig: rig.world.cancel_order(rig.world.buy(TICKET).number)),
    "ticket_reservation_created": ("ticket_reservation_created", lambda rig: rig.world.hold(TICKET)),
    "ticket_reservation_updated": ("ticket_reservation_updated", lambda rig: rig.world.buy(TICKET)),
    "ticket_definition_deleted": ("ticket_definition_deleted", lambda rig: rig.world.delete(TICKET)),
    "ticket_definition_sale_started": (
        "ticket_definition_sale_started",
        lambda rig: rig.world.update(IDS.tickets["scheduled"], start=START),
    ),
    "ticket_definition_sale_ended": (
        "ticket_definition_sale_ended",
        lambda rig: rig.world.update(TICKET, end=rig.clock() - 1),
    ),
    "ticket_definition_sale_period_updated": (
        "ticket_definition_sale_period_updated",
        lambda rig: rig.world.update(TICKET, start=START),
    ),
    "event_ended": ("event_ended", lambda rig: rig.world.end_event(IDS.event)),
    "event_deleted": ("event_deleted", lambda rig: rig.world.delete_event(IDS.event)),
    "app_removed": ("AppRemoved", lambda rig: rig.emitter.app_removed()),
    "app_installed": ("AppInstalled", lambda rig: rig.emitter.app_installed()),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_webhook_has_the_form_of_wix_s_sample(rig: EmitterRig, name: str) -> None:
    """Each action in the world emits the type, members and types of values of Wix's sample."""
    ending, do = ACTIONS[name]
    sample = SAMPLES[name]
    assert sample["eventType"].endswith(ending)

    do(rig)

    assert shape(sample["data"]) == shape(public(rig.payloads[sample["eventType"]]))


def test_created_webhook_has_the_whole_definition(rig: EmitterRig) -> None:
    """The created webhook has the entity as a read without fields returns it, and a sequence that begins at one."""
    fields = {name: getattr(rig.world.ticket(TICKET), name) for name in ("name", "pricing", "prices", "limit", "end")}
    ticket = rig.world.create(IDS.event, start=START, **fields)

    payload = rig.payloads["wix.events.v3.ticket_definition_created"]

    assert (ticket.id, "1", "created") == (payload["entityId"], payload["entityEventSequence"], payload["slug"])
    assert shape(SAMPLES["ticket_definition_created"]["data"]) == shape(public(payload))


def test_updated_webhook_has_the_values_before(rig: EmitterRig) -> None:
    """The updated webhook has the new entity and the values before."""
    rig.world.update(TICKET, name="Chair")

    payload = rig.payloads["wix.events.v3.ticket_definition_updated"]["updatedEvent"]

    assert ("Chair", "2") == (payload["currentEntity"]["name"], payload["currentEntity"]["revision"])
    assert {"name": "General admission", "revision": "1"} == payload["modifiedFields"]


@pytest.mark.parametrize("sent", [False, True])
def test_tickets_of_a_deleted_event(rig: EmitterRig, sent: bool) -> None:
    """A deleted event is one webhook without an entity; a knob adds the one of each ticket, as when it is deleted alone."""
    rig.knobs.turn(tickets_of_deleted_events=sent)
    rig.world.delete_event(IDS.event)

    types = [type_.removeprefix("wix.events.v3.") for type_, _, _ in rig.emitted]
    assert [*(["ticket_definition_deleted"] * len(IDS.tickets) * sent), "event_deleted"] == types
    assert {"deletedEvent": {}}.items() <= rig.payloads["wix.events.v3.event_deleted"].items()
    if sent:
        deleted = rig.payloads["wix.events.v3.ticket_definition_deleted"]
        assert shape(SAMPLES["ticket_definition_deleted"]["data"]) == shape(public(deleted))
        assert "deleted" == deleted["slug"]


def test_sequence_of_an_entity_rises(rig: EmitterRig) -> None:
    """Each domain event of an entity has a higher number than the one before, and every event its own id."""
    for name in ("A", "B", "C"):
        rig.world.update(TICKET, name=name)

    all_payloads = [json.loads(envelope["data"]) for _, envelope, _ in rig.emitted]

    numbers = [int(one["entityEventSequence"]) for one in all_payloads]
    assert sorted(set(numbers)) == numbers
    assert 3 == len({one["id"] for one in all_payloads})


def test_webhook_body_is_accepted_by_wix_s_receiver(rig: EmitterRig) -> None:
    """The body verifies with the public key, and decodes in Wix's steps to envelope and payload."""
    rig.world.buy(TICKET)
    sign = signer(sandbox_site(), rig.knobs)
    rig.knobs.turn(jwt_life=1e9)

    opened = [read_as_wix_does(sign(envelope, at)) for _, envelope, at in rig.emitted]

    assert [type_ for type_, _, _ in rig.emitted] == [envelope["eventType"] for envelope, _ in opened]
    for envelope, _ in opened:
        assert IDS.instance == envelope["instanceId"]
        assert {"accountId": IDS.account, "siteId": IDS.site} == envelope["accountInfo"]
    assert TICKET == opened[-1][1]["tickets"][0]["ticketDefinitionId"]


def test_webhook_body_has_key_and_expiry(rig: EmitterRig) -> None:
    """The header names algorithm and key; iat is when it happened, exp as much later as the knob says."""
    rig.world.hold(TICKET)
    [(_, envelope, at)] = rig.emitted

    token = signer(sandbox_site(), LiveKnobs(rig.knobs.turn(jwt_life=60.0)))(envelope, at)

    claims = jwt.decode(token, options={"verify_signature": False})
    assert {"alg": "RS256", "kid": sandbox_site().kid, "typ": "JWT"} == jwt.get_unverified_header(token)
    assert (int(rig.clock()), int(rig.clock()) + 60) == (claims["iat"], claims["exp"])


@pytest.mark.parametrize(
    ("knobs", "do", "types"),
    [
        (
            {"reservation_events": False},
            lambda rig: rig.world.buy(TICKET),
            ["wix.events.ticketing.events.OrderInitiated", "wix.events.ticketing.events.OrderConfirmed"],
        ),
        (
            {"reservation_events": False, "old_reservation_events": True},
            lambda rig: rig.world.cancel_hold(rig.world.hold(TICKET).id),
            ["wix.events.ticketing.events.ReservationCreated", "wix.events.ticketing.events.ReservationUpdated"],
        ),
        ({"sale_events": False}, lambda rig: rig.clock.advance(61) or rig.world.tick(), []),
        (
            {"reservation_events": False, "stock_updates": True},
            lambda rig: rig.world.hold(TICKET),
            ["wix.events.v3.ticket_definition_updated"],
        ),
    ],
)
def test_knobs_choose_the_webhooks_sent(
    rig: EmitterRig, knobs: dict[str, Any], do: Callable[[EmitterRig], Any], types: list[str]
) -> None:
    """Where Wix's documents leave open what is sent, a knob decides."""
    rig.knobs.turn(**knobs)

    do(rig)

    assert types == [type_ for type_, _, _ in rig.emitted]


def test_entity_may_be_a_string(rig: EmitterRig) -> None:
    """With the knob the entity of a domain event is a JSON string, as in Wix's types."""
    rig.knobs.turn(entity_as_string=True)

    rig.world.update(TICKET, name="Chair")

    entity = rig.payloads["wix.events.v3.ticket_definition_updated"]["updatedEvent"]["currentEntity"]
    assert "Chair" == json.loads(entity)["name"]


def test_optional_members_can_be_left_out(rig: EmitterRig) -> None:
    """With the knobs a deletion has no entity and the envelope no account."""
    rig.knobs.turn(deleted_entity=False, account_info=False)

    rig.world.delete(TICKET)

    [(type_, envelope, _)] = rig.emitted
    assert {} == rig.payloads[type_]["deletedEvent"]
    assert {"data", "instanceId", "eventType", "identity"} == envelope.keys()


def test_muted_emitter_emits_nothing(rig: EmitterRig) -> None:
    """Changes while the emitter is muted emit no webhook."""
    rig.emitter.muted = True

    rig.world.buy(TICKET)

    assert [] == rig.emitted


@pytest.mark.parametrize(
    ("slug", "do"),
    [
        ("created", lambda rig: rig.world.create_event("Fair", rig.clock() + 1, rig.clock() + 2)),
        ("updated", lambda rig: rig.world.update_event(IDS.event, title="Fête")),
        ("canceled", lambda rig: rig.world.cancel_event(IDS.event)),
        ("started", lambda rig: rig.clock.advance(31 * 86_400 - 60) or rig.world.tick()),
    ],
)
def test_event_changes_are_domain_events(rig: EmitterRig, slug: str, do: Callable[[EmitterRig], Any]) -> None:
    """Each change of an event is a domain event with its own slug."""
    do(rig)

    payload = rig.payloads[f"wix.events.v3.event_{slug}"]
    assert (slug, "wix.events.v3.event") == (payload["slug"], payload["entityFqdn"])


EVENT_UPDATED = "wix.events.v3.event_updated"


@pytest.mark.parametrize(
    "do",
    [
        lambda rig: rig.world.pause_registration(IDS.event),
        lambda rig: rig.world.disable_registration(IDS.event),
        lambda rig: rig.world.open_registration(IDS.event),
        lambda rig: rig.world.update_event(IDS.event, title="Fête"),
        lambda rig: rig.world.unpublish_event(IDS.event),
    ],
)
def test_event_updated_does_not_have_registration(rig: EmitterRig, do: Callable[[EmitterRig], Any]) -> None:
    """A change of an event, or of its registration, is announced with an entity that has no registration."""
    do(rig)

    entity = rig.payloads[EVENT_UPDATED]["updatedEvent"]["currentEntity"]
    assert [EVENT_UPDATED] == [type_ for type_, _, _ in rig.emitted]
    assert (IDS.event, "harbour-lights-festival") == (entity["id"], entity["slug"])
    assert set() == {"registration", "eventPageUrl"} & entity.keys()


def test_published_event_is_announced(rig: EmitterRig) -> None:
    """A draft is announced when it is created, and again when it is published."""
    draft = rig.world.create_event("Concert", rig.clock() + 60, rig.clock() + 90, draft=True).id
    rig.world.publish_event(draft)

    assert ["wix.events.v3.event_created", "wix.events.v3.event_published"] == [type_ for type_, _, _ in rig.emitted]
    published = rig.payloads["wix.events.v3.event_published"]
    assert ("published", draft) == (published["slug"], published["entityId"])
    assert (draft, "UPCOMING") == tuple(published["actionEvent"]["body"][name] for name in ("eventId", "status"))


@pytest.mark.parametrize("sent", [True, False])
def test_closing_by_itself_is_announced_if_the_knob_says_so(rig: EmitterRig, *, sent: bool) -> None:
    """Registration that closes by selling out sends event_updated of Wix's own app, unless the knob says otherwise."""
    rig.knobs.turn(closing_updates=sent)
    event = rig.world.create_event("Concert", rig.clock() + 60, rig.clock() + 90)
    first = rig.world.ticket(TICKET)
    ticket = rig.world.create(event.id, name="Seat", pricing=first.pricing, prices=first.prices, limit=1)
    rig.emitted.clear()

    rig.world.hold(ticket.id)

    updates = [envelope for type_, envelope, _ in rig.emitted if type_ == EVENT_UPDATED]
    assert ["APP"] * sent == [json.loads(envelope["identity"])["identityType"] for envelope in updates]
    assert "CLOSED_AUTOMATICALLY" == rig.world.event(event.id).registration.status


@pytest.mark.parametrize("sent", [True, False])
def test_reorder_is_announced_if_the_knob_says_so(rig: EmitterRig, *, sent: bool) -> None:
    """A ticket whose place changes sends ticket_definition_updated with both places, unless the knob says otherwise."""
    rig.knobs.turn(reorder_updates=sent)

    rig.world.reorder(IDS.event, IDS.tickets["options"], before=TICKET)

    changes = [json.loads(envelope["data"])["updatedEvent"] for _, envelope, _ in rig.emitted]
    assert [(0, 1), (1, 0)] * sent == [
        (one["currentEntity"]["sortIndex"], one["modifiedFields"]["sortIndex"]) for one in changes
    ]
