"""The stub of Mailchimp as an audience, and the bench of its source."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from server.model import SiteId
from server.notify.audience.mailchimp import Mailchimp
from server.notify.audience.source import AudienceSource, SourceContext
from server.notify.config import EventAudience, Tool
from tests.rig.audience_conformance import AudienceBench, Status
from tests.rig.mailchimp_stub import KEY, LIST, MailchimpStub
from tests.rig.server import SITE

DATE_FIELD = "NEXTSALE"
STATUSES = {
    Status.CONFIRMED: "subscribed",
    Status.PENDING: "pending",
    Status.LEFT: "unsubscribed",
    Status.BOUNCED: "cleaned",
}


def opened(url: str, key: str = KEY, *, date_field: str | None = DATE_FIELD, **audience: str) -> Mailchimp:
    """A source at this address."""
    tool = Tool("m", "mailchimp", url, SecretStr(key), "MAILCHIMP_KEY")
    event = EventAudience("gala", tool, {"list": LIST, **audience}, date_field, line=7)
    return Mailchimp(event, SourceContext(SiteId(SITE), Path()))


class MailchimpAudience(AudienceBench):
    """The audience of a stub, or a tag or segment of it."""

    def __init__(self, stub: MailchimpStub, **audience: str) -> None:
        self.stub = stub
        self.secret = KEY
        self.tags = [audience["tag"]] if "tag" in audience else []
        for tag in self.tags:
            stub.tag(tag)
        if "segment" in audience:
            stub.segment(audience["segment"], lambda one: "other" not in one.email)
        self.audience = audience
        self.source = opened(stub.url, **audience)

    async def fill(self, people: Mapping[str, Status], language: str = "") -> None:
        """Members of the audience; beside a tag or a segment, one who has neither."""
        for address, status in people.items():
            self.stub.add(address, STATUSES[status], *self.tags, language=language)
        if self.audience:
            self.stub.add("other@example.com")

    async def status(self, address: str) -> Status | None:
        """The status of a member."""
        found = self.stub.member(address)
        return {known: status for status, known in STATUSES.items()}[found.status] if found else None

    async def leave(self, address: str) -> None:
        """Unsubscribe as by the link in a mail of Mailchimp."""
        found = self.stub.member(address)
        assert found is not None
        found.status, found.left_by_themselves = "unsubscribed", True

    def without_list(self) -> AudienceSource:
        """A source of another audience, tag or segment."""
        other = dict.fromkeys(self.audience or {"list"}, self.missing)
        return opened(self.stub.url, **other)

    @asynccontextmanager
    async def _down(self, status: int) -> AsyncIterator[None]:
        self.stub.down = status
        try:
            yield
        finally:
            self.stub.down = None

    def outage(self) -> AbstractAsyncContextManager[None]:
        """Every call is answered 503."""
        return self._down(503)

    def forbidden(self) -> AbstractAsyncContextManager[None]:
        """Every call is answered 403 with a reason."""
        return self._down(403)

    async def date(self) -> str | None:
        """The date that all members who have subscribed have."""
        members = [one for one in self.stub.members.values() if one.status == "subscribed" and "other" not in one.email]
        [found] = {one.merge_fields.get(DATE_FIELD, "") for one in members}
        return str(found)

    async def others(self) -> object:
        """The status and the other merge fields of all."""
        return [
            (one.email, one.status, {key: value for key, value in one.merge_fields.items() if key != DATE_FIELD})
            for one in self.stub.members.values()
        ]
