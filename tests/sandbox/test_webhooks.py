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


class Post:
    """A seeded world and everything that was written of it since."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, dict[str, Any], float]] = []
        self.board = LiveKnobs()
        self.clock = ManualClock()
        self.emitter = WebhookEmitter(sandbox_site(), self.board, self.take, clock=self.clock)
        self.world = World(self.emitter, clock=self.clock, rng=random.Random(1))
        seed(self.world, IDS, self.clock())
        self.letters.clear()

    def take(self, type_: str, envelope: dict[str, Any], at: float) -> None:
        self.letters.append((type_, envelope, at))

    @property
    def told(self) -> dict[str, dict[str, Any]]:
        """The innermost JSON by type."""
        return {type_: json.loads(envelope["data"]) for type_, envelope, _ in self.letters}


@pytest.fixture
def post() -> Post:
    return Post()


def shape(value: Any) -> Any:
    """What a JSON value is made of: its members and their types; a list is as its first."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def read_as_wix_does(token: str) -> tuple[dict[str, Any], Any]:
    """Verify and open a webhook's body in the steps of Wix's own receiver: the envelope, and what is in it."""
    key = load_pem_public_key(sandbox_site().public_pem.encode())
    assert token == token.strip()
    claims = jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False, "verify_iat": False})  # type: ignore[arg-type] # PyJWT's union has more keys
    envelope = json.loads(claims["data"])
    assert isinstance(envelope["data"], str)
    assert json.loads(envelope["identity"])["identityType"]
    return envelope, json.loads(envelope["data"])


START = 1_770_000_000.0

DOINGS: dict[str, tuple[str, Callable[[Post], Any]]] = {
    "order_confirmed": ("OrderConfirmed", lambda post: post.world.buy(TICKET, 2)),
    "order_initiated": ("OrderInitiated", lambda post: post.world.buy(TICKET)),
    "order_updated_canceled": ("OrderUpdated", lambda post: post.world.cancel_order(post.world.buy(TICKET).number)),
    "ticket_reservation_created": ("ticket_reservation_created", lambda post: post.world.hold(TICKET)),
    "ticket_reservation_updated": ("ticket_reservation_updated", lambda post: post.world.buy(TICKET)),
    "ticket_definition_deleted": ("ticket_definition_deleted", lambda post: post.world.delete(TICKET)),
    "ticket_definition_sale_started": (
        "ticket_definition_sale_started",
        lambda post: post.world.update(IDS.tickets["scheduled"], start=START),
    ),
    "ticket_definition_sale_ended": (
        "ticket_definition_sale_ended",
        lambda post: post.world.update(TICKET, end=post.clock() - 1),
    ),
    "ticket_definition_sale_period_updated": (
        "ticket_definition_sale_period_updated",
        lambda post: post.world.update(TICKET, start=START),
    ),
    "event_ended": ("event_ended", lambda post: post.world.end_event(IDS.event)),
    "event_deleted": ("event_deleted", lambda post: post.world.delete_event(IDS.event)),
    "app_removed": ("AppRemoved", lambda post: post.emitter.app_removed()),
    "app_installed": ("AppInstalled", lambda post: post.emitter.app_installed()),
}


@pytest.mark.parametrize("name", DOINGS)
def test_a_webhook_has_the_form_of_wix_s(post: Post, name: str) -> None:
    """What is done in the world comes out with the type, the members and the types of values of Wix's sample."""
    ending, do = DOINGS[name]
    sample = SAMPLES[name]
    assert sample["eventType"].endswith(ending)

    do(post)

    assert shape(sample["data"]) == shape(post.told[sample["eventType"]])


def test_a_definition_is_told_whole(post: Post) -> None:
    """Created carries the entity as a read without fields would give it, and a sequence that begins at one."""
    fields = {name: getattr(post.world.ticket(TICKET), name) for name in ("name", "pricing", "prices", "limit", "end")}
    ticket = post.world.create(IDS.event, start=START, **fields)

    told = post.told["wix.events.v3.ticket_definition_created"]

    assert (ticket.id, "1", "created") == (told["entityId"], told["entityEventSequence"], told["slug"])
    assert shape(SAMPLES["ticket_definition_created"]["data"]) == shape(told)


def test_an_update_says_what_was(post: Post) -> None:
    """Updated carries the new entity and the values before."""
    post.world.update(TICKET, name="Chair")

    told = post.told["wix.events.v3.ticket_definition_updated"]["updatedEvent"]

    assert ("Chair", "2") == (told["currentEntity"]["name"], told["currentEntity"]["revision"])
    assert {"name": "General admission", "revision": "1"} == told["modifiedFields"]


