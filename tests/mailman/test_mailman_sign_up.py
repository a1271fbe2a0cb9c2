"""An address that a visitor typed becomes a member only where its owner confirms to Mailman."""

import pytest

from server.errors import AudienceRefused, RequestRefused
from tests.rig.http_proxy import http_proxy
from tests.rig.mailman import MailmanServer
from tests.rig.mailman_source import all_members, mailman_source


async def test_owner_of_the_address_is_asked(mailman: MailmanServer) -> None:
    """Mailman asks the owner by mail, and until the answer the address is no member; asking twice sends one mail."""
    list_id = await mailman.new_list()
    mails = mailman.queue

    async with mailman_source(mailman, list_id) as source:
        for _ in range(2):
            await source.sign_up("new@example.com", "de")
        assert [] == await all_members(source)
    assert ["new@example.com"] == await mailman.pending(list_id)
    assert 1 == mailman.queue - mails


async def test_confirmed_sign_up_is_a_member_with_a_language(mailman: MailmanServer) -> None:
    """Once confirmed, the address is a member, with the language of the page on which it was typed."""
    list_id = await mailman.new_list()

    async with mailman_source(mailman, list_id) as source:
        await source.sign_up("german@example.com", "de")
        [request] = (await mailman.get(f"/lists/{list_id}/requests?token_owner=subscriber"))["entries"]
        await mailman.api("POST", f"/lists/{list_id}/requests/{request['token']}", {"action": "accept"})
        [member] = await all_members(source)
        assert ("german@example.com", "de") == (member.address, (await source.consent(member)).language)


async def test_visitor_changes_nothing_of_a_member(mailman: MailmanServer) -> None:
    """The address of a member can be typed again, by anyone: its language stays, and no mail goes out."""
    list_id, other = await mailman.new_list(), await mailman.new_list()
    await mailman.subscribe(list_id, "reader@example.com")
    mails = mailman.queue

    async with mailman_source(mailman, list_id) as source, mailman_source(mailman, other) as second:
        await source.sign_up("reader@example.com", "de")
        assert mails == mailman.queue
        await second.sign_up("reader@example.com", "de")
        [member] = await all_members(source)
        assert "en" == (await source.consent(member)).language


@pytest.mark.parametrize("language", ["", "xx", "not a language"])
async def test_language_that_mailman_does_not_have(mailman: MailmanServer, language: str) -> None:
    """A language that Mailman does not have is no reason not to ask."""
    list_id = await mailman.new_list()

    async with mailman_source(mailman, list_id) as source:
        await source.sign_up(f"l{len(language)}@example.com", language)
    assert [f"l{len(language)}@example.com"] == await mailman.pending(list_id)


async def test_address_with_a_slash_is_asked(mailman: MailmanServer) -> None:
    """An address that no path of Mailman can name is asked as others are."""
    list_id = await mailman.new_list()

    async with mailman_source(mailman, list_id) as source:
        await source.sign_up("new/one@example.com", "de")
    assert ["new/one@example.com"] == await mailman.pending(list_id)


@pytest.mark.parametrize("policy", ["open", "moderate"])
async def test_list_that_would_not_ask_takes_no_sign_ups(mailman: MailmanServer, policy: str) -> None:
    """A list that takes a known address without asking its owner is refused, with the setting that helps."""
    list_id, other = await mailman.new_list(), await mailman.new_list()
    await mailman.subscribe(other, f"known-{policy}@example.com")
    await mailman.api("PATCH", f"/lists/{list_id}/config", {"subscription_policy": policy})

    async with mailman_source(mailman, list_id) as source:
        with pytest.raises(AudienceRefused, match=f"{policy}.*set it to confirm"):
            await source.sign_up(f"known-{policy}@example.com", "en")
    assert {} == mailman.members(list_id)


async def test_address_that_mailman_refuses(mailman: MailmanServer) -> None:
    """An address that Mailman does not take is refused, without a word of it."""
    list_id = await mailman.new_list()

    async with http_proxy(mailman.url) as proxy, mailman_source(mailman, list_id, url=proxy.url) as source:
        with pytest.raises(RequestRefused, match="400") as caught:
            await source.sign_up("ümläut@example.com", "de")
    assert "ml" not in str(caught.value).replace("toml", "").replace("html", "")


async def test_sign_up_at_a_list_that_is_not_there(mailman: MailmanServer) -> None:
    """A list that Mailman does not know is told."""
    async with mailman_source(mailman, "nowhere.example.org") as source:
        with pytest.raises(AudienceRefused):
            await source.sign_up("new@example.com", "de")
