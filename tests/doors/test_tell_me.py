import asyncio
import json
import time
from pathlib import Path

import pytest

from server.store import push_subscriptions as store
from server.tell_me.posts import Posts
from tests.rig.report import report
from tests.rig.tell_me_rig import TellMe


async def test_ten_thousand_hostile_requests(tell_me: TellMe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand invented subscriptions, of one address and of many, leave a bounded number in Redis; no memory grows with them."""
    await tell_me.offer()
    browser = tell_me.service.subscribe(tell_me.key)
    address = iter(range(1_000_000))

    def body(number: int) -> bytes:
        one = {**browser.json(), "endpoint": f"http://127.0.0.1:9/{number}{'x' * 900}"}
        return json.dumps({"subscription": one, "key": tell_me.key}).encode()

    async def flood(first: int, size: int) -> list[int]:
        found = []
        for start in range(first, first + size, 10):
            posts = (tell_me.post("subscribe", body(number)) for number in range(start, start + 10))
            found += [answer.status_code for answer in await asyncio.gather(*posts)]
        return found

    began = time.monotonic()
    statuses = await flood(0, 5_000)
    assert store.MOST_OF_SENDER == statuses.count(200)
    assert {200, 503} == set(statuses)
    # Each from an address of its own.
    monkeypatch.setattr(Posts, "address", lambda *_: str(next(address)))
    memory = resident()
    assert {200} == set(await flood(10_000, 5_000))
    grown = resident() - memory

    keys = {str(name).rpartition(":")[2]: str(name) for name in await tell_me.store.do("KEYS", "*notify:push*")}
    assert {"subscriptions", "unconfirmed", "first", "senders"} == keys.keys()
    for name in ("subscriptions", "senders"):
        assert store.MOST_UNCONFIRMED == await tell_me.store.do("HLEN", keys[name])
    for name in ("unconfirmed", "first"):
        assert store.MOST_UNCONFIRMED == await tell_me.store.do("ZCARD", keys[name])
    size = sum([int(await tell_me.store.do("MEMORY", "USAGE", name)) for name in keys.values()])
    report(
        f"10,000 requests in {time.monotonic() - began:.0f} s leave {size / 1e6:.1f} MB in Redis, {grown / 1e6:.1f} MB here"
    )
    assert size < 5_000_000
    assert grown < 20_000_000


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