def test_the_sequence_of_an_entity_rises(post: Post) -> None:
    """Each domain event of one entity has a higher number than the one before, and every event its own id."""
    for name in ("A", "B", "C"):
        post.world.update(TICKET, name=name)

    told = [json.loads(envelope["data"]) for _, envelope, _ in post.letters]

    numbers = [int(one["entityEventSequence"]) for one in told]
    assert sorted(set(numbers)) == numbers
    assert 3 == len({one["id"] for one in told})


def test_a_body_is_what_wix_s_receiver_accepts(post: Post) -> None:
    """The body verifies with the public key, and opens in Wix's steps to envelope and payload."""
    post.world.buy(TICKET)
    sign = signer(sandbox_site(), post.board)
    post.board.turn(jwt_life=1e9)

    opened = [read_as_wix_does(sign(envelope, at)) for _, envelope, at in post.letters]

    assert [type_ for type_, _, _ in post.letters] == [envelope["eventType"] for envelope, _ in opened]
    for envelope, _ in opened:
        assert IDS.instance == envelope["instanceId"]
        assert {"accountId": IDS.account, "siteId": IDS.site} == envelope["accountInfo"]
    assert TICKET == opened[-1][1]["tickets"][0]["ticketDefinitionId"]


def test_a_body_says_by_whom_and_how_long(post: Post) -> None:
    """The header names algorithm and key; iat is when it happened, exp as much later as the knob says."""
    post.world.hold(TICKET)
    [(_, envelope, at)] = post.letters

    token = signer(sandbox_site(), LiveKnobs(post.board.turn(jwt_life=60.0)))(envelope, at)

    claims = jwt.decode(token, options={"verify_signature": False})
    assert {"alg": "RS256", "kid": sandbox_site().kid, "typ": "JWT"} == jwt.get_unverified_header(token)
    assert (int(post.clock()), int(post.clock()) + 60) == (claims["iat"], claims["exp"])


@pytest.mark.parametrize(
    ("knobs", "do", "types"),
    [
        (
            {"reservation_events": False},
            lambda post: post.world.buy(TICKET),
            ["wix.events.ticketing.events.OrderInitiated", "wix.events.ticketing.events.OrderConfirmed"],
        ),
        (
            {"reservation_events": False, "old_reservation_events": True},
            lambda post: post.world.cancel_hold(post.world.hold(TICKET).id),
            ["wix.events.ticketing.events.ReservationCreated", "wix.events.ticketing.events.ReservationUpdated"],
        ),
        ({"sale_events": False}, lambda post: post.clock.advance(61) or post.world.tick(), []),
        (
            {"reservation_events": False, "stock_updates": True},
            lambda post: post.world.hold(TICKET),
            ["wix.events.v3.ticket_definition_updated"],
        ),
    ],
)
def test_knobs_choose_what_is_told(
    post: Post, knobs: dict[str, Any], do: Callable[[Post], Any], types: list[str]
) -> None:
    """Where the documents are not sure what Wix sends, a knob decides."""
    post.board.turn(**knobs)

    do(post)

    assert types == [type_ for type_, _, _ in post.letters]


def test_an_entity_may_be_a_string(post: Post) -> None:
    """With the knob the entity of a domain event is a JSON string, as Wix's types have it."""
    post.board.turn(entity_as_string=True)

    post.world.update(TICKET, name="Chair")

    entity = post.told["wix.events.v3.ticket_definition_updated"]["updatedEvent"]["currentEntity"]
    assert "Chair" == json.loads(entity)["name"]


def test_what_may_be_missing_can_be_left_out(post: Post) -> None:
    """With the knobs a deletion has no entity and the envelope no account."""
    post.board.turn(deleted_entity=False, account_info=False)

    post.world.delete(TICKET)

    [(type_, envelope, _)] = post.letters
    assert {} == post.told[type_]["deletedEvent"]
    assert {"data", "instanceId", "eventType", "identity"} == envelope.keys()


def test_a_silent_scribe_writes_nothing(post: Post) -> None:
    """What happens while the emitter is silent is no news."""
    post.emitter.muted = True

    post.world.buy(TICKET)

    assert [] == post.letters


@pytest.mark.parametrize(
    ("slug", "do"),
    [
        ("created", lambda post: post.world.create_event("Fair", post.clock() + 1, post.clock() + 2)),
        ("updated", lambda post: post.world.update_event(IDS.event, title="Fête")),
        ("canceled", lambda post: post.world.cancel_event(IDS.event)),
        ("started", lambda post: post.clock.advance(31 * 86_400 - 60) or post.world.tick()),
    ],
)
def test_events_are_told_by_their_slug(post: Post, slug: str, do: Callable[[Post], Any]) -> None:
    """What becomes of an event is a domain event of its own."""
    do(post)

    told = post.told[f"wix.events.v3.event_{slug}"]
    assert (slug, "wix.events.v3.event") == (told["slug"], told["entityFqdn"])
