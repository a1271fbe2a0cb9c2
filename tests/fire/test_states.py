"""Each row of docs/states.md from Wix to a visitor: what is shown on a WebSocket, in JSON and by the widget, and how soon.

Each case is an event with one ticket that is changed from one combination into another, as an organiser or a buyer does it.
The cases are made from the table, so that a new row is tested too, or fails where nothing brings the local Wix into it.
"""

import asyncio
import itertools
import json
import statistics
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx
import pytest
from playwright.async_api import Page
from redis.asyncio import Redis

from tests.rig.canonical_counter import CanonicalCounter
from tests.rig.counter_views import OWN_WORDS, Answers, Sockets, Stored, View, Widgets
from tests.rig.default_keys import key
from tests.rig.deployment import Deployment
from tests.rig.host_site import SCRIPT, HostSite
from tests.rig.offer import ON_SALE, Offer
from tests.rig.process import Run
from tests.rig.recording_viewers import counters_path, websocket_viewer
from tests.rig.redis import Servers
from tests.rig.report import report
from tests.rig.server import until
from tests.rig.several_sites import several_sites
from tests.rig.state_table import SAID, Combination, expected, listed, table
from tests.rig.wix import WixRig, running_wix

T = TypeVar("T")

SITES = 8
"""Sites in which one offer changes at a time where webhooks tell of it: their changes are not read together."""
PACE = 2.0
"""Seconds from one change of a site to the next: each is read several times, and the budget has 3 calls a second."""
MOST_OF_A_REQUEST = 50
WATCH_EVERY = 3
RECONCILE = 6
MACHINE = 1.0
"""Seconds for which this machine may be busy with other things."""

DESCRIBED: list[tuple[Combination, Combination]] = [
    # The text above the table: what decides nothing, and what counts as something else.
    ({"event": "CANCELED"}, {"event": "STARTED"}),
    ({"registration": "paused"}, {"registration": "UNKNOWN_REGISTRATION_STATUS"}),
    ({"registration": "paused"}, {"registration": "A_NEW_STATUS"}),
    ({"registration": "paused"}, {"registration": "missing"}),
    ({"sale": "SALE_SCHEDULED"}, {"sale": "missing"}),
    ({"sale": "SALE_SCHEDULED", "off sale": "not shown"}, {"sale": "SALE_SCHEDULED", "off sale": "missing"}),
    # The text below it: `fees` and `buy`.
    ({}, {"fee": "FEE_INCLUDED"}),
    ({"fee": "NO_FEE"}, {"fee": "NO_FEE", "tax": "ADDED_AT_CHECKOUT"}),
    ({"fee": "NO_FEE"}, {"fee": "NO_FEE", "tax": "INCLUDED_IN_PRICE"}),
    ({}, {"page": "hidden"}),
]
"""Changes from one combination into another, with the values that differ from those of a ticket on sale."""


@dataclass(frozen=True)
class Case:
    """A change from one combination into another; *only*: the ticket is the only one of its event."""

    before: Combination
    after: Combination
    only: bool = False

    @property
    def name(self) -> str:
        """What differs from a ticket on sale."""
        before, after = (
            ", ".join(f"{column} {value}" for column, value in one.items() if value != ON_SALE[column]) or "on sale"
            for one in (self.before, self.after)
        )
        return f"{before} → {after}{' of the only ticket' if self.only else ''}"


def cases() -> list[Case]:
    """Each listed value of each row, from a ticket on sale; each row over each one below it; and what the page describes."""
    rows = [list(_combined(listed(row))) for row in table()]
    found = []
    for row in rows:
        for values in row:
            after = {**ON_SALE, **values}
            before = next(one for one in (ON_SALE, {**ON_SALE, "left": "many"}) if said(one) != said(after))
            found.append(Case(before, after))
    for upper, lower in itertools.combinations([row[0] for row in rows], 2):
        before, after = {**ON_SALE, **lower}, {**ON_SALE, **lower, **upper}
        if said(before) != said(after) and Case(before, after) not in found:
            found.append(Case(before, after))
    found += [Case({**ON_SALE, **before}, {**ON_SALE, **after}) for before, after in DESCRIBED]
    return [*found, Case(ON_SALE, {**ON_SALE, "left": "0"}, only=True)]


