"""The Mailman that all tests of this folder rest on: what it must do before anything is tested with it."""

import time

from tests.rig.mailman import BY_USER, MailmanServer, MailmanServers
from tests.rig.report import report


async def test_members_written_at_once_are_as_those_of_the_api(mailman: MailmanServer) -> None:
    """A member that is written into the database is the same to Mailman as one that subscribed by its API."""
    list_id = await mailman.new_list()
    await mailman.subscribe(list_id, "Api@Example.com")
    mailman.fill(list_id, ["Written@Example.com"])

    found = (await mailman.get(f"/members/find?list_id={list_id}&role=member"))["entries"]
    own = {"address", "email", "self_link", "member_id", "user", "http_etag", "last_warning_sent"}
    api, written = ({key: value for key, value in one.items() if key not in own} for one in found)
    assert ["api@example.com", "written@example.com"] == [one["email"] for one in found]
    assert api == written
    preferences = [await mailman.get(f"/members/{one['member_id']}/all/preferences") for one in found]
    for one in preferences:
        del one["self_link"], one["http_etag"]
    assert preferences[0] == preferences[1]


async def test_preferences_written_at_once(mailman: MailmanServer) -> None:
    """Delivery off and a language can be written with members, and Mailman answers them."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["off@example.com"], status=BY_USER, language="de")

    path = f"/members/{await mailman.member_id(list_id, 'off@example.com')}/all/preferences"
    found = await mailman.get(path)
    assert ("by_user", "de") == (found["delivery_status"], found["preferred_language"])
    assert {"off@example.com": BY_USER} == mailman.members(list_id)


async def test_thousands_of_members_are_there_quickly(mailman: MailmanServer) -> None:
    """A list of 5,000 members is made in a few seconds, and Mailman counts them."""
    list_id = await mailman.new_list()
    began = time.monotonic()
    mailman.fill(list_id, (f"reader-{number}@example.com" for number in range(5000)))
    took = time.monotonic() - began

    report(f"5,000 members written in {took:.2f} s")
    assert 5000 == (await mailman.get(f"/lists/{list_id}"))["member_count"]
    assert took < 10


async def test_who_has_not_confirmed_is_no_member(mailman: MailmanServer) -> None:
    """An address that has been asked to confirm waits, and is no member."""
    list_id = await mailman.new_list()
    await mailman.subscribe(list_id, "waiting@example.com", confirmed=False)

    assert ["waiting@example.com"] == await mailman.pending(list_id)
    assert {} == mailman.members(list_id)


async def test_data_outlives_a_kill(mailman_server: MailmanServers) -> None:
    """Killed and started again, Mailman has its lists and members, at the same address."""
    mailman = mailman_server()
    list_id = await mailman.new_list()
    mailman.fill(list_id, ["reader@example.com"])
    mailman.restart()

    assert 1 == (await mailman.get(f"/lists/{list_id}"))["member_count"]
