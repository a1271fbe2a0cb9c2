"""An audience of Mailchimp, or a tag or segment of it: its subscribed members.

In: an API key, and `list`: the id of the audience; perhaps `tag`, or `segment` by its name or number. Out: its members.
mailchimp_api.py names the endpoints, their source and their limits.

An opt-out is of the whole audience, since Mailchimp has one status of a member: its tags and segments have one place.
"""

import re
from collections import Counter
from datetime import datetime

from server.errors import AudienceRefused, AudienceUnavailable, NotStarted, RequestRefused
from server.notify.audience.mailchimp_api import BAD_ADDRESS, BATCH, HASH, MOST_NAMES, TITLE, MailchimpApi, hash_of
from server.notify.audience.source import Consent, Kind, Member, Page, SaleDate, SourceContext
from server.notify.config import EventAudience, Tool

FIELD = re.compile(r"[A-Z][A-Z0-9_]{0,9}")
"""A merge field's tag: at most 10 characters."""
COMPLIANCE = "Member In Compliance State"
"""Mailchimp's name for a member who left by themselves, or whose address takes no mail: its API cannot bring them back."""
OF_ONE = {COMPLIANCE, BAD_ADDRESS, "Forgotten Email Not Subscribed"}
"""Refusals that are about one address, and stay."""
MEMBER = {"subscribed", "pending"}


