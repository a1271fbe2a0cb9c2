"""The audience of browsers: those whose push subscription to an event is confirmed, as our own page took them.

In: an event of a site. Out: its members, as of any other audience source; a member's address is the endpoint of its push service. There
is no tool behind it: the consent of a member is that it is still there.
"""

from server.errors import AudienceRefused, AudienceUnavailable, RedisUnavailable
from server.model import EventId, SiteId
from server.notify.audience.source import Consent, Member, Page, SaleDate
from server.store.push_subscriptions import PushSubscriptions, Stored


class PushAudience:
    """The browsers of one event."""

    asks_each = True
    takes_sign_ups = False

    def __init__(self, subscriptions: PushSubscriptions, site: SiteId, event: EventId) -> None:
        self.place = f"push {event}"
        self._subscriptions = subscriptions
        self._site = site
        self._event = event

    async def count(self) -> int:
        """How many there are; raises AudienceUnavailable, as all methods do, where Redis does not answer."""
        try:
            return await self._subscriptions.count(self._site, self._event)
        except RedisUnavailable as error:
            raise _unavailable(error) from None

    async def page(self, cursor: str | None, size: int) -> Page:
        """So many members by their id, from *cursor* on."""
        try:
            found, following = await self._subscriptions.page(self._site, self._event, cursor, size)
        except RedisUnavailable as error:
            raise _unavailable(error) from None
        return Page(tuple(map(member_of, found)), following)

    async def consent(self, member: Member) -> Consent:
        """Whether it is still subscribed."""
        try:
            stored = await self._subscriptions.read(*stored_as(member))
        except RedisUnavailable as error:
            raise _unavailable(error) from None
        if stored is None or not stored.confirmed:
            return Consent(opted_in=False)
        return Consent(opted_in=True, language=stored.language)

    async def opt_out(self, address: str) -> None:
        """Forget this endpoint."""
        try:
            await self._subscriptions.unsubscribe(self._site, self._event, address)
        except RedisUnavailable as error:
            raise _unavailable(error) from None

    async def sign_up(self, address: str, language: str) -> None:
        """It takes none: a browser subscribes on our page."""
        raise AudienceRefused("browsers subscribe on the page /tell-me, not by an address")

    async def hold_date(self, date: SaleDate) -> None:
        """It holds none: there is no tool behind it."""
        raise AudienceRefused("there is no tool behind browsers that could hold a date")

    async def aclose(self) -> None:
        """There is no connection of its own to close."""


def member_of(stored: Stored) -> Member:
    """A subscription as a member: its id has the site in front, since a channel serves all sites."""
    return Member(stored.subscription.endpoint, f"{stored.site}/{stored.id}", stored.language)


def stored_as(member: Member) -> tuple[SiteId, str]:
    """The site and the id by which a member's subscription is stored."""
    site, _, id_ = member.id.partition("/")
    return SiteId(site), id_


def _unavailable(error: RedisUnavailable) -> AudienceUnavailable:
    return AudienceUnavailable(f"push subscriptions cannot be read now: {error}")
