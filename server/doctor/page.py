"""A page of the organiser's site, opened in Chromium as a visitor opens it: whether the counter comes up there, and why not.

In: the address of the page. Out: findings, with the place in Wix's menus where it is mended. Playwright drives the browser; it is no
dependency of the server. The browser has a fresh profile and an empty environment, and keeps its own sandbox unless *sandbox* is
false: a page of others runs in it. Sources of the menus: Wix, "Add a custom element", "Embedding custom code".
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.doctor.finding import Finding
from server.doctor.page_findings import findings
from server.doctor.page_seen import NAME, Frame, Seen

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPENS_WITHIN = 30_000.0
"""Milliseconds in which the page has to open."""
SHOWN_WITHIN = 12_000.0
"""Milliseconds in which a counter has to show something: by then the widget has asked in each way that it knows."""
LOOK_EVERY = 250.0

_OBSERVE = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.__violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
"""
_LOOK = """() => ({
  scripts: Array.from(document.scripts, ({ src }) => src).filter((src) => src.includes("/widget/v1/")),
  elements: Array.from(document.querySelectorAll("ticket-counter"), (one) => ({
    ticket: one.getAttribute("ticket") ?? "",
    site: one.getAttribute("site") ?? "",
    server: one.getAttribute("server") ?? "",
    event: one.getAttribute("event") ?? "",
    state: one.dataset.state ?? "",
  })),
  defined: customElements.get("ticket-counter") !== undefined,
  // Only versions that know no events observe attributes by name.
  knowsEvents: !(customElements.get("ticket-counter")?.observedAttributes ?? ["event"]).every((one) => one !== "event"),
  violations: window.__violations ?? [],
  origin: self.origin,
})"""


class NoBrowser(Exception):
    """The page cannot be opened here; the text says why, `cure` what to do."""

    def __init__(self, text: str, cure: str) -> None:
        super().__init__(text)
        self.cure = cure


@dataclass(slots=True)
class Recording:
    """What the page asked for, as it did: by address the answer's status, or why there was none; and what its scripts raised."""

    answers: dict[str, str] = field(default_factory=dict)
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


async def check(url: str, *, sandbox: bool = True, flags: Sequence[str] = ()) -> AsyncIterator[Finding]:
    """Open the page, wait until each counter shows something, and say what is wrong."""
    try:
        async with _browser(sandbox=sandbox, flags=flags) as browser:
            seen = await _open(await browser.new_page(), url)
    except NoBrowser as error:
        yield Finding.fault(NAME, str(error), "the page was not looked at", error.cure)
        return
    for finding in [one async for one in findings(seen)]:
        yield finding


@asynccontextmanager
async def _browser(*, sandbox: bool, flags: Sequence[str]) -> AsyncIterator["Browser"]:
    """Chromium, with a profile that is deleted afterwards. Raises NoBrowser."""
    try:
        from playwright.async_api import Error, async_playwright  # noqa: PLC0415 - an extra
    except ImportError:
        raise NoBrowser(
            "--site needs Playwright, which is not installed", "pip install 'ticket-counter[browser]'"
        ) from None
    with tempfile.TemporaryDirectory(prefix="ticket-counter-") as home:
        async with async_playwright() as playwright:
            path = _executable(playwright.chromium.executable_path)
            if path is None:
                raise NoBrowser(
                    "no Chromium is installed here", "run `playwright install chromium`, or apt-get install chromium"
                )
            try:
                browser = await playwright.chromium.launch(
                    executable_path=path,
                    chromium_sandbox=sandbox,
                    args=["--disable-background-networking", "--no-first-run", *flags],
                    env={"HOME": home, "PATH": os.defpath},
                )
            except Error as error:
                raise NoBrowser(
                    f"the browser does not start: {_first_line(error, sandbox=sandbox)}",
                    "run this as another user than root; in a container whose pages you trust, add --no-browser-sandbox",
                ) from None
            try:
                yield browser
            finally:
                await browser.close()


def _executable(own: str) -> str | None:
    """Playwright's own browser, else one that is installed."""
    return own if Path(own).exists() else next((found for name in BROWSERS if (found := shutil.which(name))), None)


def _first_line(error: Exception, *, sandbox: bool) -> str:
    text = str(error)
    if sandbox and "sandbox" in text:
        return "its sandbox cannot be used by this user, or in this container"
    return text.splitlines()[0]


async def _open(page: "Page", url: str) -> Seen:
    from playwright.async_api import Error  # noqa: PLC0415 - an extra

    recording = Recording()
    page.on("console", lambda message: recording.console.append(message.text))
    page.on("pageerror", lambda error: recording.errors.append(f"{error.name}: {error.message}\n{error.stack}"))
    page.on("response", lambda answer: recording.answers.__setitem__(answer.url, str(answer.status)))
    page.on("requestfailed", lambda asked: recording.answers.__setitem__(asked.url, asked.failure or "no answer"))
    await page.add_init_script(_OBSERVE)
    try:
        answer = await page.goto(url, timeout=OPENS_WITHIN, wait_until="load")
    except Error as error:
        return Seen(url, str(error).splitlines()[0])
    status = answer.status if answer else 0
    frames: list[Frame] = []
    waited = 0.0
    while waited <= SHOWN_WITHIN:
        frames = [found for one in page.frames if (found := await _look(one)) is not None]
        elements = [element for frame in frames for element in frame.elements]
        if elements and all(element.shows for element in elements):
            break
        await page.wait_for_timeout(LOOK_EVERY)
        waited += LOOK_EVERY
    fault = "" if status < 400 else f"it is answered {status}"
    return Seen(
        page.url, fault, tuple(frames), dict(recording.answers), tuple(recording.console), tuple(recording.errors)
    )


async def _look(frame: Any) -> Frame | None:
    from playwright.async_api import Error  # noqa: PLC0415 - an extra

    try:
        return Frame.read(frame.url, await frame.evaluate(_LOOK))
    except Error:
        return None  # it was left, or never loaded
