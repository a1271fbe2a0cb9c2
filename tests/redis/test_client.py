import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from server import metrics
from server.errors import RedisUnavailable, RedisUnfit
from server.redis.client import RedisClient, Use, script
from server.store.keys import WAKE, channel, key
from tests.rig import double
from tests.rig.cluster import Cluster
from tests.rig.redis import SERVERS, RedisServer
from tests.rig.server import until

Server = Callable[..., RedisServer]

SITES = [f"site-{n}" for n in range(20)]


@pytest.fixture
async def ingest(redis_url: str) -> AsyncIterator[RedisClient]:
    """A webhook's client of one server."""
    async with aclosing(RedisClient(redis_url, Use.INGEST)) as found:
        yield found


async def mark(store: RedisClient, site: str, ticket: str = "T") -> list[int]:
    """Run a script that writes."""
    keys = [key(site, name) for name in ("site", "due", "hinted", "watched", "heard", "holds", "event:-")]
    return list(await store.run("mark", keys, ["", "tickets", 0, 0, WAKE, ticket]))


async def known(store: RedisClient, site: str) -> None:
    await store.do("HSET", key(site, "site"), "exists", 1, "all", 1)


# -- scripts --


def test_scripts_are_made_of_files() -> None:
    """A script is its file, after those that its first line names."""
    script.cache_clear()

    claim = script("claim")

    assert claim.text.startswith("-- clock:")
    assert claim.text.index("-- clock:") < claim.text.index("-- budget:") < claim.text.index("-- claim:")
    assert 40 == len(claim.sha)
    assert claim is script("claim")


@pytest.mark.parametrize("path", sorted(Path("server/store/lua").glob("*.lua")), ids=lambda path: path.stem)
def test_scripts_are_plain(path: Path) -> None:
    """No script decodes JSON, which would break large integers and empty lists, and each says what it is first."""
    text = path.read_text()

    assert "cjson" not in text
    assert f"-- {path.stem}: " in "\n".join(text.splitlines()[:2])


# -- commands --


@pytest.mark.parametrize("server", SERVERS)
async def test_scripts_are_sent_once(redis_server: Server, server: str) -> None:
    """A script's text goes to a server that does not know it; after that its name does, until it is forgotten."""
    async with aclosing(RedisClient(redis_server(server).url, Use.WORK)) as store:
        await known(store, "S")
        sent = []
        for _ in range(2):
            for ticket in "ABC":
                assert [1, 1] == await mark(store, "S", ticket)
            sent.append((await store.client.info("commandstats"))["cmdstat_eval"]["calls"])
            await store.do("DEL", key("S", "due"))
            await store.do("SCRIPT", "FLUSH")

        assert [1, 2] == sent


async def test_scripts_on_each_node(clustered: RedisClient, cluster: Cluster) -> None:
    """A node of a cluster that does not know a script gets it, whatever the others know."""
    for site in SITES:
        await known(clustered, site)
        assert [1, 1] == await mark(clustered, site)
    for master in cluster.masters:
        assert 0 < len(master.ask("KEYS", "*"))
        master.ask("SCRIPT", "FLUSH")

        for site in SITES:
            assert [1, 0] == await mark(clustered, site)


async def test_bugs_stay_themselves(store: RedisClient) -> None:
    """An error that says nothing about Redis's state is a bug of ours, and is not taken for an outage."""
    await store.do("SET", key("S", "site"), "text")

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await mark(store, "S")
    with pytest.raises(ResponseError, match="unknown command"):
        await store.do("NONSENSE")
    with pytest.raises(KeyError):
        await store.run("mark", _broken(), [])
    await store.do("DEL", key("S", "site"))


def _broken() -> list[str]:
    raise KeyError


