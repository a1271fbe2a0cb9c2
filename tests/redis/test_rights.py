import re
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from server.errors import RedisUnfit
from server.redis import rights
from server.redis.client import RedisClient, Use
from server.redis.namespace import Namespace
from tests.rig.cluster import Cluster
from tests.rig.redis import SERVERS, RedisServer

ROOT = Path(__file__).parent.parent.parent / "server"
MINIMAL = " ".join(
    sorted({right for line in rights.COMMANDS for right in rights._permissions([line])}),
)


def user(server: RedisServer, rules: str, form: str = "redis://shop:secret@127.0.0.1:{}/0") -> str:
    """The address with a user that has these ACL rules."""
    server.ask("ACL", "SETUSER", "shop", "reset", "on", ">secret", *rules.split())
    return form.format(server.port)


def test_every_command_is_listed() -> None:
    """Each command that a script runs, or that is sent, is in the list of what is checked."""
    listed = {tuple(line.split()[:1]) for line in (*rights.COMMANDS, *rights.CLUSTER_COMMANDS)}
    used = {
        name
        for path in ROOT.rglob("*.lua")
        for name in re.findall(r"redis\.p?call\(\s*['\"]([A-Za-z]+)['\"]", path.read_text())
    } | {
        name
        for path in ROOT.rglob("*.py")
        for name in re.findall(r"\.(?:do|execute|execute_command)\(\s*\"([A-Z]+)\"", path.read_text())
    }
    # The store also makes commands before it sends them.
    used |= {
        name
        for path in (ROOT / "store").rglob("*.py")
        for name in re.findall(r"\(\s*\"([A-Z]{3,})\"", path.read_text())
        if name not in {"BUSYGROUP", "NOGROUP", "STREAMS"}
    }

    assert {"ZADD", "HSETNX", "XGROUP", "CLUSTER"} <= used
    # INFO is checked by its own fault, and HELLO is allowed to everyone.
    assert set() == {(name.upper(),) for name in used - {"INFO", "HELLO"}} - listed


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ("~tc:* +@all", "&tc:*"),
        ("&tc:* +@all", "~tc:*"),
        ("~tc:* &tc:other +@all", "&tc:*"),
        ("~tc:* &tc:* +@all -hset -publish -xgroup", r"+hset +publish +xgroup|create"),
        ("~* &* +@all -@scripting", "+eval +evalsha"),
    ],
)
@pytest.mark.parametrize("server", SERVERS)
async def test_missing_rights_are_named(
    redis_server: Callable[..., RedisServer], server: str, rules: str, missing: str
) -> None:
    """What the user lacks is told at the start, as the rules that grant it; with them it is accepted."""
    running = redis_server(server)
    async with aclosing(RedisClient(user(running, rules), Use.WORK)) as store:
        with pytest.raises(RedisUnfit) as refused:
            await store.check(unsafe=True)
        running.ask("ACL", "SETUSER", "shop", *missing.split())

        assert [] == await store.check()

    assert f"`ACL SETUSER name {missing}`" in str(refused.value)


@pytest.mark.parametrize("server", SERVERS)
async def test_least_rights(redis_server: Callable[..., RedisServer], server: str) -> None:
    """A user with exactly the listed commands, and the keys and channels of its prefix, passes the check."""
    url = user(redis_server(server), f"~shop:* &shop@3:* +info +select {MINIMAL}").replace("/0", "/3")
    async with aclosing(RedisClient(url, Use.WORK, "shop")) as store:
        assert [] == await store.check()


async def test_rights_of_the_guide(redis_server: Callable[..., RedisServer]) -> None:
    """The user that docs/scaling.md proposes passes the check."""
    [rules] = re.findall(
        r"^ACL SETUSER counter on >password (.*)$", (ROOT.parent / "docs/scaling.md").read_text(), re.MULTILINE
    )
    async with aclosing(RedisClient(user(redis_server(), rules), Use.WORK)) as store:
        assert [] == await store.check()


async def test_rights_in_cluster(cluster: Cluster, cluster_url: str) -> None:
    """On a cluster the commands of sharded pub/sub are checked too."""
    form = cluster_url.replace("redis+cluster://", "redis+cluster://shop:secret@").rpartition(":")[0] + ":{}"
    try:
        for master in cluster.masters:
            url = user(master, "~tc:* &tc:* +@all -ssubscribe", form)
        async with aclosing(RedisClient(url, Use.WORK)) as store:
            with pytest.raises(RedisUnfit, match=r"`ACL SETUSER name [+]ssubscribe`"):
                await store.check()
        for master in cluster.masters:
            user(master, "~tc:* &tc:* +@all -@admin -@dangerous +info", form)
        async with aclosing(RedisClient(url, Use.WORK)) as store:
            assert [] == await store.check()
    finally:
        for master in cluster.masters:
            master.ask("ACL", "DELUSER", "shop")


def test_nothing_missing() -> None:
    """Where nothing was refused nothing is missing."""
    assert None is rights.missing([], Namespace(), clustered=True)
