"""A mailing list of Mailman 3, by its REST API: its members are who has confirmed.

In: `url` of the API, `user` and a password, and `list`, such as early-birds.example.org. Out: its members.
Endpoints (docs.mailman3.org, "REST API", version 3.1; tried with core 3.3.10): GET /lists/ID (asked first, since a search in an unknown
list is answered 200 without members), GET and POST /members/find (not the roster, which has no order), GET
/members/ID/all/preferences, DELETE and POST /members, PATCH /lists/ID/config, PATCH /addresses/ADDRESS/preferences. An address that
waits for its owner's confirmation is no member. The language of a member who has set none is the list's. An address stands in a form,
not in a path that Mailman would log, but for a language.
"""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any
from urllib.parse import quote, urlsplit

import structlog

from server.errors import AudienceRefused, RequestRefused
from server.logs import RepeatedWarning
from server.mail_address import folded
from server.notify.audience.calls import Answer, Calls, basic
from server.notify.audience.source import Consent, Kind, Member, Page, SaleDate, SourceContext
from server.notify.config import EventAudience, Tool

log = structlog.get_logger()

VERSION = "/3.1"
PAGE_WITHIN = 30.0
"""Seconds for a page: Mailman counts and sorts the whole list for each."""
MOST_LISTS = 20
"""Names of lists in an error: those that are most like the name that is not known."""
MOST_READ = 500
"""Lists that are looked through for them."""
AT_ONCE = 100
"""Members of one look-up by address."""
ASKING = ("confirm", "confirm_then_moderate")
"""Subscription policies under which Mailman asks the owner of an address, also of one that it knows from another list."""

_ID = re.compile(r"[0-9a-f]{32}")
_PAGE = re.compile(r"[1-9][0-9]{0,8}")


class Mailman:
    """One list."""

    KIND = Kind(
        "mailman",
        "Mailman",
        tool={
            "url": "the address of Mailman's REST API, such as http://127.0.0.1:8001",
            "user": "its admin_user, such as restadmin",
        },
        secret="password_env",  # noqa: S106 - the name of a key
        event={"list": "the id of the mailing list, such as early-birds.example.org"},
        date_field="the setting of the list that holds the date: info",
        date_fields=("info",),
    )

    asks_each = True
    takes_sign_ups = True

    def __init__(self, audience: EventAudience, context: SourceContext) -> None:
        tool = audience.tool or Tool("", "mailman")
        self.list_id = audience.audience["list"].strip().lower().replace("@", ".", 1)
        self.place = f"mailman {urlsplit(tool.url).hostname} {self.list_id}"
        self._line = audience.line
        self._path = f"/lists/{quote(self.list_id, safe='')}"
        self._calls = Calls(
            self.KIND.title,
            tool.url.rstrip("/").removesuffix(VERSION) + VERSION,
            basic(tool.own.get("user", ""), tool.secret),
            allow_http=tool.allow_http,
            secrets=[tool.secret],
            credentials=f"user, and {tool.secret_env}",
        )
        self._differs = RepeatedWarning(log, "audience_totals_differ")

    async def aclose(self) -> None:
        """Close the connections to Mailman."""
        await self._calls.aclose()

    async def count(self) -> int:
        """How many members the list has; raises AudienceRefused where there is no such list, with those that there are."""
        answer = await self._calls.call("the list", "GET", self._path, expected={404})
        if answer.status == 404:
            # Raises, too, where the address is not that of a Mailman.
            found = await self._calls.call("all lists", "GET", "/lists", params={"count": str(MOST_READ), "page": "1"})
            lists = [str(one.get("list_id")) for one in _entries(found)]
            lists.sort(key=lambda name: -SequenceMatcher(None, name, self.list_id).ratio())
            names = ", ".join(lists[:MOST_LISTS])
            raise AudienceRefused(
                f"Mailman knows no list {self.list_id} (404 from {self._calls.base}), which notify.toml names in line "
                f"{self._line}. Lists there: {names or 'none'}"
            )
        members = _object(answer).get("member_count")
        if not isinstance(members, int):
            raise answer.unreadable("no member_count")
        return members

    async def page(self, cursor: str | None, size: int) -> Page:
        """One page of the members, in the order of their addresses, delivery off or not; the cursor is a page's number."""
        number = int(cursor) if cursor is not None and _PAGE.fullmatch(cursor) else 1
        expected = await self.count() if number == 1 else None
        params = [("list_id", self.list_id), ("role", "member"), ("count", str(size)), ("page", str(number))]
        params += [("fields", "email"), ("fields", "member_id")]
        answer = await self._calls.call(
            "members", "GET", "/members/find", params=params, people=True, within=PAGE_WITHIN
        )
        total = _total(answer)
        if total == 0:
            # Also what it answers for a list that is gone by now.
            expected = await self.count()
        if expected is not None and total != expected:
            if total == 0:
                raise answer.unreadable(f"no members, while the list has {expected}")
            # Members without a preferred address are not found, and Mailman would not write to them either.
            self._differs.warn(self.place, audience=self.place, members=expected, found=total)
        members = tuple(Member(email, member_id) for email, member_id in _members(answer))
        return Page(members, str(number + 1) if number * size < total else None)

    async def consent(self, member: Member) -> Consent:
        """Whether the member is one still, has delivery switched on, and the language; members of a digest want mail."""
        found = [member.id] if _ID.fullmatch(member.id) else await self._ids(member.address)
        if not found:
            return Consent(opted_in=False)
        path = f"/members/{found[0]}/all/preferences"
        answer = await self._calls.call("preferences of a member", "GET", path, expected={404}, personal=True)
        if answer.status == 404:
            return Consent(opted_in=False)
        preferences = _object(answer)
        status = preferences.get("delivery_status")
        if not isinstance(status, str):
            raise answer.unreadable("no delivery_status")
        language = preferences.get("preferred_language")
        return Consent(
            opted_in=True,
            delivery_off=status != "enabled",  # by_user, by_bounces, by_moderator
            language=language if isinstance(language, str) else "",
        )

    async def opt_out(self, address: str) -> None:
        """Take this address off the list; one that is not on it is no error."""
        flags = {"pre_confirmed": "True", "pre_approved": "True"}  # else the member stays until someone agrees
        ids = await self._ids(address)
        if not ids:
            await self.count()
        for member_id in ids:
            path = f"/members/{member_id}"
            answer = await self._calls.call("opt-out", "DELETE", path, form=flags, expected={404}, personal=True)
            if answer.status == 202:
                raise AudienceRefused(f"{answer.where} was answered 202: the member stays until a moderator agrees")

    async def sign_up(self, address: str, language: str) -> None:
        """Have Mailman ask the owner of this address; one that is a member, or has been asked, is no error.

        The language becomes that of the address only where Mailman did not know it: else a visitor could change another's.
        """
        policy = _object(await self._calls.call("its subscription policy", "GET", f"{self._path}/config")).get(
            "subscription_policy"
        )
        if policy not in ASKING:
            raise AudienceRefused(
                f"the list {self.list_id} has the subscription policy {str(policy)[:20]!r}, with which Mailman does not always ask "
                "the owner of an address: set it to confirm"
            )
        place = f"/addresses/{quote(address, safe='@')}"
        known = await self._calls.call("sign-up", "GET", place, expected={404}, personal=True)
        form = {"list_id": self.list_id, "subscriber": address}
        flags = dict.fromkeys(("pre_verified", "pre_confirmed", "pre_approved"), "False")
        asked = await self._calls.call(
            "sign-up", "POST", "/members", form={**form, **flags}, expected={400, 409}, personal=True
        )
        if asked.status == 400:
            raise RequestRefused(f"{asked.where} was answered 400: no usable address, or one that is banned there")
        if language and known.status == 404:
            # 400: a language that it does not have; 404: an address with a slash, which no path of it can name.
            preferences = {"preferred_language": language}
            await self._calls.call(
                "sign-up", "PATCH", f"{place}/preferences", form=preferences, expected={400, 404}, personal=True
            )

    async def hold_date(self, date: SaleDate) -> None:
        """Write this date as a line of the list's `info`; all other lines stay as they are."""
        answer = await self._calls.call("its info", "GET", f"{self._path}/config/info", expected={404})
        if answer.status == 404:
            await self.count()
        before = str(_object(answer).get("info") or "")
        after = with_line(before, date)
        if after != before:
            await self._calls.call("its info", "PATCH", f"{self._path}/config", form={"info": after})

    async def _ids(self, address: str) -> list[str]:
        """The ids of the members with this address: two where a person is one by an account, too."""
        wanted = folded(address)
        form = [("list_id", self.list_id), ("role", "member"), ("subscriber", address), ("count", str(AT_ONCE))]
        form += [("fields", "email"), ("fields", "member_id")]
        number = 0
        while True:
            number += 1
            content = [*form, ("page", str(number))]
            answer = await self._calls.call("look-up", "POST", "/members/find", form=content, personal=True)
            # A * in an address stands for anything, so others may be found as well.
            ids = [member_id for email, member_id in _members(answer) if wanted is not None and folded(email) == wanted]
            if ids or number * AT_ONCE >= _total(answer):
                return ids


