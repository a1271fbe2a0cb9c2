"""Errors of a page itself, apart from what it has of the counter: scripts that fail, its Content-Security-Policy, mixed content.

In: what was seen of the page. Out: findings, with the place in Wix's menus. An error of another script is told only where a counter
shows nothing, since most pages have some. Sources: W3C, "Mixed Content" and "Secure Contexts" (a loopback address is secure).
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from server.addresses import is_loopback, literal
from server.doctor.finding import Finding
from server.doctor.page_seen import FOLDER, NAME, NOTHING, SCRIPT_MENU, Frame, Seen

MOST_ERRORS = 3
"""Errors of other scripts that are told: the first ones, of which others may follow."""
LONGEST_ERROR = 200


def of_frame(seen: Seen, frame: Frame, where: str) -> Iterator[Finding]:
    """What the page's address and its policy keep from coming up in this document; *where* it is, in words."""
    for script in dict.fromkeys(frame.scripts):
        if is_mixed(seen, script):
            yield Finding.fault(
                NAME,
                f"the page is https, and its script {script} is not: a browser does not load it (mixed content)",
                NOTHING,
                f"write https:// in its address: {SCRIPT_MENU}",
            )
    for server in dict.fromkeys(element.server for element in frame.elements):
        if is_mixed(seen, server):
            yield Finding.fault(
                NAME,
                f"the page is https, and the attribute `server` of an element is {server}: a browser does not connect there (mixed content)",
                NOTHING,
                "write https:// in the attribute `server`, or leave it out where the script comes from that server",
            )
    for directive, blocked in dict.fromkeys(refused(frame)):
        yield Finding.fault(
            NAME,
            f"the page's Content-Security-Policy refuses {blocked} ({directive}){where}",
            NOTHING,
            f"allow the server there in script-src and connect-src, with https: and wss:; at Wix, {SCRIPT_MENU}",
        )


def of_scripts(seen: Seen, *, blank: bool) -> Iterator[Finding]:
    """Errors that scripts raised; *blank*: a counter of the page shows nothing, of which one of these may be the cause."""
    every = list(dict.fromkeys(seen.errors))
    ours = [error for error in every if FOLDER in error]
    for error in ours[:MOST_ERRORS]:
        yield Finding.fault(
            NAME,
            f"the counter's own script fails on this page: {_shown(error)}",
            NOTHING if blank else "what visitors see of it may be wrong",
            "load the newest version of the script; if it still fails, report it, with the address of the page: it is a bug",
        )
    if not blank:
        return
    for error in [one for one in every if one not in ours][:MOST_ERRORS]:
        yield Finding.notice(
            NAME,
            f"another script of the page fails: {_shown(error)}",
            "one that fails, or changes what all scripts use, can keep the counter from coming up",
            f"see whether the counter comes up without that script: {SCRIPT_MENU}",
        )


def refused(frame: Frame) -> Iterator[tuple[str, str]]:
    """The directive and the address of each refusal by the Content-Security-Policy that is about our server."""
    hosts = {urlsplit(one.server or script).netloc for one in frame.elements for script in (frame.scripts or ("",))}
    hosts |= {urlsplit(script).netloc for script in frame.scripts}
    for violation in frame.violations:
        directive, _, blocked = violation.partition(" ")
        if urlsplit(blocked).netloc in hosts - {""}:
            yield directive, blocked


def is_mixed(seen: Seen, address: str) -> bool:
    """Whether a page of https names this address without TLS, so that a browser refuses it."""
    if not (seen.url.startswith("https:") and address.startswith("http:")):
        return False
    host = urlsplit(address).hostname or ""
    found = literal(host)
    return host != "localhost" and not host.endswith(".localhost") and not (found is not None and is_loopback(found))


def _shown(error: str) -> str:
    """The first line of an error, and where it was raised."""
    first, *rest = (line.strip() for line in error.splitlines())
    place = next((f" ({line})" for line in rest if line.startswith("at ") or "://" in line), "")
    return f"{first[:LONGEST_ERROR]}{place[:LONGEST_ERROR]}"
