"""The events of one site, and their changes over time (an event starts, registration is paused).

In: actions of organisers as plain calls, and a clock. Out: new values, and one notification to the Observer for each
change that Wix would send a webhook about. Catalog (catalog.py) adds the ticket definitions.
Sources: Wix, "Events V3" (object, slug, registration, Publish Draft Event, Cancel Event).
"""

import heapq
import random
import re
import time
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

from sandbox.clock import Clock
from sandbox.errors import Invalid, NotFound, SlugTaken, WrongStatus
from sandbox.history import History
from sandbox.model import Event, EventStatus
from sandbox.observer import ChangeType, Observer

T = TypeVar("T")


class Events:
    """The events of one site. *wake* is called when a timed change is scheduled."""

    def __init__(
        self,
        observer: Observer,
        *,
        clock: Clock = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.events: dict[str, Event] = {}
        self.wake: Callable[[], None] = lambda: None
        self._observer = observer
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - ids of a sandbox are no secrets
        self._due: list[tuple[float, int, Callable[[str, float], None], str]] = []
        self._sequence = count()
        self._positions = count(1)
        self._event_history: History[Event] = History()

    # -- time --

    def now(self) -> float:
        """The current time, cut to milliseconds as in Wix's dates."""
        return int(self._clock() * 1000) / 1000

    def tick(self) -> float | None:
        """Apply the timed changes that are due; return the time of the next one."""
        now = self.now()
        while self._due and self._due[0][0] <= now:
            at, _, act, key = heapq.heappop(self._due)
            act(key, at)
        return self._due[0][0] if self._due else None

    def new_id(self) -> str:
        """A GUID."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    # -- events --

    def event(self, id_: str) -> Event:
        """The event with this id. Raises NotFound."""
        return find(self.events, id_, "event")

    def create_event(
        self,
        title: str,
        start: float,
        end: float,
        zone: str = "UTC",
        id_: str | None = None,
        *,
        draft: bool = False,
        **fields: Any,
    ) -> Event:
        """Create an event, published at once unless it is a *draft*; *fields* are those of Event. Raises SlugTaken, Invalid."""
        _check_dates(start, end)
        if id_ in self.events:
            raise Invalid("id", "another event has this id")
        now = self.now()
        slug = fields.pop("slug", None) or self._new_slug(title)
        self._refuse_taken(slug)
        event = Event(
            id=id_ or self.new_id(),
            title=title,
            status=EventStatus.DRAFT if draft else EventStatus.UPCOMING,
            start=start,
            end=end,
            zone=zone,
            created=now,
            updated=now,
            position=next(self._positions),
            slug=slug,
            published=None if draft else now,
            **fields,
        )
        self._put_event(event)
        self._schedule_event(event)
        self._observer.event(ChangeType.CREATED, event)
        self.tick()
        return self.events[event.id]

    def update_event(self, id_: str, **changes: Any) -> Event:
        """Change an event; *changes* are fields of Event. Raises NotFound, SlugTaken, Invalid.

        The slug does not follow the title: addresses that visitors know stay valid.
        """
        known = self.event(id_)
        _check_dates(changes.get("start", known.start), changes.get("end", known.end))
        if "slug" in changes:
            self._refuse_taken(changes["slug"], but=id_)
        if "registration" in changes:  # sold out is what the tickets are, not what an organiser says
            sold_out = known.registration.sold_out
            changes["registration"] = replace(changes["registration"], sold_out=sold_out)
        event = self._change_event(id_, **changes)
        self._schedule_event(event)
        self._observer.event(ChangeType.UPDATED, event)
        return event

    def publish_event(self, id_: str) -> Event:
        """Publish a draft. Raises NotFound; WrongStatus for any other event."""
        event = self.event(id_)
        if event.status is not EventStatus.DRAFT:
            raise WrongStatus(f"{event.title}: it is published already")
        now = self.now()
        status = EventStatus.UPCOMING if now < event.start else EventStatus.STARTED
        event = self._change_event(id_, status=EventStatus.ENDED if event.end <= now else status, published=now)
        self._observer.event(ChangeType.PUBLISHED, event)
        return event

    def unpublish_event(self, id_: str) -> Event:
        """Make an event a draft again. Raises NotFound; WrongStatus for a draft."""
        event = self.event(id_)
        if event.status is EventStatus.DRAFT:
            raise WrongStatus(f"{event.title}: it is a draft already")
        return self.update_event(id_, status=EventStatus.DRAFT)

    def cancel_event(self, id_: str) -> Event:
        """Cancel an event: its tickets can no longer be bought."""
        event = self._change_event(id_, status=EventStatus.CANCELED)
        self._observer.event(ChangeType.CANCELED, event)
        return event

    def end_event(self, id_: str) -> Event:
        """End an event before its time."""
        event = self._change_event(id_, status=EventStatus.ENDED)
        self._observer.event(ChangeType.ENDED, event)
        return event

    # -- registration --

    def set_registration(self, id_: str, **changes: Any) -> Event:
        """Change an event's registration; *changes* are `paused`, `disabled` and `override`. Raises NotFound."""
        return self.update_event(id_, registration=replace(self.event(id_).registration, **changes))

    def pause_registration(self, id_: str) -> Event:
        """Take no orders for a while."""
        return self.set_registration(id_, paused=True)

    def disable_registration(self, id_: str) -> Event:
        """Close registration: CLOSED_MANUALLY."""
        return self.set_registration(id_, disabled=True)

    def open_registration(self, id_: str) -> Event:
        """Open registration, whatever closed it, except that all tickets are sold out."""
        return self.set_registration(id_, paused=False, disabled=False, override=None)

    # -- shared --

    def _change_event(self, id_: str, **changes: Any) -> Event:
        self.tick()
        event = replace(self.event(id_), **changes, updated=self.now())
        self._put_event(event)
        return event

    def _schedule_event(self, event: Event) -> None:
        for moment in (event.start, event.end):
            self._schedule(moment, self._on_event_time, event.id)

    def _on_event_time(self, id_: str, at: float) -> None:
        event = self.events.get(id_)
        if event is None:
            return
        if at == event.end and event.status in {EventStatus.UPCOMING, EventStatus.STARTED}:
            self.end_event(id_)
        elif at == event.start and event.status is EventStatus.UPCOMING:
            event = replace(event, status=EventStatus.STARTED)
            self._put_event(event)
            self._observer.event(ChangeType.STARTED, event)

    def _put_event(self, event: Event) -> None:
        self.events[event.id] = event
        self._event_history.put(event.id, self.now(), event)

    def _schedule(self, at: float, act: Callable[[str, float], None], key: str) -> None:
        heapq.heappush(self._due, (at, next(self._sequence), act, key))
        self.wake()

    def _new_slug(self, title: str) -> str:
        """The title in kebab case, with a number if another event has that slug."""
        base = slug_of(title)
        taken = {event.slug for event in self.events.values()}
        return next(slug for n in count(1) if (slug := base if n == 1 else f"{base}-{n}") not in taken)

    def _refuse_taken(self, slug: str, but: str | None = None) -> None:
        if any(event.slug == slug and event.id != but for event in self.events.values()):
            raise SlugTaken(f"another event has the slug {slug}")


def slug_of(title: str) -> str:
    """A title in kebab case without accents, as in the address of an event's page: `leather-crafting-101`."""
    plain = unicodedata.normalize("NFKD", title.lower())
    return "-".join(re.findall(r"\w+", "".join(sign for sign in plain if not unicodedata.combining(sign)))) or "event"


def _check_dates(start: float, end: float) -> None:
    if end <= start:
        raise Invalid("end", "the event ends before it starts")


def find(things: Mapping[str, T], id_: str, what: str) -> T:
    """The object with this id; *what* names its type in errors. Raises NotFound."""
    try:
        return things[id_]
    except KeyError:
        raise NotFound(f"there is no {what} {id_}") from None
