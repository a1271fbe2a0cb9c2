"""Whom a list of Mailman names, page by page."""

import time

import pytest
from structlog.testing import capture_logs

from server.errors import AudienceRefused
from server.notify.audience.source import Member, Page
from tests.rig.mailman import BY_USER, MailmanServer
from tests.rig.mailman_source import all_members, mailman_source
from tests.rig.report import report


async def test_members_page_by_page(mailman: MailmanServer) -> None:
    """All members are on some page, once, with their ids; a last page that is full is followed by none."""
    list_id = await mailman.new_list()
    addresses = [f"reader-{number:02}@example.com" for number in range(12)]
    mailman.fill(list_id, addresses)

    async with mailman_source(mailman, list_id) as source:
        assert 12 == await source.count()
        first = await source.page(None, 5)
        second = await source.page(first.next, 5)
        third = await source.page(second.next, 5)
        assert (5, 5, 2, None) == (len(first.members), len(second.members), len(third.members), third.next)
        found = [*first.members, *second.members, *third.members]
        assert addresses == [one.address for one in found]
        assert await mailman.member_id(list_id, addresses[0]) == found[0].id
        assert (await source.page(first.next, 6)).next is None


async def test_only_who_has_confirmed_is_a_member(mailman: MailmanServer) -> None:
    """Who has been asked and has not confirmed, who has left, owners, and readers of other lists are on no page."""
    list_id, other = await mailman.new_list(), await mailman.new_list()
    await mailman.subscribe(list_id, "confirmed@example.com")
    await mailman.subscribe(list_id, "waiting@example.com", confirmed=False)
    await mailman.subscribe(list_id, "left@example.com")
    await mailman.unsubscribe(list_id, "left@example.com")
    await mailman.subscribe(list_id, "owner@example.com", role="owner")
    await mailman.subscribe(list_id, "nonmember@example.com", role="nonmember")
    mailman.fill(other, ["other@example.com"])

    async with mailman_source(mailman, list_id) as source:
        assert 1 == await source.count()
        assert ["confirmed@example.com"] == [one.address for one in await all_members(source)]


async def test_who_switched_delivery_off_is_on_a_page(mailman: MailmanServer) -> None:
    """Delivery off is asked for just before each message, so it is no matter for pages."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["off@example.com"], status=BY_USER)

    async with mailman_source(mailman, list_id) as source:
        assert ["off@example.com"] == [one.address for one in await all_members(source)]


async def test_empty_list_is_no_error(mailman: MailmanServer) -> None:
    """A list without members has one page without members."""
    async with mailman_source(mailman, await mailman.new_list()) as source:
        assert 0 == await source.count()
        assert Page((), None) == await source.page(None, 10)


async def test_list_may_be_named_by_its_address(mailman: MailmanServer) -> None:
    """The posting address of a list is taken for its id, in any case, and is the same place."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["reader@example.com"])
    address = list_id.replace(".", "@", 1).upper()

    async with mailman_source(mailman, address) as source, mailman_source(mailman, list_id) as same:
        assert 1 == len(await all_members(source))
        assert f"mailman 127.0.0.1 {list_id}" == source.place == same.place


async def test_unknown_list_is_refused_with_those_there_are(mailman: MailmanServer) -> None:
    """A list that Mailman does not know is an error that names the line, and the lists there are: not a list without members."""
    for _ in range(21):
        await mailman.new_list()
    list_id = await mailman.new_list("early-birds")

    async with mailman_source(mailman, "early-bird.example.org") as source:
        for ask in (source.count, lambda: source.page(None, 10), lambda: source.page("3", 10)):
            with pytest.raises(AudienceRefused) as caught:
                await ask()
            said = str(caught.value)
            assert f"Mailman knows no list early-bird.example.org (404 from {mailman.url}/3.1)" in said
            assert "notify.toml names in line 7" in said
            assert f"Lists there: {list_id}, " in said
            assert 20 == said.partition("Lists there")[2].count(".example.org")


async def test_list_that_is_deleted_between_two_pages(mailman: MailmanServer) -> None:
    """A list that goes while it is read is refused, and does not end as one that has been read."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, [f"reader-{number}@example.com" for number in range(4)])

    async with mailman_source(mailman, list_id) as source:
        page = await source.page(None, 2)
        assert 204 == (await mailman.api("DELETE", f"/lists/{list_id}")).status_code
        with pytest.raises(AudienceRefused, match="knows no list"):
            await source.page(page.next, 2)


async def test_display_names_do_no_harm(mailman: MailmanServer) -> None:
    """A display name with line breaks, NUL or encoded words, which Mailman keeps, is not read at all."""
    list_id = await mailman.new_list()
    await mailman.subscribe(list_id, "odd@example.com", display_name="A\r\nBcc: x@y.example\0=?utf-8?q?=0d=0a?=")

    async with mailman_source(mailman, list_id) as source:
        [found] = await all_members(source)
    assert Member("odd@example.com", found.id) == found


async def test_members_that_a_search_does_not_find_are_told(mailman: MailmanServer) -> None:
    """Where the list has other members than its pages, a warning says how many, and reading goes on."""
    list_id = await mailman.new_list()
    await mailman.subscribe(list_id, "reader@example.com")
    user = (
        (await mailman.api("POST", "/users", {"email": "account@example.com"})).headers["location"].rpartition("/")[2]
    )
    await mailman.api("POST", "/addresses/account@example.com/verify")
    await mailman.api("POST", f"/users/{user}/preferred_address", {"email": "account@example.com"})
    await mailman.subscribe(list_id, user)
    assert 2 == len((await mailman.get(f"/members/find?list_id={list_id}&role=member"))["entries"])
    mailman.forget_preferred_addresses()

    async with mailman_source(mailman, list_id) as source:
        with capture_logs() as logs:
            assert ["reader@example.com"] == [one.address for one in await all_members(source)]
    assert [(2, 1)] == [(one["members"], one["found"]) for one in logs if one["event"] == "audience_totals_differ"]


async def test_account_is_a_member_by_its_preferred_address(mailman: MailmanServer) -> None:
    """Who subscribed by an account is read with its preferred address."""
    list_id = await mailman.new_list()
    user = (
        (await mailman.api("POST", "/users", {"email": "by-account@example.com"}))
        .headers["location"]
        .rpartition("/")[2]
    )
    await mailman.api("POST", "/addresses/by-account@example.com/verify")
    await mailman.api("POST", f"/users/{user}/preferred_address", {"email": "by-account@example.com"})
    await mailman.subscribe(list_id, user)

    async with mailman_source(mailman, list_id) as source:
        [member] = await all_members(source)
        assert "by-account@example.com" == member.address
        assert (await source.consent(member)).opted_in
        await source.opt_out("by-account@example.com")
        assert [] == await all_members(source)


async def test_thousands_are_read_quickly(mailman: MailmanServer) -> None:
    """A pass over 5,000 members takes seconds."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, (f"reader-{number}@example.com" for number in range(5000)))

    async with mailman_source(mailman, list_id) as source:
        began = time.monotonic()
        first = await source.page(None, 500)
        page = time.monotonic() - began
        found = await all_members(source)
        report(f"first page of 500 after {page:.2f} s, 5,000 after {time.monotonic() - began - page:.2f} s")
    assert 500 == len(first.members)
    assert 5000 == len({one.address for one in found})
    assert page < 5
