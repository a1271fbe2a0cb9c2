"""Pages of other sites that embed the widget, as data; and what serves them to browsers, with a real counter server.

`HostPage` is one habit of real sites and what its visitors see. `async with host_pages(redis_url) as hosts` serves pages from two
origins, `hosts.put(page)` answers a page's address; the counters come from our server, with a real Redis. In the text of a page:

    {W}           the widget's script tag, as the README has it, without `async`
    {A} {WA}      the counter server, as http and as ws
    {B}           the same server under a path (ROOT_PATH)
    {H}           the other origin of the host, which serves the same pages and frames
    {PINNED}      the script tag with a hash in its address and `integrity`
    {SOURCE}      the widget's file itself, to be inlined
    {T1} {T2} …   ids of tickets: see TICKETS
    {TAG}         `<ticket-counter ticket="{T1}">Tickets at the door</ticket-counter>`
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from server.model import Definition, EventId, Price, Sale, SaleStatus, SiteId
from server.pages import WIDGET
from server.snippet import script
from tests.rig.default_keys import key
from tests.rig.fake_reader import EVENT, FakeReader, definition
from tests.rig.server import SITE, RunningServer, servers
from tests.rig.stored_event import store_event

SLUG = "summer-gala"
LOW = "Only 3 left at this price."
PLENTY = "48 left at this price."
OWN = "Tickets at the door"
LONG = "Донаудампфшиффахртсгезелльшафтскапитэн" * 6


def ticket(number: int) -> str:
    """The id of a ticket."""
    return f"{number:08d}-aaaa-4aaa-8aaa-{number:012d}"


def stock() -> list[Definition]:
    """What Wix has: T1 three left, T2 48 left, T3 sold out, T4 not yet on sale, T5 with a long name, T6 free; then 200 with three left each."""
    return [
        definition(ticket(1), 3),
        definition(ticket(2), 48, name="Balcony", prices=(Price("8.50", "USD"),)),
        definition(ticket(3), 0, name="Front row"),
        definition(
            ticket(4), 9, status=SaleStatus.SCHEDULED, sale=Sale("2035-03-01T18:30:00Z", None, "UTC"), name="Late"
        ),
        definition(ticket(5), 3, name=LONG),
        definition(ticket(6), 3, name="Child", prices=(Price("0.00", "USD"),)),
        *(definition(ticket(100 + number), 3, event=EventId(OTHER_EVENT)) for number in range(200)),
    ]


OTHER_EVENT = "0b5f1a2e-4444-4444-8444-00000000e002"


@dataclass(frozen=True, kw_only=True)
class HostPage:
    """A page of a real site, and what is true of it in every engine.

    *title* says the habit. *shows* is the text of each counter, in the document's order: a text, or a pattern for all of it. Then *then*
    is run, if given, or the visitor goes away and comes back (*leaves*), or *sold* changes what is left of tickets, by number, each time when
    the page has shown the last change; after that the texts are *later*. *holds* are expressions that come to be true at the end. Each console message matches one of *says* or *noise*, and each
    of *says* has at least one message.
    """

    title: str
    body: str = ""
    shows: tuple[str | re.Pattern[str], ...] = (LOW,)
    head: str = ""
    root: str = 'lang="en"'
    doctype: str = "<!doctype html>"
    whole: str = ""
    type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    frames: Mapping[str, str] = field(default_factory=dict)
    then: str = ""
    sold: Sequence[Mapping[int, int]] = ()
    leaves: bool = False
    later: tuple[str | re.Pattern[str], ...] = ()
    holds: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Where it is served."""
        return "/" + re.sub(r"\W+", "-", self.title.lower()).strip("-")

    def text(self) -> str:
        """The document, with placeholders."""
        if self.whole:
            return self.whole
        meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        return f"{self.doctype}<html {self.root}><head>{meta}<title>{self.title}</title>{self.head}</head><body>{self.body}</body></html>"