def with_line(info: str, date: SaleDate) -> str:
    """The text of a list with the line of this date's event set, or without it where no start is known."""
    event = " ".join(date.event.split())
    begin = f"Tickets on sale, {event}: " if event else "Tickets on sale: "
    new = [f"{begin}{date.text}\n"] if date.text else []
    kept: list[str] = []
    place: int | None = None
    for line in info.splitlines(keepends=True):
        if line.startswith(begin):
            place = len(kept) if place is None else place
        else:
            kept.append(line)
    if place is None:
        place = len(kept)
        if new and kept and not kept[-1].endswith("\n"):
            new.insert(0, "\n")
    return "".join([*kept[:place], *new, *kept[place:]])


def _object(answer: Answer) -> Mapping[str, Any]:
    """The answer as an object; raises AudienceUnavailable where it is none."""
    found = answer.json()
    if not isinstance(found, dict):
        raise answer.unreadable("no object")
    return found


def _total(answer: Answer) -> int:
    """How many members there are on all pages."""
    total = _object(answer).get("total_size")
    if not isinstance(total, int):
        raise answer.unreadable("no total_size")
    return total


def _entries(answer: Answer) -> list[Mapping[str, Any]]:
    """The entries of a page; Mailman leaves them out where there are none."""
    found = _object(answer).get("entries", [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise answer.unreadable("no entries")
    return found


def _members(answer: Answer) -> list[tuple[str, str]]:
    """The address and id of each member of a page."""
    found = [(one.get("email"), one.get("member_id")) for one in _entries(answer)]
    if not all(isinstance(email, str) and isinstance(one, str) and _ID.fullmatch(one) for email, one in found):
        raise answer.unreadable("a member without an address or an id")
    return [(str(email), str(member_id)) for email, member_id in found]
