"""The target of pretix as the suite of all targets sees it: what a person does in pretix is done over its API."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from server.sync.conformance.bench import Bench, Fault, Meter
from server.sync.mapping_file.file import load
from server.sync.targets.pretix.target import Pretix
from tests.rig import http_proxy as proxies
from tests.rig.http_proxy import CUT_AFTER, HttpProxy, too_many
from tests.rig.pretix import META, PretixServer
from tests.rig.server import until

WITHIN = 5.0
"""Seconds for a call: long enough for a busy machine, and short for the checks that wait for its end."""

FILE = """
format = 1
[targets.box]
kind = "pretix"
url = "{url}"
organizer = "{organizer}"
token_env = "BOX_TOKEN"
allow_http = true
allow_private = true
events = {{ gala = "{event}" }}
"""

FAULTS = {
    Fault.REFUSED: proxies.Fault(400, body=b'{"name": ["Too long."]}'),
    Fault.UNAUTHORIZED: proxies.Fault(401, body=b'{"detail": "Invalid token."}'),
    Fault.FORBIDDEN: proxies.Fault(403, body=b'{"detail": "You do not have permission to perform this action."}'),
    Fault.TOO_LATE: proxies.Fault(408),
    Fault.TOO_MANY: too_many(7),
    Fault.BROKEN: proxies.Fault(500, {"Content-Type": "text/html"}, b"<h1>Server Error (500)</h1>"),
    Fault.DOWN: proxies.Fault(503),
    Fault.REDIRECT: proxies.Fault(301, {"Location": "http://127.0.0.1:9/"}),
    Fault.HTML: proxies.html(200),
    Fault.NOT_JSON: proxies.Fault(200, {"Content-Type": "application/json"}, b'{"id": 7, "na'),
    Fault.CUT: proxies.Fault(cut=True),
    Fault.SILENT: proxies.Fault(hangs=True),
    Fault.LOST: CUT_AFTER,
    Fault.LATE: proxies.Fault(late=2 * WITHIN),
}


class PretixBench(Bench):
    """The bench of an event of its own in a real pretix, behind a proxy."""

    page = 50
    faults = frozenset(FAULTS)
    id_in = frozenset({"internal_name"})

    def __init__(self, server: PretixServer, proxy: HttpProxy, event: str, folder: Path) -> None:
        file, meter = folder / f"{event}.toml", Meter()
        file.write_text(FILE.format(url=proxy.url, organizer=server.organizer, event=event))
        settings = load(file, {"BOX_TOKEN": server.token}, required=True)["box"]
        self.pretix = Pretix(settings, meter.pay, within=WITHIN)
        super().__init__(self.pretix, settings, event, meter)
        self._server = server
        self._proxy = proxy

    async def other_event(self) -> str:
        """Another event of the same organizer."""
        return await self._server.new_event()

    async def by_hand(self, name: str) -> str:
        """A product that a person makes."""
        return str((await self._do("POST", "items/", {"name": {"en": name}, "default_price": "9.00"}))["id"])

    async def edit(self, key: str, fields: Mapping[str, Any]) -> None:
        """Other values of a product, and of its quota."""
        texts = {name: {"en": value} for name, value in fields.items() if name in {"name", "description"}}
        rest = {name: value for name, value in fields.items() if name not in {*texts, "limit"}}
        if texts or rest:
            await self._do("PATCH", f"items/{key}/", {**rest, **texts})
        if "limit" in fields:
            [quota] = (await self._do("GET", f"quotas/?items__in={key}"))["results"]
            await self._do("PATCH", f"quotas/{quota['id']}/", {"size": fields["limit"]})

    async def copy(self, key: str, event: str) -> str:
        """The same product once more, with its meta data and its internal name, as pretix copies it."""
        item = await self._do("GET", f"items/{key}/")
        kept = ("name", "internal_name", "default_price", "active", "meta_data", "description", "position")
        return str((await self._do("POST", "items/", {name: item[name] for name in kept}, event))["id"])

    async def sell(self, key: str, option: str | None = None) -> None:
        """An order of one ticket."""
        await self._server.order(self.event, (int(key), int(option)) if option else int(key))

    async def add_unmapped(self, key: str) -> None:
        """A translation, a property of the organiser's, a limit of each order, and an item of another in our quota."""
        item = await self._do("GET", f"items/{key}/")
        if "hall" not in (await self._do("GET", ""))["item_meta_properties"]:
            await self._do("POST", "item_meta_properties/", {"name": "hall", "default": "", "allowed_values": None})
        more = {"name": {**item["name"], "de": "Platz"}, "meta_data": {**item["meta_data"], "hall": "2"}}
        await self._do("PATCH", f"items/{key}/", {**more, "max_per_order": 3})
        other = await self.by_hand("Poster")
        for quota in (await self._do("GET", f"quotas/?items__in={key}"))["results"]:
            await self._do("PATCH", f"quotas/{quota['id']}/", {"items": [*quota["items"], int(other)]})

    async def unmapped(self, key: str) -> object:
        """The same, read again, with all members of the product that the mapping does not name."""
        item = await self._do("GET", f"items/{key}/")
        quotas = (await self._do("GET", f"quotas/?items__in={key}"))["results"]
        named = {rule.name for rule in self.settings.rules} | {"variations", "meta_data", "has_variations"}
        return (
            {name: value for name, value in item.items() if name not in named},
            {name: value for name, value in item["name"].items() if name != "en"},
            {name: value for name, value in item["meta_data"].items() if name != META},
            [sorted(one for one in quota["items"] if str(one) != key) for quota in quotas],
        )

    async def fail(self, fault: Fault, *, writes: bool) -> None:
        """The next request of this sort; a read whose connection is lost is repeated once, so it has to be lost twice."""
        repeated = not writes and fault in {Fault.CUT, Fault.LOST}
        one = FAULTS[fault]
        self._proxy.add(_once(one, writes=writes, times=2 if repeated else 1))

    async def settled(self) -> None:
        """Wait until pretix is at work on nothing."""
        await until(lambda: not self._proxy.at_work, 30)

    async def requests(self) -> int:
        """How many requests came through the proxy."""
        return len(self._proxy.exchanges)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.pretix.aclose()

    async def _do(self, method: str, path: str, json: Any = None, event: str | None = None) -> Any:
        answer = await self._server.api(method, self._server.path(event or self.event) + path, json)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


def _once(fault: proxies.Fault, *, writes: bool, times: int) -> proxies.Fault:
    return replace(fault, times=times, meets=lambda one: one.writes is writes)
