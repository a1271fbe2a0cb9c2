"""Mailchimp's Marketing API 3.0 for one audience: its members, segments and merge fields.

In: an API key, the audience's id, what to do. Out: parsed answers, or AudienceUnavailable, AudienceRefused.
Endpoints (mailchimp.com/developer/marketing, "Lists", version 3.0.80): GET /lists/ID, /lists, /lists/ID/members, /lists/ID/segments,
/lists/ID/segments/N, /lists/ID/segments/N/members, /lists/ID/merge-fields; GET, PUT, PATCH /lists/ID/members/HASH; POST
/lists/ID/members/HASH/tags, /lists/ID/merge-fields, /lists/ID. `count` is at most 1,000, a batch has at most 500 members, an account 10
connections at once ("Fundamentals"); more are answered 429, and where there are very many 403 without a body. A tag is a static
segment. HASH is the MD5 of the address in small letters, so no address stands in a path; the texts of errors may have one, so of an
answer about a person only its title is told.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from server.errors import AudienceRefused, AudienceUnavailable, NotStarted
from server.notify.audience.calls import Answer, Calls, basic
from server.notify.audience.source import Member, Page
from server.notify.config import Tool

TITLE = "Mailchimp"
MOST_PAGE = 1000
BATCH = 500
"""Members of one batch at most."""
MOST_NAMES = 20
BAD_ADDRESS = "Invalid Resource: not a usable address"
"""What is made of the refusal of an address: Mailchimp names it as the one of a required merge field."""
FIELD_NAME = "Next ticket sale"
HASH = re.compile(r"[0-9a-f]{32}")

_SERVER = re.compile(r"[a-z]{2,4}[0-9]{1,4}")


class MailchimpApi:
    """The calls for one audience. *line* is where notify.toml names it."""

    def __init__(self, tool: Tool, list_id: str, line: int) -> None:
        self.list_id = list_id
        self.credentials = tool.secret_env or "its key"
        self._line = line
        self._path = f"/lists/{list_id}"
        self._calls = Calls(
            TITLE,
            _base(tool),
            basic("key", tool.secret),
            allow_http=tool.allow_http,
            secrets=[tool.secret],
            credentials=self.credentials,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._calls.aclose()

    # -- the audience --

    async def count(self) -> int:
        """How many members have subscribed; raises AudienceRefused where there is no such audience, with those that there are."""
        answer = await self._call(
            "the audience", "GET", self._path, {"fields": "id,stats.member_count"}, expected={404}
        )
        if answer.status == 404:
            params = {"fields": "lists.id,lists.name", "count": str(MOST_NAMES)}
            listed = await self._call("all audiences", "GET", "/lists", params)
            names = ", ".join(f"{one.get('id')} ({one.get('name')})" for one in _listed(listed, "lists"))
            raise AudienceRefused(
                f"Mailchimp knows no audience {self.list_id} (404 from {self._calls.base}), which notify.toml names in line "
                f"{self._line}. Audiences there: {names or 'none'}"
            )
        stats = _object(answer).get("stats")
        return _number(stats if isinstance(stats, dict) else {}, "member_count", answer)

    async def segments(self, *, tags: bool) -> dict[int, str]:
        """The names of all segments, or of all tags, by their numbers."""
        found: dict[int, str] = {}
        params = {"count": str(MOST_PAGE), "fields": "segments.id,segments.name,total_items"}
        if tags:
            params["type"] = "static"
        while True:
            answer = await self._of_audience(
                "segments", f"{self._path}/segments", {**params, "offset": str(len(found))}
            )
            rows = {
                one["id"]: str(one.get("name")) for one in _listed(answer, "segments") if isinstance(one.get("id"), int)
            }
            new = rows.keys() - found.keys()
            found |= rows
            if not new or len(found) >= _number(_object(answer), "total_items", answer):
                return found

    async def segment_count(self, segment: int) -> int:
        """How many members a segment has."""
        answer = await self._call("the segment", "GET", f"{self._path}/segments/{segment}", {"fields": "member_count"})
        return _number(_object(answer), "member_count", answer)

    async def merge_fields(self) -> dict[str, str]:
        """The types of merge fields by their tags."""
        params = {"count": str(MOST_PAGE), "fields": "merge_fields.tag,merge_fields.type"}
        answer = await self._of_audience("merge fields", f"{self._path}/merge-fields", params)
        return {str(one.get("tag")): str(one.get("type")) for one in _listed(answer, "merge_fields")}

    async def add_date_field(self, tag: str) -> None:
        """Make a merge field of type date."""
        body = {"tag": tag, "name": FIELD_NAME, "type": "date", "required": False, "public": False}
        await self._call("a merge field", "POST", f"{self._path}/merge-fields", content=body)

    # -- members --

    async def members(self, segment: int | None, cursor: str | None, size: int) -> Page:
        """One page of the subscribed members of the audience, those who confirmed first, or of a segment."""
        offset = int(cursor) if cursor and cursor.isdecimal() else 0
        params = {"count": str(min(size, MOST_PAGE)), "offset": str(offset)}
        params["fields"] = "members.id,members.email_address,members.status,members.language,total_items"
        path = f"{self._path}/members"
        if segment is None:
            params |= {"status": "subscribed", "sort_field": "timestamp_opt", "sort_dir": "ASC"}
        else:
            path = f"{self._path}/segments/{segment}/members"
        answer = await self._of_audience("members", path, params, people=True)
        rows, total = _listed(answer, "members"), _number(_object(answer), "total_items", answer)
        members = tuple(
            Member(str(one["email_address"]), str(one.get("id") or ""), str(one.get("language") or ""))
            for one in rows
            if one.get("status") == "subscribed" and isinstance(one.get("email_address"), str)
        )
        passed = offset + len(rows)
        return Page(members, str(passed) if rows and passed < total else None)

    async def member(self, hash_: str, fields: str) -> Mapping[str, Any] | None:
        """These fields of a member; None where there is none."""
        answer = await self._call(
            "a member", "GET", self._member_path(hash_), {"fields": fields}, expected={404}, personal=True
        )
        return None if answer.status == 404 else _object(answer)

    async def change(self, hash_: str, method: str, body: Mapping[str, Any], *, what: str) -> str | None:
        """PATCH a member, or PUT one who may be new; answers the title of a refusal, "" = there is no such member, None = done."""
        answer = await self._call(
            what, method, self._member_path(hash_), content=body, expected={400, 404}, personal=True
        )
        if answer.status == 404:
            await self.count()
            return ""
        if answer.status != 400:
            return None
        title, detail = _title(answer), _object(answer).get("detail")
        is_address = title == "Invalid Resource" and isinstance(detail, str) and "email address" in detail.lower()
        return BAD_ADDRESS if is_address else title

    async def give_tag(self, hash_: str, tag: str) -> None:
        """Give a member a tag."""
        tags = {"tags": [{"name": tag, "status": "active"}]}
        await self._call("sign-up", "POST", f"{self._member_path(hash_)}/tags", content=tags, personal=True)

    async def write(self, members: Sequence[Member], merge_fields: Mapping[str, str]) -> list[str]:
        """Write merge fields of at most 500 members; answers the code of each error.

        No status is named: one that was read a moment ago could undo an opt-out. Whether Mailchimp always takes that is not
        documented.
        """
        body = {
            "members": [{"email_address": one.address, "merge_fields": merge_fields} for one in members],
            "update_existing": True,
        }
        answer = await self._call(
            "the date", "POST", self._path, {"skip_merge_validation": "true"}, content=body, people=True
        )
        return [str(one.get("error_code"))[:40] for one in _listed(answer, "errors")]

    def _member_path(self, hash_: str) -> str:
        return f"{self._path}/members/{hash_}"

    # -- calls --

    async def _of_audience(self, what: str, path: str, params: Mapping[str, str], *, people: bool = False) -> Answer:
        """Make a GET; a 404 is refused with what there is."""
        answer = await self._call(what, "GET", path, params, expected={404}, people=people)
        if answer.status == 404:
            await self.count()
            raise AudienceRefused(f"{answer.where} was answered 404: it was deleted")
        return answer

    async def _call(
        self,
        what: str,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        content: Any = None,
        expected: Collection[int] = (),
        personal: bool = False,
        people: bool = False,
    ) -> Answer:
        """Make a call; raises AudienceUnavailable for a 403 without a body, which is no refusal."""
        answer = await self._calls.call(
            what,
            method,
            path,
            params=params,
            content=content,
            expected={403, *expected},
            personal=personal,
            people=people,
        )
        if answer.status == 403:
            if not answer.body.strip().startswith(b"{"):
                raise AudienceUnavailable(
                    f"{answer.where} was answered 403 without a reason, as Mailchimp does where it is asked too much at once",
                    status=403,
                )
            raise AudienceRefused(f"{answer.where} was answered 403: {_title(answer)}: check {self.credentials}")
        return answer


def hash_of(address: str) -> str:
    """Mailchimp's id of an address."""
    return hashlib.md5(address.lower().encode(), usedforsecurity=False).hexdigest()


def _base(tool: Tool) -> str:
    if tool.url:
        return tool.url
    server = tool.own.get("server") or tool.secret.get_secret_value().rpartition("-")[2]
    if not _SERVER.fullmatch(server):
        raise NotStarted(
            f"{tool.name}: the key in {tool.secret_env} does not end with the account's data centre, such as -us6: copy it whole, or "
            'set server = "us6"'
        )
    return f"https://{server}.api.mailchimp.com/3.0"


def _object(answer: Answer) -> Mapping[str, Any]:
    found = answer.json()
    if not isinstance(found, dict):
        raise answer.unreadable("no object")
    return found


def _listed(answer: Answer, name: str) -> list[Mapping[str, Any]]:
    found = _object(answer).get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise answer.unreadable(f"no {name}")
    return found


def _number(values: Mapping[str, Any], name: str, answer: Answer) -> int:
    found = values.get(name)
    if isinstance(found, bool) or not isinstance(found, int):
        raise answer.unreadable(f"no {name}")
    return found


def _title(answer: Answer) -> str:
    """The title of an error, which is Mailchimp's name of it; its other words may have an address."""
    found = _object(answer).get("title")
    return found if isinstance(found, str) and "@" not in found else "no reason"
