"""WebKit as an engine: the MiniBrowser of Debian's WebKitGTK on a screen of Xvfb, driven over the remote inspector.

`async with webkit(folder) as tab`. WebDriver would not do: WebKitWebDriver tells nothing of a page's console, and a MiniBrowser that it
starts writes no console messages either (a session that is not kept never does). The inspector's protocol is that of WebKit's own
developer tools (Source/JavaScriptCore/inspector/protocol), over a WebSocket (WEBKIT_INSPECTOR_HTTP_SERVER).
"""

import asyncio
import json
import os
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.rig.background import background
from tests.rig.browser_process import browser_process, program
from tests.rig.redis import free_port
from tests.rig.server import until
from tests.rig.tab import PATIENCE, Console, ScriptError, as_json


class WebKitTab:
    """The one tab of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._console = Console()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._target = ""
        self._loads = 0

    async def listen(self) -> None:
        """Hand out what the browser sends, until it ends."""
        async for text in self._socket:
            message = json.loads(text)
            found = message.get("params", {})
            match message.get("method"):
                case "Target.targetCreated" if not found["targetInfo"].get("isProvisional"):
                    self._target = found["targetInfo"]["targetId"]
                case "Target.didCommitProvisionalTarget":
                    # The page is in another process.
                    self._target = found["newTargetId"]
                case "Target.dispatchMessageFromTarget":
                    await self._heard(json.loads(found["message"]))

    async def _heard(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "Console.messageAdded":
                found = message["params"]["message"]
                await self._console.note(found["level"], found["text"])
            case "Page.loadEventFired":
                self._loads += 1
            case None if message["id"] in self._answers:
                self._answers.pop(message["id"]).set_result(message)

    async def begin(self) -> None:
        """Listen to the page's console."""
        await until(lambda: self._target, PATIENCE)
        await self._do("Page.enable")
        await self._do("Console.enable")

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
        here = await self.evaluate("location.href")
        self._console.found.clear()
        await self._do("Runtime.evaluate", expression="void setTimeout(() => history.back())")
        await until(lambda: self._left(here), PATIENCE)

    async def _left(self, page: str) -> bool:
        try:
            return bool(
                await self.evaluate(f"location.href !== {json.dumps(page)} && document.readyState === 'complete'")
            )
        except ScriptError:
            return False  # the page went while it was asked

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression."""
        promise = await self._do("Runtime.evaluate", expression=as_json(expression))
        answer = promise
        if not promise["wasThrown"]:
            answer = await self._do(
                "Runtime.awaitPromise", promiseObjectId=promise["result"]["objectId"], returnByValue=True
            )
        if answer["wasThrown"]:
            raise ScriptError(str(answer["result"].get("description", answer["result"])))
        return json.loads(answer["result"]["value"])

    async def messages(self) -> list[str]:
        """The console messages."""
        return await self._console.read(self)

    async def screenshot(self) -> bytes:
        """What is seen, as a PNG."""
        width, height = await self.evaluate("[innerWidth, innerHeight]")
        answer = await self._do("Page.snapshotRect", x=0, y=0, width=width, height=height, coordinateSystem="Viewport")
        return b64decode(answer["dataURL"].partition(",")[2])

    async def resize(self, width: int, height: int) -> None:
        """Not offered: the window has toolbars, and its least width is more than a phone's; use a frame of that width."""
        raise NotImplementedError

    async def _navigate(self, url: str) -> None:
        loads = self._loads
        await self._do("Page.navigate", url=url)
        await until(lambda: self._loads > loads, PATIENCE)

    async def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        inner = json.dumps({"id": self._number, "method": method, "params": parameters})
        outer = {"targetId": self._target, "message": inner}
        await self._socket.send(json.dumps({"id": 0, "method": "Target.sendMessageToTarget", "params": outer}))
        async with asyncio.timeout(PATIENCE):
            found = await answer
        if "error" in found:
            raise ScriptError(f"{method}: {found['error'].get('message', found['error'])}")
        return dict(found["result"])


def mini_browser() -> str:
    """The path of WebKitGTK's own small browser, which is not on the PATH."""
    for found in sorted(Path("/usr").glob("lib*/**/webkit2gtk-4.?/MiniBrowser")):
        return str(found)
    pytest.fail("no MiniBrowser of WebKitGTK: scripts/setup-browsers installs it if run by root", pytrace=False)


@asynccontextmanager
async def screen(folder: Path) -> AsyncIterator[str]:
    """Run an X server without a monitor, as long as the block; answers the name of its display."""
    reading, writing = os.pipe()
    command = [program("Xvfb"), "-displayfd", str(writing), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
    async with browser_process(command, folder, {}, pass_fds=[writing]):
        os.close(writing)
        with os.fdopen(reading) as lines:  # a whole line: it ends if nobody reads the end of it
            number = await asyncio.to_thread(lines.readline)
        yield f":{number.strip()}"


@asynccontextmanager
async def webkit(folder: Path) -> AsyncIterator[WebKitTab]:
    """Run a MiniBrowser with one tab, as long as the block."""
    inspector = f"127.0.0.1:{free_port()}"
    async with screen(folder / "screen") as display:
        environment = {"DISPLAY": display, "WEBKIT_INSPECTOR_HTTP_SERVER": inspector, "LIBGL_ALWAYS_SOFTWARE": "1"}
        async with (
            browser_process([mini_browser(), "--private", "about:blank"], folder / "browser", environment),
            httpx.AsyncClient(trust_env=False) as http,
        ):

            async def path() -> str | None:
                try:
                    found = re.search(r"/socket/[^']+", (await http.get(f"http://{inspector}/")).text)
                except httpx.HTTPError:
                    return None
                return found and found[0]

            url = f"ws://{inspector}{await until(path)}"
            async with connect(url, proxy=None, max_size=None, ping_interval=None) as socket:
                tab = WebKitTab(socket)
                async with background(tab.listen()):
                    await tab.begin()
                    yield tab
