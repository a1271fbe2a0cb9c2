import pytest

from server import settings
from server.cli.notify_service import fault, kept, opened
from server.errors import NotStarted, RedisUnavailable
from server.redis.client import RedisClient
from server.settings import Settings
from tests.rig.notify_shop import NotifyShop


def settings_of(shop: NotifyShop, **given: object) -> Settings:
    return settings.load(
        _env_file=None,
        **{
            **{name.lower(): value for name, value in shop.environment.items()},
            "notify_file": shop.folder / "notify.toml",
            **given,
        },
    )


async def test_notify_is_opened(notify_shop: NotifyShop) -> None:
    """Notify is opened with what NOTIFY_FILE and the settings say, and Redis's events."""
    async with opened(settings_of(notify_shop)) as notify:
        assert ["spring-gala", "autumn-ball"] == list(notify.config.events)
        assert 2 == len((await notify.status()).planned)


async def test_notify_that_cannot_be_opened(notify_shop: NotifyShop) -> None:
    """Without NOTIFY_FILE, a setting that it needs, or Redis, it is told what is missing, before anything is done."""
    for given, text in (
        ({"notify_file": None}, "notify is switched off: set NOTIFY_FILE"),
        ({"notify_sender_name": None}, "NOTIFY_SENDER_NAME is not set: a mail must say who writes"),
        ({"redis_url": None, "data_dir": notify_shop.folder}, "REDIS_URL is not set"),
    ):
        with pytest.raises(NotStarted, match=text):
            async with opened(settings_of(notify_shop, **given)):
                pass
    with pytest.raises(RedisUnavailable):
        async with opened(settings_of(notify_shop, redis_url="redis://127.0.0.1:1")):
            pass


async def test_campaigns_that_are_kept_need_no_file(notify_shop: NotifyShop, shop_store: RedisClient) -> None:
    """Whatever is wrong with NOTIFY_FILE and the settings of notify, the campaigns in Redis are there; what is wrong is told."""
    one = await notify_shop.opened(shop_store, tickets=())
    broken = settings_of(notify_shop, notify_file=None)

    async with kept(broken) as campaigns:
        assert one == await campaigns.campaign(one.name)
    assert "notify is switched off: set NOTIFY_FILE" == fault(broken)
    assert "" == fault(settings_of(notify_shop))


async def test_tool_at_wix(notify_shop: NotifyShop) -> None:
    """A tool at Wix is reached with the credentials of the settings; where they are missing, that is told."""
    async with opened(settings_of(notify_shop)) as notify:
        with pytest.raises(NotStarted, match="WIX_APP_ID and WIX_APP_SECRET are not set"):
            notify._open_wix()
    async with opened(settings_of(notify_shop, wix_app_id="app", wix_app_secret="secret")) as notify:
        await notify._open_wix().aclose()
