import asyncio
import json

import pytest

from server import metrics
from server.counter import Rules
from server.errors import EventNotListed, TooManyUnconfirmed, UnknownEvent
from server.hub.hub import Hub
from server.hub.unconfirmed import MAX_PER_ADDRESS
from server.model import Event, EventId, EventName, EventStatus
from server.wire import Close
from tests.rig.default_keys import KEYS, key
from tests.rig.event_viewer import SOON, UNKNOWN_EVENT, counters, listed, listed_site, messages
from tests.rig.fake_reader import EVENT, definition
from tests.rig.hub_rig import SITE_ID, FakeViewer, HubRig, tickets_of
from tests.rig.server import OTHER, TICKET, until

NEW = "99999999-aaaa-4aaa-8aaa-000000000009"


async def test_list_comes_first(rig: HubRig) -> None:
    """A viewer of an event gets the list of its tickets, then the counter of each, in the order of the list."""
    await rig.reads.read(definition(TICKET, 3, position="2"), definition(OTHER, 40, position="1"))
    viewer, audience = rig.watch_event(EVENT)

    await until(lambda: len(counters(viewer)) == 2)

    assert listed(OTHER, TICKET) == messages(viewer)[0]
    assert [OTHER, TICKET] == tickets_of(audience.topics)
    assert {(OTHER, "available"), (TICKET, "low")} == {*counters(viewer)}


async def test_next_viewer_gets_all_in_one_write(rig: HubRig) -> None:
    """A viewer of an event that is watched already gets its list and its counters at once, in one write."""
    await rig.reads.read(definition(TICKET, 3), definition(OTHER, 40))
    first, audience = rig.watch_event(EVENT)
    await until(lambda: len(counters(first)) == 2)

    second, same = rig.watch_event(EVENT)

    assert audience is same
    assert [[EVENT, TICKET, OTHER]] == [
        [json.loads(text).get("ticket", json.loads(text)["event"]) for text in write] for write in second.writes
    ]


async def test_changes_of_tickets_reach_viewers_of_the_event(rig: HubRig) -> None:
    """Viewers of an event and viewers of its tickets see the same counters: there is one topic a ticket."""
    await rig.reads.read(definition(TICKET, 40))
    by_ticket, _ = rig.watch(TICKET)
    by_event, _ = rig.watch_event(EVENT)
    await until(lambda: counters(by_event) and counters(by_ticket))

    await rig.reads.read(definition(TICKET, 2))

    await until(lambda: by_event.last.get("unsold") == by_ticket.last.get("unsold") == 2)
    assert [TICKET] == tickets_of(rig.hub.topics.values())


@pytest.mark.parametrize("change", ["new", "hidden", "moved"])
async def test_changed_set_sends_viewers_back(rig: HubRig, change: str) -> None:
    """When tickets of an event come, go or change their order, its viewers are told to come back soon, and get the new list."""
    await rig.reads.read(definition(TICKET, 3, position="1"), definition(OTHER, 40, position="2"))
    viewer, _ = rig.watch_event(EVENT)
    await until(lambda: len(counters(viewer)) == 2)
    changes = {
        "new": definition(NEW, 5, position="3"),
        "hidden": definition(OTHER, hidden=True, position="2"),
        "moved": definition(OTHER, 40, position="0"),
    }
    after = {"new": (TICKET, OTHER, NEW), "hidden": (TICKET,), "moved": (OTHER, TICKET)}

    await rig.reads.read(changes[change])

    await until(lambda: messages(viewer)[-1] == SOON)
    assert Close.RESTART == viewer.code
    again, _ = rig.watch_event(EVENT)
    assert listed(*after[change]) == messages(again)[0]


async def test_change_of_a_number_sends_nobody_back(rig: HubRig) -> None:
    """A sale changes no list: viewers stay."""
    await rig.reads.read(definition(TICKET, 3))
    viewer, _ = rig.watch_event(EVENT)
    await until(lambda: counters(viewer))

    await rig.reads.read(definition(TICKET, 0))
    await until(lambda: viewer.last.get("state") == "sold_out")
    # Two rounds.
    await asyncio.sleep(0.3)

    assert None is viewer.code
    assert 1 == len([one for one in messages(viewer) if "tickets" in one])


