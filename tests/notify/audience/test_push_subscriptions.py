from typing import Any

import pytest

from server.errors import AudienceRefused, AudienceUnavailable, RedisUnavailable
from server.model import EventId
from server.notify.audience.push_subscriptions import PushAudience, member_of
from server.notify.audience.source import AudienceSource, Consent, Member, Page, SaleDate
from tests.rig.push_rig import EVENT, SITE, PushRig


async def test_members_are_confirmed_subscriptions(push_rig: PushRig) -> None:
    """An audience has the confirmed browsers of its event, page by page, with their languages, and no other."""
    source: AudienceSource = PushAudience(push_rig.subscriptions, SITE, EVENT)
    confirmed = [await push_rig.confirmed(language) for language in ("en", "de", "he")]
    await push_rig.browser()
    members: list[Member] = []
    cursor: str | None = None
    while True:
        page = await source.page(cursor, 2)
        members += page.members
        cursor = page.next
        if cursor is None:
            break

    assert {(browser.endpoint, stored.language) for browser, stored in confirmed} == {
        (one.address, one.language) for one in members
    }
    assert (3, 3) == (len(members), await source.count())
    other = PushAudience(push_rig.subscriptions, SITE, EventId("other"))
    assert (Page(()), 0) == (await other.page(None, 10), await other.count())
    assert other.place != source.place
    await source.aclose()


async def test_consent_is_that_it_is_still_there(push_rig: PushRig) -> None:
    """Who has left since the page was read has not opted in, nor has one that is not confirmed."""
    source = PushAudience(push_rig.subscriptions, SITE, EVENT)
    browser, stored = await push_rig.confirmed("he")
    _, unconfirmed = await push_rig.browser()

    assert source.asks_each
    assert Consent(opted_in=True, language="he") == await source.consent(member_of(stored))
    assert Consent(opted_in=False) == await source.consent(member_of(unconfirmed))
    await source.opt_out(browser.endpoint)
    assert Consent(opted_in=False) == await source.consent(member_of(stored))
    assert 0 == await source.count()


async def test_what_it_cannot_do(push_rig: PushRig) -> None:
    """No tool is behind it: it takes no address and holds no date."""
    source = PushAudience(push_rig.subscriptions, SITE, EVENT)

    assert not source.takes_sign_ups
    with pytest.raises(AudienceRefused, match="tell-me"):
        await source.sign_up("a@example.org", "en")
    with pytest.raises(AudienceRefused, match="no tool"):
        await source.hold_date(SaleDate(None))


async def test_without_redis_it_is_unavailable(push_rig: PushRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Redis does not answer, each question is one to ask again later."""
    source = PushAudience(push_rig.subscriptions, SITE, EVENT)
    _, stored = await push_rig.confirmed()

    async def down(*_: Any) -> Any:
        raise RedisUnavailable("down")

    for name in ("count", "page", "read", "unsubscribe"):
        monkeypatch.setattr(push_rig.subscriptions, name, down)
    for question in (
        source.count(),
        source.page(None, 1),
        source.consent(member_of(stored)),
        source.opt_out(stored.subscription.endpoint),
    ):
        with pytest.raises(AudienceUnavailable, match="down"):
            await question