class Hosts:
    """A site of two origins, beside a counter server."""

    def __init__(self, server: RunningServer, below: RunningServer, reads: FakeReader) -> None:
        self.server = server
        self.below = below
        self.reads = reads
        self.url = ""
        self.other = ""
        self._served: dict[str, tuple[str, str, Mapping[str, str]]] = {
            "/elsewhere": ("<p>Elsewhere</p>", "text/html", {})
        }

    def put(self, page: HostPage) -> str:
        """Serve a page and its frames; answers its address."""
        for path, text in page.frames.items():
            self._served[path] = (self.filled(text), "text/html; charset=utf-8", {})
        headers = {name: self.filled(value) for name, value in page.headers.items()}
        self._served[page.path] = (self.filled(page.text()), page.type, headers)
        return self.url + page.path

    def filled(self, text: str) -> str:
        """A text with its placeholders replaced."""
        source = WIDGET.read_bytes()
        values = {
            "W": script(self.server.url).replace("async ", ""),
            "PINNED": script(self.server.url, source).replace("async ", ""),
            "TAG": f'<ticket-counter ticket="{ticket(1)}">{OWN}</ticket-counter>',
            "A": self.server.url,
            "WA": self.server.ws,
            "B": f"{self.below.url}/counter",
            "H": self.other,
            "SOURCE": source.decode(),
            **{f"T{number}": ticket(number) for number in range(1, 7)},
        }
        return re.sub(r"\{([A-Z]+\d?)\}", lambda match: values.get(match[1], match[0]), text)

    async def restock(self) -> None:
        """Read all tickets as they are at the beginning: no number of an earlier page stays, and none is too old to be shown."""
        await self.reads.read(*stock())

    async def sell(self, left: Mapping[int, int]) -> None:
        """So many of each of these tickets are left now."""
        by_number = {one.id: one for one in stock()}
        for number, unsold in left.items():
            found = by_number[stock()[number - 1].id]
            await self.reads.read(definition(found.id, unsold, name=found.name, prices=found.prices))

    def answer(self, connection: ServerConnection, request: Request) -> Response:
        """Answer a GET request."""
        path = request.path.partition("?")[0]
        if path not in self._served:
            return connection.respond(204 if path.endswith("/favicon.ico") else 404, "")
        text, kind, extra = self._served[path]
        body = text.encode()
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close", **extra}
        return Response(200, "OK", Headers(headers), body)


@asynccontextmanager
async def host_pages(redis_url: str) -> AsyncIterator[Hosts]:
    """A counter server with tickets, and a site that has pages, as long as the block; the Redis is to be empty."""
    async with AsyncExitStack() as stack:
        start = await stack.enter_async_context(servers(redis_url))
        server = await start()
        below = await start(root_path="/counter")
        reads = FakeReader(redis_url, SITE)
        stack.push_async_callback(reads.aclose)
        hosts = Hosts(server, below, reads)
        await store_event(reads.store, SiteId(SITE), EventId(EVENT), SLUG, "Summer gala")
        await hosts.restock()
        await reads.store.do("HSET", key(SITE, "site"), "complete", 1)
        urls = []
        for _ in range(2):
            listening = await stack.enter_async_context(
                serve(_no_socket, "127.0.0.1", 0, process_request=hosts.answer, ping_interval=None)
            )
            urls.append(f"http://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}")
        hosts.url, hosts.other = urls
        yield hosts


async def _no_socket(connection: ServerConnection) -> None:
    """The site itself has no sockets."""


SHOWN = """(() => {
  const found = [];
  const walk = (root) => {
    for (const node of root.querySelectorAll("*")) {
      if (node.localName === "ticket-counter") found.push(node);
      else if (node.shadowRoot) walk(node.shadowRoot);
      // WebKit tells in the console of each look into a frame that is not open to the page.
      const open = node.localName === "iframe" && !node.sandbox.length && (!node.src || node.src.startsWith(origin));
      if (open && node.contentDocument) walk(node.contentDocument);
    }
  };
  walk(document);
  for (const root of window.closedRoots ?? []) walk(root);
  const displayed = (node) => node.ownerDocument.defaultView?.getComputedStyle(node).display !== "none";
  const text = (node) => node.textContent.trim();
  return found.map((counter) => {
    const root = counter.shadowRoot;
    if (!root || displayed(root.querySelector("slot"))) return text(counter);
    const parts = [...root.querySelectorAll("[part]")].filter((part) => !part.querySelector("[part]") && displayed(part));
    return parts.map(text).filter((found) => found).join(" ");
  });
})()"""
"""What each counter of the page shows: its sentence with the parts beside it, or its own content."""


def matches(expected: tuple[str | re.Pattern[str], ...], seen: Any) -> bool:
    """Tell whether these are the texts that are expected."""
    return len(expected) == len(seen) and all(
        one == text if isinstance(one, str) else one.fullmatch(text) for one, text in zip(expected, seen, strict=True)
    )
