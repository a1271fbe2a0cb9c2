import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import SSLConnection

from server.redis.url import SCHEMES, RedisUrl, check_url, read_url
from tests.rig.certificates import Authority

HOST = "redis://host:6379"


@pytest.mark.parametrize(
    ("url", "plain", "addresses", "db"),
    [
        ("redis://host", "redis://host", (("host", 6379),), 0),
        ("redis://:secret@host:7000/3", "redis://:secret@host:7000/3", (("host", 7000),), 3),
        ("redis://us:se%23cret@[::1]:7000?db=3", "redis://us:se%23cret@[::1]:7000?db=3", (("::1", 7000),), 3),
        ("redis:///2", "redis:///2", (("localhost", 6379),), 2),
        ("unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3", (), 3),
        ("redis+cluster://host:7000/0", "redis://host:7000/0", (("host", 7000),), 0),
        ("rediss+cluster://:secret@host", "rediss://:secret@host", (("host", 6379),), 0),
        ("redis+sentinel://a,b:7000/main/3", "redis://sentinel?db=3", (("a", 26379), ("b", 7000)), 3),
        ("rediss+sentinel://:secret@a/my%20main", "rediss://:secret@sentinel?db=0", (("a", 26379),), 0),
    ],
)
def test_parts_of_address(url: str, plain: str, addresses: tuple[tuple[str, int], ...], db: int) -> None:
    """Each form of address says which servers are meant, and what redis-py needs for them."""
    found = read_url(url)
    check_url(url)

    assert plain == found.plain
    assert (addresses, db) == (found.addresses, found.db)
    assert ("rediss" in url) == found.tls
    assert ("cluster" in url) == found.clustered


def test_parameters_of_sentinels() -> None:
    """The master's login and that of the Sentinels are kept apart, and what follows the `?` reaches redis-py."""
    found = read_url("redis+sentinel://us:p%40ss@a,b/main/2?sentinel_password=o%23ther&client_name=counter")

    assert "main" == found.master
    assert (None, "o#ther") == found.sentinel_login
    assert {"username": "us", "password": "p@ss", "db": 2, "client_name": "counter"} == found.options


PASSWORD = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1)


@given(PASSWORD, st.sampled_from(SCHEMES))
def test_password_as_it_is(password: str, scheme: str) -> None:
    """A password with special characters that are not percent-encoded is read rightly or refused, and never taken for a host."""
    where = "/run/socket" if scheme == "unix://" else "host:6379/main" if "sentinel" in scheme else "host:6379"
    found = _read(f"{scheme}:{password}@{where}")

    if isinstance(found, str):
        assert len(password) < 3 or password not in found
    else:
        assert {"host"} >= {host for host, _ in found.addresses}
        # The percent sign itself is special: redis-py reads %23 as `#`.
        assert "%" in password or password == found.options["password"]


def _read(url: str) -> RedisUrl | str:
    """What the address says, or why it is refused."""
    try:
        return read_url(url)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        (
            "http://host:6379",
            "must start with one of redis://, rediss://, unix://, redis[+]cluster://, rediss[+]cluster",
        ),
        ("redis://:se#cret@host:6379/0", "special characters of the password percent-encoded .`#` as %23"),
        ("redis://:se/cret@host:6379/0", "special characters of the password percent-encoded"),
        ("redis://:se?cret@host:6379/0", "special characters of the password percent-encoded"),
        ("redis://:se[cret@host:6379/0", "special characters of the password percent-encoded"),
        ("redis://cret:x:6379", "cannot be read: write it as redis://:password@host:6379/0"),
        ("redis://host:99999", "cannot be read: write it as redis://:password@host:6379/0"),
        ("redis://host?db=cret", "cannot be read: write it as redis://:password@host:6379/0"),
        ("redis://host/cret", "must be the number of a database"),
        ("redis://host?tls=true", "`tls` is no parameter: TLS is asked for by `rediss` in place of `redis`"),
        ("rediss://host?ssl_ca_cert=x", "`ssl_ca_cert` is no parameter of the address: did you mean `ssl_ca_certs`[?]"),
        (
            "redis://host?socket_timeout=3",
            "`socket_timeout` is no parameter of the address: leave it out; there are db,",
        ),
        ("redis://host?se-cret=3", "what follows the `[?]` is no parameter"),
        ("redis://host?ssl_ca_certs=x", "`ssl_ca_certs` is for TLS: begin the address with `rediss`"),
        ("redis://host?sentinel_password=x", "`sentinel_password` is for redis[+]sentinel:// only"),
        (
            "rediss://host?ssl_cert_reqs=no",
            "ssl_cert_reqs has a value that is not known: it is one of required, optional, none",
        ),
        ("rediss://host?ssl_keyfile=x", "name that too, with ssl_certfile"),
        ("redis+cluster://host:7000/2", "a cluster has only database 0"),
        ("rediss+cluster://a:7000,b:7000", "name one node of the cluster"),
        ("redis://a,b", "only redis[+]sentinel:// takes several"),
        (
            "redis+sentinel://host",
            "names the master too: write it as in redis[+]sentinel://host:26379,other:26379/mymaster/0",
        ),
        ("redis+sentinel://host/main/cret", "must be the number of a database"),
        (
            "rediss://host?ssl_ca_certs=/nowhere/ca.pem",
            "the file of ssl_ca_certs cannot be read: /nowhere/ca.pem: No such",
        ),
    ],
)
def test_no_address_of_redis(url: str, fault: str) -> None:
    """Any other address is refused with what to write, and without its parts, which may hold a password."""
    with pytest.raises(ValueError, match=fault) as refused:
        check_url(url)

    assert "cret" not in str(refused.value)


def test_files_of_tls(tmp_path: Path) -> None:
    """Files for TLS are tried when the address is checked, so that a wrong one is told before anything starts."""
    authority = Authority(tmp_path)
    ours, other = authority.sign("ours"), authority.sign("other")
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")

    url = f"rediss://host?ssl_ca_certs={authority.file}&ssl_certfile={ours.file}&ssl_keyfile={ours.key_file}"
    check_url(url)
    assert ssl.CERT_REQUIRED == SSLConnection(**read_url(url).options).ssl_context.get().verify_mode
    for fault, one in {
        "ssl_ca_certs cannot be used": f"rediss://host?ssl_ca_certs={wrong}",
        "ssl_certfile and ssl_keyfile cannot be used": f"rediss://host?ssl_certfile={ours.file}&ssl_keyfile={other.key_file}",
        "ssl_ciphers cannot be used": "rediss://host?ssl_ciphers=none-such",
    }.items():
        with pytest.raises(ValueError, match=fault):
            check_url(one)