def _combined(values: Mapping[str, Sequence[str]]) -> Iterator[Combination]:
    for chosen in itertools.product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def split(all_: Sequence[T], size: int) -> list[Sequence[T]]:
    """Parts of at most this size."""
    return [all_[at : at + size] for at in range(0, len(all_), size)]


def said(combination: Combination) -> tuple[str, int | None]:
    """What the table says: a state and a number."""
    return expected({name: combination[name] for name in table()[0] if name not in SAID})


class Stage:
    """The offers of all cases, spread over the sites, each in its first combination; and how soon its changes were shown."""

    def __init__(self, *sites: WixRig) -> None:
        self.cases: dict[Offer, Case] = {}
        self.tickets: dict[str, list[str]] = {wix.site: [] for wix in sites}
        self.took: dict[str, list[tuple[float, str]]] = {}
        self.was_true: set[tuple[str, CanonicalCounter]] = set()
        for wix, case in zip(itertools.cycle(sites), cases(), strict=False):
            offer = Offer(wix.world, case.name, only=case.only)
            offer.bring(case.before)
            self.cases[offer] = case
            self.was_true.add((offer.ticket, offer.counter()))
            self.tickets[wix.site].append(offer.ticket)

    @property
    def requests(self) -> list[tuple[str, Sequence[str]]]:
        """A site and some of its tickets, for each request that is needed for all of them."""
        return [(site, part) for site, all_ in self.tickets.items() for part in split(all_, MOST_OF_A_REQUEST)]

    async def all_shown(self, views: Sequence[View]) -> None:
        """Wait until each view shows each offer as it is at Wix."""
        for view in views:
            await self._shown(view, dict.fromkeys(self.cases))

    async def change(
        self, views: Sequence[View], offers: Sequence[Offer], *, back: bool = False, every: float = 0
    ) -> None:
        """Change these offers, with *every* so many seconds between two, and wait until each view shows each of them."""
        was = {offer: offer.counter() for offer in offers}
        began: dict[Offer, float] = {}

        async def make() -> None:
            for offer in offers:
                case = self.cases[offer]
                offer.bring(case.before if back else case.after)
                counter = json.loads(offer.counter())
                assert said(offer.now) == (counter["state"], counter["unsold"])
                assert was[offer] != offer.counter()
                self.was_true.add((offer.ticket, offer.counter()))
                began[offer] = asyncio.get_running_loop().time()
                await asyncio.sleep(every)

        async def look(view: View) -> None:
            for offer, at in (await self._shown(view, began, len(offers))).items():
                case = self.cases[offer]
                if view.due(was[offer]) != view.due(offer.counter()):
                    self.took.setdefault(view.name, []).append((at - began[offer], case.name))
                else:  # fees and the event's page are in no sentence
                    assert said(case.before) == said(case.after)

        async with asyncio.TaskGroup() as tasks:
            for one in (make(), *(look(view) for view in views)):
                tasks.create_task(one)

    async def _shown(
        self, view: View, changed: Mapping[Offer, object], number: int | None = None
    ) -> dict[Offer, float]:
        """Wait until *number* offers are *changed* and shown as they are at Wix; answers when each was."""
        shown: dict[Offer, float] = {}

        async def all_are() -> bool:
            seen = await view.seen()
            for offer in changed.keys() - shown.keys():
                if seen.get(offer.ticket) == view.due(offer.counter()):
                    shown[offer] = asyncio.get_running_loop().time()
            return len(shown) == (len(changed) if number is None else number)

        try:
            await until(all_are, 30)
        except AssertionError:
            late = {offer.name: (await view.seen()).get(offer.ticket) for offer in changed.keys() - shown.keys()}
            raise AssertionError(f"{view.name} shows after 30 s: {late}") from None
        return shown

    def never_true(self, views: Sequence[View]) -> set[tuple[str, CanonicalCounter]]:
        """What a viewer was told that Wix never had: neither the counter before a change nor the one after it."""
        [sockets] = (view for view in views if isinstance(view, Sockets))
        return sockets.received() - self.was_true

    def report(self, how: str) -> list[tuple[float, str]]:
        """Report the times of each view; answers all, longest last."""
        for view, took in self.took.items():
            seconds, name = max(took)
            middle = statistics.median(one for one, _ in took)
            report(f"{how}, {view}: {len(took)} changes, median {middle:.2f} s, longest {seconds:.2f} s ({name})")
        return sorted(one for took in self.took.values() for one in took)


