"""A stub of Mailchimp's Marketing API 3.0 over HTTP, made from its public description: audiences, members, segments, merge fields.

It is as strict as the description: the parameters of each path, the members of each body, the limits (1,000 a page, 500 a batch, 10
connections). Errors have the form of problem+json. Its requests are logged, so that they can be compared with those of Mailchimp's own
Python client. Source: Mailchimp, "Marketing API", version 3.0.80, as its client has it; "Fundamentals" (throttling), "Errors".
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.rig.asgi_server import asgi_server

KEY = "0123456789abcdef0123456789abcdef-us6"
LIST = "a1b2c3d4e5"
STATUSES = {"subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"}
MOST_PAGE, MOST_BATCH, MOST_CONNECTIONS = 1000, 500, 10
PAGING = {"fields", "exclude_fields", "count", "offset"}
MEMBER = {"email_address", "email_type", "status", "merge_fields", "interests", "language", "vip", "location"}
MEMBER |= {"marketing_permissions", "ip_signup", "timestamp_signup", "ip_opt", "timestamp_opt", "tags", "status_if_new"}


@dataclass(slots=True)
class StubMember:
    """One member of the audience."""

    email: str
    status: str
    language: str = ""
    merge_fields: dict[str, Any] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    left_by_themselves: bool = False

    @property
    def id(self) -> str:
        """Mailchimp's id of an address."""
        return hashlib.md5(self.email.lower().encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `query` sorted, `body` parsed."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: Any


class Problem(Exception):
    """A request is refused."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


class MailchimpStub:
    """One account with one audience. `down`: the status that every request gets; `bare`: without a body."""

    def __init__(self) -> None:
        self.members: dict[str, StubMember] = {}
        self.segments: dict[int, tuple[str, str]] = {}
        """Name and type of each: `static` ones are tags."""
        self.saved: dict[int, Callable[[StubMember], bool]] = {}
        self.merge_fields: dict[str, str] = {"FNAME": "text"}
        self.log: list[Asked] = []
        self.down: int | None = None
        self.bare = False
        self.headers: dict[str, str] = {}
        self.refuse_merge: set[str] = set()
        self.refuse_new = False
        self.open = 0
        self.most_open = 0
        self.delay = 0.0
        self.url = ""

    def add(self, email: str, status: str = "subscribed", *tags: str, **more: Any) -> StubMember:
        """Add a member; its tags are created."""
        for tag in tags:
            self.tag(tag)
        made = StubMember(email, status, tags=set(tags), **more)
        self.members[made.id] = made
        return made

    def tag(self, name: str) -> int:
        """The id of a tag, which is a static segment."""
        for id_, (known, _) in self.segments.items():
            if known == name:
                return id_
        id_ = 49_000 + len(self.segments)
        self.segments[id_] = (name, "static")
        return id_

    def segment(self, name: str, holds: Callable[[StubMember], bool]) -> int:
        """The id of a new saved segment."""
        id_ = self.tag(name)
        self.segments[id_] = (name, "saved")
        self.saved[id_] = holds
        return id_

    def member(self, email: str) -> StubMember | None:
        """The member with this address."""
        return self.members.get(StubMember(email, "").id)

    # -- HTTP --

    def app(self) -> Starlette:
        """The API as an ASGI application."""
        lists, one = "/3.0/lists", "/3.0/lists/{list}"
        member = one + "/members/{hash}"
        routes: list[tuple[str, str, Callable[[Request, Any], Any], set[str]]] = [
            ("GET", lists, self._lists, PAGING | {"email", "sort_field", "sort_dir", "has_ecommerce_store"}),
            ("GET", one, self._list, {"fields", "exclude_fields", "include_total_contacts"}),
            ("POST", one, self._batch, {"skip_merge_validation", "skip_duplicate_check"}),
            (
                "GET",
                one + "/members",
                self._members,
                PAGING | {"status", "sort_field", "sort_dir", "since_last_changed"},
            ),
            ("GET", member, self._member, {"fields", "exclude_fields"}),
            ("PUT", member, self._put, {"skip_merge_validation"}),
            ("PATCH", member, self._patch, {"skip_merge_validation"}),
            ("POST", member + "/tags", self._tags, set()),
            ("GET", one + "/segments", self._segments, PAGING | {"type", "include_cleaned", "include_unsubscribed"}),
            ("GET", one + "/segments/{segment}", self._segment, {"fields", "exclude_fields", "include_cleaned"}),
            (
                *("GET", one + "/segments/{segment}/members", self._segment_members),
                PAGING | {"include_cleaned", "include_transactional", "include_unsubscribed"},
            ),
            ("GET", one + "/merge-fields", self._merge_fields, PAGING | {"type", "required"}),
            ("POST", one + "/merge-fields", self._add_merge_field, set()),
        ]
        return Starlette(
            routes=[
                Route(path, self._endpoint(handler, known), methods=[method]) for method, path, handler, known in routes
            ],
            exception_handlers={HTTPException: _no_route},
        )

    def _endpoint(
        self, handler: Callable[[Request, Any], Any], known: set[str]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            content = await request.body()
            body = json.loads(content) if content and content != b"null" else None
            query = tuple(sorted(request.query_params.multi_items()))
            self.log.append(Asked(request.method, request.url.path.removeprefix("/3.0"), query, body))
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            try:
                await asyncio.sleep(self.delay)
                self._check(request, known)
                found = handler(request, body)
            except Problem as problem:
                return _problem(problem, self.headers, bare=self.bare)
            finally:
                self.open -= 1
            if found is None:
                return Response(status_code=204)
            return JSONResponse(_only(found, request.query_params.get("fields")))

        return answer

    def _check(self, request: Request, known: set[str]) -> None:
        if self.open > MOST_CONNECTIONS:
            raise Problem(429, "Too Many Requests", "You have exceeded the limit of 10 simultaneous connections.")
        if self.down:
            raise Problem(self.down, "Out Of Order", "Please try again, or write to help@example.com.")
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        key = given if kind == "Bearer" else base64.b64decode(given).decode().partition(":")[2]
        if key != KEY:
            raise Problem(
                401,
                "API Key Invalid",
                "Your API key may be invalid, or you've attempted to access the wrong datacenter.",
            )
        for name, value in request.query_params.items():
            if name not in known:
                raise Problem(400, "Invalid Resource", f"there is no parameter {name}")
            if name == "count" and not 0 <= int(value) <= MOST_PAGE:
                raise Problem(400, "Invalid Resource", "count is at most 1000")
        if request.path_params.get("list", LIST) != LIST:
            raise Problem(404, "Resource Not Found", "The requested resource could not be found.")

    # -- audiences --

    def _lists(self, _request: Request, _body: Any) -> Any:
        return {"lists": [{"id": LIST, "name": "Friends", "stats": self._stats()}], "total_items": 1}

    def _list(self, _request: Request, _body: Any) -> Any:
        return {"id": LIST, "name": "Friends", "stats": self._stats()}

    def _stats(self) -> Any:
        return {"member_count": sum(one.status == "subscribed" for one in self.members.values())}

    def _batch(self, _request: Request, body: Any) -> Any:
        _known(body, {"members", "update_existing", "sync_tags"})
        if not 1 <= len(body["members"]) <= MOST_BATCH:
            raise Problem(400, "Invalid Resource", "members has between 1 and 500 items")
        updated, errors = [], []
        for one in body["members"]:
            _known(one, MEMBER - {"status_if_new"})
            member, email = self.member(one["email_address"]), one["email_address"]
            if member is None or not body.get("update_existing"):
                errors.append(_refusal(email, "ERROR_CONTACT_EXISTS" if member else "ERROR_GENERIC"))
            elif email in self.refuse_merge:
                errors.append(_refusal(email, "ERROR_GENERIC"))
            else:
                self._change(member, one)
                updated.append(self._to_json(member))
        totals = {"total_created": 0, "total_updated": len(updated), "error_count": len(errors)}
        return {"new_members": [], "updated_members": updated, "errors": errors, **totals}

    # -- members --

    def _members(self, request: Request, _body: Any) -> Any:
        status = request.query_params.get("status")
        if status is not None and status not in STATUSES:
            raise Problem(400, "Invalid Resource", "status is none of those that there are")
        return self._page(request, "members", [one for one in self.members.values() if status in {None, one.status}])

    def _member(self, request: Request, _body: Any) -> Any:
        return self._to_json(self._known_member(request))

    def _put(self, request: Request, body: Any) -> Any:
        _known(body, MEMBER)
        member = self.members.get(request.path_params["hash"])
        if member is None:
            if self.refuse_new or body.get("status_if_new") not in STATUSES - {"archived"}:
                raise Problem(400, "Invalid Resource", "status_if_new is required")
            if body["email_address"].endswith(".invalid"):
                detail = f"{body['email_address']} looks fake or invalid, please enter a real email address."
                raise Problem(400, "Invalid Resource", detail)
            member = self.add(body["email_address"], body["status_if_new"])
            if member.id != request.path_params["hash"]:
                raise Problem(400, "Invalid Resource", "the path is not the MD5 hash of this address")
        self._change(member, body)
        return self._to_json(member)

    def _patch(self, request: Request, body: Any) -> Any:
        _known(body, MEMBER - {"status_if_new", "tags"})
        member = self._known_member(request)
        self._change(member, body)
        return self._to_json(member)

    def _tags(self, request: Request, body: Any) -> Any:
        _known(body, {"tags", "is_syncing"})
        member = self._known_member(request)
        for tag in body["tags"]:
            _known(tag, {"name", "status"})
            self.tag(tag["name"])
            (member.tags.add if tag["status"] == "active" else member.tags.discard)(tag["name"])

    def _known_member(self, request: Request) -> StubMember:
        found = self.members.get(request.path_params["hash"])
        if found is None:
            raise Problem(404, "Resource Not Found", "The requested resource could not be found.")
        return found

    def _change(self, member: StubMember, body: Any) -> None:
        status = body.get("status", member.status)
        if status not in STATUSES - {"archived"}:
            raise Problem(400, "Invalid Resource", "status is none of those that there are")
        if member.left_by_themselves and status != member.status:
            detail = f"{member.email} is in a compliance state due to unsubscribe, bounce, or compliance review"
            raise Problem(400, "Member In Compliance State", detail)
        for tag, value in body.get("merge_fields", {}).items():
            if tag not in self.merge_fields:
                raise Problem(400, "Invalid Resource", f"there is no merge field {tag}")
            member.merge_fields[tag] = value
        member.status = status
        member.language = body.get("language", member.language)

    # -- segments, merge fields --

    def _segments(self, request: Request, _body: Any) -> Any:
        kind = request.query_params.get("type")
        found = [self._segment_json(id_) for id_ in self.segments if kind in {None, self.segments[id_][1]}]
        return _part(request, "segments", found)

    def _segment(self, request: Request, _body: Any) -> Any:
        return self._segment_json(self._known_segment(request))

    def _segment_members(self, request: Request, _body: Any) -> Any:
        return self._page(request, "members", self._in_segment(self._known_segment(request)))

    def _known_segment(self, request: Request) -> int:
        id_ = request.path_params["segment"]
        if not id_.isdecimal() or int(id_) not in self.segments:
            raise Problem(404, "Resource Not Found", "The requested resource could not be found.")
        return int(id_)

    def _in_segment(self, id_: int) -> list[StubMember]:
        name, kind = self.segments[id_]
        holds = self.saved[id_] if kind == "saved" else lambda one: name in one.tags
        return [one for one in self.members.values() if holds(one) and one.status in {"subscribed", "pending"}]

    def _segment_json(self, id_: int) -> Any:
        name, kind = self.segments[id_]
        return {"id": id_, "name": name, "type": kind, "member_count": len(self._in_segment(id_)), "list_id": LIST}

    def _merge_fields(self, request: Request, _body: Any) -> Any:
        found = [
            {"merge_id": n, "tag": tag, "name": tag, "type": kind}
            for n, (tag, kind) in enumerate(self.merge_fields.items(), 1)
        ]
        return _part(request, "merge_fields", found)

    def _add_merge_field(self, _request: Request, body: Any) -> Any:
        _known(
            body,
            {"tag", "name", "type", "required", "default_value", "public", "display_order", "options", "help_text"},
        )
        if not body.get("name") or body.get("type") not in {"text", "number", "date"} or len(body.get("tag", "")) > 10:
            raise Problem(400, "Invalid Resource", "name and type are required, and a tag has at most 10 characters")
        self.merge_fields[body["tag"]] = body["type"]
        return {"merge_id": len(self.merge_fields), **body}

    def _page(self, request: Request, name: str, found: list[StubMember]) -> Any:
        return _part(request, name, [self._to_json(one) for one in found])

    def _to_json(self, member: StubMember) -> Any:
        return {
            "id": member.id,
            "email_address": member.email,
            "status": member.status,
            "language": member.language,
            "merge_fields": dict.fromkeys(self.merge_fields, "") | member.merge_fields,
            "tags": [{"id": self.tag(one), "name": one} for one in sorted(member.tags)],
            "list_id": LIST,
        }


def _part(request: Request, name: str, found: list[Any]) -> Any:
    offset, count = int(request.query_params.get("offset", 0)), int(request.query_params.get("count", 10))
    return {name: found[offset : offset + count], "list_id": LIST, "total_items": len(found)}


def _only(found: Any, fields: str | None) -> Any:
    """The members that `fields` names: `members.id,total_items`."""
    if not fields:
        return found
    kept: dict[str, Any] = {}
    for path in fields.split(","):
        name, _, rest = path.partition(".")
        if name not in found:
            continue
        value = found[name]
        if rest and isinstance(value, list):
            rows = kept.setdefault(name, [{} for _ in value])
            for row, one in zip(rows, value, strict=True):
                row.update(_only(one, rest))
        elif rest:
            kept.setdefault(name, {}).update(_only(value, rest))
        else:
            kept[name] = value
    return kept


def _known(body: Any, names: set[str]) -> None:
    if not isinstance(body, dict) or not body.keys() <= names:
        raise Problem(400, "Invalid Resource", f"the body has other members than {', '.join(sorted(names))}")


def _refusal(email: str, code: str) -> Any:
    return {
        "email_address": email,
        "error": f"{email} could not be changed",
        "error_code": code,
        "field": "",
        "field_message": "",
    }


def _problem(problem: Problem, headers: dict[str, str], *, bare: bool) -> Response:
    if bare:
        return Response(status_code=problem.status, headers=headers)
    body = {
        "type": "https://mailchimp.com/developer/marketing/docs/errors/",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": "995c5cb0-3280-4a6e-808b-3b096d0bb219",
    }
    return JSONResponse(body, problem.status, headers, media_type="application/problem+json")


async def _no_route(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _problem(Problem(status, "Resource Not Found", "there is no such path"), {}, bare=False)


@asynccontextmanager
async def running_mailchimp(port: int) -> AsyncIterator[MailchimpStub]:
    """The stub on this port, as long as the block."""
    stub = MailchimpStub()
    async with asgi_server(stub.app(), port, asyncio.Protocol):
        stub.url = f"http://127.0.0.1:{port}/3.0"
        yield stub
