import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from server import settings
from server.counter import Rules
from server.errors import NotStarted
from server.model import SiteId
from server.worker import Worker
from tests.rig.default_keys import KEYS, WAKE, channel, key
from tests.rig.recording_viewers import websocket_viewer
from tests.rig.redis import RedisServer, Servers
from tests.rig.server import SITE, StartServer, until
from tests.rig.wix import WixRig

INSTALLED = "5f0e4d3c-1111-4111-8111-00000000b777"


@asynccontextmanager
async def working(redis_url: str, wix: WixRig, **given: Any) -> AsyncIterator[Worker]:
    """A worker that runs on the sandbox."""
    found = settings.load(_env_file=None, redis_url=redis_url, **{**wix.settings(), **given})
    worker = Worker(found, redis_url, reload_sites_every=0.05)
    await worker.start()
    running = asyncio.create_task(worker.run())
    try:
        yield worker
        worker.stop()
        await running
    finally:
        running.cancel()
        await worker.aclose()


async def reads_all(worker: Worker, wix: WixRig) -> bool:
    """Whether every ticket of the site is scheduled."""
    return set(wix.tickets.values()) == set(await worker.sites.schedule.tracked(SiteId(SITE)))


async def test_reads_all_of_the_site(redis_url: str, wix: WixRig) -> None:
    """A worker lists its sites and reads every ticket of them, without any viewer."""
    async with working(redis_url, wix) as worker:
        assert await until(lambda: reads_all(worker, wix))


async def test_reads_only_what_is_watched(redis_url: str, wix: WixRig) -> None:
    """With TRACK=watched nothing is read before somebody watches."""
    async with working(redis_url, wix, track="watched") as worker:
        await worker.sites.schedule.watch(SiteId(SITE), [], counters=False)

    assert [] == wix.calls()


async def test_reads_without_the_list_of_sites(redis_server: Servers, wix: WixRig) -> None:
    """Where the part of Redis that has the list is away at the start, the sites of the settings are read all the same."""
    server = redis_server()
    server.ask("ACL", "SETUSER", "default", "resetkeys", "~tc:{*")
    async with working(server.url, wix) as worker:
        assert await until(lambda: reads_all(worker, wix))


async def test_wrong_site_is_cured_by_correcting_it(redis_url: str, wix: WixRig) -> None:
    """A wrong id in WIX_SITES is forgotten once a worker runs without it, and the right site is read as before."""
    async with working(redis_url, wix, wix_sites=f"{SITE},{INSTALLED}") as wrong:
        assert {SITE, INSTALLED} == await wrong.sites.schedule.sites()

    async with working(redis_url, wix) as worker:
        assert await until(lambda: reads_all(worker, wix))

        async def forgotten() -> bool:
            return {SITE} == await worker.sites.schedule.sites()

        await until(forgotten)
        assert {SITE} == worker.sites.known
        assert await worker.sites.schedule.was_removed(SiteId(INSTALLED))


async def test_takes_on_sites_that_installed_the_app(redis_url: str, wix: WixRig) -> None:
    """Sites that are known to Redis are taken on under this worker's rules, with those of the settings."""
    async with working(redis_url, wix) as first:
        await first.sites.schedule.add_site(SiteId(INSTALLED), Rules(), everything=False)
    async with working(redis_url, wix, low_at=3) as worker:
        rules = [await worker.redis.do("HGET", key(site, "site"), "rules") for site in (SITE, INSTALLED)]

    assert [Rules(low_at=3).hash] * 2 == rules


@pytest.mark.parametrize("given", [SITE, ""])
async def test_begins_anew_on_an_empty_redis(
    redis_url: str, redis_shared: RedisServer, wix: WixRig, given: str
) -> None:
    """A Redis that lost its data is filled from Wix again, without a restart, sites that no setting names too."""
    ticket = wix.tickets["low"]
    async with working(redis_url, wix, wix_sites=given) as worker:
        await worker.sites.schedule.add_site(SiteId(SITE), Rules(), everything=True)
        await until(lambda: worker.redis.do("EXISTS", key(SITE, "ticket", ticket)))

        redis_shared.ask("FLUSHALL")

        await until(lambda: worker.redis.do("EXISTS", key(SITE, "ticket", ticket)))
        assert {SITE} == await worker.sites.schedule.sites()


def test_needs_credentials(redis_url: str) -> None:
    """A worker without credentials does not start, and says which are missing."""
    found = settings.load(_env_file=None, redis_url=redis_url, wix_app_id="app")

    with pytest.raises(NotStarted, match="WIX_APP_SECRET"):
        Worker(found, redis_url)


async def test_bytes_of_another_program_end_nothing(start_server: StartServer, wix: WixRig, redis_url: str) -> None:
    """Bytes that are no text, in any channel or key that is read, end no process: viewers go on to see what is true."""
    running = await start_server(worker=True, **wix.settings())
    wix.send_to(running.url)
    ticket, other = wix.tickets["fixed"], wix.tickets["low"]
    async with websocket_viewer(running.url, wix.site, [ticket, other]) as viewer, Redis.from_url(redis_url) as redis:
        await running.http.get(f"/v1/counters?event={wix.event}&site={wix.site}")
        await until(lambda: viewer.unsold(ticket))
        for name in (
            WAKE,
            channel(wix.site, ticket),
            KEYS.event_channel(wix.site, wix.event),
        ):
            await redis.publish(name, b"\xff\xfe\x00")
        await redis.sadd(KEYS.sites, b"\xff\xfe\x00", b"no-site")
        await redis.hset(key(wix.site, "ticket", other), "counter", b"\xff\xfe\x00")
        await redis.set(key(wix.site, "shown", wix.event), b"\xff\xfe\x00")
        await asyncio.sleep(6)
        for _ in range(2):
            wix.world.buy(ticket)
            wix.world.buy(other)

        left = {one: wix.world.tickets[one].left for one in (ticket, other)}
        await until(lambda: left == {one: viewer.unsold(one) for one in left})
        assert 200 == (await running.http.get(running.counters(ticket))).status_code


