"""What the widget costs a visitor: the bytes that the server sends. Nowhere else are the limits stated that are tested."""

import brotli  # type: ignore[import-untyped]
import pytest

from tests.rig.server import StartServer

MOST = {"br": 6_100, "gzip": 6_700}
"""Bytes of the widget, all languages in it, by content coding: a guest in the page does not weigh more than a small picture."""


@pytest.mark.parametrize("coding", MOST)
async def test_widget_size(start_server: StartServer, coding: str) -> None:
    """The widget stays small enough to be a guest in any page."""
    running = await start_server()

    async with running.http.stream(
        "GET", "/widget/v1/ticket-counter.js", headers={"Accept-Encoding": coding}
    ) as response:
        sent = b"".join([chunk async for chunk in response.aiter_raw()])

    assert coding == response.headers["content-encoding"]
    assert len(sent) <= MOST[coding]


async def test_widget_is_compressed_as_well_as_can_be(start_server: StartServer) -> None:
    """What is sent with Brotli is what Brotli makes at its best."""
    running = await start_server()

    plain = (await running.http.get("/widget/v1/ticket-counter.js", headers={"Accept-Encoding": "identity"})).content
    sent = await running.http.head("/widget/v1/ticket-counter.js", headers={"Accept-Encoding": "br"})

    assert len(brotli.compress(plain, quality=11)) >= int(sent.headers["content-length"])
