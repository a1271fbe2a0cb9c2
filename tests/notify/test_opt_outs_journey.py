"""From a link in a mail to the tool: a web process, a worker's loop, and a CSV file as the tool."""

import asyncio
from pathlib import Path

from server.keyring import KeyRing, Purpose
from server.model import SiteId
from server.notify.audience import open_source
from server.notify.audience.source import SourceContext
from server.notify.config import EventAudience, NotifyConfig, Tool
from server.notify.event_sources import EventSources
from server.notify.opt_outs import OptOuts
from server.redis.client import RedisClient
from server.store.notify_requests import NotifyRequests
from server.timed_event import TimedEvent
from tests.rig.background import background
from tests.rig.server import SITE, StartServer, until

KEY = "a-key-for-tests-of-more-than-32-characters"


async def test_a_click_takes_the_address_off_the_list(
    start_server: StartServer, store: RedisClient, tmp_path: Path
) -> None:
    """A click in a mail program takes the address off the tool's list within seconds, and no other one."""
    (tmp_path / "subscribers.csv").write_text("email\nada@example.org\nbob@example.org\n")
    tool = Tool("file", "csv", own={"file": "subscribers.csv"})
    config = NotifyConfig(tmp_path / "notify.toml", {"gala": EventAudience("gala", tool)}, "https://c.example.org")
    sources = EventSources(config, lambda site, one: open_source(one, SourceContext(site, tmp_path)))
    source = sources.of(SiteId(SITE))["gala"]
    running = await start_server(notify_keys=KEY)
    content = {"s": SITE, "p": source.place, "e": "gala", "a": "ada@example.org"}
    link = KeyRing([KEY]).encrypt(Purpose.UNSUBSCRIBE, content)
    worker = OptOuts(NotifyRequests(store), KeyRing([KEY]), sources.of, lambda: [SiteId(SITE)])
    stopping = TimedEvent()

    async with background(worker.run(stopping)):
        assert 200 == (await running.http.post(f"/u/{link}", data={"List-Unsubscribe": "One-Click"})).status_code
        await until((tmp_path / "subscribers.csv.opted-out").exists)
        stopping.set()

    assert "ada@example.org" in (tmp_path / "subscribers.csv.opted-out").read_text()
    await asyncio.sleep(2.1)  # a file that has just changed is read again
    page = await source.page(None, 10)
    assert ["bob@example.org"] == [one.address for one in page.members]
    await sources.aclose()