@asynccontextmanager
async def visitors(url: str, stage: Stage, host: HostSite, page: Page) -> AsyncIterator[list[View]]:
    """Visitors of all offers, in each of the three ways."""
    tags = (
        f'<p><ticket-counter site="{site}" ticket="{one}" show-name show-price eager>{OWN_WORDS}</ticket-counter>'
        for site, tickets in stage.tickets.items()
        for one in tickets
    )
    await page.goto(host.put("/", f'<html lang=en><script src="{url}{SCRIPT}"></script>{"".join(tags)}'))
    async with AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(websocket_viewer(url, *one)) for one in stage.requests]
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False))
        yield [Sockets(viewers), Answers(http, [counters_path(*one) for one in stage.requests]), Widgets(page)]


async def _all_watched(redis: Redis, wix: WixRig, number: int) -> bool:
    return bool(await redis.zcard(key(wix.site, "events_watched")) == number)


@pytest.mark.alone
async def test_each_row_by_webhook(
    command: Run, redis_server: Servers, site: HostSite, page: Page, console_errors: list[str]
) -> None:
    """Each combination is shown by each of the three within 1 s of the change, and so is the way back."""
    async with several_sites(SITES) as wix:
        stage = Stage(*wix.sites)
        # No other read of a ticket is due within the second.
        deployment = Deployment(command, redis_server().url, wix.settings(), WATCH_EVERY="60")
        deployment.worker()
        url = await deployment.web()
        wix.send_to(url)
        loop = asyncio.get_running_loop()
        async with visitors(url, stage, site, page) as views:
            await stage.all_shown(views)
            for offers in split(list(stage.cases), SITES):
                for back in (False, True):
                    next_ = loop.time() + PACE
                    await stage.change(views, offers, back=back)
                    await asyncio.sleep(next_ - loop.time())
            await stage.all_shown(views)

    took = stage.report("by webhook")
    assert set() == stage.never_true(views)
    assert [] == console_errors
    assert [] == [one for one in took if one[0] > 1]


@pytest.mark.alone
async def test_each_row_without_webhooks(
    command: Run, redis_server: Servers, site: HostSite, page: Page, console_errors: list[str]
) -> None:
    """Each combination of a watched ticket is shown by each of the three within WATCH_EVERY where no webhook comes."""
    async with running_wix() as wix:
        stage = Stage(wix)
        deployment = Deployment(command, redis_server().url, wix.settings(), WATCH_EVERY=str(WATCH_EVERY))
        deployment.worker()
        url = await deployment.web()
        async with (
            visitors(url, stage, site, page) as views,
            Redis.from_url(deployment.redis_url, decode_responses=True) as redis,
        ):
            await stage.all_shown(views)
            await until(lambda: _all_watched(redis, wix, len(stage.cases)))
            # A ticket whose sale has ended is read as seldom as one that nobody watches.
            offers = [offer for offer, case in stage.cases.items() if said(case.before)[0] != "ended"]
            await stage.change(views, offers, every=WATCH_EVERY / len(offers))
            await stage.all_shown(views)

    took = stage.report("watched, without webhooks")
    assert set() == stage.never_true(views)
    assert [] == console_errors
    assert [] == [one for one in took if one[0] > WATCH_EVERY + MACHINE]


@pytest.mark.alone
async def test_each_row_without_viewers(command: Run, redis_server: Servers, wix: WixRig) -> None:
    """Each combination of a ticket that nobody watches is stored within RECONCILE without webhooks; the next visitor gets it."""
    stage = Stage(wix)
    deployment = Deployment(command, redis_server().url, wix.settings(), RECONCILE=str(RECONCILE))
    deployment.worker()
    url = await deployment.web()
    async with (
        Redis.from_url(deployment.redis_url, decode_responses=True) as redis,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        stored = Stored(redis, wix.site, stage.tickets[wix.site])
        await stage.all_shown([stored])
        offers = list(stage.cases)
        await stage.change([stored], offers, every=RECONCILE / len(offers))
        answers = Answers(http, [counters_path(*one) for one in stage.requests])
        first = await answers.seen()

    took = stage.report("not watched, without webhooks")
    assert {offer.ticket: offer.counter() for offer in offers} == first
    assert [] == [one for one in took if one[0] > RECONCILE + MACHINE]
