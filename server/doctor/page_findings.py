"""What it means what was seen of a page in a browser: which scripts and elements it has, and what the server answers it.

In: the scripts, the elements and the answers of each frame. Out: findings, with the place in Wix's menus. Errors of the page itself are
in page_errors.py.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from urllib.parse import urlencode

from server.doctor import page_errors, web
from server.doctor.finding import Finding
from server.doctor.page_errors import is_mixed, refused
from server.doctor.page_seen import FOLDER, NAME, NOTHING, SCRIPT_MENU, Element, Frame, Seen
from server.doctor.web import NoAnswer

ELEMENT_MENU = (
    "in Wix Studio: Add Elements, Embed & Social, Custom Element; in the Wix Editor: Add, Embed, Popular Embeds, Custom Element; "
    "its source is the server URL <PUBLIC_URL>/widget/v1/ticket-counter.js, its tag name ticket-counter, and the attribute "
    "`ticket` is set in its panel Set Attributes"
)


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
    for finding in _of_counters(seen, used, others=bool(faults)):
        yield finding


def _of_counters(seen: Seen, frames: Sequence[Frame], *, others: bool) -> Iterator[Finding]:
    """What the elements show, and the errors of scripts; *others*: something else was found, which explains what is missing."""
    elements = [element for frame in frames for element in frame.elements]
    shown = [element for element in elements if element.shows]
    blank = [element for element in elements if not element.shows and not element.event]
    yield from page_errors.of_scripts(seen, blank=len(shown) < len(elements))
    if blank and not others:
        what = f"counters that show nothing: {len(blank)} of {len(blank) + len(shown)}"
        errors = "; ".join(text for text in seen.console if "ticket-counter" in text)[:300]
        yield Finding.fault(
            NAME, f"{what}{'; ' if errors else ''}{errors}", NOTHING, "see whether their tickets are shown at Wix"
        )
    if not others:
        yield from _of_events(frames)
    yield from _of_shown(shown)


def _of_events(frames: Sequence[Frame]) -> Iterator[Finding]:
    """What is known of elements of an event that say no state: a script that knows them need not say one for all tickets together."""
    silent = [(frame, element) for frame in frames for element in frame.elements if element.event and not element.shows]
    for frame, element in silent:
        if frame.defined and not frame.knows_events:
            yield Finding.notice(
                NAME,
                f"an element names {element.named}, and the script on this page does not say that it knows the attribute `event`",
                "a version of the script that does not shows nothing there",
                "load the newest version of the script, which is not pinned by a hash, or add an element for each ticket: "
                "`ticket-counter embed EVENT` prints them",
            )
    if known := [element for frame, element in silent if frame.knows_events]:
        yield Finding.ok(NAME, f"elements of events whose tickets the server has: {len(known)}")


def _of_shown(shown: Sequence[Element]) -> Iterator[Finding]:
    """What the elements show that have a counter; *gone* is one of them, which visitors do not see."""
    visible = [element for element in shown if element.state != "gone"]
    for element in shown:
        if element.state == "gone":
            attribute = "event" if element.event else "ticket"
            what = f"{element.named} is gone: Wix has no such {attribute}, or does not show it"
            cure = (
                f"correct the attribute `{attribute}`, or show the {attribute} at Wix: `ticket-counter {attribute}s` has the ids, and says "
                "which are hidden"
            )
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
    if any(not (element.ticket or element.event) for element in frame.elements):
        cure = "set it: `ticket-counter tickets` has the ids"
        yield Finding.fault(NAME, f"an element has no attribute `ticket`{where}", NOTHING, cure)
    yield from page_errors.of_frame(seen, frame, where)


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


def _of_script(seen: Seen, frame: Frame, script: str) -> Finding | None:
    """What is wrong where the script did not come."""
    if is_mixed(seen, script) or script in (blocked for _, blocked in refused(frame)):
        return None  # told with the errors of the page
    answer = seen.answers.get(script, "")
    if frame.defined and (not answer or answer.startswith(("2", "304"))):
        return None
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
        if not server or not (element.ticket or element.event) or element.shows:
            continue
        try:
            answer = await web.ask(f"{server}/v1/counters?{urlencode(element.query)}", Origin=frame.origin)
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
                f"{element.named}: {answer.status} {answer.body[:200]}",
                NOTHING,
                "correct the element's attributes",
            )