async def test_listener_is_closed(store: RedisClient) -> None:
    """A listener's connection ends with its block."""

    async def heard() -> int:
        return int((await store.do("PUBSUB", "NUMSUB", "a"))[1])

    async with store.listener() as listener:
        await listener.subscribe("a")
        await until(heard)

    async def unheard() -> bool:
        return not await heard()

    assert await until(unheard)


@pytest.mark.parametrize("patience", [None, 5.0])
async def test_listener_of_a_cluster(clustered: RedisClient, cluster_url: str, patience: float | None) -> None:
    """A listener of a cluster hears all sites, though it never ran a command; with patience it has a probe a master."""
    async with aclosing(RedisClient(cluster_url, Use.LISTEN)) as fresh, fresh.listener(patience) as listener:
        await listener.subscribe(*(channel(site, "T") for site in SITES))
        heard: set[str] = set()

        async def all_of_them() -> bool:
            if found := await listener.receive(0.2):
                heard.add(found.channel)
            return len(heard) == len(SITES)

        await until(all_of_them)
        await until(lambda: len(listener.probes) == (3 if patience else 0))


async def test_listener_with_patience(store: RedisClient) -> None:
    """A listener with patience has a probe to be published to, and a pulse once that came back."""
    async with store.listener(5.0) as listener:
        [probe] = listener.probes
        await store.do(store.publish_command, probe, "probe")

        async def beats() -> bool:
            return await listener.receive(0.1) is None and listener.last_probe > 0

        assert await until(beats)


async def test_listener_of_a_cluster_that_is_gone() -> None:
    """A cluster that cannot be reached has no listener, and says so."""
    async with aclosing(RedisClient("redis+cluster://127.0.0.1:9", Use.LISTEN)) as store:
        with pytest.raises(RedisUnavailable):
            async with store.listener():
                pytest.fail("there is nobody to listen to")


async def test_unix_socket(redis_server: Server, tmp_path: Path) -> None:
    """A server is reached by its Unix socket too."""
    redis_server(unixsocket=str(tmp_path / "socket"))

    async with aclosing(RedisClient(f"unix://{tmp_path}/socket", Use.INGEST)) as store:
        await known(store, "S")
        assert [1, 1] == await mark(store, "S")


# -- webhooks share --


async def _reads(store: RedisClient) -> int:
    """How often the server has read from a client."""
    return int((await store.client.info("stats"))["total_reads_processed"])


async def test_webhooks_share_a_round_trip(ingest: RedisClient, store: RedisClient) -> None:
    """Law 1: Scripts of webhooks that came together are one round trip, whatever their sites; each has its own answer."""
    for site in SITES[1:]:
        await known(store, site)
    await mark(ingest, SITES[1])
    before = await _reads(store)
    its_own = await _reads(store) - before

    found = await asyncio.gather(*(mark(ingest, site, "U") for site in SITES))

    assert [[-1, 0], *[[1, 1]] * (len(SITES) - 1)] == found
    assert before + 2 * its_own + 1 == await _reads(store)


async def test_shared_scripts_are_sent_again(ingest: RedisClient, store: RedisClient) -> None:
    """A server that has forgotten its scripts gets the text from each of those that came together."""
    await known(store, "S")
    await mark(ingest, "S")
    await store.do("SCRIPT", "FLUSH")

    assert [[1, 0]] * 5 == await asyncio.gather(*(mark(ingest, "S") for _ in range(5)))


async def test_a_bug_is_its_own(ingest: RedisClient, store: RedisClient) -> None:
    """A script that fails is an error to whoever ran it, and to none of those who share its round trip."""
    await known(store, "S")
    await store.do("SET", key("T", "site"), "text")

    found = await asyncio.gather(*(mark(ingest, site) for site in "STS"), return_exceptions=True)

    assert [[1, 1], ResponseError, [1, 0]] == [type(one) if isinstance(one, ResponseError) else one for one in found]
    await store.do("DEL", key("T", "site"))


