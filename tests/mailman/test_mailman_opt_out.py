"""Who opts out leaves the list at once, whatever the list's rules."""

from dataclasses import replace

import pytest

from server.errors import AudienceRefused, AudienceUnavailable
from tests.rig.http_proxy import CUT_AFTER, Fault, http_proxy, method
from tests.rig.mailman import MailmanServer
from tests.rig.mailman_source import mailman_source


@pytest.mark.parametrize("policy", ["open", "confirm", "moderate", "confirm_then_moderate"])
async def test_member_leaves_at_once(mailman: MailmanServer, policy: str) -> None:
    """Under each policy of leaving the member is gone, and no one else is."""
    list_id = await mailman.new_list()
    await mailman.api("PATCH", f"/lists/{list_id}/config", {"unsubscription_policy": policy})
    mailman.fill(list_id, ["leaving@example.com", "staying@example.com"])

    async with mailman_source(mailman, list_id) as source:
        await source.opt_out("leaving@example.com")
    assert {"staying@example.com"} == set(mailman.members(list_id))


@pytest.mark.parametrize(
    "address", ["a/b@example.com", "a+b@example.com", "a%2fb@example.com", "a?b=c&d@example.com", "it's@example.com"]
)
async def test_addresses_that_no_path_can_name(mailman: MailmanServer, address: str) -> None:
    """An address with a slash or other signs leaves like any other: it is named by the member's id."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, [address, "staying@example.com"])

    async with mailman_source(mailman, list_id) as source:
        await source.opt_out(address)
    assert {"staying@example.com"} == set(mailman.members(list_id))


async def test_star_in_an_address_is_no_pattern(mailman: MailmanServer) -> None:
    """An address with a star, which Mailman reads as a pattern, takes only itself off, among however many others."""
    list_id = await mailman.new_list()
    others = {f"reader-{number}@example.com" for number in range(120)}
    mailman.fill(list_id, others)

    async with mailman_source(mailman, list_id) as source:
        await source.opt_out("*@example.com")
        assert others == set(mailman.members(list_id))
        mailman.fill(list_id, ["zz*@example.com"])
        await source.opt_out("zz*@example.com")
    assert others == set(mailman.members(list_id))


async def test_who_is_not_on_the_list_is_no_error(mailman: MailmanServer) -> None:
    """Opting out twice, or from a list that one is not on, is no error; from a list that is not there, it is."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["leaving@example.com"])

    async with mailman_source(mailman, list_id) as source:
        for _ in range(2):
            await source.opt_out("leaving@example.com")
        await source.opt_out("no address")
    async with mailman_source(mailman, "nowhere.example.org") as source:
        with pytest.raises(AudienceRefused, match="knows no list"):
            await source.opt_out("leaving@example.com")


async def test_case_and_blanks_do_not_matter(mailman: MailmanServer) -> None:
    """An address leaves in the case in which it subscribed, or in another one."""
    list_id = await mailman.new_list()
    await mailman.subscribe(list_id, "Mixed.Case@Example.com")

    async with mailman_source(mailman, list_id) as source:
        await source.opt_out("mixed.case@example.com")
    assert {} == mailman.members(list_id)


async def test_member_who_has_gone_meanwhile(mailman: MailmanServer) -> None:
    """A member that another call has removed after the look-up is no error, and an answer that got lost is told."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["leaving@example.com"])

    async with http_proxy(mailman.url) as proxy, mailman_source(mailman, list_id, url=proxy.url) as source:
        proxy.add(replace(CUT_AFTER, meets=method("DELETE", ".*"), times=1))
        with pytest.raises(AudienceUnavailable):
            await source.opt_out("leaving@example.com")
        assert {} == mailman.members(list_id)
        await source.opt_out("leaving@example.com")
        mailman.fill(list_id, ["leaving@example.com"])
        proxy.add(Fault(404, meets=method("DELETE", ".*")))
        await source.opt_out("leaving@example.com")


async def test_member_who_stays_is_told(mailman: MailmanServer) -> None:
    """An answer with which the member stays until a moderator agrees is an error, which does not name the member."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["leaving@example.com"])

    async with http_proxy(mailman.url) as proxy, mailman_source(mailman, list_id, url=proxy.url) as source:
        proxy.add(Fault(202, body=b"{}", meets=method("DELETE", ".*")))
        with pytest.raises(AudienceRefused, match="the member stays until a moderator agrees") as caught:
            await source.opt_out("leaving@example.com")
        assert "leaving" not in str(caught.value)
        sent = proxy.writes[-1]
        assert b"pre_confirmed=True&pre_approved=True" == sent.body
        assert not any("leaving" in one.path for one in proxy.exchanges)
