import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from server.redis.namespace import Namespace, is_prefix
from tests.rig.redis import RedisServer, Servers

PREFIXES = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=40)
HOST = "redis://127.0.0.1:6379"


@pytest.mark.parametrize(
    ("url", "prefix", "keys", "channels"),
    [
        (HOST, "tc", "tc", "tc"),
        (f"{HOST}/0", "tc", "tc", "tc"),
        (f"{HOST}/3", "tc", "tc", "tc@3"),
        (f"{HOST}?db=3", "tc", "tc", "tc@3"),
        (f"{HOST}/2?db=3", "shop", "shop", "shop@3"),
        ("rediss://:secret@host/12", "tc", "tc", "tc@12"),
        ("unix:///run/redis.sock", "tc", "tc", "tc"),
        ("unix:///run/3/redis.sock?db=3", "tc", "tc", "tc@3"),
        ("redis+cluster://host:7000", "shop", "shop", "shop"),
        ("redis+cluster://host:7000/0", "tc", "tc", "tc"),
        ("redis+sentinel://host/main/3", "tc", "tc", "tc@3"),
    ],
)
def test_prefix_and_database(url: str, prefix: str, keys: str, channels: str) -> None:
    """The database is read from every form of a URL, and only channels are named by it."""
    assert Namespace(keys, channels) == Namespace.of(url, prefix)


@pytest.mark.parametrize("form", ["redis://127.0.0.1:{}/3", "redis://127.0.0.1:{}?db=3", "unix://{}?db=3"])
async def test_database_is_that_of_the_connections(redis_server: Servers, form: str) -> None:
    """The database in the names of channels is the one in which the connections are."""
    server: RedisServer = redis_server(unixsocket="socket")
    url = form.format(server.folder / "socket" if form.startswith("unix") else server.port)
    async with Redis.from_url(url, decode_responses=True) as redis:
        await redis.set("key", "value")

    assert "value" == server_of(server, 3)
    assert "tc@3" == Namespace.of(url).channels


def server_of(server: RedisServer, db: int) -> str | None:
    """The test's key in one database."""
    script = f"redis.call('SELECT', {db}) return redis.call('GET', 'key')"
    return str(server.ask("EVAL", script, 0))


@given(PREFIXES, PREFIXES, st.integers(0, 20), st.integers(0, 20))
def test_no_channel_of_another(one: str, other: str, db: int, other_db: int) -> None:
    """Two deployments have a name of a channel in common only if they have the same prefix and database."""
    names = [Namespace.of(f"{HOST}/{number}", prefix).channels for prefix, number in ((one, db), (other, other_db))]

    assert is_prefix(one)
    assert ((one, db) == (other, other_db)) == (names[0] == names[1])


@pytest.mark.parametrize(
    "text", ["", "a" * 41, "a b", "a:b", "a@3", "{a}", "a*", "a?", "[a]", "a\n", "\u00fc", "a\\", "a/b", "a'b", "\x00"]
)
def test_no_prefix(text: str) -> None:
    """A prefix with a blank, a brace, a pattern, a colon or an `@` is none, nor is an empty or a long one."""
    assert not is_prefix(text)
