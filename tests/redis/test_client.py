import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from server import metrics
from server.errors import RedisUnavailable, RedisUnfit
from server.redis.client import RedisClient, Use
from server.redis.node import Node
from server.store import scripts
from server.store.schedule import EVENTS, TICKETS
from tests.rig import fake_redis
from tests.rig.cluster import Cluster
from tests.rig.default_keys import WAKE, channel, key
from tests.rig.redis import SERVERS, RedisServer
from tests.rig.server import until

Server = Callable[..., RedisServer]

SITES = [f"site-{n}" for n in range(20)]


@pytest.fixture
async def ingest(redis_url: str) -> AsyncIterator[RedisClient]:
    """A client of one server with the time-outs of webhooks."""
    async with aclosing(RedisClient(redis_url, Use.INGEST)) as found:
        yield found


async def mark(store: RedisClient, site: str, ticket: str = "T") -> list[int]:
    """Run a script that writes; answers how many tickets it marked, and how many of them were not due before."""
    keys = [key(site, name) for name in ("site", *TICKETS, "heard", "holds", "event:-", *EVENTS, "shown_watched")]
    marked, new, _ = await store.run(scripts.MARK, keys, ["", "tickets", 0, 0, WAKE, "", 0, ticket])
    return [marked, new]


async def add_site(store: RedisClient, site: str) -> None:
    """Write what the scripts need to know a site."""
    await store.do("HSET", key(site, "site"), "exists", 1, "all", 1)


# -- commands --


@pytest.mark.parametrize("server", SERVERS)
async def test_script_text_is_sent_once(redis_server: Server, server: str) -> None:
    """The text of a script is sent to a server once, and once more after the server has lost its script cache."""
    async with aclosing(RedisClient(redis_server(server).url, Use.WORK)) as store:
        await add_site(store, "S")
        sent = []
        for _ in range(2):
            for ticket in "ABC":
                assert [1, 1] == await mark(store, "S", ticket)
            sent.append((await store.do("INFO", "commandstats"))["cmdstat_eval"]["calls"])
            await store.do("DEL", key("S", "due"))
            await store.do("SCRIPT", "FLUSH")

        assert [1, 2] == sent


async def test_script_text_is_sent_to_each_node(clustered: RedisClient, cluster: Cluster) -> None:
    """Each node of a cluster gets the text of a script that it has not cached, whatever the others have cached."""
    for site in SITES:
        await add_site(clustered, site)
        assert [1, 1] == await mark(clustered, site)
    for master in cluster.masters:
        assert 0 < len(master.ask("KEYS", "*"))
        master.ask("SCRIPT", "FLUSH")

        for site in SITES:
            assert [1, 0] == await mark(clustered, site)


async def test_bugs_are_raised_unchanged(store: RedisClient) -> None:
    """An error that does not mean that Redis is unavailable is raised unchanged."""
    await store.do("SET", key("S", "site"), "text")

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await mark(store, "S")
    with pytest.raises(ResponseError, match="unknown command"):
        await store.do("NONSENSE")
    with pytest.raises(KeyError):
        await store.run(scripts.MARK, _bug(), [])
    await store.do("DEL", key("S", "site"))


def _bug() -> list[str]:
    raise KeyError


async def test_listener_is_closed(store: RedisClient) -> None:
    """The connection of a listener is closed at the end of its block."""

    async def subscribers() -> int:
        return int((await store.do("PUBSUB", "NUMSUB", "a"))[1])

    async with store.listener() as listener:
        await listener.subscribe("a")
        await until(subscribers)

    async def no_subscriber() -> bool:
        return not await subscribers()

    assert await until(no_subscriber)


@pytest.mark.parametrize("probe_timeout", [None, 5.0])
async def test_listener_of_cluster(clustered: RedisClient, cluster_url: str, probe_timeout: float | None) -> None:
    """A listener of a cluster receives messages of all sites; with a probe time-out it has a probe for each master."""
    async with aclosing(RedisClient(cluster_url, Use.LISTEN)) as fresh, fresh.listener(probe_timeout) as listener:
        await listener.subscribe(*(channel(site, "T") for site in SITES))
        received: set[str] = set()

        async def all_of_them() -> bool:
            if message := await listener.receive(0.2):
                received.add(message.channel)
            return len(received) == len(SITES)

        await until(all_of_them)
        await until(lambda: len(listener.probes) == (3 if probe_timeout else 0))


