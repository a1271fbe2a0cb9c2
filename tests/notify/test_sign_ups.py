"""Sign-ups reach the tool that asks their owners, and web processes know which events take what."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from server.counter import Rules
from server.errors import AudienceUnavailable
from server.keyring import KeyRing, Purpose
from server.model import EventId, SiteId
from server.notify import sign_ups as module
from server.notify.config import EventAudience, NotifyConfig, PushSettings, Tool
from server.notify.sign_ups import SignUps
from server.redis.client import RedisClient
from server.store.notify_events import NotifyEvents
from server.store.notify_requests import FIRST_WAIT, NotifyRequests, RequestKind
from server.store.schedule import Schedule
from server.store.suppressions import Suppressions
from server.timed_event import TimedEvent
from tests.rig.background import background
from tests.rig.notify_models import ModelAudience
from tests.rig.notify_time_travel import elapse_for_requests
from tests.rig.server import until
from tests.rig.stored_event import store_event

SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b001")
GALA, BALL, FAIR = (EventId(f"0b5f1a2e-4444-4444-8444-00000000e00{n}") for n in range(1, 4))
KEY, OLD = "a-newer-key-of-at-least-32-characters", "an-old-key-of-at-least-32-characters"
ADA = "ada@example.org"
TOOL = Tool("lists", "mailman")


class Rig:
    """Two events with a list each, one of which takes no sign-ups, and one with push alone."""

    def __init__(self, store: RedisClient) -> None:
        self.store = store
        self.ring = KeyRing([KEY])
        self.requests = NotifyRequests(store)
        self.events = NotifyEvents(store)
        self.lists = {"spring-gala": ModelAudience(place="list a"), BALL: ModelAudience(place="list b")}
        self.lists[BALL].takes_sign_ups = False
        self.config = NotifyConfig(
            Path("notify.toml"),
            {
                "spring-gala": EventAudience("spring-gala", TOOL),
                BALL: EventAudience(BALL, TOOL, push=True),
                "fair": EventAudience("fair", push=True),
                "not-read-yet": EventAudience("not-read-yet", TOOL),
            },
            "https://counter.example.org",
            push=PushSettings((SecretStr("key"),), "mailto:news@example.org"),
            language="de",
        )

    @property
    def sign_ups(self) -> SignUps:
        """The worker, as it is set up now."""
        return SignUps(self.config, self.requests, self.ring, lambda _: self.lists, lambda: [SITE])

    async def signs_up(self, address: str = ADA, event: EventId = GALA) -> None:
        """What the web does when somebody types an address."""
        encrypted = self.ring.encrypt(Purpose.SIGN_UP, {"a": address, "l": "he"})
        await self.requests.sign_up(SITE, event, encrypted, self.ring.hashes(Purpose.SIGN_UP, address)[0], "sender")

    async def told(self) -> dict[EventId, Mapping[str, str]]:
        """What web processes know of each event."""
        return {one: await self.events.facts(SITE, one) for one in (GALA, BALL, FAIR)}

    async def faults(self) -> list[str]:
        """What is told to people."""
        return list((await self.requests.backlog(SITE, RequestKind.SIGN_UP)).faults.values())


@pytest.fixture
async def rig(store: RedisClient) -> Rig:
    await Schedule(store).add_site(SITE, Rules(), everything=True)
    for event, slug, title in (
        (GALA, "spring-gala", "Spring Gala"),
        (BALL, "ball", "The Ball"),
        (FAIR, "fair", "Fair"),
    ):
        await store_event(store, SITE, event, slug, title)
        await NotifyEvents(store).switched_on(SITE, event)
    return Rig(store)


async def test_a_sign_up_reaches_its_tool(rig: Rig) -> None:
    """An address is brought to the tool of its event, once, with the visitor's language."""
    await rig.signs_up()

    await rig.sign_ups.loop.bring_due()
    await rig.sign_ups.loop.bring_due()

    assert [(ADA, "he")] == rig.lists["spring-gala"].signed_up
    assert [] == rig.lists[BALL].signed_up


