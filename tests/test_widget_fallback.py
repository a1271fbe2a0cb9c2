"""The widget's ways to connect in a real browser: WebSocket, else server-sent events, else polling, and back; told once, never a storm."""

import json
from typing import Any

import pytest
from playwright.async_api import Page

from tests.rig.host_site import LOADED, TAG, HostSite, counter, shows, text, warnings_of
from tests.rig.server import TICKET, until
from tests.rig.widget_time import pass_time

ALL = {"socket", "stream", "poll"}


def polled(**more: Any) -> tuple[int, str, dict[str, str]]:
    """The answer to a poll that has one counter."""
    return 200, f'{{"counters":[{counter(**more)}]}}', {}


async def opened(site: HostSite, page: Page, **headers: str) -> list[str]:
    """Open a page with one counter, by a clock that the test moves; answers the warnings of its console."""
    warnings = warnings_of(page)
    await page.clock.install()
    await page.goto(site.put("/", LOADED + TAG, **headers))
    return warnings


async def test_refused_socket_becomes_a_stream(site: HostSite, page: Page) -> None:
    """Where WebSockets are refused, the counter is shown and followed by server-sent events."""
    site.refused = {"socket"}
    warnings = await opened(site, page)
    await pass_time(page, 5, lambda: bool(site.streams))
    [stream] = site.streams
    stream.send()
    stream.send(counter())
    await shows(page, "Only 3 left at this price.")
    stream.send(counter(unsold=2))

    await shows(page, "Only 2 left at this price.")
    await pass_time(page, 25)
    assert (1, 1, 0, []) == (*site.tries.values(), warnings)


async def test_swallowed_socket_becomes_a_stream_after_10_seconds(site: HostSite, page: Page) -> None:
    """A proxy that accepts the WebSocket and passes nothing on costs 10 seconds."""
    await opened(site, page)
    swallowed = await site.socket(1)
    await pass_time(page, 8)
    assert [] == site.streams
    await pass_time(page, 5, lambda: bool(site.streams))
    site.streams[0].send(counter())

    await shows(page, "Only 3 left at this price.")
    await until(lambda: swallowed.ended)


async def test_refused_stream_becomes_polling(site: HostSite, page: Page) -> None:
    """Where neither WebSockets nor streams pass, the counter is polled, each 5 to 10 seconds."""
    site.refused, site.poll = {"socket", "stream"}, polled()
    await opened(site, page)
    await pass_time(page, 10, lambda: site.tries["poll"] == 1)
    await shows(page, "Only 3 left at this price.")
    site.poll = polled(unsold=2)
    await pass_time(page, 11)
    await shows(page, "Only 2 left at this price.")
    before = site.tries["poll"]
    await pass_time(page, 60)

    assert 6 <= site.tries["poll"] - before <= 12


async def test_silent_socket_and_stream_become_polling(site: HostSite, page: Page) -> None:
    """A proxy that swallows both costs two times 10 seconds."""
    site.poll = polled()
    await opened(site, page)
    await site.socket(1)
    await pass_time(page, 24, lambda: site.tries["poll"] == 1)

    await shows(page, "Only 3 left at this price.")


async def test_socket_is_tried_again_beside_polling(site: HostSite, page: Page) -> None:
    """Within 10 minutes of polling an earlier way is taken again once it works, and the polls end."""
    site.refused, site.poll = {"socket", "stream"}, polled()
    await opened(site, page)
    await pass_time(page, 10, lambda: site.tries["poll"] == 1)
    site.refused = {"stream"}
    tries = site.tries["socket"]
    await pass_time(page, 1_500, lambda: site.tries["socket"] > tries)
    [socket] = site.sockets
    assert "Only 3 left at this price." == await text(page)
    await socket.send(counter(unsold=1))
    await shows(page, "Only 1 left at this price.")
    polls = site.tries["poll"]
    await pass_time(page, 25)

    assert polls == site.tries["poll"]