async def test_a_cancel_is_its_own(ingest: RedisClient, store: RedisClient) -> None:
    """A webhook that is given up, before its script is sent or after, takes no answer from another."""
    for site in SITES:
        await known(store, site)
    for turns in range(6):
        tasks = [asyncio.create_task(mark(ingest, site, site)) for site in SITES]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()

        found = await asyncio.gather(*tasks, return_exceptions=True)

        assert all(
            isinstance(one, asyncio.CancelledError) or (isinstance(one, list) and one[0] == 1) for one in found[::2]
        )
        assert [1] * (len(SITES) // 2) == [one[0] for one in found[1::2] if isinstance(one, list)]


async def test_all_hear_of_a_fault(redis_server: Server) -> None:
    """A frozen Redis costs webhooks that share 0.4 s, twice where they wait for others; each is told and counted."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.INGEST)) as store:
        await known(store, "S")
        await mark(store, "S")
        server.freeze()
        before = metrics.store_faults.labels("mark")._value.get()
        began = time.monotonic()
        first = [asyncio.create_task(mark(store, "S")) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        behind = [asyncio.create_task(mark(store, "S")) for _ in range(20)]

        found = await asyncio.gather(*first, return_exceptions=True)
        seconds = time.monotonic() - began
        found += await asyncio.gather(*behind, return_exceptions=True)
        server.thaw()

        assert {RedisUnavailable} == {type(one) for one in found}
        assert before + 40 == metrics.store_faults.labels("mark")._value.get()
        assert 0.4 <= seconds < 0.75
        assert 1.25 > time.monotonic() - began
        await until(lambda: _works(store))
        assert [1, 0] == await mark(store, "S")


async def test_webhooks_of_a_cluster(cluster_url: str, clustered: RedisClient) -> None:
    """On a cluster each site's script goes to its own node, however many come together."""
    for site in SITES:
        await known(clustered, site)
    async with aclosing(RedisClient(cluster_url, Use.INGEST)) as ingest:
        found = await asyncio.gather(*(mark(ingest, site) for site in SITES))

    assert [[1, 1]] * len(SITES) == found


# -- Redis is away --


@pytest.mark.parametrize("use", [Use.INGEST, Use.WORK])
async def test_reset_while_idle(use: Use) -> None:
    """A connection that was reset while nobody used it, as by a machine that was started again, is nobody's error."""
    async with (
        double.running() as redis,
        aclosing(RedisClient(f"redis://127.0.0.1:{redis.port}/0", use)) as store,
    ):
        assert "before" == await store.run("mark", ["key"], ["before"])
        [idle] = store.client.connection_pool._available_connections
        redis.reset()
        await until(idle._reader.exception)

        assert "after" == await store.run("mark", ["key"], ["after"])


async def test_not_there(redis_server: Server) -> None:
    """A Redis that is down is unavailable, counted, and used again as soon as it is back."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.INGEST)) as store:
        await known(store, "S")
        server.kill()
        before = metrics.store_faults.labels("mark")._value.get()

        with pytest.raises(RedisUnavailable, match="mark"):
            await mark(store, "S")

        assert before + 1 == metrics.store_faults.labels("mark")._value.get()
        server.start()
        assert [1, 1] == await mark(store, "S")


@pytest.mark.parametrize("connected", [True, False])
async def test_frozen(redis_server: Server, connected: bool) -> None:
    """A Redis that does not answer costs a webhook 0.4 s, not the minute of redis-py's own retries."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.INGEST)) as store:
        if connected:
            await known(store, "S")
        server.freeze()
        began = time.monotonic()

        with pytest.raises(RedisUnavailable):
            await mark(store, "S")

        assert 0.75 > time.monotonic() - began
        server.thaw()
        await until(lambda: _works(store))


async def _works(store: RedisClient) -> bool:
    try:
        await store.do("PING")
    except RedisUnavailable:
        return False
    return True


@pytest.mark.parametrize("server", SERVERS)
async def test_full(redis_server: Server, server: str) -> None:
    """A Redis that is full is unavailable to commands and scripts alike."""
    full = redis_server(server)
    async with aclosing(RedisClient(full.url, Use.INGEST)) as store:
        await known(store, "S")
        full.ask("CONFIG", "SET", "maxmemory", 1)

        with pytest.raises(RedisUnavailable, match="OutOfMemory"):
            await store.do("SET", "a", "b")
        with pytest.raises(RedisUnavailable, match="OutOfMemory"):
            await mark(store, "S")


@pytest.mark.parametrize("server", SERVERS)
async def test_read_only(redis_server: Server, server: str) -> None:
    """A Redis that has become a replica is unavailable to commands and scripts that write."""
    replica = redis_server(server)
    async with aclosing(RedisClient(replica.url, Use.INGEST)) as store:
        await known(store, "S")
        replica.ask("REPLICAOF", "127.0.0.1", 1)

        with pytest.raises(RedisUnavailable, match="ReadOnly"):
            await store.do("SET", "a", "b")
        with pytest.raises(RedisUnavailable, match="ReadOnly"):
            await mark(store, "S")


async def test_loading(redis_server: Server) -> None:
    """A Redis that still loads its data is unavailable, then there; who waits for it gets it."""
    server = redis_server()
    server.ask("EVAL", "for n = 1, 20000 do redis.call('SET', 'key-' .. n, n) end", 0)
    server.kill()
    server.config["key_load_delay"] = "100"  # microseconds for each key; clients are answered every 1,024 keys
    server.start(wait=False)
    async with aclosing(RedisClient(server.url, Use.INGEST)) as store:
        said: list[str] = []

        async def answers() -> bool:
            try:
                await store.do("GET", "key-1")
            except RedisUnavailable as error:
                said.append(str(error))
                return False
            return True

        await until(answers)
        assert any("BusyLoading" in one for one in said), said


async def test_wait(redis_server: Server) -> None:
    """A start waits for a Redis that is not there yet, but not for ever."""
    server = redis_server()
    server.kill()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        with pytest.raises(RedisUnavailable):
            await store.wait(0.0)

        waiting = asyncio.create_task(store.wait(10))
        server.start(wait=False)
        await waiting

        assert await store.do("PING")


# -- a Redis that will do --


async def test_check_accepts_ours(redis_server: Server) -> None:
    """Valkey and Redis with our redis.conf are accepted."""
    for server in SERVERS:
        async with aclosing(RedisClient(redis_server(server).url, Use.WORK)) as store:
            assert [] == await store.check()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"appendonly": "no"}, ["appendonly yes"]),
        ({"maxmemory_policy": "allkeys-lru"}, ["allkeys-lru", "maxmemory-policy noeviction"]),
        ({"appendonly": "no", "maxmemory_policy": "volatile-ttl"}, ["appendonly yes", "maxmemory-policy noeviction"]),
    ],
)
async def test_check_refuses_loss(redis_server: Server, config: dict[str, str], named: list[str]) -> None:
    """A Redis that would lose data is refused by the lines it lacks; who accepts that is told them."""
    async with aclosing(RedisClient(redis_server(**config).url, Use.WORK)) as store:
        with pytest.raises(RedisUnfit) as refused:
            await store.check()
        accepted = await store.check(unsafe=True)

    for text in (*named, "ALLOW_UNSAFE_REDIS=1"):
        assert text in str(refused.value)
    assert len(config) == len(accepted)
    assert all(any(text in one for one in accepted) for text in named)


