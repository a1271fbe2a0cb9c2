from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, chdir

from server.doctor import notify
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.redis.client import RedisClient, Use
from tests.rig.doctor import faults, found_by, levels
from tests.rig.notify_shop import NOTIFY_TOML, NotifyShop
from tests.rig.server import StartServer
from tests.rig.settings import valid_settings


@asynccontextmanager
async def deployed(shop: NotifyShop, **given: str) -> AsyncIterator[list[Finding]]:
    """What is found in the folder of the shop."""
    environment = {name.lower(): value for name, value in shop.environment.items()}
    settings = valid_settings(**{**environment, "notify_file": "notify.toml", **given})
    with chdir(shop.folder):
        async with aclosing(Deployment(settings)) as deployment:
            deployment.redis = RedisClient(shop.redis.url, Use.WORK)
            yield await found_by(notify.check, deployment)


async def test_notify_that_is_right(notify_shop: NotifyShop, start_server: StartServer) -> None:
    """Lists with subscribers, a relay, the unsubscribe address and the keys of push are right, and nothing is sent."""
    server = await start_server(notify_keys=notify_shop.environment["NOTIFY_KEYS"])
    async with deployed(notify_shop, public_url=server.url) as found:
        assert ["ok"] * 5 == levels(found)
        assert "readers has about 60 subscribers" in found[0].what
    assert [] == notify_shop.relay.answered
    assert "@people.example" not in repr(found)


async def test_list_that_is_not_there(notify_shop: NotifyShop) -> None:
    """A tool without the list is a fault in its words, and an empty list is told."""
    notify_shop.subscribe([])
    async with deployed(notify_shop) as found:
        assert ["notice", "notice"] == levels(found)[:2]
    (notify_shop.folder / "readers.csv").unlink()
    async with deployed(notify_shop) as found:
        assert "readers.csv" in faults(found)[0]


async def test_events_that_no_site_has(notify_shop: NotifyShop) -> None:
    """An event that no site has is told with its line, and one that is named twice is a fault."""
    event = notify_shop.events["spring-gala"]
    more = f'[events.winter-fair]\ntool = "readers"\n[events.{event}]\ntool = "readers"\n'
    (notify_shop.folder / "notify.toml").write_text(NOTIFY_TOML + more)
    async with deployed(notify_shop) as found:
        assert "notify.toml:10: no event 'winter-fair' is known" in found[0].what
        assert "name the same event" in faults(found)[0]


async def test_file_that_is_wrong(notify_shop: NotifyShop) -> None:
    """A missing setting is a fault, and so is TRACK=watched."""
    async with deployed(notify_shop, notify_vapid_keys="") as found:
        assert "NOTIFY_VAPID_KEYS" in faults(found)[0]
    async with deployed(notify_shop, track="watched") as found:
        assert "TRACK" in faults(found)[0]


async def test_no_file_of_notify() -> None:
    """Without a file no one is told, and there is nothing to say."""
    assert [] == await found_by(notify.check, Deployment(valid_settings(notify_file=None)))