async def test_a_tool_that_is_down_gets_it_later(rig: Rig) -> None:
    """While the tool is down a sign-up waits."""
    await rig.signs_up()
    rig.lists["spring-gala"].down = AudienceUnavailable("it is down")
    await rig.sign_ups.loop.bring_due()
    assert ["it is down"] == await rig.faults()
    rig.lists["spring-gala"].down = None

    await elapse_for_requests(rig.store, SITE, FIRST_WAIT)
    await rig.sign_ups.loop.bring_due()

    assert [(ADA, "he")] == rig.lists["spring-gala"].signed_up


async def test_who_opted_out_is_not_asked_again(rig: Rig) -> None:
    """Law 18: An address that left the list is not brought to it by whoever types it; at another list it is."""
    await Suppressions(rig.store).add(SITE, rig.ring.hashes(Purpose.SUPPRESSION, "list a", ADA), "opted out")
    await rig.signs_up()
    await rig.signs_up("bob@example.org")

    await rig.sign_ups.loop.bring_due()

    assert [("bob@example.org", "he")] == rig.lists["spring-gala"].signed_up
    assert 0 == (await rig.requests.backlog(SITE, RequestKind.SIGN_UP)).waiting


@pytest.mark.parametrize("event", [BALL, FAIR, EventId("0b5f1a2e-4444-4444-8444-00000000e009")])
async def test_an_event_that_takes_no_sign_ups(rig: Rig, event: EventId) -> None:
    """A sign-up of an event whose tool takes none, or that has none any more, is told."""
    await rig.signs_up(event=event)

    await rig.sign_ups.loop.bring_due()

    [fault] = await rig.faults()
    assert "names no tool that takes sign-ups for this event" in fault


async def test_a_sign_up_of_a_key_that_is_gone(rig: Rig) -> None:
    """Without the key of a sign-up the address cannot be read, which is told."""
    await rig.signs_up()
    rig.ring = KeyRing([OLD])

    await rig.sign_ups.loop.bring_due()

    [fault] = await rig.faults()
    assert "NOTIFY_KEYS lacks the key" in fault


async def test_the_web_knows_which_events_take_what(rig: Rig) -> None:
    """Of each event that notify.toml names, by id or slug, it is told whether it takes sign-ups, mail and push; its title and language."""
    await rig.sign_ups.tell(SITE)

    assert {
        GALA: {"sign_up": "1", "mail": "1", "title": "Spring Gala", "language": "de"},
        BALL: {"mail": "1", "push": "1", "title": "The Ball", "language": "de"},
        FAIR: {"push": "1", "title": "Fair", "language": "de"},
    } == await rig.told()


async def test_an_event_that_is_named_no_more_takes_nothing(rig: Rig) -> None:
    """Of an event that left notify.toml, whose tool changed, or without keys of push, the web is told that it takes none."""
    await rig.sign_ups.tell(SITE)
    rig.config = replace(rig.config, events={"fair": EventAudience("fair", push=True)}, push=None)

    await rig.sign_ups.tell(SITE)

    told = await rig.told()
    assert [] == [one for one, facts in told.items() if facts.keys() & {"sign_up", "mail", "push"}]
    assert "Spring Gala" == told[GALA]["title"]


async def test_the_worker_tells_and_brings(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running worker tells the web and brings what comes, also after a bug, and ends at a stop."""
    monkeypatch.setattr(module, "TELL_EVERY", 0.01)
    monkeypatch.setattr("server.rounds.AFTER_BUG", 0.01)
    stopping = TimedEvent()
    worker = rig.sign_ups
    bugs = [ZeroDivisionError()]
    sources = worker._sources

    def broken_once(site: SiteId) -> Mapping[str, ModelAudience]:
        if bugs:
            raise bugs.pop()
        return sources(site)  # type: ignore[return-value] # they are models here

    worker._sources = broken_once
    async with background(worker.run(stopping)):
        await until(lambda: rig.events.facts(SITE, GALA))
        await rig.signs_up()
        await until(lambda: rig.lists["spring-gala"].signed_up)
        stopping.set()

    assert [] == bugs
