"""A ticketing system that takes tickets as docs/http-target.md says: copy it, and put your own tables in the place of `Records`.

It needs starlette, uvicorn and standardwebhooks, and runs with

    python docs/receiver.py --secret whsec_… --port 8400 --event "G-2027=Spring Gala,EUR" --file records.db

Without --file it forgets everything when it ends. Put a proxy with TLS in front of it.
"""

import argparse
import hashlib
import json
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TICKET, OPTION = "wix_ticket_definition_id", "wix_option_id"
PAGE = 100  # records in one answer
LARGEST = 1_000_000  # bytes of a request
KEYS_KEPT = 86_400  # seconds for which an idempotency key is known

TABLES = """
create table if not exists records (id integer primary key autoincrement, event text, ticket text, json text);
create index if not exists tickets on records (event, ticket);
create table if not exists answers (key text primary key, request text, status integer, body text, at real);
"""

JsonObject = dict[str, Any]


class Wrong(Exception):
    """A request that is answered with this status and these words, and changes nothing."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass
class Event:
    """An event that is sold here; without a currency each record may have its own."""

    name: str
    currency: str | None


class Records:
    """What is sold, in SQLite. A record is JSON with an id of ours, the Wix id that it bears, and all else that was sent."""

    def __init__(self, file: str) -> None:
        # It is used by one thread, and may be closed by another at the end.
        self.db = sqlite3.connect(file, isolation_level=None, timeout=10, check_same_thread=False)
        weakref.finalize(self, self.db.close)
        self.db.executescript(TABLES)

    @contextmanager
    def change(self) -> Iterator[None]:
        """All of it or nothing, and one at a time, also with several processes."""
        self.db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.db.execute("rollback")
            raise
        self.db.execute("commit")

    def page(self, event: str, ticket: str | None, after: int) -> tuple[list[JsonObject], int | None, int]:
        """The records of an event that come after this one, the id to go on from, and how many there are in all."""
        which, values = "event = ?", [event]
        if ticket is not None:
            which, values = "event = ? and ticket = ?", [event, ticket]
        [total] = self.db.execute(f"select count(*) from records where {which}", values).fetchone()  # noqa: S608 - our text
        rows = self.db.execute(
            f"select * from records where {which} and id > ? order by id limit ?",  # noqa: S608 - our text
            [*values, after, PAGE + 1],
        ).fetchall()
        more = rows[PAGE - 1][0] if len(rows) > PAGE else None
        return [_record(*row) for row in rows[:PAGE]], more, total

    def get(self, id_: str) -> JsonObject:
        """One record."""
        row = self.db.execute("select * from records where id = ?", [id_]).fetchone() if id_.isdecimal() else None
        if row is None:
            raise Wrong(404, f"there is no record {id_}")
        return _record(*row)

    def create(self, event: str, ticket: str, sent: JsonObject) -> JsonObject:
        """A new record; a second one with the same Wix id is refused, since the first may have been made a moment ago."""
        if self.db.execute("select 1 from records where event = ? and ticket = ?", [event, ticket]).fetchone():
            raise Wrong(409, f"event {event} has a record of ticket {ticket}")
        row = self.db.execute("insert into records (event, ticket, json) values (?, ?, '{}')", [event, ticket])
        return self.put({"id": str(row.lastrowid), TICKET: ticket, "event": event, "active": True, **sent})

    def put(self, record: JsonObject) -> JsonObject:
        """Store a record as it is now."""
        own = {name: value for name, value in record.items() if name not in {"id", TICKET, "event"}}
        self.db.execute(
            "update records set ticket = ?, json = ? where id = ?", [record[TICKET], json.dumps(own), record["id"]]
        )
        return record

    def answered(self, key: str, request: str) -> Response | None:
        """The answer to a request that came before with this key."""
        self.db.execute("delete from answers where at < ?", [time.time() - KEYS_KEPT])
        row = self.db.execute("select request, status, body from answers where key = ?", [key]).fetchone()
        if row is None:
            return None
        if row[0] != request:
            raise Wrong(422, "this idempotency key came with another request")
        return Response(row[2], row[1], media_type="application/json")

    def remember(self, key: str, request: str, status: int, body: str) -> None:
        """Keep the answer to a request."""
        self.db.execute("insert into answers values (?, ?, ?, ?, ?)", [key, request, status, body, time.time()])


def _record(id_: int, event: str, ticket: str | None, own: str) -> JsonObject:
    return {"id": str(id_), TICKET: ticket, "event": event, **json.loads(own)}


def changed(record: JsonObject, sent: JsonObject) -> JsonObject:
    """The record with what was sent: a member that was not sent stays, and so does an option that is no ticket's of Wix."""
    bears, gets = record[TICKET], sent.get(TICKET, record[TICKET])
    if bears and gets and bears != gets:
        raise Wrong(409, f"record {record['id']} bears the id of ticket {bears}")
    new = {**record, **sent, "id": record["id"], "event": record["event"]}
    if "options" in sent:
        old = {option.get(OPTION): option for option in record.get("options", []) if option.get(OPTION)}
        options = [{**old.pop(option[OPTION], {}), **option} for option in sent["options"]]
        # They may have been sold, so they are kept, but not on sale.
        options += [{**option, "active": False} for option in old.values()]
        new["options"] = options + [option for option in record.get("options", []) if not option.get(OPTION)]
    return new


