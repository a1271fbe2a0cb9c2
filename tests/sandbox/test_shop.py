from pathlib import Path

import httpx
from starlette.applications import Starlette

from sandbox.delivery import Delivery
from sandbox.knobs import LiveKnobs
from sandbox.shop import Shop
from tests.rig.wix import IDS, WixRig, sandbox_site


def client(folder: Path, *urls: str) -> httpx.AsyncClient:
    """A client of a shop whose page is in this folder."""
    delivery = Delivery(lambda _, __: "", LiveKnobs(), urls)
    app = Starlette(routes=Shop(sandbox_site(), delivery, folder).routes())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop")


async def test_shop_files_are_served(tmp_path: Path) -> None:
    """The three files are served with their types, and are not cached."""
    for name in ("shop.html", "shop.js", "shop.css"):
        (tmp_path / name).write_text(name)

    async with client(tmp_path) as shop:
        answers = [await shop.get(path) for path in ("/", "/shop.js", "/shop.css")]

    assert ["shop.html", "shop.js", "shop.css"] == [answer.text for answer in answers]
    types = [answer.headers["content-type"].partition(";")[0] for answer in answers]
    assert ["text/html", "text/javascript", "text/css"] == types
    assert {"no-cache"} == {answer.headers["cache-control"] for answer in answers}


async def test_missing_shop_file_is_404(tmp_path: Path) -> None:
    """A missing file is a 404 that names it."""
    async with client(tmp_path) as shop:
        answer = await shop.get("/shop.css")

    assert (404, "shop.css is not there\n") == (answer.status_code, answer.text)


async def test_shop_page_gets_the_address_of_the_counter(tmp_path: Path) -> None:
    """The counter is at the origin of the first receiver, without its path; without a receiver there is none."""
    async with client(tmp_path, "http://127.0.0.1:8000/webhooks/wix", "https://example.com/x") as shop:
        found = (await shop.get("/sandbox/page")).json()
    async with client(tmp_path) as shop:
        none = (await shop.get("/sandbox/page")).json()

    assert {"counter": "http://127.0.0.1:8000", "site": IDS.instance} == found
    assert {"counter": None, "site": IDS.instance} == none


async def test_receiver_may_change(wix: WixRig) -> None:
    """When the receiver of webhooks changes, the page finds the counter there."""
    wix.send_to("http://127.0.0.1:8123")

    assert "http://127.0.0.1:8123" == (await wix.http.get("/sandbox/page")).json()["counter"]