class Mailchimp:
    """One audience, or one tag or segment of it."""

    KIND = Kind(
        "mailchimp",
        TITLE,
        optional_tool={
            "server": "the data centre of the account, such as us6; else the end of the key says it",
            "url": "another address of the API",
        },
        secret="api_key_env",  # noqa: S106 - the name of a key
        plain=frozenset({"server", "list"}),
        event={"list": "the id of the audience, such as a1b2c3d4e5"},
        optional_event={
            "tag": "only members with this tag",
            "segment": "only members of this segment: its name or number",
        },
        date_field="the tag of a merge field of type date, such as NEXTSALE; it is made where there is none",
    )

    asks_each = True

    def __init__(self, audience: EventAudience, _context: SourceContext) -> None:
        self.list_id = audience.audience["list"].strip()
        self.date_field = audience.date_field or ""
        self.tag, self.segment = (audience.audience.get(key, "").strip() for key in ("tag", "segment"))
        where = f"notify.toml:{audience.line}"
        if not re.fullmatch(r"[0-9A-Za-z]+", self.list_id):
            raise NotStarted(f"{where}: list: {self.list_id[:40]!a} is no id of an audience, such as a1b2c3d4e5")
        if self.tag and self.segment:
            raise NotStarted(f"{where}: an audience of Mailchimp has a tag or a segment, not both")
        if self.date_field and not FIELD.fullmatch(self.date_field):
            raise NotStarted(
                f"{where}: date_field: {self.date_field[:40]!a} is no merge field: capital letters, digits and _, at most 10, such as "
                "NEXTSALE"
            )
        self.place = f"mailchimp {self.list_id}"
        self.takes_sign_ups = not self.segment
        self._line = audience.line
        self._api = MailchimpApi(audience.tool or Tool("", "mailchimp"), self.list_id, audience.line)
        self._number: int | None = None

    async def aclose(self) -> None:
        """Close the connections to Mailchimp."""
        await self._api.aclose()

    async def count(self) -> int:
        """How many members have subscribed; raises AudienceRefused where there is no such audience, tag or segment."""
        self._number = None
        everyone = await self._api.count()
        number = await self._segment()
        return everyone if number is None else await self._api.segment_count(number)

    async def page(self, cursor: str | None, size: int) -> Page:
        """One page of the subscribed members; the cursor is how many were before."""
        if cursor is None:
            self._number = None
        return await self._api.members(await self._segment(), cursor, size)

    async def consent(self, member: Member) -> Consent:
        """Whether the member is subscribed and still has the tag, and the language; what a segment says, its page has said."""
        hash_ = member.id if HASH.fullmatch(member.id) else hash_of(member.address)
        found = await self._api.member(hash_, "status,language,tags" if self.tag else "status,language")
        if found is None:
            return Consent(opted_in=False)
        language = found.get("language")
        return Consent(
            opted_in=found.get("status") == "subscribed" and self._has_tag(found.get("tags")),
            language=language if isinstance(language, str) else "",
        )

    async def opt_out(self, address: str) -> None:
        """Unsubscribe this address from the audience, whatever its tags; one that is no member is no error."""
        refusal = await self._api.change(hash_of(address), "PATCH", {"status": "unsubscribed"}, what="opt-out")
        if refusal:
            # Mailchimp does not change a member who left before, or whose address takes no mail: that is as good.
            found = await self._api.member(hash_of(address), "status")
            if found is not None and found.get("status") in MEMBER:
                raise AudienceRefused(f"Mailchimp refuses an opt-out of the audience {self.list_id}: {refusal}")

    async def sign_up(self, address: str, language: str) -> None:
        """Have Mailchimp ask the owner of this address; one who is a member, or has been asked, is left as they are.

        Who left by themselves can come back only by Mailchimp's own form: RequestRefused says so.
        """
        if not self.takes_sign_ups:
            raise AudienceRefused("a segment of Mailchimp follows its own conditions, so no address can be given to it")
        hash_ = hash_of(address)
        known = await self._api.member(hash_, "status,tags")
        if known and known.get("status") in MEMBER:
            if not self._has_tag(known.get("tags")):
                raise RequestRefused(
                    f"a member without the tag {self.tag} signed up, whom Mailchimp would not ask: no tag is given"
                )
            return
        if known:
            refusal = await self._api.change(hash_, "PATCH", {"status": "pending"}, what="sign-up")
        else:
            body = {
                "email_address": address,
                "status_if_new": "pending",
                **({"language": language} if language else {}),
            }
            refusal = await self._api.change(hash_, "PUT", body, what="sign-up")
        if refusal is not None:
            left = (
                ": who left by themselves can come back only by Mailchimp's own sign-up form"
                if refusal == COMPLIANCE
                else ""
            )
            kind = RequestRefused if refusal in OF_ONE else AudienceRefused
            raise kind(f"Mailchimp refuses a sign-up for the audience {self.list_id}: {refusal or 'no reason'}{left}")
        if self.tag:
            await self._api.give_tag(hash_, self.tag)

    async def hold_date(self, date: SaleDate) -> None:
        """Write this date's day in the event's zone in the merge field of all members, in batches; "" where none is known."""
        known = await self._api.merge_fields()
        if self.date_field not in known:
            await self._api.add_date_field(self.date_field)
        elif known[self.date_field] != "date":
            raise AudienceRefused(
                f"the merge field {self.date_field} of Mailchimp is of type {known[self.date_field]}: a date needs one of type date"
            )
        value = str(datetime.fromisoformat(date.text).date()) if date.text else ""
        errors: Counter[str] = Counter()
        cursor: str | None = None
        tried = 0
        while True:
            page = await self.page(cursor, BATCH)
            if page.members:
                errors.update(await self._api.write(page.members, {self.date_field: value}))
                tried += len(page.members)
            if page.next is None:
                break
            cursor = page.next
        if errors:
            codes = ", ".join(f"{code} {number}" for code, number in errors.most_common(5))
            raise AudienceUnavailable(
                f"Mailchimp did not write the date for {errors.total()} of {tried} members: {codes}"
            )

    async def _segment(self) -> int | None:
        """The number of the tag or segment, which is asked for once a pass; None = the whole audience."""
        wanted = self.tag or self.segment
        if wanted and self._number is None:
            known = await self._api.segments(tags=bool(self.tag))
            found = [id_ for id_, name in known.items() if name == wanted]
            found += [id_ for id_ in known if self.segment and str(id_) == wanted]
            if not found:
                kind, names = "tag" if self.tag else "segment", ", ".join(sorted(known.values())[:MOST_NAMES])
                raise AudienceRefused(
                    f"Mailchimp knows no {kind} {wanted} in the audience {self.list_id}, which notify.toml names in line {self._line}. "
                    f"{kind.capitalize()}s there: {names or 'none'}"
                )
            self._number = found[0]
        return self._number

    def _has_tag(self, tags: object) -> bool:
        names = {one.get("name") for one in tags if isinstance(one, dict)} if isinstance(tags, list) else set()
        return not self.tag or self.tag in names
