import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.sentinel import MasterNotFoundError

from server.errors import RedisUnavailable, RedisUnfit
from server.redis.client import RedisClient, Script, Use
from server.redis.listener import Listener
from server.redis.sentinel import MasterClient, new_client
from server.redis.url import read_url
from tests.rig.background import background
from tests.rig.certificates import Authority
from tests.rig.redis import RedisServer, free_port
from tests.rig.sentinels import MASTER, SentinelServer, Watched, watched
from tests.rig.server import until
from tests.rig.tcp_proxy import tcp_proxy

Server = Callable[..., RedisServer]
SCRIPT = Script("incr", "return redis.call('INCR', KEYS[1])")


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Watched]:
    """A master, its replica and three Sentinels, to break."""
    with watched(tmp_path / "watched") as found:
        yield found


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The same for tests that leave them as they are."""
    with watched(tmp_path_factory.mktemp("unharmed"), sentinels=2) as found:
        yield found


@pytest.fixture
async def client(sentinels: Watched) -> AsyncIterator[MasterClient]:
    """A client of the master."""
    found = new_client(read_url(sentinels.url), socket_timeout=1, socket_connect_timeout=1, decode_responses=True)
    yield found
    await found.aclose()


async def found_by(client: MasterClient) -> int:
    """The port of the master, as the Sentinels name it to this client."""
    pool = client.connection_pool
    _, port = await pool.sentinel_manager.discover_master(MASTER)  # type: ignore[attr-defined] # a Sentinel's pool
    return int(port)


async def set_on(store: RedisClient, server: RedisServer, value: str) -> bool:
    """Whether a command is taken, and by this server."""
    try:
        await store.do("SET", "key", value)
    except RedisUnavailable:
        return False
    return bool(server.ask("GET", "key") == value)


async def is_lost(link: Listener) -> bool:
    """Whether a link has been lost."""
    try:
        await link.receive(0.2)
    except RedisUnavailable:
        return True
    return False


async def test_commands_and_database(unharmed: Watched) -> None:
    """Commands reach the master, in the database of the address, and its configuration is checked."""
    async with aclosing(RedisClient(unharmed.url.replace("/0", "/3"), Use.INGEST)) as store:
        await store.wait(5)
        assert [] == await store.check()
        await store.do("SET", "key", "value")

    assert "tc@3" == store.namespace.channels
    script = "redis.call('SELECT', 3) return redis.call('GET', 'key')"
    assert "value" == unharmed.master.ask("EVAL", script, 0)


@pytest.mark.parametrize("how", ["killed", "frozen", "asked to hand over"])
async def test_failover(sentinels: Watched, how: str) -> None:
    """After a failover commands reach the new master, and a listener gets what is published there."""
    async with (
        aclosing(RedisClient(sentinels.url, Use.INGEST)) as store,
        aclosing(RedisClient(sentinels.url, Use.LISTEN)) as listening,
    ):
        assert await set_on(store, sentinels.master, "before")
        async with listening.listener(probe_timeout=1.0) as link:
            await link.subscribe("tickets")
            began = time.monotonic()
            if how == "killed":
                sentinels.master.kill()
            elif how == "frozen":
                sentinels.master.freeze()
            else:
                sentinels.sentinels[0].ask("SENTINEL", "FAILOVER", MASTER)
            await until(lambda: set_on(store, sentinels.replica, "after"), 20)
            seconds = time.monotonic() - began
            # The owner of a link publishes to its probe: what does not come back is a lost link.
            await until(lambda: is_lost(link), 20)

        async with listening.listener() as link:
            await link.subscribe("tickets")
            assert await link.receive(5)

            async def heard() -> Any:
                await store.do("PUBLISH", "tickets", "text")
                return await link.receive(1)

            # A link to the master that was asked to hand over gets what is published once it replicates the new one.
            received = await until(heard, 15)

    assert "text" == received.text
    assert 10 > seconds


async def test_frozen_master_costs_little(sentinels: Watched) -> None:
    """Until another takes over, a frozen master costs a webhook no more than Wix waits for it."""
    sentinels.sentinels[1].freeze()
    async with aclosing(RedisClient(sentinels.url, Use.INGEST)) as store:
        await store.do("PING")
        for one in (sentinels.sentinels[2], sentinels.master):
            one.freeze()
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(RedisUnavailable):
                await store.do("SET", "key", "value")
            assert 1.25 > time.monotonic() - began


@pytest.mark.parametrize("use", [Use.INGEST, Use.WORK])
async def test_failover_under_load(sentinels: Watched, use: Use) -> None:
    """A connection that is used without a pause is opened again to the new master too, not to the one that hangs."""
    async with aclosing(RedisClient(sentinels.url, use)) as store:
        results: list[bool] = []

        async def load() -> None:
            while True:
                try:
                    await store.run(SCRIPT, ["key"], [])
                    results.append(True)
                except RedisUnavailable:
                    results.append(False)

        async with background(*(load() for _ in range(20))):
            await until(lambda: len(results) > 100)
            sentinels.master.freeze()
            await until(sentinels.failed_over, 20)
            results.clear()
            await until(lambda: len(results) > 100 and all(results[-50:]), 20)


async def test_newest_configuration_counts(sentinels: Watched, client: MasterClient) -> None:
    """A Sentinel that missed a failover names the former master; the others are believed."""
    late = sentinels.sentinels[0]
    late.kill()
    assert sentinels.master.port == await found_by(client)
    sentinels.master.kill()
    await until(sentinels.failed_over, 20)
    # It cannot learn of the new master from the others.
    lines = (late.folder / "sentinel.conf").read_text().splitlines()
    forgotten = [line for line in lines if not line.startswith(("sentinel known", "latency-tracking"))]
    (late.folder / "sentinel.conf").write_text("\n".join(forgotten) + "\n")
    late.start()

    assert sentinels.master.port == sentinels.named(late)
    assert sentinels.replica.port == await found_by(client)


async def test_some_sentinels_are_away(sentinels: Watched, client: MasterClient) -> None:
    """One Sentinel is enough; a frozen one costs a tenth of a second; none is an error that names the master."""
    sentinels.sentinels[0].kill()
    sentinels.sentinels[1].freeze()
    began = time.monotonic()

    assert sentinels.master.port == await found_by(client)
    assert 0.8 > time.monotonic() - began
    sentinels.sentinels[2].kill()
    with pytest.raises(MasterNotFoundError, match=f"no Sentinel says where '{MASTER}' is"):
        await found_by(client)


async def test_name_that_no_sentinel_knows(unharmed: Watched) -> None:
    """A name that no Sentinel knows is told at once, with those that they know."""
    async with aclosing(RedisClient(unharmed.url.replace(MASTER, "other"), Use.WORK)) as store:
        with pytest.raises(RedisUnfit, match=rf"no Sentinel knows the master 'other' of REDIS_URL: they know {MASTER}"):
            await store.wait(30)


async def test_server_in_place_of_sentinel(unharmed: Watched) -> None:
    """A Sentinel's address that leads to a Redis is told at once."""
    url = unharmed.url.replace(unharmed.hosts, f"127.0.0.1:{unharmed.master.port}")
    async with aclosing(RedisClient(url, Use.WORK)) as store:
        with pytest.raises(RedisUnfit, match="but there is a Redis: write redis://, or the Sentinels' port, 26379"):
            await store.wait(30)