async def test_listener_with_probe(store: RedisClient) -> None:
    """A listener with a probe time-out has one probe, and knows when a message from it arrived."""
    async with store.listener(5.0) as listener:
        [probe] = listener.probes
        await store.do(store.publish_command, probe, "probe")

        async def probe_arrived() -> bool:
            return await listener.receive(0.1) is None and listener.last_probe > 0

        assert await until(probe_arrived)


async def test_listener_of_unreachable_cluster() -> None:
    """A listener of a cluster that cannot be reached raises RedisUnavailable."""
    async with aclosing(RedisClient("redis+cluster://127.0.0.1:9", Use.LISTEN)) as store:
        with pytest.raises(RedisUnavailable):
            async with store.listener():
                pytest.fail("a listener was opened")


async def test_unix_socket(redis_server: Server, tmp_path: Path) -> None:
    """A server can be reached through its Unix socket."""
    redis_server(unixsocket=str(tmp_path / "socket"))

    async with aclosing(RedisClient(f"unix://{tmp_path}/socket", Use.INGEST)) as store:
        await add_site(store, "S")
        assert [1, 1] == await mark(store, "S")


# -- pipelining --


async def _reads(store: RedisClient) -> int:
    """How often the server has read from a client's connection."""
    return int((await store.do("INFO", "stats"))["total_reads_processed"])


async def test_webhooks_share_a_round_trip(ingest: RedisClient, store: RedisClient) -> None:
    """Law 1: Scripts of concurrent webhooks share one round trip, whatever their sites; each gets its own answer."""
    for site in SITES[1:]:
        await add_site(store, site)
    await mark(ingest, SITES[1])
    before = await _reads(store)
    its_own = await _reads(store) - before

    found = await asyncio.gather(*(mark(ingest, site, "U") for site in SITES))

    assert [[-1, 0], *[[1, 1]] * (len(SITES) - 1)] == found
    assert before + 2 * its_own + 1 == await _reads(store)


async def test_pipelined_script_text_is_sent_again(ingest: RedisClient, store: RedisClient) -> None:
    """After a server has lost its script cache, scripts that share a round trip are sent again as text."""
    await add_site(store, "S")
    await mark(ingest, "S")
    await store.do("SCRIPT", "FLUSH")

    assert [[1, 0]] * 5 == await asyncio.gather(*(mark(ingest, "S") for _ in range(5)))


async def test_pipelined_error_affects_one_caller(ingest: RedisClient, store: RedisClient) -> None:
    """A script that fails raises for its caller only, not for those that share its round trip."""
    await add_site(store, "S")
    await store.do("SET", key("T", "site"), "text")

    found = await asyncio.gather(*(mark(ingest, site) for site in "STS"), return_exceptions=True)

    assert [[1, 1], ResponseError, [1, 0]] == [type(one) if isinstance(one, ResponseError) else one for one in found]
    await store.do("DEL", key("T", "site"))


async def test_pipelined_cancel_affects_one_caller(ingest: RedisClient, store: RedisClient) -> None:
    """A webhook that is cancelled before or after its script is sent takes no answer from another."""
    for site in SITES:
        await add_site(store, site)
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


async def test_pipelined_scripts_on_frozen_server(redis_server: Server) -> None:
    """A frozen Redis costs webhooks that share a write 0.4 s, those queued behind them twice that; each is counted."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.INGEST)) as store:
        await add_site(store, "S")
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


async def test_webhooks_of_cluster(cluster_url: str, clustered: RedisClient) -> None:
    """On a cluster each site's script runs on its own master, however many come at the same time."""
    for site in SITES:
        await add_site(clustered, site)
    async with aclosing(RedisClient(cluster_url, Use.INGEST)) as ingest:
        found = await asyncio.gather(*(mark(ingest, site) for site in SITES))

    assert [[1, 1]] * len(SITES) == found


# -- Redis is unavailable --


