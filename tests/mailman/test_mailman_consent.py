"""What Mailman says of one member just before the message."""

import time

import pytest

from server.notify.audience.source import Consent, Member
from tests.rig.mailman import BY_BOUNCES, BY_MODERATOR, BY_USER, ENABLED, MailmanServer
from tests.rig.mailman_source import all_members, mailman_source
from tests.rig.report import report


@pytest.mark.parametrize(
    ("status", "off"), [(None, False), (ENABLED, False), (BY_USER, True), (BY_BOUNCES, True), (BY_MODERATOR, True)]
)
async def test_delivery_off_by_whomever(mailman: MailmanServer, status: int | None, off: bool) -> None:
    """Who switched delivery off, or whose delivery a moderator or bounces switched off, is a member who gets nothing."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["reader@example.com"], status=status)

    async with mailman_source(mailman, list_id) as source:
        [member] = await all_members(source)
        assert Consent(True, off, "en") == await source.consent(member)


async def test_delivery_off_for_all_lists(mailman: MailmanServer) -> None:
    """Delivery that is off for an address, on all lists, is off here too."""
    list_id = await mailman.new_list()
    await mailman.subscribe(list_id, "everywhere@example.com")
    path = "/addresses/everywhere@example.com/preferences"
    assert 204 == (await mailman.api("PATCH", path, {"delivery_status": "by_user"})).status_code

    async with mailman_source(mailman, list_id) as source:
        [member] = await all_members(source)
        assert (await source.consent(member)).delivery_off


async def test_members_of_a_digest_want_mail(mailman: MailmanServer) -> None:
    """Who reads the list as a digest has opted in as the others have."""
    list_id = await mailman.new_list()
    await mailman.subscribe(list_id, "digest@example.com", delivery_mode="plaintext_digests")

    async with mailman_source(mailman, list_id) as source:
        [member] = await all_members(source)
        assert Consent(True, False, "en") == await source.consent(member)


async def test_language_of_a_member_else_of_the_list(mailman: MailmanServer) -> None:
    """The language is the member's own, and else the list's."""
    list_id = await mailman.new_list()
    await mailman.api("PATCH", f"/lists/{list_id}/config", {"preferred_language": "de"})
    mailman.fill(list_id, ["hebrew@example.com"], language="he")
    mailman.fill(list_id, ["none@example.com"])

    async with mailman_source(mailman, list_id) as source:
        found = {one.address: (await source.consent(one)).language for one in await all_members(source)}
    assert {"hebrew@example.com": "he", "none@example.com": "de"} == found


async def test_who_left_after_the_page_was_read(mailman: MailmanServer) -> None:
    """A member that is gone since has not opted in any more, also where the address has subscribed elsewhere."""
    list_id, other = await mailman.new_list(), await mailman.new_list()
    for one in (list_id, other):
        await mailman.subscribe(one, "leaving@example.com")

    async with mailman_source(mailman, list_id) as source:
        [member] = await all_members(source)
        await mailman.unsubscribe(list_id, "leaving@example.com")
        assert Consent(False) == await source.consent(member)


async def test_member_known_by_address_alone(mailman: MailmanServer) -> None:
    """A member without an id is looked up by the address, and one that no list has, has not opted in."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["reader@example.com"], status=BY_USER)

    async with mailman_source(mailman, list_id) as source:
        assert Consent(True, True, "en") == await source.consent(Member("Reader@example.com"))
        assert Consent(False) == await source.consent(Member("nobody@example.com"))
        assert Consent(False) == await source.consent(Member("nobody@example.com", "../lists"))


async def test_consent_is_asked_quickly(mailman: MailmanServer) -> None:
    """Asking for one member takes a small part of the time between two messages."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, (f"reader-{number}@example.com" for number in range(5000)))

    async with mailman_source(mailman, list_id) as source:
        members = (await source.page(None, 100)).members
        began = time.monotonic()
        for one in members:
            assert (await source.consent(one)).opted_in
        each = (time.monotonic() - began) / len(members)
    report(f"consent of one of 5,000 members: {1000 * each:.1f} ms")
    assert each < 0.5