async def test_socket_is_tried_again_beside_a_stream(site: HostSite, page: Page) -> None:
    """A stream stays until the WebSocket has told its first message, then it is closed; a failed trial disturbs nothing."""
    site.refused = {"socket"}
    warnings = await opened(site, page)
    await pass_time(page, 5, lambda: bool(site.streams))
    [stream] = site.streams
    stream.send(counter())
    await shows(page, "Only 3 left at this price.")

    async def on_beat(seconds: int) -> None:
        for _ in range(seconds // 25):
            stream.send()
            await pass_time(page, 25, lambda: bool(site.sockets))

    await on_beat(350)
    assert (2, 1, []) == (site.tries["socket"], site.tries["stream"], warnings)
    assert "Only 3 left at this price." == await text(page)
    site.refused = set()
    await on_beat(350)
    socket = await site.socket(1)
    assert not stream.ended
    await socket.send(counter(unsold=2))

    await shows(page, "Only 2 left at this price.")
    await until(lambda: stream.ended)


async def test_all_ways_down(site: HostSite, page: Page) -> None:
    """While nothing works, tries come at most every 15 s in the mean of 0 to 30 s, with one warning; then the first that works counts."""
    site.refused = ALL
    warnings = await opened(site, page)
    await pass_time(page, 60)
    early = sum(site.tries.values())
    await pass_time(page, 600)
    late = sum(site.tries.values()) - early

    assert 4 <= early <= 20
    assert 20 <= late <= 65
    assert 1 == len([one for one in warnings if "cannot connect" in one])
    assert 1 == len(warnings)
    assert "Tickets at the door" == await text(page)
    site.refused = set()
    site.poll = polled()
    polls = site.tries["poll"]
    await pass_time(page, 120, lambda: bool(site.sockets or site.streams or site.tries["poll"] > polls))
    assert site.sockets or site.streams or site.tries["poll"] > polls


@pytest.mark.parametrize(
    ("status", "headers", "again"),
    [
        (400, {}, False),
        (403, {}, False),
        (404, {}, False),
        (404, {"Retry-After": "5"}, True),
        (503, {"Retry-After": "5"}, True),
    ],
)
async def test_status_of_a_poll(
    site: HostSite, page: Page, *, status: int, headers: dict[str, str], again: bool
) -> None:
    """A refusal for good ends the requests with one warning; one with Retry-After is asked again."""
    site.refused = {"socket", "stream"}
    site.poll = (status, json.dumps({"error": {"field": None, "message": "refused so"}}), headers)
    warnings = await opened(site, page)
    await pass_time(page, 20, lambda: site.tries["poll"] == 1)
    assert 1 == site.tries["poll"]
    tries = sum(site.tries.values())
    await pass_time(page, 300)
    more = sum(site.tries.values()) - tries

    assert again == (more > 0)
    assert more < 50
    assert (not again) == any("refused so" in one for one in warnings)
    assert "Tickets at the door" == await text(page)


async def test_bye_of_a_stream(site: HostSite, page: Page) -> None:
    """The times of a bye are kept by a stream too, and the number stays."""
    site.refused = {"socket"}
    await opened(site, page)
    await pass_time(page, 5, lambda: bool(site.streams))
    [stream] = site.streams
    stream.send(counter())
    await shows(page, "Only 3 left at this price.")
    stream.send('{"bye":{"retry_ms":[6000,9000]}}', name="bye")
    await pass_time(page, 1)
    stream.close()
    await pass_time(page, 5)
    assert 1 == len(site.streams)
    assert "Only 3 left at this price." == await text(page)
    await pass_time(page, 5, lambda: len(site.streams) == 2)
    site.streams[1].send(counter(unsold=2))

    await shows(page, "Only 2 left at this price.")


async def test_policy_that_forbids_everything(site: HostSite, page: Page) -> None:
    """A content security policy that forbids all is told in one warning, then nothing is tried for 30 minutes."""
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    warnings = await opened(site, page, Content_Security_Policy="connect-src 'none'")
    await pass_time(page, 30)
    before = len(errors)
    await page.clock.run_for(1_800_000)
    await pass_time(page, 5)

    assert 1 == len([one for one in warnings if "connect-src" in one]), warnings
    assert before == len(errors)
    assert before <= 3
    assert 0 == sum(site.tries.values())
    assert "Tickets at the door" == await text(page)


async def test_policy_that_forbids_websockets(site: HostSite, page: Page) -> None:
    """A policy that forbids only WebSockets is told in one warning, and the counter comes by a stream."""
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    warnings = await opened(site, page, Content_Security_Policy=f"connect-src {site.url}/v1/counters/stream")
    await pass_time(page, 30, lambda: bool(site.streams))
    [stream] = site.streams
    stream.send(counter())
    await shows(page, "Only 3 left at this price.")
    for _ in range(80):
        stream.send()
        await pass_time(page, 1)
        await page.clock.run_for(24_000)

    assert (1, 1) == (len(warnings), len(errors)), (warnings, errors)
    assert 0 == site.tries["socket"]
    assert "Only 3 left at this price." == await text(page)


async def test_policy_that_forbids_one_of_two_servers(site: HostSite, page: Page) -> None:
    """A server that the page forbids costs the other server's counters nothing: they keep their WebSocket."""
    other = site.url.replace("127.0.0.1", "localhost")
    allowed = f"connect-src {site.url.replace('http', 'ws')} {site.url}"
    warnings = warnings_of(page)
    await page.clock.install()
    tags = TAG.replace(">", f' server="{other}">', 1)
    await page.goto(site.put("/", LOADED + tags, Content_Security_Policy=allowed))
    await until(lambda: bool(warnings))
    await pass_time(page, 10)
    await page.evaluate("document.querySelector('ticket-counter').after(document.createElement('ticket-counter'))")
    await page.evaluate("(id) => document.querySelectorAll('ticket-counter')[1].setAttribute('ticket', id)", TICKET)
    await pass_time(page, 5, lambda: bool(site.sockets))
    socket = await site.socket(1)
    await socket.send(counter())

    await shows(page, "Only 3 left at this price.", 1)
    assert "Tickets at the door" == await text(page)
    assert [f"<ticket-counter>: CSP: connect-src needs {other} {other.replace('http', 'ws')}"] == warnings
    assert (1, 0, 0) == tuple(site.tries.values())