@asynccontextmanager
async def speaking(info: str) -> AsyncIterator[str]:
    """A server that says this of itself, and OK to anything else: no old Redis need be installed to be refused."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].upper())
            match words[0]:
                case b"HELLO":
                    writer.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                case b"INFO":
                    writer.write(b"$%d\r\n%s\r\n" % (len(info), info.encode()))
                case _:
                    writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.parametrize("unsafe", [True, False])
async def test_check_refuses_old_servers(unsafe: bool) -> None:
    """A Redis before 7 is refused whatever else is accepted, as it cannot do what we need."""
    async with (
        speaking("redis_version:6.2.14\r\naof_enabled:1\r\n") as url,
        aclosing(RedisClient(url, Use.WORK)) as store,
    ):
        with pytest.raises(RedisUnfit, match=r"Redis 6\.2\.14 is too old: 7\.0"):
            await store.check(unsafe=unsafe)


async def test_check_names_the_cluster_url(cluster_url: str) -> None:
    """A cluster by the URL of a single server is refused with the URL that it needs."""
    async with aclosing(RedisClient(cluster_url.replace("redis+cluster", "redis"), Use.WORK)) as store:
        with pytest.raises(RedisUnfit, match=r"redis\+cluster://"):
            await store.check(unsafe=True)


async def test_check_accepts_a_cluster(clustered: RedisClient) -> None:
    """Three masters with our redis.conf are accepted."""
    assert [] == await clustered.check()


async def test_check_looks_at_every_node(breakable: Cluster) -> None:
    """A cluster is refused for any of its nodes."""
    async with aclosing(RedisClient(breakable.url, Use.WORK)) as store:
        for master in breakable.masters:
            master.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            with pytest.raises(RedisUnfit, match="allkeys-lru"):
                await store.check()
            master.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert [] == await store.check()


# -- a cluster is away --


async def test_no_cluster(redis_server: Server) -> None:
    """A cluster's URL where there is none, or one server alone, is unavailable like any other."""
    server = redis_server()
    url = server.url.replace("redis:", "redis+cluster:")
    async with aclosing(RedisClient(url, Use.INGEST)) as store:
        with pytest.raises(RedisUnavailable, match="cluster support disabled"):
            await store.do("PING")
        server.kill()
        with pytest.raises(RedisUnavailable):
            await store.do("PING")
        with pytest.raises(RedisUnavailable):
            async with store.listener():
                pass


