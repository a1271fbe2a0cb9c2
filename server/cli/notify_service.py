"""Opens notify for one command: reads NOTIFY_FILE, finds Redis, and closes what was opened."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from server.cli.start import redis_url
from server.errors import NotStarted
from server.notify.config import NotifyConfig
from server.notify.file import file as notify_file
from server.notify_settings import NotifySettings
from server.redis.client import RedisClient, Use
from server.settings import Settings, environment
from server.store.schedule import Schedule
from server.wix_client import open_wix

if TYPE_CHECKING:
    from server.notify.kept_campaigns import KeptCampaigns
    from server.notify.service import Notify


WITHOUT = {name: field.default for name, field in NotifySettings.model_fields.items()}
"""The settings of notify as if none was set, so that none can be wrong."""


@asynccontextmanager
async def kept(settings: Settings) -> AsyncIterator["KeptCampaigns"]:
    """The campaigns that Redis keeps; neither notify.toml nor a setting of notify is read. Raises NotStarted, RedisUnavailable."""
    async with _redis(settings) as (redis, schedule):
        from server.notify.kept_campaigns import KeptCampaigns  # noqa: PLC0415 - as below

        yield await KeptCampaigns.of_redis(redis, schedule)


def fault(settings: Settings) -> str:
    """What is wrong with NOTIFY_FILE, or with the settings that its events need; "" = nothing."""
    try:
        _config(settings)
    except NotStarted as error:
        return str(error)
    return ""


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator["Notify"]:
    """Notify, over the Redis of REDIS_URL or that of a `serve` with the same DATA_DIR. Raises NotStarted, RedisUnavailable."""
    config = _config(settings)
    async with _redis(settings) as (redis, schedule):
        # Imported only here: `serve` loads the commands too, and the libraries for templates and mail take memory.
        from server.notify.service import Notify  # noqa: PLC0415

        async with aclosing(
            await Notify.opened(redis, config, settings.keyring, schedule, partial(open_wix, settings))
        ) as service:
            yield service


def _config(settings: Settings) -> NotifyConfig:
    config = notify_file.load(settings, settings.pages_url, environment(), required=True)
    if config is None:
        raise NotStarted("notify is switched off: set NOTIFY_FILE")
    return config


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[tuple[RedisClient, Schedule]]:
    async with aclosing(RedisClient(redis_url(settings), Use.WORK, settings.redis_prefix)) as redis:
        await redis.do("PING")
        yield redis, Schedule(redis, settings.timing)
