"""What the widget costs a page: `python -m bench.widget [--rounds N] [--json FILE]`, in two minutes.

In: the file that is served, and pages with 20 and with 200 counters in view. Out: a table of medians, each beside an empty page in the same
run. Each measurement has a Chromium of its own, so that nothing is compiled or cached before; the counters come from this process over the
WebSocket that the widget opens.

  upgrade    from the start of the script to the end of the task in which it defines and upgrades the elements
  shown      from the start of the navigation to the frame after the last counter's first number
  script, layout, task   CPU of the renderer's main thread until then, as Chromium counts it (Performance.getMetrics)
  bytes      of the script over the wire, with its headers
"""

import asyncio
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

import typer
from playwright.async_api import BrowserType, CDPSession, Page, async_playwright
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from bench.results import machine, number
from server.accept_encoding import IDENTITY, chosen
from server.pages import WIDGET
from server.script_file import ScriptFile
from tests.rig.browser import FLAGS, chromium
from tests.rig.host_site import SCRIPT, counter

EMPTY, SIZES = 0, (20, 200)
UNITS = {
    "upgrade": "ms from the script's start to the end of its task",
    "shown": "ms from the navigation to the last number",
    "script": "ms CPU in scripts",
    "layout": "ms CPU in layout",
    "task": "ms CPU in all tasks",
    "bytes": "bytes of the script",
}
CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel"]
LONGEST = 30_000
"""Milliseconds until a page counts as failed."""

# A number counts as shown in the frame after its event; on the empty page the first frame after the load is waited for.
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{number}</title>
<script>
  window.shown = new Promise((done) => {{
    const frame = () => requestAnimationFrame(() => setTimeout(() => done(performance.now())));
    let missing = {number};
    if (!missing) addEventListener("load", frame);
    addEventListener("ticket-counter", ({{ counter }}) => {{ if (counter && !--missing) frame(); }});
  }});
</script>
{script}<p>{tags}</p>"""


def ticket(at: int) -> str:
    """The id of a ticket."""
    return f"11111111-aaaa-4aaa-8aaa-{at:012x}"


def page_of(number_: int) -> str:
    """A page with so many counters, and without the script if there are none."""
    tags = " ".join(f'<ticket-counter ticket="{ticket(at)}">Tickets</ticket-counter>' for at in range(number_))
    return _PAGE.format(number=number_, tags=tags, script=f'<script src="{SCRIPT}" async></script>' if number_ else "")


def answer(script: ScriptFile, request: Request) -> Response | None:
    """The answer to a plain request; None to a WebSocket's."""
    if "Upgrade" in request.headers:
        return None
    headers = Headers({"Content-Type": "text/html; charset=utf-8", "Connection": "close"})
    body = b""
    if request.path == SCRIPT:
        coding = chosen(request.headers.get("Accept-Encoding"), [*script.forms][:-1]) or IDENTITY
        body = script.forms[coding]
        headers["Content-Type"] = "text/javascript"
        headers["Content-Encoding"] = coding
    elif request.path.strip("/").isdigit():
        body = page_of(int(request.path.strip("/"))).encode()
    headers["Content-Length"] = str(len(body))
    return Response(HTTPStatus.OK, "OK", headers, body)


async def counters(connection: ServerConnection) -> None:
    """One viewer's WebSocket: a counter for each of its tickets."""
    request = connection.request
    query = parse_qs(request.path.partition("?")[2]) if request else {}
    for id_ in query.get("ticket", ()):
        await connection.send(counter(id_))
    await connection.wait_closed()


