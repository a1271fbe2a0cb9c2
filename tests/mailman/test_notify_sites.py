"""Several sites of one deployment, and several deployments of one Redis: nothing that notify keeps of one reaches another."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from server.keyring import KeyRing, Purpose, new_key
from tests.rig.key_table import unlisted
from tests.rig.notify_browsers import NotifyBrowsers
from tests.rig.notify_gala import SLUG, Gala, NotifyTenant, people
from tests.rig.process import Run
from tests.rig.push_service import PushService
from tests.rig.redis import Servers
from tests.rig.server import until
from tests.rig.several_sites import several_sites
from tests.rig.smtp_server import relay
from tests.rig.wix import WixRig, running_wix

LABEL = "custom.early-birds"
OF_WIX = f"""
format = 1
[tools.contacts]
kind = "wix"
[events.{SLUG}]
tool = "contacts"
label = "{LABEL}"
push = true
"""
OF_FILE = f"""
format = 1
[tools.readers]
kind = "csv"
file = "readers.csv"
[events.{SLUG}]
tool = "readers"
push = true
"""
ANN, BEN, CAY = people("ann", "ben", "cay")
PLACES = (("tc", 0), ("shop", 0), ("tc", 3))
"""Prefixes and databases."""


def subscribe(wix: WixRig, *addresses: str) -> None:
    """Contacts of a site that want its mails."""
    for one in addresses:
        wix.sandbox.contacts.create(email=one, labels=(LABEL,))
        wix.sandbox.contacts.subscribe(one, "SUBSCRIBED", "VALID")


def status_of(wix: WixRig, address: str) -> str:
    found = wix.sandbox.contacts.subscription(address)
    assert found is not None
    return found.status


async def test_two_sites_with_an_event_of_the_same_slug(
    redis_server: Servers, command: Run, push_service: PushService, tmp_path: Path
) -> None:
    """Law 18: Each site's campaign has its own audience, and who leaves one site's list hears of the other site as before."""
    key = new_key()
    async with AsyncExitStack() as stack:
        sites = await stack.enter_async_context(several_sites(2))
        relaying = stack.enter_context(relay())
        settings = {name.upper(): value for name, value in sites.settings().items()}
        tenant = NotifyTenant(
            command, redis_server().url, settings, relaying, tmp_path / "one", prefix="tc", NOTIFY_KEYS=key
        )
        tenant.file.write_text(OF_WIX)
        browsers = await stack.enter_async_context(aclosing(NotifyBrowsers(tenant.deployment, push_service)))
        tenant.url = browsers.url
        here, there = (Gala(one) for one in sites.sites)
        subscribe(here.wix, ANN, CAY)
        subscribe(there.wix, BEN, CAY)
        await tenant.serve(here, there)
        for one in (here, there):
            await browsers.offered(f"{SLUG}&site={one.wix.site}")
        [heard] = await browsers.confirmed(f"{SLUG}&site={there.wix.site}", push_service)

        # Both sales start in the same second, so both campaigns have one name.
        here.start_sale(8)
        there.wix.world.update(there.ticket, start=here.wix.world.tickets[here.ticket].start)
        campaigns = await tenant.done(2)
        assert 1 == len({one["campaign"] for one in campaigns})
        assert {here.wix.site, there.wix.site} == {one["site"] for one in campaigns}
        assert sorted([ANN, BEN, CAY, CAY]) == tenant.recipients()
        tokens = [str(one["List-Unsubscribe"]).split("/u/")[1].split(">")[0] for one in tenant.to(CAY)]
        links = [KeyRing([key]).decrypt(Purpose.UNSUBSCRIBE, one) or {} for one in tokens]
        assert {here.wix.site, there.wix.site} == {one["s"] for one in links}
        [pushed] = push_service.messages(heard)[1:]
        assert there.wix.site in pushed.payload["notification"]["navigate"]

        # One who is in both lists leaves that of the first site; an import brings the address back.
        [mail] = [mail for mail, one in zip(tenant.to(CAY), links, strict=True) if one["s"] == here.wix.site]
        await tenant.leave(mail)
        await until(lambda: "UNSUBSCRIBED" == status_of(here.wix, CAY), 30)
        assert "SUBSCRIBED" == status_of(there.wix, CAY)
        here.wix.sandbox.contacts.subscribe(CAY, "SUBSCRIBED", "VALID")
        which = await tenant.cli("send", SLUG, "--again", "--yes")
        assert 2 == which.status
        assert "--site" in which.err
        for address in (ANN, BEN):
            relaying.on("rcpt", "450 4.2.0 later", recipient=address)
        for one in (here, there):
            answer = await tenant.cli("send", SLUG, "--again", "--yes", "--site", one.wix.site)
            assert 0 == answer.status, str(answer)
        expected = {here.wix.site: (0, 1, 1, "sending"), there.wix.site: (1, 1, 0, "sending")}
        await come_to(tenant, expected)
        assert {ANN: 1, BEN: 1, CAY: 3} == Counter(tenant.recipients())
        assert 3 == len(push_service.messages(heard))

        # A person stops one of the two, which have one name again.
        [name] = {str(one["campaign"]) for one in await _newest(tenant)}
        which = await tenant.cli("stop", name)
        assert 2 == which.status
        assert here.wix.site in which.err
        assert there.wix.site in which.err
        assert 0 == (await tenant.cli("stop", name, "--site", here.wix.site)).status
        expected[here.wix.site] = (0, 0, 1, "stopped")
        await come_to(tenant, expected)


async def _newest(tenant: NotifyTenant) -> list[dict[str, Any]]:
    """The two campaigns that were opened last."""
    found: list[dict[str, Any]] = (await tenant.cli("status", "--json")).json["campaigns"]
    return sorted(found, key=lambda one: str(one["opened_at"]))[-2:]


async def come_to(tenant: NotifyTenant, expected: dict[str, tuple[int, int, int, str]]) -> None:
    """Wait until the newest campaign of each site has so many mails sent, waiting and skipped, and is in this state."""
    found: object = None

    async def equal() -> bool:
        nonlocal found
        mail = {one["site"]: one["channels"]["mail"] for one in await _newest(tenant)}
        found = {site: (one["sent"], one["waiting"], one["skipped"], one["state"]) for site, one in mail.items()}
        return found == expected

    try:
        await until(equal, 40)
    except AssertionError:
        raise AssertionError(f"{found}, expected {expected}") from None


@asynccontextmanager
async def tenants(
    redis_server: Servers, command: Run, service: PushService, folder: Path
) -> AsyncIterator[list[tuple[NotifyTenant, NotifyBrowsers, Gala]]]:
    """A deployment at each place: all have the same keys, the same site and an event of the same name; files and relays are their own."""
    key, redis = new_key(), redis_server()
    async with AsyncExitStack() as stack:
        found = []
        for number, (prefix, db) in enumerate(PLACES):
            wix = await stack.enter_async_context(running_wix())
            relaying = stack.enter_context(relay())
            settings = {name.upper(): value for name, value in wix.settings().items()}
            url = redis.url.replace("/0", f"/{db}")
            own = folder / f"tenant-{number}"
            tenant = NotifyTenant(command, url, settings, relaying, own, prefix=prefix, NOTIFY_KEYS=key)
            tenant.file.write_text(OF_FILE)
            (own / "readers.csv").write_text(f"email\n{ANN}\n{CAY}\nown-{number}@example.com\n")
            browsers = await stack.enter_async_context(aclosing(NotifyBrowsers(tenant.deployment, service)))
            tenant.url = browsers.url
            gala = Gala(wix)
            await tenant.serve(gala)
            found.append((tenant, browsers, gala))
        yield found
    assert [] == [fault for prefix, db in PLACES for fault in unlisted(redis.port, db=db, prefix=f"{prefix}:")]
    for db in {db for _, db in PLACES}:
        prefixes = tuple(f"{prefix}:" for prefix, its in PLACES if its == db)
        async with Redis.from_url(redis.url.replace("/0", f"/{db}"), decode_responses=True) as client:
            assert [] == [name for name in await client.keys() if not str(name).startswith(prefixes)]


async def test_deployments_on_one_redis(
    redis_server: Servers, command: Run, push_service: PushService, tmp_path: Path
) -> None:
    """Law 17: Deployments with other prefixes or databases announce, suppress, pause and push each for itself."""
    async with tenants(redis_server, command, push_service, tmp_path) as found:
        heard = []
        for _, browsers, _ in found:
            await browsers.offered(SLUG)
            heard += await browsers.confirmed(SLUG, push_service)
        (first, _, gala), *others = found

        # One announces, one of its readers leaves, and its relay refuses it.
        gala.start_sale()
        await first.done(1)
        assert sorted([ANN, CAY, "own-0@example.com"]) == first.recipients()
        assert [[]] * 2 == [one.recipients() for one, *_ in others]
        assert [2, 1, 1] == [len(push_service.messages(one)) for one in heard]
        await first.leave(first.to(CAY)[0])
        left = [one.file.parent / "readers.csv.opted-out" for one, *_ in found]
        await until(left[0].exists, 30)
        first.relay.on("mail", "550 5.7.1 not you")
        assert 0 == (await first.cli("send", SLUG, "--again", "--yes")).status
        await until(lambda: _paused(first), 60)

        # The others know nothing of it.
        for one, *_ in others:
            status = (await one.cli("status", "--json")).json
            assert ([], [], 1) == (status["campaigns"], status["paused"], len(status["planned"]))
        for *_, its in others:
            its.start_sale()
        for number, (one, *_) in enumerate(others, 1):
            await one.done(1)
            assert sorted([ANN, CAY, f"own-{number}@example.com"]) == one.recipients()
        assert [False, False] == [one.exists() for one in left[1:]]
        assert 3 == len(first.recipients())
        assert [2, 2] == [len(push_service.messages(one)) for one in heard[1:]]
        assert await _paused(first)


async def _paused(tenant: NotifyTenant) -> Sequence[object]:
    """The servers that a deployment holds for paused."""
    found: Sequence[object] = (await tenant.cli("status", "--json")).json["paused"]
    return found