# -- sync --

FILE = """
format = 1
[targets.box]
kind = "http"
url = "https://box.example.org/tickets"
secret_env = "BOX_SECRET"
events = { spring-gala = "G-1" }
"""


async def test_targets_of_the_file_are_kept_in_step(
    redis_url: str, wix: WixRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker syncs where the file names a target, and nothing of sync is there without one."""
    monkeypatch.setenv("BOX_SECRET", "whsec_YSBzZWNyZXQgb2Ygbm8gb25lLCBmb3IgdGVzdHMgYXQgYWxs")
    path = tmp_path / "sync.toml"
    path.write_text(FILE)
    async with working(redis_url, wix, sync_file=path) as worker:
        assert worker.syncer
        assert ["box"] == list(worker.syncer.targets)
    without: tuple[dict[str, Any], ...] = ({}, {"sync_file": None})
    for given in without:
        async with working(redis_url, wix, **given) as worker:
            assert worker.syncer is None


@pytest.mark.parametrize(
    ("text", "given", "says"),
    [
        (FILE.replace("kind", "knd"), {}, "kind is missing"),
        (FILE, {"track": "watched"}, "set TRACK=all"),
        (None, {}, "does not exist"),
    ],
)
async def test_counter_runs_whatever_is_wrong_with_the_file(  # noqa: PLR0917 - fixtures
    redis_url: str,
    wix: WixRig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    given: dict[str, str],
    says: str,
) -> None:
    """A fault of the mapping file is logged with what to do, and the counter's worker runs without sync."""
    monkeypatch.setenv("BOX_SECRET", "whsec_YSBzZWNyZXQgb2Ygbm8gb25lLCBmb3IgdGVzdHMgYXQgYWxs")
    path = tmp_path / "sync.toml"
    if text is not None:
        path.write_text(text)
    with capture_logs() as lines:
        async with working(redis_url, wix, sync_file=path, **given) as worker:
            assert worker.syncer is None

    [line] = [one for one in lines if one["event"] == "sync_not_started"]
    assert says in line["error"]


# -- notify --

NOTIFY = """
format = 1
[tools.readers]
kind = "csv"
file = "readers.csv"
[events.spring-gala]
tool = "readers"
"""
NOTIFY_SETTINGS = {
    "notify_keys": "n" * 43,
    "notify_smtp_url": "smtp+plain://127.0.0.1:2525",
    "notify_from": "news@example.org",
    "notify_sender_name": "Example Hall",
    "notify_postal_address": "1 Example Street, Exampleton",
    "public_url": "https://tickets.example.org",
}


async def test_subscribers_are_told_where_the_file_names_an_event(redis_url: str, wix: WixRig, tmp_path: Path) -> None:
    """A worker notifies where notify.toml names an event, and nothing of notify is there without one."""
    path = tmp_path / "notify.toml"
    path.write_text(NOTIFY)
    (tmp_path / "readers.csv").write_text("email\n")
    async with working(redis_url, wix, notify_file=path, **NOTIFY_SETTINGS) as worker:
        assert worker.notifier
        assert ["spring-gala"] == list(worker.notifier.config.events)
    path.write_text("format = 1\n")
    without: tuple[dict[str, Any], ...] = ({}, {"notify_file": None}, {"notify_file": path})
    for given in without:
        async with working(redis_url, wix, **given) as worker:
            assert worker.notifier is None


async def test_counter_runs_whatever_a_template_does(
    redis_url: str, wix: WixRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that loops for ever delays the counter's worker for the time limit, and no longer."""
    monkeypatch.setattr("server.notify.message.template_check.WITHIN", 2.0)
    (tmp_path / "ours").mkdir()
    template = tmp_path / "ours" / "sale_started.txt.j2"
    template.write_text("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")
    path = tmp_path / "notify.toml"
    path.write_text(NOTIFY.replace("format = 1\n", 'format = 1\ntemplates = "ours"\n'))
    (tmp_path / "readers.csv").write_text("email\n")
    with capture_logs() as lines:
        async with working(redis_url, wix, notify_file=path, **NOTIFY_SETTINGS) as worker:
            assert worker.notifier is None

    assert [f"{template}: it takes too long: all templates together have 2 s"] == [
        one["error"] for one in lines if one["event"] == "notify_not_started"
    ]


@pytest.mark.parametrize(
    ("text", "given", "says"),
    [
        (NOTIFY.replace("kind", "knd"), {}, "kind"),
        (NOTIFY, {"track": "watched"}, "set TRACK=all"),
        (NOTIFY, {"notify_postal_address": None}, "NOTIFY_POSTAL_ADDRESS"),
        (NOTIFY, {"notify_keys": None}, "NOTIFY_KEYS"),
        (None, {}, "does not exist"),
    ],
)
async def test_counter_runs_whatever_is_wrong_with_notify(  # noqa: PLR0917 - fixtures
    redis_url: str, wix: WixRig, tmp_path: Path, text: str | None, given: dict[str, Any], says: str
) -> None:
    """A fault of notify.toml, or a missing setting, is logged with what to do, and the counter's worker runs without notify."""
    path = tmp_path / "notify.toml"
    if text is not None:
        path.write_text(text)
    with capture_logs() as lines:
        async with working(redis_url, wix, notify_file=path, **{**NOTIFY_SETTINGS, **given}) as worker:
            assert worker.notifier is None

    [line] = [one for one in lines if one["event"] == "notify_not_started"]
    assert says in line["error"]
