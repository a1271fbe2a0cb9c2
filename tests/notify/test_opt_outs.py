"""Opt-outs reach the tool, and are stronger than it."""

from dataclasses import replace

import pytest

from server.errors import AudienceRefused, AudienceUnavailable
from server.keyring import KeyRing, Purpose
from server.model import SiteId
from server.notify.opt_outs import OptOuts
from server.redis.client import RedisClient
from server.store.notify_requests import FIRST_WAIT, PARKED_AFTER, NotifyRequests, RequestKind
from server.store.suppressions import Suppressions
from server.timed_event import TimedEvent
from tests.rig.background import background
from tests.rig.notify_models import ModelAudience, people
from tests.rig.notify_time_travel import elapse_for_requests
from tests.rig.server import until

SITE = SiteId("5f0e4d3c-1111-4111-8111-00000000b001")
OPT_OUT = RequestKind.OPT_OUT
NEW, OLD = "a-newer-key-of-at-least-32-characters", "an-old-key-of-at-least-32-characters"
ADA = "p1@example.org"


class Rig:
    """A list of a tool, opt-outs that wait, and the worker that brings them."""

    def __init__(self, store: RedisClient) -> None:
        self.store = store
        self.ring = KeyRing([OLD])
        self.requests = NotifyRequests(store)
        self.suppressions = Suppressions(store)
        self.lists = {
            "gala": ModelAudience(people(3), place="list a"),
            "ball": ModelAudience(people(3), place="list b"),
        }

    @property
    def opt_outs(self) -> OptOuts:
        """The worker, as it is set up now."""
        return OptOuts(self.requests, self.ring, lambda _: self.lists, lambda: [SITE])

    async def leaves(self, address: str = ADA, place: str = "list a") -> None:
        """What the web does when somebody opts out."""
        hashes = self.ring.hashes(Purpose.SUPPRESSION, place, address)
        await self.suppressions.add(SITE, hashes, "opted out")
        encrypted = self.ring.encrypt(Purpose.OPT_OUT, {"a": address})
        await self.requests.opt_out(SITE, place, encrypted, hashes[0])

    async def suppressed(self, address: str = ADA, place: str = "list a") -> bool:
        """Whether nothing is sent to an address."""
        return await self.suppressions.has(SITE, self.ring.hashes(Purpose.SUPPRESSION, place, address))

    async def faults(self) -> list[str]:
        """What is told to people."""
        return list((await self.requests.backlog(SITE, OPT_OUT)).faults.values())


@pytest.fixture
def rig(store: RedisClient) -> Rig:
    return Rig(store)


async def test_an_opt_out_reaches_its_list(rig: Rig) -> None:
    """An address that opted out is taken off the list of its mail, and off no other."""
    await rig.leaves()

    await rig.opt_outs.loop.bring_due()

    assert ADA not in rig.lists["gala"].subscribers
    assert 2 == len(rig.lists["gala"].subscribers)
    assert 3 == len(rig.lists["ball"].subscribers)
    assert await rig.suppressed()
    assert not await rig.suppressed(place="list b")


async def test_the_list_is_found_by_its_place(rig: Rig) -> None:
    """An opt-out finds its list when notify.toml names another event for it."""
    await rig.leaves()
    rig.lists = {"a renamed event": rig.lists["gala"]}

    await rig.opt_outs.loop.bring_due()

    assert ADA not in rig.lists["a renamed event"].subscribers


async def test_an_address_that_is_gone_is_no_fault(rig: Rig) -> None:
    """Who left in the tool meanwhile is no fault."""
    await rig.leaves("nobody@example.org")

    await rig.opt_outs.loop.bring_due()

    assert 0 == (await rig.requests.backlog(SITE, OPT_OUT)).waiting
    assert [] == await rig.faults()


@pytest.mark.parametrize("error", [AudienceRefused("Mailman refuses our password"), AudienceUnavailable("it is down")])
async def test_a_refusal_keeps_the_suppression(rig: Rig, error: Exception) -> None:
    """Law 18: While the tool refuses or is down the address stays suppressed, it is told, and it is tried again."""
    await rig.leaves()
    rig.lists["gala"].down = error  # type: ignore[assignment] # the types of the parameters
    await rig.opt_outs.loop.bring_due()
    assert [str(error)] == await rig.faults()
    assert await rig.suppressed()
    rig.lists["gala"].down = None

    await elapse_for_requests(rig.store, SITE, FIRST_WAIT)
    await rig.opt_outs.loop.bring_due()

    assert ADA not in rig.lists["gala"].subscribers
    assert [] == await rig.faults()


async def test_a_list_that_is_named_no_more(rig: Rig) -> None:
    """Where notify.toml names the list no more, that is told with the cure; after a week the suppression is what stays."""
    await rig.leaves()
    rig.lists = {"ball": rig.lists["ball"]}
    await rig.opt_outs.loop.bring_due()
    [fault] = await rig.faults()
    assert "notify.toml names no list list a any more" in fault
    assert ADA not in fault

    await elapse_for_requests(rig.store, SITE, PARKED_AFTER)
    await rig.opt_outs.loop.bring_due()

    assert 1 == (await rig.requests.backlog(SITE, OPT_OUT)).parked
    assert await rig.suppressed()


async def test_a_new_key_reads_what_the_old_one_wrote(rig: Rig) -> None:
    """An opt-out that waits while the key is changed is brought, and stays suppressed under the new key, also by itself."""
    await rig.leaves()
    rig.ring = KeyRing([NEW, OLD])
    assert await rig.suppressed()

    await rig.opt_outs.loop.bring_due()

    assert ADA not in rig.lists["gala"].subscribers
    rig.ring = KeyRing([NEW])
    assert await rig.suppressed()


async def test_a_key_that_was_removed_is_told(rig: Rig) -> None:
    """Without the key of an opt-out the address cannot be read: that is told, and once the key is back it is brought."""
    await rig.leaves()
    rig.ring = KeyRing([NEW])
    await rig.opt_outs.loop.bring_due()
    [fault] = await rig.faults()
    assert "NOTIFY_KEYS lacks the key" in fault

    rig.ring = KeyRing([NEW, OLD])
    await elapse_for_requests(rig.store, SITE, FIRST_WAIT)
    await rig.opt_outs.loop.bring_due()

    assert ADA not in rig.lists["gala"].subscribers


async def test_an_import_into_the_tool_changes_nothing(rig: Rig) -> None:
    """Who opted out stays suppressed when an import puts the address on the list again."""
    await rig.leaves()
    await rig.opt_outs.loop.bring_due()

    rig.lists["gala"].subscribe(ADA)

    assert await rig.suppressed()


async def test_the_worker_brings_what_comes(rig: Rig) -> None:
    """A running worker takes an address off within seconds of the click, and ends at a stop."""
    stopping = TimedEvent()
    async with background(rig.opt_outs.run(stopping)):
        await rig.leaves()
        await until(lambda: ADA not in rig.lists["gala"].subscribers)
        stopping.set()

    assert replace(rig.lists["ball"].subscribers[ADA]) == rig.lists["ball"].subscribers[ADA]