class Receiver:
    """The four methods of docs/http-target.md."""

    def __init__(self, secret: str, events: dict[str, Event], records: Records) -> None:
        self.signature = Webhook(secret)
        self.events = events
        self.records = records

    async def answer(self, request: Request) -> Response:
        """Answer a request."""
        try:
            body = await _body(request)
            self.verify(request, body)
            return self.read(request) if request.method == "GET" else self.write(request, body)
        except Wrong as wrong:
            return JSONResponse({"detail": wrong.detail}, wrong.status)

    def verify(self, request: Request, body: bytes) -> None:
        """Refuse what was not signed with our secret within five minutes, for this method and address, with this body."""
        try:
            signed = f"{request.method} {_target(request)}\n{body.decode()}"
            self.signature.verify(signed, dict(request.headers), json_parse=False)
        except (WebhookVerificationError, ValueError) as error:
            raise Wrong(401, f"signature: {error}") from None

    def read(self, request: Request) -> Response:
        """Records of an event: all of them page by page, or those that bear one Wix id."""
        query = request.query_params
        event, after = query.get("event", ""), query.get("after", "0")
        if not after.isdecimal() or len(after) > 18:
            raise Wrong(400, "`after` is no `next` of ours")
        found = self.event(event)
        records, more, total = self.records.page(event, query.get("ticket"), int(after))
        return JSONResponse(
            {
                "event": {"name": found.name, "currency": found.currency},
                "records": records,
                "next": None if more is None else str(more),
                "total": total,
            }
        )

    def write(self, request: Request, body: bytes) -> Response:
        """Create, change or take off sale, once for each idempotency key."""
        key = request.headers.get("idempotency-key", "")
        if key != request.headers["webhook-id"]:
            raise Wrong(400, "Idempotency-Key is not the webhook-id, which is signed")
        fingerprint = hashlib.sha256(f"{request.method} {_target(request)}\n".encode() + body).hexdigest()
        with self.records.change():
            if answer := self.records.answered(key, fingerprint):
                return answer
            status, record = self.effect(request, body)
            # In the same transaction as the effect: there is never one without the other.
            text = json.dumps(record)
            self.records.remember(key, fingerprint, status, text)
        return Response(text, status, media_type="application/json")

    def effect(self, request: Request, body: bytes) -> tuple[int, JsonObject]:
        """What a write does."""
        id_ = request.path_params.get("id", "")
        match request.method, id_:
            case "POST", "":
                sent = _sent(body)
                event, ticket = sent.get("event"), sent.get(TICKET)
                self.event(event)
                if not event or not ticket:
                    raise Wrong(422, f"{TICKET} is missing")
                return 201, self.records.create(event, ticket, sent)
            case "PUT", id_ if id_:
                sent = _sent(body)
                return 200, self.records.put(changed(self.records.get(id_), sent))
            case "DELETE", id_ if id_:
                return 200, self.records.put({**self.records.get(id_), "active": False})
        raise Wrong(405, "GET and POST go to the address itself, PUT and DELETE to a record")

    def event(self, event: Any) -> Event:
        """An event of ours."""
        if not isinstance(event, str) or event not in self.events:
            raise Wrong(404, f"there is no event {event}")
        return self.events[event]


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise Wrong(413, f"more than {LARGEST} bytes")
    return body


def _target(request: Request) -> str:
    """Path and query as the sender wrote them; a proxy in front must not have changed them."""
    query = request.scope["query_string"].decode()
    path: str = request.scope["raw_path"].decode()
    return f"{path}?{query}" if query else path


def _sent(body: bytes) -> JsonObject:
    try:
        sent: JsonObject = json.loads(body)
        options = sent.get("options", [])
    except (ValueError, AttributeError):
        raise Wrong(400, "the body is no JSON object") from None
    if not isinstance(options, list) or not all(isinstance(one, dict) and one.get(OPTION) for one in options):
        raise Wrong(422, f"the options are no list, or one has no {OPTION}")
    if not isinstance(sent.get(TICKET), str | None):
        raise Wrong(422, f"{TICKET} is no text")
    return sent


def app(secret: str, events: dict[str, Event], file: str = ":memory:", path: str = "/wix/tickets") -> Starlette:
    """The receiver as an ASGI application."""
    receiver = Receiver(secret, events, Records(file))
    methods = ["GET", "POST", "PUT", "DELETE"]
    return Starlette(
        routes=[
            Route(path, receiver.answer, methods=methods),
            Route(path + "/{id}", receiver.answer, methods=methods),
        ]
    )


def main() -> None:
    """Serve until it is stopped."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--secret", required=True, help="whsec_ and base64, the same as the sender's")
    options.add_argument("--event", action="append", default=[], metavar="ID=NAME[,CURRENCY]")
    options.add_argument("--file", default=":memory:", help="where SQLite keeps the records")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8400)
    given = options.parse_args()
    events = {}
    for one in given.event:
        id_, _, named = one.partition("=")
        name, _, currency = named.partition(",")
        events[id_] = Event(name, currency or None)
    uvicorn.run(app(given.secret, events, given.file), host=given.host, port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
