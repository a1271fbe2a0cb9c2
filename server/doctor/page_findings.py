"""What was seen of a page in a browser, and what it means.

In: the scripts, the elements and the answers of each frame. Out: findings, with the place in Wix's menus.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from server.doctor import web
from server.doctor.finding import Finding
from server.doctor.web import NoAnswer

NAME = "site"
FOLDER = "/widget/v1/"
ELEMENT_MENU = (
    "in Wix Studio: Add Elements, Embed & Social, Custom Element; in the Wix Editor: Add, Embed, Popular Embeds, Custom Element; "
    "its source is the server URL <PUBLIC_URL>/widget/v1/ticket-counter.js, its tag name ticket-counter, and the attribute "
    "`ticket` is set in its panel Set Attributes"
)
SCRIPT_MENU = "in the site's dashboard: Settings, Custom Code; or the server URL of the Custom Element (Choose Source)"
NOTHING = "visitors see no number on this page"


@dataclass(frozen=True, slots=True)
class Element:
    """One <ticket-counter>, by its attributes; `state` is empty while it has no counter."""

    ticket: str
    site: str
    server: str
    state: str

    @property
    def shows(self) -> bool:
        """Whether its number is verified, so that it shows something, or knows that there is nothing to show."""
        return self.state not in {"", "unknown"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A document of the page: the scripts of the widget in it, its elements, and what its Content-Security-Policy refused."""

    url: str
    origin: str
    scripts: tuple[str, ...] = ()
    elements: tuple[Element, ...] = ()
    defined: bool = False
    violations: tuple[str, ...] = ()

    @classmethod
    def read(cls, url: str, found: Mapping[str, Any]) -> Self:
        """By what the browser answered, in which a page of others may have put anything."""
        elements = (
            Element(*(str(one[name]) for name in ("ticket", "site", "server", "state"))) for one in found["elements"]
        )
        return cls(
            url,
            str(found["origin"]),
            tuple(map(str, found["scripts"])),
            tuple(elements),
            bool(found["defined"]),
            tuple(map(str, found["violations"])),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A page: `fault` is why it did not open, `answers` the status of each address that it asked for, or why it had none."""

    url: str
    fault: str = ""
    frames: tuple[Frame, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    console: tuple[str, ...] = ()


async def findings(seen: Seen) -> AsyncIterator[Finding]:
    """What is wrong with the page, and what is right."""
    if seen.fault:
        yield Finding.fault(
            NAME, f"the page {seen.url} does not open: {seen.fault}", "nothing of it was seen", "see its address"
        )
        return
    used = [frame for frame in seen.frames if frame.scripts or frame.elements]
    if not used:
        what = f"the page {seen.url} has neither the script of the counter nor its element"
        yield Finding.fault(
            NAME, what, NOTHING, f"add both: {ELEMENT_MENU}. A page that was changed has to be published, too"
        )
        return
    faults = 0
    for frame in used:
        for finding in _of_frame(seen, frame):
            faults += 1
            yield finding
        async for finding in _of_server(frame):
            faults += 1
            yield finding
    shown = [element for frame in used for element in frame.elements if element.shows]
    blank = [element for frame in used for element in frame.elements if not element.shows]
    if blank and not faults:
        what = f"{len(blank)} of {len(blank) + len(shown)} counters show nothing"
        errors = "; ".join(text for text in seen.console if "ticket-counter" in text)[:300]
        yield Finding.fault(
            NAME, f"{what}{': ' if errors else ''}{errors}", NOTHING, "see whether their tickets are shown at Wix"
        )
    for finding in _of_shown(shown):
        yield finding


def _of_shown(shown: Sequence[Element]) -> Iterator[Finding]:
    """What the elements show that have a counter; *gone* is one of them, which visitors do not see."""
    visible = [element for element in shown if element.state != "gone"]
    for element in shown:
        if element.state == "gone":
            what = f"ticket {element.ticket} is gone: Wix has no such ticket, or does not show it"
            cure = "correct the attribute `ticket`, or show the ticket at Wix: `ticket-counter tickets` has the ids, and says which are hidden"
            if visible:
                yield Finding.notice(NAME, what, "visitors see no number there", cure)
            else:
                yield Finding.fault(NAME, what, NOTHING, cure)
    if visible:
        states = sorted({element.state for element in visible})
        yield Finding.ok(NAME, f"counters that are shown: {len(visible)} ({', '.join(states)})")


def _of_frame(seen: Seen, frame: Frame) -> Iterator[Finding]:
    """What is wrong with the scripts and the elements themselves."""
    where = "" if frame.url == seen.url else f" (in the frame {frame.url})"
    yield from _of_scripts(seen, frame, where)
    if not frame.elements:
        yield Finding.fault(
            NAME, f"there is the script, and no element{where}", NOTHING, f"add the element: {ELEMENT_MENU}"
        )
    if any(not element.ticket for element in frame.elements):
        cure = "set it: `ticket-counter tickets` has the ids"
        yield Finding.fault(NAME, f"an element has no attribute `ticket`{where}", NOTHING, cure)
    for directive, blocked in dict.fromkeys(_ours_refused(frame)):
        yield Finding.fault(
            NAME,
            f"the page's Content-Security-Policy refuses {blocked} ({directive}){where}",
            NOTHING,
            f"allow the server there in script-src and connect-src, with https: and wss:; at Wix, {SCRIPT_MENU}",
        )


def _of_scripts(seen: Seen, frame: Frame, where: str) -> Iterator[Finding]:
    if not frame.scripts and not frame.defined:
        yield Finding.fault(
            NAME, f"there is an element, and no script{where}", NOTHING, f"add the script: {SCRIPT_MENU}"
        )
    for script in dict.fromkeys(frame.scripts):
        if (fault := _of_script(seen, frame, script)) is not None:
            yield fault
    servers = {_server(script) for script in frame.scripts}
    if len(servers) > 1:
        what = f"the script is loaded from {len(servers)} servers: {', '.join(sorted(servers))}{where}"
        yield Finding.fault(NAME, what, "the one that comes first is used, by chance", f"keep one: {SCRIPT_MENU}")
    elif len(frame.scripts) > 1:
        what = f"the script is loaded {len(frame.scripts)} times{where}"
        yield Finding.notice(NAME, what, "only the first one is used", f"keep one: {SCRIPT_MENU}")


def _server(script: str) -> str:
    """The address of the server that a script is of, whose name may be misspelt."""
    return script.partition(FOLDER)[0]


def _ours_refused(frame: Frame) -> Iterator[tuple[str, str]]:
    """The directive and the address of each refusal by the Content-Security-Policy that is about our server."""
    hosts = {urlsplit(one.server or script).netloc for one in frame.elements for script in (frame.scripts or ("",))}
    hosts |= {urlsplit(script).netloc for script in frame.scripts}
    for violation in frame.violations:
        directive, _, blocked = violation.partition(" ")
        if urlsplit(blocked).netloc in hosts - {""}:
            yield directive, blocked


def _of_script(seen: Seen, frame: Frame, script: str) -> Finding | None:
    """What is wrong where the script did not come."""
    if seen.url.startswith("https:") and script.startswith("http:"):
        return Finding.fault(
            NAME,
            f"the page is https, and its script {script} is not: a browser does not load it (mixed content)",
            NOTHING,
            f"write https:// in its address: {SCRIPT_MENU}",
        )
    answer = seen.answers.get(script, "")
    if frame.defined and (not answer or answer.startswith(("2", "304"))):
        return None
    if any(blocked == script for _, blocked in _ours_refused(frame)):
        return None  # told with the Content-Security-Policy
    if not answer.startswith("2"):
        no_script = (
            "what is answered there is no script, as a page that says 404" if "ERR_BLOCKED_BY_ORB" in answer else answer
        )
        what = f"the script {script} does not come: {no_script or 'it was not asked for'}"
        cure = f"see PUBLIC_URL, and correct its address, which ends with {FOLDER}ticket-counter.js: {SCRIPT_MENU}"
        return Finding.fault(NAME, what, NOTHING, cure)
    return Finding.fault(
        NAME, f"what comes from {script} is not the script of the counter", NOTHING, "see the proxy and PUBLIC_URL"
    )


async def _of_server(frame: Frame) -> AsyncIterator[Finding]:
    """What the server answers to this page, whose origin is said as a browser says it."""
    for element in frame.elements:
        server = element.server or next(map(_server, frame.scripts), "")
        if not server or not element.ticket or element.shows:
            continue
        query = {"ticket": element.ticket, **({"site": element.site} if element.site else {})}
        try:
            answer = await web.ask(f"{server}/v1/counters?{urlencode(query)}", Origin=frame.origin)
        except NoAnswer as error:
            yield Finding.fault(NAME, f"the server {server} cannot be reached: {error}", NOTHING, "see PUBLIC_URL")
            continue
        if answer.status == 403:
            yield Finding.fault(
                NAME,
                f"ORIGINS does not allow {frame.origin}, the origin of this page",
                NOTHING,
                f"add {frame.origin} to ORIGINS, and restart the web processes",
            )
        elif answer.status >= 400:
            yield Finding.fault(
                NAME,
                f"ticket {element.ticket}: {answer.status} {answer.body[:200]}",
                NOTHING,
                "correct the element's attributes",
            )
