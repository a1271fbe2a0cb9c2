"""Finds personal data and secrets in what a run has left behind: logs, outputs, metrics, Redis and its files.

In: contents by the names of their places, and values by what they are. Out: where which value stands, in whatever form: in capitals,
percent-encoded, base64, hex, quoted-printable, escaped for JSON, HTML or a log line.
"""

import base64
import html
import json
import quopri
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote, quote_plus

import redis

from tests.rig.redis import RedisServer
from tests.rig.server import until

SHORTEST = 8
"""Characters that a value has at least: of shorter ones every long text has some by chance."""


def traces(places: Mapping[str, bytes], values: Mapping[str, str]) -> list[str]:
    """`what in place: form`, for each value that stands somewhere."""
    forms = {what: list(_forms(value)) for what, value in values.items()}
    found = []
    for place, content in places.items():
        small = content.lower()
        for what, all_forms in forms.items():
            found += [
                f"{what} in {place}: {form}"
                for form, text, exact in all_forms
                if (text in content if exact else text.lower() in small)
            ]
    return found


def _forms(value: str) -> Iterator[tuple[str, bytes, bool]]:
    """Each form of a value with its name, and whether capitals matter in it."""
    assert len(value) >= SHORTEST, f"{value!r} is too short to look for"
    plain = {
        "plain": value,
        "percent": quote(value, safe=""),
        "percent, @ as it is": quote(value, safe="@"),
        "percent twice": quote(quote(value, safe=""), safe=""),
        "form": quote_plus(value),
        "JSON": json.dumps(value)[1:-1],
        "escaped": value.encode("unicode_escape").decode(),
        "HTML": html.escape(value),
        "hex": value.encode().hex(),
        "quoted-printable": quopri.encodestring(value.encode()).decode(),
        "bytes": repr(value.encode())[2:-1],
    }
    for form, text in plain.items():
        yield form, text.encode(), False
    for form, text in {"base64": value, "base64, folded": value.lower()}.items():
        for shift in range(3):
            # Only the characters that no byte before or after it changes.
            encoded = base64.b64encode(b"\0" * shift + text.encode())
            core = encoded[(0, 2, 3)[shift] : (shift + len(text.encode())) * 8 // 6]
            yield form, core, True
            yield form, core.translate(bytes.maketrans(b"+/", b"-_")), True


def in_redis(server: RedisServer) -> dict[str, bytes]:
    """Every key with its whole value, of all databases and types."""
    found = {}
    with closing(redis.Redis(port=server.port)) as client:
        databases = [int(str(name).removeprefix("db")) for name in client.info("keyspace")]
    for number in databases:
        with closing(redis.Redis(port=server.port, db=number)) as client:
            for key in client.scan_iter():
                # A key may have ended meanwhile.
                found[f"{number} {key.decode()}"] = key + b"\n" + _flat(_value(client, key))
    return found


async def in_files(server: RedisServer) -> dict[str, bytes]:
    """All files of a server: its append-only file as it was written, then the same rewritten, a snapshot, and its log."""
    server.ask("CONFIG", "SET", "rdbcompression", "no")  # what is compressed cannot be searched
    found = {f"{name} as written": content for name, content in _files(server).items()}
    assert any("incr.aof" in name for name in found), sorted(found)
    server.ask("BGREWRITEAOF")
    await until(lambda: not _persistence(server)["aof_rewrite_in_progress"])
    assert "ok" == _persistence(server)["aof_last_bgrewrite_status"]
    server.ask("SAVE")
    return {**found, **_files(server)}


def _persistence(server: RedisServer) -> dict[str, Any]:
    with closing(redis.Redis(port=server.port)) as client:
        return dict(client.info("persistence"))


def _files(server: RedisServer) -> dict[str, bytes]:
    return {str(one.relative_to(server.folder)): one.read_bytes() for one in server.folder.rglob("*") if one.is_file()}


def _value(client: Any, key: bytes) -> Any:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"hash":
            return client.hgetall(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1)
        case b"stream":
            return [client.xrange(key), client.xinfo_groups(key)]
        case b"none":
            return b""
        case other:
            raise AssertionError(f"{key!r} is of a type that is not read: {other!r}")


def _flat(value: Any) -> bytes:
    """All texts in a value, one a line."""
    match value:
        case bytes():
            return value + b"\n"
        case dict():
            return b"".join(_flat(part) for pair in value.items() for part in pair)
        case list() | tuple() | set():
            return b"".join(map(_flat, value))
        case _:
            return f"{value}\n".encode()
