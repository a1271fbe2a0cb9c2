"""Receivers of docs/http-target.md that are broken: each is the reference receiver with one fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from docs import receiver as given
from tests.rig.asgi_server import asgi_server
from tests.rig.echo import Echo
from tests.rig.receiver import EVENT, SECRET
from tests.rig.redis import free_port

Json = dict[str, Any]


class ForgetsKeys(given.Records):
    """No idempotency key is kept."""

    def answered(self, key: str, request: str) -> Response | None:
        """Every request is a new one."""

    def remember(self, key: str, request: str, status: int, body: str) -> None:
        """Nothing is kept."""


class DoublesTickets(ForgetsKeys):
    """And a second POST makes a second record."""

    def create(self, event: str, ticket: str, sent: Json) -> Json:
        row = self.db.execute("insert into records (event, ticket, json) values (?, ?, '{}')", [event, ticket])
        record: Json = self.put(
            {"id": str(row.lastrowid), given.TICKET: ticket, "event": event, "active": True, **sent}
        )
        return record


class IgnoresOtherBodies(given.Records):
    """A key that was used is answered as before, whatever the request."""

    def answered(self, key: str, request: str) -> Response | None:
        row = self.db.execute("select request from answers where key = ?", [key]).fetchone()
        answer: Response | None = super().answered(key, row[0] if row else request)
        return answer


class ForgetsTheId(given.Records):
    """PUT stores what was sent, and no id where none was sent."""

    def put(self, record: Json) -> Json:
        ticket = None if "name" in record and record["name"] == "Only the name" else record[given.TICKET]
        stored: Json = super().put({**record, given.TICKET: ticket})
        return stored


class SkipsARecord(given.Records):
    """The cursor leads to one record too far."""

    def page(self, event: str, ticket: str | None, after: int) -> tuple[list[Json], int | None, int]:
        records, more, total = super().page(event, ticket, after)
        return records, more and more + 1, total


class SkipsAndCountsSo(SkipsARecord):
    """And the total is what the pages have."""

    def page(self, event: str, ticket: str | None, after: int) -> tuple[list[Json], int | None, int]:
        records, more, total = super().page(event, ticket, after)
        return records, more, total - max(0, total - 1) // given.PAGE if ticket is None else total


class NewestFirst(given.Records):
    """Pages have their records in another order."""

    def page(self, event: str, ticket: str | None, after: int) -> tuple[list[Json], int | None, int]:
        records, more, total = super().page(event, ticket, after)
        return records[::-1], more, total


class Stores(given.Records):
    """Something becomes of a record before it is stored."""

    def put(self, record: Json) -> Json:
        stored: Json = super().put(self.kept(record))
        return stored

    def kept(self, record: Json) -> Json:
        return record


class DropsLimits(Stores):
    """The limit is not stored."""

    def kept(self, record: Json) -> Json:
        return {name: value for name, value in record.items() if name != "limit"}


class NullIsZero(Stores):
    """No limit becomes a limit of 0."""

    def kept(self, record: Json) -> Json:
        return {**record, "limit": record.get("limit") or 0}


class Trims(Stores):
    """Names lose the spaces at their ends."""

    def kept(self, record: Json) -> Json:
        return {**record, "name": str(record.get("name")).strip()}


class Escapes(Stores):
    """Names are stored as HTML."""

    def kept(self, record: Json) -> Json:
        return {**record, "name": str(record.get("name")).replace("<", "&lt;")}


class PricesAsNumbers(Stores):
    """Prices are stored as numbers."""

    def kept(self, record: Json) -> Json:
        return {**record, "price": float(record.get("price") or 0)}


class StaysOnSale(Stores):
    """DELETE is answered 200 and does nothing."""

    def kept(self, record: Json) -> Json:
        return {**record, "active": not record.get("hidden", False)}


class AcceptsAll(given.Receiver):
    """No signature is verified."""

    def verify(self, request: Request, body: bytes) -> None:
        """Everything is right."""


class AcceptsOld(given.Receiver):
    """The time of a signature is not looked at."""

    def verify(self, request: Request, body: bytes) -> None:
        at = datetime.fromtimestamp(int(request.headers.get("webhook-timestamp", "0")), UTC)
        signed = f"{request.method} {given._target(request)}\n{body.decode()}"
        right = self.signature.sign(request.headers.get("webhook-id", ""), at, signed)
        if right not in request.headers.get("webhook-signature", "").split():
            raise given.Wrong(401, "signature")


class AcceptsOtherMethods(given.Receiver):
    """The method is not among what is verified."""

    def verify(self, request: Request, body: bytes) -> None:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            signed = f"{method} {given._target(request)}\n{body.decode()}"
            try:
                self.signature.verify(signed, dict(request.headers), json_parse=False)
            except (WebhookVerificationError, ValueError):
                continue
            return
        raise given.Wrong(401, "signature")


class WritesBeforeItVerifies(given.Receiver):
    """A request without a right signature is answered 401, but has been done."""

    def verify(self, request: Request, body: bytes) -> None:
        try:
            super().verify(request, body)
        except given.Wrong:
            if request.method == "POST":
                self.effect(request, body)
            raise


class FailsOnGone(given.Receiver):
    """What is not there is a bug."""

    async def answer(self, request: Request) -> Response:
        answer: Response = await super().answer(request)
        return (
            JSONResponse({"detail": "bug"}, 500) if answer.status_code == 404 and request.method == "DELETE" else answer
        )


class EmptyElsewhere(given.Receiver):
    """An event that is not there has no records."""

    def event(self, event: Any) -> Any:
        return self.events.get(event) or given.Event("", None)


class SaysNothing(given.Receiver):
    """Errors have no words."""

    async def answer(self, request: Request) -> Response:
        answer: Response = await super().answer(request)
        return Response("<h1>Error</h1>", answer.status_code) if answer.status_code >= 400 else answer


class TakesOneSignature(given.Receiver):
    """Only the first of several signatures is looked at."""

    def verify(self, request: Request, body: bytes) -> None:
        headers = dict(request.headers)
        headers["webhook-signature"] = headers.get("webhook-signature", "").partition(" ")[0]
        try:
            signed = f"{request.method} {given._target(request)}\n{body.decode()}"
            self.signature.verify(signed, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):
            raise given.Wrong(401, "signature") from None


class TakesAnyKey(given.Receiver):
    """The idempotency key need not be the signed id."""

    def write(self, request: Request, body: bytes) -> Response:
        with self.records.change():
            status, record = self.effect(request, body)
        return JSONResponse(record, status)


class ReplacesTheId(given.Receiver):
    """A PUT may give a record the id of another ticket."""

    def effect(self, request: Request, body: bytes) -> tuple[int, Json]:
        if request.method == "PUT":
            record = self.records.get(request.path_params["id"])
            self.records.put({**record, given.TICKET: None})
        found: tuple[int, Json] = super().effect(request, body)
        return found


class DeletesOnce(given.Receiver):
    """What is off sale cannot be taken off sale."""

    def effect(self, request: Request, body: bytes) -> tuple[int, Json]:
        if request.method == "DELETE" and not self.records.get(request.path_params["id"])["active"]:
            raise given.Wrong(400, "it is off sale")
        found: tuple[int, Json] = super().effect(request, body)
        return found


class NoDelete(given.Receiver):
    """DELETE is not written yet."""

    def effect(self, request: Request, body: bytes) -> tuple[int, Json]:
        if request.method == "DELETE":
            raise given.Wrong(501, "not yet")
        found: tuple[int, Json] = super().effect(request, body)
        return found


class FailsOnNoJson(given.Receiver):
    """A body that is no JSON is a bug."""

    async def answer(self, request: Request) -> Response:
        answer: Response = await super().answer(request)
        return JSONResponse({"detail": "bug"}, 500) if b"no JSON" in answer.body else answer


class CountsAll(given.Records):
    """The total is that of the event, also of a look-up."""

    def page(self, event: str, ticket: str | None, after: int) -> tuple[list[Json], int | None, int]:
        records, more, _ = super().page(event, ticket, after)
        [total] = self.db.execute("select count(*) + 1 from records").fetchone()
        return records, more, total


class Slow(given.Receiver):
    """Lists take long."""

    async def answer(self, request: Request) -> Response:
        if request.method == "GET":
            await asyncio.sleep(0.3)
        answer: Response = await super().answer(request)
        return answer


@asynccontextmanager
async def serving(broken: type[Any] = given.Receiver) -> AsyncIterator[str]:
    """The reference receiver with this class in the place of its own, as long as the block; its address."""
    records = (broken if issubclass(broken, given.Records) else given.Records)(":memory:")
    kind = broken if issubclass(broken, given.Receiver) else given.Receiver
    one = kind(SECRET, {EVENT: given.Event("Spring Gala", "EUR")}, records)
    methods = ["GET", "POST", "PUT", "DELETE"]
    path = "/wix/tickets"
    routes = [Route(path, one.answer, methods=methods), Route(path + "/{id}", one.answer, methods=methods)]
    port = free_port()
    async with asgi_server(Starlette(routes=routes), port, Echo):
        yield f"http://127.0.0.1:{port}{path}"
