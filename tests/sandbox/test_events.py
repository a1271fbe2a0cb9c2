from typing import Any

import pytest

from sandbox.errors import Invalid, NotFound, SlugTaken, WrongStatus
from sandbox.events import Events, slug_of
from sandbox.model import Event, EventStatus
from tests.rig.wix import ManualClock, RecordingObserver


class EventsRig:
    """A site with one event, a fair in a thousand seconds, on its own clock."""

    def __init__(self) -> None:
        self.observer = RecordingObserver()
        self.clock = ManualClock()
        self.events = Events(self.observer, clock=self.clock)
        self.fair = self.create("Fair").id

    def create(self, title: str, **fields: Any) -> Event:
        now = self.clock()
        found = self.events.create_event(title, now + 1000, now + 2000, **fields)
        self.observer.recorded.clear()
        return found


@pytest.fixture
def rig() -> EventsRig:
    return EventsRig()


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Leather Crafting 101", "leather-crafting-101"),
        ("  Fête de l'Été!  ", "fete-de-l-ete"),
        ("音楽祭 2026", "音楽祭-2026"),
        ("!?", "event"),
    ],
)
def test_slug_is_the_title_in_kebab_case(title: str, slug: str) -> None:
    """A slug is the title in lower case with dashes, without accents and signs, and never empty."""
    assert slug == slug_of(title)


def test_slugs_of_equal_titles_differ(rig: EventsRig) -> None:
    """A slug is unique in the site, and is free again when its event is deleted or has another one."""
    slugs = [rig.create("Fair").slug for _ in range(2)]
    rig.events.update_event(rig.fair, slug="market")

    assert ["fair-2", "fair-3", "fair"] == [*slugs, rig.create("Fair").slug]


def test_taken_slug_is_refused(rig: EventsRig) -> None:
    """The slug of another event is refused, in creating and in updating; an event may keep its own."""
    other = rig.create("Market").id

    with pytest.raises(SlugTaken):
        rig.create("Concert", slug="fair")
    with pytest.raises(SlugTaken):
        rig.events.update_event(other, slug="fair")

    assert "market" == rig.events.update_event(other, slug="market", title="Bazaar").slug


def test_draft_is_published_and_unpublished(rig: EventsRig) -> None:
    """A draft is published once, and can be made a draft again; each is announced."""
    draft = rig.create("Concert", draft=True)
    published = rig.events.publish_event(draft.id)
    with pytest.raises(WrongStatus):
        rig.events.publish_event(draft.id)
    again = rig.events.unpublish_event(draft.id)
    with pytest.raises(WrongStatus):
        rig.events.unpublish_event(draft.id)

    assert (EventStatus.DRAFT, None) == (draft.status, draft.published)
    assert (EventStatus.UPCOMING, rig.clock()) == (published.status, published.published)
    assert EventStatus.DRAFT == again.status
    assert [("event published", published), ("event updated", again)] == rig.observer.recorded


@pytest.mark.parametrize(("later", "status"), [(999, "UPCOMING"), (1000, "STARTED"), (2000, "ENDED")])
def test_published_event_has_the_status_of_its_time(rig: EventsRig, later: float, status: str) -> None:
    """A draft neither starts nor ends; once published it has the status that its dates give."""
    draft = rig.create("Concert", draft=True).id
    rig.clock.advance(later)
    rig.events.tick()

    assert EventStatus.DRAFT == rig.events.event(draft).status
    assert status == rig.events.publish_event(draft).status


def test_registration_is_paused_disabled_and_opened(rig: EventsRig) -> None:
    """Registration is paused, closed and opened again, each announced as an update of the event."""
    paused = rig.events.pause_registration(rig.fair).registration
    disabled = rig.events.disable_registration(rig.fair).registration
    other = rig.events.set_registration(rig.fair, override="OPEN_RSVP").registration
    opened = rig.events.open_registration(rig.fair).registration

    assert ["OPEN_TICKETS", "CLOSED_MANUALLY", "OPEN_RSVP", "OPEN_TICKETS"] == [
        one.status for one in (paused, disabled, other, opened)
    ]
    assert [True, True, True, False] == [one.paused for one in (paused, disabled, other, opened)]
    assert ["event updated"] * 4 == rig.observer.words


@pytest.mark.parametrize("change", [{"end": 0.0}, {"start": 1e12}])
def test_event_must_end_after_it_starts(rig: EventsRig, change: dict[str, float]) -> None:
    """An event that ends before it starts is refused, in creating and in updating, and changes nothing."""
    before = rig.events.event(rig.fair)

    with pytest.raises(Invalid):
        rig.events.update_event(rig.fair, **change)
    with pytest.raises(Invalid):
        rig.events.create_event("Never", 2.0, 2.0)

    assert ({rig.fair: before}, []) == (rig.events.events, rig.observer.words)


def test_taken_id_is_refused(rig: EventsRig) -> None:
    """The id of another event is refused, and that event stays."""
    with pytest.raises(Invalid):
        rig.create("Concert", id_=rig.fair)

    assert "Fair" == rig.events.event(rig.fair).title


def test_unknown_event_is_not_found(rig: EventsRig) -> None:
    """An action on an event that is not there is refused."""
    for act in (rig.events.publish_event, rig.events.unpublish_event, rig.events.pause_registration):
        with pytest.raises(NotFound):
            act(rig.events.new_id())