async def test_sentinel_in_place_of_server(unharmed: Watched) -> None:
    """An address of a server that leads to a Sentinel is told, with the address to write."""
    async with aclosing(RedisClient(f"redis://{unharmed.hosts.split(',')[0]}", Use.WORK)) as store:
        await store.wait(30)
        with pytest.raises(
            RedisUnfit, match=r"leads to a Sentinel, not to Redis: write redis[+]sentinel://host:26379/"
        ):
            await store.check(unsafe=True)


async def test_password_of_sentinels(tmp_path: Path, redis_server: Server) -> None:
    """The Sentinels' password and the master's are two."""
    master = redis_server()
    master.ask("CONFIG", "SET", "requirepass", "secret")
    sentinel = SentinelServer(tmp_path / "sentinel")
    sentinel.configure(master, 1, "requirepass other", f"sentinel auth-pass {MASTER} secret")
    sentinel.start(wait=False)
    url = f"redis+sentinel://:secret@127.0.0.1:{sentinel.port}/{MASTER}"
    try:
        async with aclosing(RedisClient(f"{url}?sentinel_password=other", Use.WORK)) as store:
            await store.wait(10)
            assert await store.do("PING")
        async with aclosing(RedisClient(url, Use.WORK)) as store:
            with pytest.raises(RedisUnfit, match=r"the Sentinels refused us: .*sentinel_password"):
                await store.wait(30)
    finally:
        sentinel.kill()


async def test_tls_of_sentinels(unharmed: Watched, tmp_path: Path) -> None:
    """Where the address asks for TLS, the Sentinels' certificates are verified too."""
    authority = Authority(tmp_path / "ca")
    port = unharmed.sentinels[0].port
    async with tcp_proxy("127.0.0.1", port, authority.sign("sentinel").server()) as proxy:
        url = f"rediss+sentinel://127.0.0.1:{proxy.port}/{MASTER}"
        async with aclosing(RedisClient(url, Use.WORK)) as store:
            with pytest.raises(RedisUnfit, match=r"end REDIS_URL with [?]ssl_ca_certs=FILE"):
                await store.wait(30)
        trusting = new_client(read_url(f"{url}?ssl_ca_certs={authority.file}"), socket_timeout=1, decode_responses=True)
        async with aclosing(trusting):
            assert unharmed.master.port == await found_by(trusting)


async def test_no_sentinel_is_there() -> None:
    """A start waits for Sentinels as it waits for a server."""
    async with aclosing(RedisClient(f"redis+sentinel://127.0.0.1:{free_port()}/{MASTER}", Use.WORK)) as store:
        with pytest.raises(RedisUnavailable, match=f"no Sentinel says where '{MASTER}' is: .*Connection refused"):
            await store.wait(0)
