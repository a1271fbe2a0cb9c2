from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, chdir

import pytest

from server.doctor import sync
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.redis.client import RedisClient, Use
from tests.rig.doctor import faults, found_by, levels
from tests.rig.redis import free_port
from tests.rig.settings import valid_settings
from tests.rig.sync_shop import SECRET, SyncShop

HTTP_SECRET = "whsec_YS1zZWNyZXQtb2YtdGhlLXNob3AtZm9yLXRlc3RzLTMy"


@asynccontextmanager
async def deployed(shop: SyncShop, **given: str) -> AsyncIterator[list[Finding]]:
    """What is found in the folder of the shop."""
    settings = valid_settings(redis_url=shop.redis.url, sync_file="sync.toml", **given)
    with chdir(shop.folder):
        async with aclosing(Deployment(settings)) as deployment:
            deployment.redis = RedisClient(shop.redis.url, Use.WORK)
            yield await found_by(sync.check, deployment)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret of the box office is in the environment."""
    monkeypatch.setenv("BOX_OFFICE_SECRET", SECRET)


async def test_target_that_is_right(sync_shop: SyncShop) -> None:
    """A target that answers and takes all fields is right."""
    async with deployed(sync_shop) as found:
        assert ["ok"] == levels(found)


async def test_target_with_another_currency(sync_shop: SyncShop) -> None:
    """A target that sells in another currency is a fault for each ticket, with its cure."""
    sync_shop.sql("UPDATE events SET currency = 'EUR'")
    async with deployed(sync_shop) as found:
        assert ["fault"] * len(found) == levels(found)
        assert "sells in EUR, and the ticket is in USD" in found[0].what
        assert found[0].cure


async def test_target_without_the_event(sync_shop: SyncShop) -> None:
    """A target that does not have the event is a fault in its own words, and an event that Wix does not have is told."""
    text = (sync_shop.folder / "sync.toml").read_text()
    (sync_shop.folder / "sync.toml").write_text(text.replace('"ev1"', '"ev2", no-such-event = "ev3"'))
    async with deployed(sync_shop) as found:
        assert ["fault", "fault", "notice"] == levels(found)
        assert "ev2" in found[0].what


def away(shop: SyncShop, more: str = "") -> None:
    """The file names a system over HTTP that does not run, for the event, and *more* ones."""
    (shop.folder / "sync.toml").write_text(
        f"""format = 1
[targets.shop]
kind = "http"
url = "http://127.0.0.1:{free_port()}/tickets"
allow_http = true
allow_private = true
secret_env = "BOX_OFFICE_SECRET"
events = {{ "{shop.slug}" = "ev1"{more} }}
"""
    )


@pytest.mark.parametrize(
    ("more", "told"), [("", ""), (', no-such-event = "ev2", other = "ev3"', " (told once for all 3 events)")]
)
async def test_target_that_is_away(sync_shop: SyncShop, monkeypatch: pytest.MonkeyPatch, more: str, told: str) -> None:
    """A target that does not answer is told once, not once for each event, in our own words and with a cure."""
    monkeypatch.setenv("BOX_OFFICE_SECRET", HTTP_SECRET)
    away(sync_shop, more)
    async with deployed(sync_shop) as found:
        (text,) = faults(found)

    assert "was not sent: it refuses connections (127.0.0.1): see whether its server runs" in text
    assert "ConnectError" not in text
    assert told == text[len(text.removesuffix(told)) :]


async def test_event_of_no_one_at_a_target_that_is_away(sync_shop: SyncShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where Wix has none of the events, so that the target alone is asked."""
    monkeypatch.setenv("BOX_OFFICE_SECRET", HTTP_SECRET)
    sync_shop.slug = "no-such-event"
    away(sync_shop, ', other = "ev2"')
    async with deployed(sync_shop) as found:
        assert ["fault"] == levels(found)


async def test_file_that_is_wrong(sync_shop: SyncShop) -> None:
    """A file with faults is a fault with all of them, and so is TRACK=watched."""
    async with deployed(sync_shop, track="watched") as found:
        assert "TRACK=all" in faults(found)[0]
    (sync_shop.folder / "sync.toml").write_text("format = 1\n[targets.x]\nkind = 'none'\n")
    async with deployed(sync_shop) as found:
        assert "sync.toml" in faults(found)[0]


async def test_worker_of_a_target(sync_shop: SyncShop) -> None:
    """A target with records that no worker serves is a fault."""
    status, _, errors = await sync_shop.run("apply", sync_shop.slug, "--yes")
    assert (0, "") == (status, errors)
    async with deployed(sync_shop) as found:
        assert ["no worker serves target box-office at all"] == faults(found)


async def test_no_file_of_sync() -> None:
    """Without a file there is no target, and nothing to say."""
    assert [] == await found_by(sync.check, Deployment(valid_settings(sync_file=None)))