async def test_unknown_event_is_refused(rig: HubRig) -> None:
    """An unknown event is refused: with come back later until the site was listed, then for good."""
    before = metrics.refused.labels("request")._value.get()
    early, _ = rig.watch_event(UNKNOWN_EVENT)
    await until(lambda: early.refusal is not None)
    await listed_site(rig)
    topic = rig.hub._event_topic(SITE_ID, EventName(UNKNOWN_EVENT), "")
    await until(lambda: isinstance(topic.refusal, UnknownEvent))
    late, _ = rig.watch_event("invented")
    await until(lambda: late.refusal is not None)

    assert isinstance(early.refusal, EventNotListed)
    assert isinstance(late.refusal, UnknownEvent)
    assert [[], []] == [early.writes, late.writes]
    assert before + 2 == metrics.refused.labels("request")._value.get()


async def test_known_refusal_is_given_at_once(rig: HubRig) -> None:
    """Who asks for an event of which it is known that there is none is refused without another look."""
    await listed_site(rig)
    viewer, _ = rig.watch_event(UNKNOWN_EVENT)
    await until(lambda: viewer.refusal is not None)

    lengths = set()
    for _ in range(5):
        with pytest.raises(UnknownEvent, match=UNKNOWN_EVENT) as refused:
            rig.hub.admit(SITE_ID, EventName(UNKNOWN_EVENT), "address")
        lengths.add(len(refused.traceback))
    assert 1 == len(lengths), "each refusal keeps the frames of those before"


async def test_unpublished_event_is_as_unknown(rig: HubRig) -> None:
    """When an event is taken back, its viewers come back, and are refused as for an event that there is not."""
    await rig.reads.read(definition(TICKET, 3))
    await listed_site(rig)
    viewer, _ = rig.watch_event(EVENT)
    await until(lambda: counters(viewer))

    await rig.reads.read(definition(TICKET, 3, event_details=Event(EventId(EVENT), status=EventStatus.DRAFT)))

    await until(lambda: viewer.code is not None)
    assert SOON == messages(viewer)[-1]
    with pytest.raises(UnknownEvent):
        rig.hub.admit(SITE_ID, EventName(EVENT), "address")


async def test_list_is_sent_once(rig: HubRig) -> None:
    """A viewer gets the list once: who waits for it, and who comes back at once after it has changed."""
    first, _ = rig.watch_event(EVENT)
    await until(lambda: first.refusal is not None)
    await rig.reads.read(definition(TICKET, 3))
    early, _ = rig.watch_event(EVENT)
    await until(lambda: counters(early))
    await rig.reads.read(definition(OTHER, 3))
    await until(lambda: early.code is not None)
    back, _ = rig.watch_event(EVENT)
    await until(lambda: len(counters(back)) == 2)
    # Two rounds, and several flushes.
    await asyncio.sleep(0.3)

    assert [1, 1] == [sum("tickets" in one for one in messages(viewer)) for viewer in (early, back)]


async def test_invented_events_are_bounded() -> None:
    """Law 9: Events that are not known count as tickets that Wix has not confirmed; known ones do not."""
    hub = Hub(KEYS, Rules())
    for number in range(MAX_PER_ADDRESS):
        name = EventName(f"invented-{number}")
        hub.admit(SITE_ID, name, "1.2.3.4")
        hub.join(FakeViewer(), SITE_ID, name, "1.2.3.4")

    with pytest.raises(TooManyUnconfirmed):
        hub.admit(SITE_ID, EventName("one-more"), "1.2.3.4")
    assert MAX_PER_ADDRESS == len(hub.unconfirmed)


async def test_tickets_of_a_list_are_confirmed(rig: HubRig) -> None:
    """Law 9: Neither a known event nor its tickets count as unconfirmed, before their counters are read either."""
    await rig.reads.read(definition(TICKET, 3), definition(OTHER, 3))
    await rig.store.do("DEL", key(SITE_ID, "ticket", OTHER))
    viewer, _ = rig.watch_event(EVENT)
    await until(lambda: counters(viewer))

    assert 0 == len(rig.hub.unconfirmed)


async def test_topics_of_an_event_linger_and_close(redis_url: str) -> None:
    """When its last viewer has left, an event and its tickets linger, and are then closed and unsubscribed."""
    async with HubRig(redis_url, linger=0.2) as rig:
        await rig.reads.read(definition(TICKET, 3))
        viewer, audience = rig.watch_event(EVENT)
        await until(lambda: counters(viewer))

        rig.hub.leave(audience, viewer)
        assert 2 == len(rig.hub.topics)

        await until(lambda: not rig.hub.topics)