async def test_frozen_node(breakable: Cluster) -> None:
    """A node that does not answer costs a webhook 0.4 s; sites of the other nodes go on."""
    async with aclosing(RedisClient(breakable.url, Use.INGEST)) as store:
        for site in SITES:
            await known(store, site)
        frozen = breakable.masters[1]
        there = {one for one in SITES if frozen.ask("KEYS", key(one, "site").replace("{", "[{]"))}
        frozen.freeze()
        try:
            began = time.monotonic()
            with pytest.raises(RedisUnavailable):
                await mark(store, min(there))
            assert 0.75 > time.monotonic() - began
        finally:
            frozen.thaw()

        async def marked() -> bool:
            return all([await mark(store, site) for site in SITES])

        await until(lambda: _works(store))
        assert await marked()


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_wait_does_not_wait_for_a_password(redis_server: Callable[..., RedisServer], password: str) -> None:
    """A Redis that wants another password is told at once, with what to write; the password is not repeated."""
    server = redis_server()
    server.ask("CONFIG", "SET", "requirepass", "secret")
    store = RedisClient(server.url.replace("redis://", f"redis://:{password}@" if password else "redis://"), Use.WORK)

    with pytest.raises(RedisUnfit, match="REDIS_URL") as caught:
        await store.wait(30)

    assert "wrong" not in str(caught.value)
    await store.aclose()


@pytest.mark.parametrize(
    "command", [("CONFIG", "SET", "min-replicas-to-write", "1"), ("ACL", "SETUSER", "default", "-set")]
)
async def test_what_an_administrator_takes_away(redis_server: Callable[..., RedisServer], command: list[str]) -> None:
    """A Redis that wants replicas, or lets us do less than it did, is unavailable: no fault of ours that ends a process."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        await store.do("SET", "key", "value")
        server.ask(*command)

        with pytest.raises(RedisUnavailable):
            await store.do("SET", "key", "value")
