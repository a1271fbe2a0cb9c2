"""The shop page: its files in this folder, and the address of the counter server that it embeds.

In: GET. Out: shop.html, shop.js, shop.css, and the origin of the first webhook receiver, which is the counter server.
"""

from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.delivery import Delivery
from sandbox.site import Site

FOLDER = Path(__file__).parent

FILES = {
    "/": ("shop.html", "text/html"),
    "/shop.js": ("shop.js", "text/javascript"),
    "/shop.css": ("shop.css", "text/css"),
}


class Shop:
    """The routes of the page."""

    def __init__(self, site: Site, delivery: Delivery, folder: Path = FOLDER) -> None:
        self._site = site
        self._delivery = delivery
        self._folder = folder

    def routes(self) -> list[BaseRoute]:
        """All routes."""
        return [Route("/sandbox/page", self._page), *(Route(path, self._file) for path in FILES)]

    async def _file(self, request: Request) -> Response:
        name, kind = FILES[request.url.path]
        path = self._folder / name
        if not path.is_file():
            return PlainTextResponse(f"{name} is not there\n", 404)
        return FileResponse(path, media_type=kind, headers={"Cache-Control": "no-cache"})

    async def _page(self, _: Request) -> Response:
        urls = self._delivery.urls
        parts = urlsplit(urls[0]) if urls else None
        counter = f"{parts.scheme}://{parts.netloc}" if parts else None
        return JSONResponse({"counter": counter, "site": self._site.ids.instance})