@pytest.mark.parametrize("use", [Use.INGEST, Use.WORK])
async def test_reset_while_idle(use: Use) -> None:
    """A connection that was reset while idle, as by a machine that was restarted, causes no error."""
    async with (
        fake_redis.running() as redis,
        aclosing(RedisClient(f"redis://127.0.0.1:{redis.port}/0", use)) as store,
    ):
        assert "before" == await store.run(scripts.MARK, ["key"], ["before"])
        assert isinstance(store._redis, Node)
        [idle] = store._redis.pool._available_connections
        redis.reset()
        await until(idle._reader.exception)

        assert "after" == await store.run(scripts.MARK, ["key"], ["after"])


async def test_server_down(redis_server: Server) -> None:
    """A command to a Redis that is down raises RedisUnavailable and is counted; once Redis is back, commands work."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.INGEST)) as store:
        await add_site(store, "S")
        server.kill()
        before = metrics.store_faults.labels("mark")._value.get()

        with pytest.raises(RedisUnavailable, match="mark"):
            await mark(store, "S")

        assert before + 1 == metrics.store_faults.labels("mark")._value.get()
        server.start()
        assert [1, 1] == await mark(store, "S")


@pytest.mark.parametrize("connected", [True, False])
async def test_frozen_server(redis_server: Server, connected: bool) -> None:
    """A webhook waits 0.4 s for a Redis that does not answer, not the minute of redis-py's own retries."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.INGEST)) as store:
        if connected:
            await add_site(store, "S")
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
async def test_out_of_memory(redis_server: Server, server: str) -> None:
    """Commands and scripts alike raise RedisUnavailable when Redis is out of memory."""
    full = redis_server(server)
    async with aclosing(RedisClient(full.url, Use.INGEST)) as store:
        await add_site(store, "S")
        full.ask("CONFIG", "SET", "maxmemory", 1)

        with pytest.raises(RedisUnavailable, match="OutOfMemory"):
            await store.do("SET", "a", "b")
        with pytest.raises(RedisUnavailable, match="OutOfMemory"):
            await mark(store, "S")


@pytest.mark.parametrize("server", SERVERS)
async def test_read_only_replica(redis_server: Server, server: str) -> None:
    """Commands and scripts that write raise RedisUnavailable when Redis has become a replica."""
    replica = redis_server(server)
    async with aclosing(RedisClient(replica.url, Use.INGEST)) as store:
        await add_site(store, "S")
        replica.ask("REPLICAOF", "127.0.0.1", 1)

        with pytest.raises(RedisUnavailable, match="ReadOnly"):
            await store.do("SET", "a", "b")
        with pytest.raises(RedisUnavailable, match="ReadOnly"):
            await mark(store, "S")


async def test_loading_server(redis_server: Server) -> None:
    """Commands raise RedisUnavailable while Redis loads its data, then work."""
    server = redis_server()
    server.ask("EVAL", "for n = 1, 20000 do redis.call('SET', 'key-' .. n, n) end", 0)
    server.kill()
    server.config["key_load_delay"] = "100"  # microseconds for each key; clients are answered every 1,024 keys
    server.start(wait=False)
    async with aclosing(RedisClient(server.url, Use.INGEST)) as store:
        errors: list[str] = []

        async def answers() -> bool:
            try:
                await store.do("GET", "key-1")
            except RedisUnavailable as error:
                errors.append(str(error))
                return False
            return True

        await until(answers)
        assert any("BusyLoading" in error for error in errors), errors


async def test_wait_for_server(redis_server: Server) -> None:
    """A start waits for a Redis that is not up yet, but only until its time-out."""
    server = redis_server()
    server.kill()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        with pytest.raises(RedisUnavailable):
            await store.wait(0.0)

        waiting = asyncio.create_task(store.wait(10))
        server.start(wait=False)
        await waiting

        assert await store.do("PING")


# -- check --


