"""/embed: a page for iframes with the counters of tickets or of an event.

In: the query of /v1/counters, and what the page is to look like (`lang`, `theme`, `text`, `option`, `show-name`, `show-price`,
`show-link`). Out: HTML and its content security policy, or BadRequest naming the parameter that is wrong.
"""

import hashlib
import html
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from server.errors import BadRequest
from server.query import Query, parse
from server.snippet import SHOWN, tag

LONGEST_TEXT = 500
"""Characters of `text` and `option`."""
FRAME_SCRIPT = "/widget/v1/embed.js"
"""The address of the script that tells the page around how high this one is."""
LANG = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,4}")
"""A language tag, with hyphens or underscores."""

_RIGHT_TO_LEFT = {"ar", "fa", "he", "iw", "ur", "yi"}
_FLAGS = {"": True, "1": True, "true": True, "0": False, "false": False}
_SCHEMES = {
    # Without one: a browser makes a frame opaque whose color-scheme is not that of the page around it.
    None: "",
    "light": ":root{color-scheme:light}",
    "dark": ":root{color-scheme:dark}",
    "auto": ":root{color-scheme:light dark}",
}
_STYLE = (
    "html,body{background:transparent}body{margin:0;font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "ticket-counter{display:block;min-height:1lh}"
)
_PAGE = """<!doctype html>
<html lang="{lang}" dir="{dir}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>Tickets left</title>
<base target="_blank">
<style>{style}</style>
<script src="{root}/widget/v1/ticket-counter.js" async></script>
<script src="{root}{script}" defer></script>
<body>
{tags}
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class EmbedPage:
    """What one request asks for."""

    query: Query
    lang: str = "en"
    theme: str | None = None
    text: str = ""
    option: str | None = None
    shown: tuple[str, ...] = ()

    @classmethod
    def parse(cls, query: str) -> "EmbedPage":
        """Read a query string; raises BadRequest naming the parameter that is wrong."""
        wanted = parse(query)
        # The length and the number of parameters are those that `parse` allows. The last one of a name counts.
        given = dict(parse_qsl(query, keep_blank_values=True))
        lang, theme = given.get("lang") or "en", given.get("theme") or None
        if not LANG.fullmatch(lang):
            raise BadRequest("lang", f"lang={lang[:60]!a} is not a language tag, such as de or pt-BR")
        if theme not in _SCHEMES:
            raise BadRequest("theme", f"theme={str(theme)[:60]!a} is none of light, dark, auto")
        for name in ("text", "option"):
            if len(given.get(name, "")) > LONGEST_TEXT:
                raise BadRequest(name, f"{name} is longer than {LONGEST_TEXT} characters")
        return cls(
            wanted,
            lang.replace("_", "-"),
            theme,
            given.get("text", ""),
            given.get("option") or None,
            # Several counters side by side need their names to be told apart.
            tuple(one for one in SHOWN if _flag(given, one, len(wanted.tickets) > 1 and one != "show-link")),
        )

    @property
    def style(self) -> str:
        """The page's style sheet."""
        return _STYLE + _SCHEMES[self.theme]

    def html(self, root: str) -> str:
        """The page; *root* is the path below which this server is published."""
        # The frame may be lower than its counters are, until the page around knows how high they are.
        of_each = {"site": self.query.site, "option": self.option, **dict.fromkeys((*self.shown, "eager"), True)}
        ids = [{"event": self.query.event}] if self.query.event else [{"ticket": one} for one in self.query.tickets]
        return _PAGE.format(
            lang=html.escape(self.lang),
            dir="rtl" if self.lang.partition("-")[0].lower() in _RIGHT_TO_LEFT else "ltr",
            style=self.style,
            root=html.escape(root),
            script=FRAME_SCRIPT,
            tags="\n".join(tag({**id_, **of_each}, self.text) for id_ in ids),
        )

    def policy(self, frame_ancestors: str, public_url: str | None) -> str:
        """The content security policy: this server's scripts and counters, this page's style, and which pages may frame it."""
        style = b64encode(hashlib.sha256(self.style.encode()).digest()).decode()
        # Some browsers do not count a WebSocket to the same host as 'self'.
        parts = urlsplit(public_url or "")
        socket = f" {'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}" if parts.netloc else ""
        return (
            f"default-src 'none'; script-src 'self'; connect-src 'self'{socket}; style-src 'sha256-{style}'; "
            f"base-uri 'none'; form-action 'none'; frame-ancestors {frame_ancestors}"
        )


def _flag(given: Mapping[str, str], name: str, otherwise: bool) -> bool:
    """Whether a parameter without a value, or with 1 or 0, is on; raises BadRequest."""
    if name not in given:
        return otherwise
    if (value := _FLAGS.get(given[name].lower())) is None:
        raise BadRequest(name, f"{name}={given[name][:60]!a} is neither 1 nor 0")
    return value
