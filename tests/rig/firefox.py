"""Firefox as an engine: Debian's firefox-esr without a window, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

`async with firefox(folder) as tab`. Firefox speaks BiDi itself, on a WebSocket of its own port: no geckodriver is needed.
"""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.rig.background import background
from tests.rig.browser_process import browser_process, program
from tests.rig.server import until
from tests.rig.tab import PATIENCE, Console, ScriptError, as_json

PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.safebrowsing.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",  # tests reach this machine only
}
"""Preferences besides those that Firefox sets by itself when it is driven (remote.prefs.recommended)."""


class FirefoxTab:
    """The one tab of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._console = Console()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._context = ""

    async def listen(self) -> None:
        """Hand out what the browser sends, until it ends."""
        async for text in self._socket:
            message = json.loads(text)
            if message.get("method") == "log.entryAdded":
                entry = message["params"]
                await self._console.note(entry["level"], str(entry["text"]))
            elif message.get("id") in self._answers:
                self._answers.pop(message["id"]).set_result(message)

    async def begin(self) -> None:
        """Start a session with the first tab."""
        await self._do("session.new", capabilities={})
        await self._do("session.subscribe", events=["log.entryAdded"])
        self._context = (await self._do("browsingContext.getTree"))["contexts"][0]["context"]

    async def open(self, url: str) -> None:
        """Open a page."""
        await self._navigate("about:blank")
        self._console.found.clear()
        await self._navigate(url)

    async def follow(self, url: str) -> None:
        """Go on to another page."""
        await self._navigate(url)

    async def back(self) -> None:
        """Go back by one page."""
        self._console.found.clear()
        await self._do("browsingContext.traverseHistory", context=self._context, delta=-1)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression."""
        answer = await self._do(
            "script.evaluate", expression=as_json(expression), target={"context": self._context}, awaitPromise=True
        )
        if answer["type"] == "exception":
            raise ScriptError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    async def messages(self) -> list[str]:
        """The console messages."""
        return await self._console.read(self)

    async def screenshot(self) -> bytes:
        """What is seen, as a PNG."""
        return b64decode((await self._do("browsingContext.captureScreenshot", context=self._context))["data"])

    async def resize(self, width: int, height: int) -> None:
        """Make the viewport this large."""
        viewport = {"width": width, "height": height}
        await self._do("browsingContext.setViewport", context=self._context, viewport=viewport)

    async def _navigate(self, url: str) -> None:
        await self._do("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        async with asyncio.timeout(PATIENCE):
            found = await answer
        if found["type"] == "error":
            raise ScriptError(f"{method}: {found['error']}: {found['message']}")
        return dict(found["result"])


@asynccontextmanager
async def firefox(folder: Path) -> AsyncIterator[FirefoxTab]:
    """Run a Firefox with one tab, as long as the block."""
    profile = folder / "profile"
    profile.mkdir(parents=True)
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    command = [program("firefox-esr"), "--headless", "--no-remote", "--profile", str(profile)]

    def address() -> str | None:
        with suppress(OSError, ValueError):  # it is not there yet, or not whole
            found = json.loads((profile / "WebDriverBiDiServer.json").read_text())
            return f"ws://{found['ws_host']}:{found['ws_port']}/session"
        return None

    async with browser_process([*command, "--remote-debugging-port", "0", "about:blank"], folder, {}):
        url = await until(address)
        async with connect(url, proxy=None, max_size=None, ping_interval=None) as socket:
            tab = FirefoxTab(socket)
            async with background(tab.listen()):
                await tab.begin()
                yield tab