class Measured:
    """One measurement: a page in a browser of its own."""

    def __init__(self, browser: BrowserType, executable: str, url: str) -> None:
        self._browser, self._executable, self._url = browser, executable, url

    async def costs(self, number_: int) -> dict[str, float]:
        """When the numbers are shown, CPU until then, and bytes of the script."""
        async with AsyncExitStack() as stack:
            page, session = await self._open(stack)
            received: dict[str, float] = {}
            scripts: set[str] = set()
            session.on(
                "Network.requestWillBeSent",
                lambda event: scripts.add(event["requestId"]) if event["request"]["url"].endswith(SCRIPT) else None,
            )
            session.on(
                "Network.loadingFinished",
                lambda event: received.update({event["requestId"]: event["encodedDataLength"]}),
            )
            await session.send("Network.enable")
            await session.send("Performance.enable")
            before = await self._cpu(session)
            shown = await self._show(page, number_)
            after = await self._cpu(session)
            found = {name: after[name] - before[name] for name in before}
            return {"shown": shown, **found, "bytes": sum(received.get(one, 0.0) for one in scripts)}

    async def upgrade(self, number_: int) -> float:
        """Milliseconds from the script's start to the end of its task, which a trace tells; it makes all slower, so it is a run of its own."""
        async with AsyncExitStack() as stack:
            page, _ = await self._open(stack)
            browser = page.context.browser
            if browser is None:
                raise RuntimeError("the page has no browser")
            await browser.start_tracing(page=page, categories=CATEGORIES)
            await self._show(page, number_)
            return _upgrade(json.loads(await browser.stop_tracing())["traceEvents"])

    async def _open(self, stack: AsyncExitStack) -> tuple[Page, CDPSession]:
        browser = await self._browser.launch(executable_path=self._executable, args=[*FLAGS])
        stack.push_async_callback(browser.close)
        page = await browser.new_page()
        return page, await page.context.new_cdp_session(page)

    async def _show(self, page: Page, number_: int) -> float:
        await page.goto(f"{self._url}/{number_}", wait_until="commit")
        async with asyncio.timeout(LONGEST / 1000):
            return float(await page.evaluate("shown"))

    @staticmethod
    async def _cpu(session: CDPSession) -> dict[str, float]:
        metrics = {one["name"]: one["value"] for one in (await session.send("Performance.getMetrics"))["metrics"]}
        return {name: 1000 * metrics[f"{name.title()}Duration"] for name in ("script", "layout", "task")}


def _upgrade(events: list[dict[str, Any]]) -> float:
    """Milliseconds from the evaluation of the widget to the end of the task around it; raises LookupError if the trace has none."""
    [script] = [
        one
        for one in events
        if one["name"] == "EvaluateScript" and str(one.get("args", {}).get("data", {}).get("url", "")).endswith(SCRIPT)
    ]
    around = [
        one["ts"] + one["dur"]
        for one in events
        if one["name"].endswith("RunTask")
        and (one["pid"], one["tid"]) == (script["pid"], script["tid"])
        and one["ts"] <= script["ts"] < one["ts"] + one.get("dur", 0)
    ]
    return float(min(around) - script["ts"]) / 1000


async def measure(rounds: int) -> dict[int, dict[str, list[float]]]:
    """All figures by the number of counters, one value per round; the pages alternate, so that other load affects all of them."""
    found: dict[int, dict[str, list[float]]] = {size: defaultdict(list) for size in (EMPTY, *SIZES)}
    script = ScriptFile.read(WIDGET)
    async with (
        serve(counters, "127.0.0.1", 0, process_request=lambda _, request: answer(script, request)) as server,
        async_playwright() as playwright,
    ):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        one = Measured(playwright.chromium, chromium(playwright), url)
        for at in range(rounds):
            for size in found if at % 2 == 0 else reversed(found):
                print(f"round {at + 1} of {rounds}: {size or 'no'} counters", flush=True)
                figures = await one.costs(size)
                if size:
                    figures["upgrade"] = await one.upgrade(size)
                for name, value in figures.items():
                    found[size][name].append(value)
    return found


def show(found: Mapping[int, Mapping[str, list[float]]]) -> None:
    """Print the table."""
    print("\nmedians (minimum to maximum), and the ratio to the empty page's")
    for figure, unit in UNITS.items():
        print(f"\n{unit}")
        for size, figures in found.items():
            if values := figures.get(figure):
                middle, empty = statistics.median(values), statistics.median(found[EMPTY].get(figure, [0.0]))
                ratio = f"ratio {middle / empty:.2f}" if size and empty else ""
                name = f"{size} counters" if size else "empty page"
                print(f"  {name:<14}{number(middle):>10}  ({number(min(values))} to {number(max(values))})  {ratio}")


def main(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds over all pages; the result is their median.")] = 5,
    result: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
) -> None:
    """Measure what the widget costs a page, beside an empty page."""
    found = asyncio.run(measure(rounds))
    show(found)
    if result is not None:
        result.write_text(json.dumps({"machine": machine(), "widget": found}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
