"""The calls to Mailchimp, against a stub of its API over HTTP; test_mailchimp.py compares them with those of its own client."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from server.errors import AudienceRefused, AudienceUnavailable, NotStarted
from server.notify.audience.mailchimp_api import MailchimpApi, hash_of
from server.notify.audience.source import Member
from server.notify.config import Tool
from tests.rig.mailchimp_stub import KEY, LIST, MailchimpStub, running_mailchimp
from tests.rig.redis import free_port


def api_at(url: str, list_id: str = LIST, key: str = KEY) -> MailchimpApi:
    return MailchimpApi(Tool("m", "mailchimp", url, SecretStr(key), "MAILCHIMP_KEY"), list_id, 7)


@pytest.fixture
async def stub() -> AsyncIterator[MailchimpStub]:
    """A Mailchimp."""
    async with running_mailchimp(free_port()) as found:
        yield found


@pytest.fixture
async def api(stub: MailchimpStub) -> AsyncIterator[MailchimpApi]:
    """The calls for its audience."""
    found = api_at(stub.url)
    yield found
    await found.aclose()


def test_id_of_an_address_is_its_md5() -> None:
    """Mailchimp's id of an address is the MD5 of it in small letters: the example of its documentation."""
    assert "62eeb292278cc15f5817cb78f7790b08" == hash_of("Urist.McVankab@freddiesjokes.com")


async def test_only_subscribed_members_are_on_a_page(stub: MailchimpStub, api: MailchimpApi) -> None:
    """A page of the audience or of a segment has those who have subscribed, with their ids and languages; the next one follows it."""
    for n, status in enumerate(["subscribed", "pending", "subscribed", "unsubscribed", "cleaned", "subscribed"]):
        stub.add(f"{n}@example.com", status, "tag", language="de")

    first = await api.members(None, None, 2)
    last = await api.members(None, first.next, 2)
    segment = await api.members(stub.tag("tag"), None, 5000)

    assert [("0@example.com", hash_of("0@example.com"), "de"), ("2@example.com", hash_of("2@example.com"), "de")] == [
        (one.address, one.id, one.language) for one in first.members
    ]
    assert ("2", ["5@example.com"], None) == (first.next, [one.address for one in last.members], last.next)
    assert ["0@example.com", "2@example.com", "5@example.com"] == [one.address for one in segment.members]


async def test_segments_and_their_counts(stub: MailchimpStub, api: MailchimpApi) -> None:
    """Tags are the static segments; each segment has its count, and the audience that of its subscribers."""
    stub.add("a@example.com", "subscribed", "Early birds")
    stub.add("b@example.com")
    everyone = stub.segment("All", lambda _: True)

    assert {stub.tag("Early birds"): "Early birds"} == await api.segments(tags=True)
    assert {stub.tag("Early birds"): "Early birds", everyone: "All"} == await api.segments(tags=False)
    assert (2, 1, 2) == (
        await api.count(),
        await api.segment_count(stub.tag("Early birds")),
        await api.segment_count(everyone),
    )


async def test_members_are_read_and_changed(stub: MailchimpStub, api: MailchimpApi) -> None:
    """A member is read with the fields that were asked for, changed, made and given a tag; one who is not there is told."""
    a, b = hash_of("a@example.com"), hash_of("b@example.com")
    stub.add("a@example.com")

    done = await api.change(a, "PATCH", {"status": "unsubscribed"}, what="opt-out")
    missing = await api.change(b, "PATCH", {"status": "unsubscribed"}, what="opt-out")
    refused = await api.change(b, "PUT", {"email_address": "b@example.com"}, what="sign-up")
    made = await api.change(b, "PUT", {"email_address": "b@example.com", "status_if_new": "pending"}, what="sign-up")
    await api.give_tag(b, "Early birds")

    assert [None, "", "Invalid Resource", None] == [done, missing, refused, made]
    assert {"status": "unsubscribed"} == await api.member(a, "status")
    assert ["Early birds"] == [one["name"] for one in (await api.member(b, "tags") or {})["tags"]]
    assert await api.member(hash_of("nobody@example.com"), "status") is None


async def test_merge_fields_are_made_and_written(stub: MailchimpStub, api: MailchimpApi) -> None:
    """A date field is made, and written of members without their status; each refusal has its code."""
    stub.add("a@example.com", "unsubscribed")
    await api.add_date_field("NEXTSALE")

    codes = await api.write([Member("a@example.com"), Member("gone@example.com")], {"NEXTSALE": "2026-12-01"})

    assert {"FNAME": "text", "NEXTSALE": "date"} == await api.merge_fields()
    assert ["ERROR_GENERIC"] == codes
    member = stub.member("a@example.com")
    assert member is not None
    assert ("unsubscribed", "2026-12-01") == (member.status, member.merge_fields["NEXTSALE"])


async def test_unknown_audience_is_refused_by_each_call(stub: MailchimpStub) -> None:
    """Whatever is asked of an audience that there is not is refused with those that there are."""
    api = api_at(stub.url, "0000000000")

    for call in (
        api.count(),
        api.segments(tags=True),
        api.merge_fields(),
        api.members(None, None, 10),
        api.change("0" * 32, "PATCH", {"status": "unsubscribed"}, what="opt-out"),
    ):
        with pytest.raises(AudienceRefused, match=rf"no audience 0000000000 .* line 7\. Audiences there: {LIST}"):
            await call
    await api.aclose()


async def test_deleted_segment_is_refused(api: MailchimpApi) -> None:
    """A segment that is gone while its audience is there is refused as such."""
    with pytest.raises(AudienceRefused, match="404: it was deleted"):
        await api.members(1, None, 10)


async def test_403_is_a_refusal_only_with_a_reason(stub: MailchimpStub, api: MailchimpApi) -> None:
    """A 403 with a reason names the key's variable; one without a body may be over later."""
    stub.down = 403
    with pytest.raises(AudienceRefused, match="403: Out Of Order: check MAILCHIMP_KEY"):
        await api.count()
    stub.bare = True

    with pytest.raises(AudienceUnavailable, match="asked too much at once"):
        await api.count()


@pytest.mark.parametrize("url", ["http://mailchimp.example.com/3.0", "https://key@us6.api.mailchimp.com/3.0"])
def test_address_that_others_could_read_is_refused(url: str) -> None:
    """An address without encryption, or with a password in it, is refused before the key is sent."""
    with pytest.raises(NotStarted, match="Mailchimp: url"):
        api_at(url)


@pytest.mark.parametrize(
    ("name", "body", "what"),
    [
        ("_list", {"stats": None}, "no member_count"),
        ("_list", {"stats": {"member_count": True}}, "no member_count"),
        ("_list", [], "no object"),
    ],
)
async def test_odd_answer_is_unavailable(name: str, body: object, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that has not what it must have is a fault."""
    monkeypatch.setattr(MailchimpStub, name, lambda *_: body)
    monkeypatch.setattr("tests.rig.mailchimp_stub._only", lambda found, _: found)
    async with running_mailchimp(free_port()) as odd:
        api = api_at(odd.url)
        with pytest.raises(AudienceUnavailable, match=what):
            await api.count()
        await api.aclose()