async def test_check_accepts_our_configuration(redis_server: Server) -> None:
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
async def test_check_refuses_unsafe_configuration(
    redis_server: Server, config: dict[str, str], named: list[str]
) -> None:
    """A Redis that would lose data is refused, naming the missing configuration; with `unsafe` that is returned."""
    async with aclosing(RedisClient(redis_server(**config).url, Use.WORK)) as store:
        with pytest.raises(RedisUnfit) as refused:
            await store.check()
        accepted = await store.check(unsafe=True)

    for text in (*named, "ALLOW_UNSAFE_REDIS=1"):
        assert text in str(refused.value)
    assert len(config) == len(accepted)
    assert all(any(text in one for one in accepted) for text in named)


@asynccontextmanager
async def server_with_info(info: str) -> AsyncIterator[str]:
    """A server with this INFO that answers OK to anything else, so that no old Redis has to be installed."""
    async with one_answer({b"INFO": b"$%d\r\n%s\r\n" % (len(info), info.encode())}) as url:
        yield url


@asynccontextmanager
async def one_answer(answers: dict[bytes, bytes]) -> AsyncIterator[str]:
    """A server with these answers, by the first word of a command; OK to anything else."""
    answers = {b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n", **answers}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].upper())
            writer.write(answers.get(words[0], b"+OK\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.parametrize("unsafe", [True, False])
async def test_check_refuses_old_version(unsafe: bool) -> None:
    """A Redis before 7 is refused even with `unsafe`, as it lacks what the store needs."""
    async with (
        server_with_info("redis_version:6.2.14\r\naof_enabled:1\r\n") as url,
        aclosing(RedisClient(url, Use.WORK)) as store,
    ):
        with pytest.raises(RedisUnfit, match=r"Redis 6\.2\.14 is too old: 7\.0"):
            await store.check(unsafe=unsafe)


@pytest.mark.parametrize(
    "rules",
    ["~tc:* &tc:* +@all -info", "~tc:* &tc:* +@all -@dangerous", "~* &* -@all +@read +@write +@fast +@slow -info"],
)
async def test_check_without_info(redis_server: Callable[..., RedisServer], rules: str) -> None:
    """A Redis that refuses INFO is refused, as it cannot be checked, unless it is accepted as unsafe."""
    server = redis_server()
    server.ask("ACL", "SETUSER", "shop", "on", ">secret", *rules.split())
    async with aclosing(RedisClient(server.url.replace("redis://", "redis://shop:secret@"), Use.WORK)) as store:
        with pytest.raises(RedisUnfit, match=r"may lose .* allow INFO .*ALLOW_UNSAFE_REDIS=1"):
            await store.check()
        [fault] = await store.check(unsafe=True)

    assert "does not tell its configuration" in fault


async def test_version_without_info() -> None:
    """A Redis before 7 is refused also where INFO is: each connection begins with the version."""
    old = b"%2\r\n+proto\r\n:3\r\n+version\r\n+6.2.14\r\n"
    async with (
        one_answer({b"HELLO": old, b"INFO": b"-NOPERM no\r\n"}) as url,
        aclosing(RedisClient(url, Use.WORK)) as store,
    ):
        with pytest.raises(RedisUnfit, match=r"Redis 6\.2\.14 is too old: 7\.0"):
            await store.check(unsafe=True)


@pytest.mark.parametrize(
    ("mode", "text"),
    [(b"sentinel", r"write redis[+]sentinel://"), (b"cluster", r"write its URL as redis[+]cluster://")],
)
async def test_check_of_mode(mode: bytes, text: str) -> None:
    """A Sentinel, or a node of a cluster, is refused with the address to write, also where INFO is refused."""
    hello = b"%%2\r\n+proto\r\n:3\r\n+mode\r\n+%b\r\n" % mode
    async with (
        one_answer({b"HELLO": hello, b"INFO": b"-NOPERM no\r\n"}) as url,
        aclosing(RedisClient(url, Use.WORK)) as store,
    ):
        with pytest.raises(RedisUnfit, match=text):
            await store.check(unsafe=True)


@pytest.mark.parametrize(
    ("rules", "missing"),
    [("~* &* +@all -eval", r"[+]eval [+]evalsha"), ("~x:* &* +@all", "~tc:[*]"), ("~tc:* +@all", "&tc:[*]")],
)
async def test_check_of_rights(redis_server: Callable[..., RedisServer], rules: str, missing: str) -> None:
    """A user that lacks a permission is refused, with the rule that grants it."""
    server = redis_server()
    server.ask("ACL", "SETUSER", "shop", "on", ">secret", *rules.split())
    async with aclosing(RedisClient(server.url.replace("redis://", "redis://shop:secret@"), Use.WORK)) as store:
        with pytest.raises(RedisUnfit, match=f"ACL SETUSER name {missing}`"):
            await store.check()


async def test_check_while_redis_is_away(redis_server: Server) -> None:
    """A Redis that goes away during the check is no Redis that refuses INFO."""
    async with (
        one_answer({b"INFO": b"-LOADING Redis is loading the dataset in memory\r\n"}) as url,
        aclosing(RedisClient(url, Use.WORK)) as store,
    ):
        with pytest.raises(RedisUnavailable):
            await store.check(unsafe=True)


async def test_wait_tells_wrong_protocol(redis_server: Server) -> None:
    """A wait ends at once where the address is wrong: no time would mend it."""
    async with aclosing(RedisClient(redis_server().url.replace("redis:", "rediss:"), Use.WORK)) as store:
        with pytest.raises(RedisUnfit, match="does not speak TLS"):
            await store.wait(30)


async def test_check_names_cluster_url(cluster_url: str) -> None:
    """A cluster with the URL of a single server is refused, naming the scheme that it needs."""
    async with aclosing(RedisClient(cluster_url.replace("redis+cluster", "redis"), Use.WORK)) as store:
        with pytest.raises(RedisUnfit, match=r"redis\+cluster://"):
            await store.check(unsafe=True)


async def test_check_accepts_cluster(clustered: RedisClient) -> None:
    """Three masters with our redis.conf are accepted."""
    assert [] == await clustered.check()


async def test_check_covers_every_node(breakable: Cluster) -> None:
    """A cluster is refused if one of its nodes has an unsafe configuration."""
    async with aclosing(RedisClient(breakable.url, Use.WORK)) as store:
        for master in breakable.masters:
            master.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            with pytest.raises(RedisUnfit, match="allkeys-lru"):
                await store.check()
            master.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert [] == await store.check()


# -- a cluster is unavailable --


async def test_cluster_url_without_cluster(redis_server: Server) -> None:
    """A cluster's URL that leads to a single server, or to none, raises RedisUnavailable."""
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
    """A node that does not answer costs a webhook 0.4 s; all sites work again once it answers."""
    async with aclosing(RedisClient(breakable.url, Use.INGEST)) as store:
        for site in SITES:
            await add_site(store, site)
        frozen = breakable.masters[1]
        its_sites = {site for site in SITES if frozen.ask("KEYS", key(site, "site").replace("{", "[{]"))}
        frozen.freeze()
        try:
            began = time.monotonic()
            with pytest.raises(RedisUnavailable):
                await mark(store, min(its_sites))
            assert 0.75 > time.monotonic() - began
        finally:
            frozen.thaw()

        async def marked() -> bool:
            return all([await mark(store, site) for site in SITES])

        await until(lambda: _works(store))
        assert await marked()


async def test_wait_says_that_it_waits(redis_server: Server) -> None:
    """A wait that takes longer than a second says so once, with what has been seen so far."""
    server = redis_server()
    server.freeze()
    said: list[str] = []
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        waiting = asyncio.create_task(store.wait(20, said.append))
        await until(lambda: said)
        server.thaw()
        await waiting
        await store.wait(20, said.append)

    assert ["it does not answer"] == said


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_wait_rejects_wrong_password(redis_server: Callable[..., RedisServer], password: str) -> None:
    """A wrong or missing password is reported at once, with what to configure, and is not repeated in the error."""
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
async def test_revoked_permission(redis_server: Callable[..., RedisServer], command: list[str]) -> None:
    """Missing replicas or revoked permissions raise RedisUnavailable, and not an error that ends the process."""
    server = redis_server()
    async with aclosing(RedisClient(server.url, Use.WORK)) as store:
        await store.do("SET", "key", "value")
        server.ask(*command)

        with pytest.raises(RedisUnavailable):
            await store.do("SET", "key", "value")
