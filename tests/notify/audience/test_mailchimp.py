"""Mailchimp against a stub of its API over HTTP, which Mailchimp's own client drives as well."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import mailchimp_marketing  # type: ignore[import-untyped]
import pytest
from mailchimp_marketing.api_client import ApiClientError  # type: ignore[import-untyped]
from pydantic import SecretStr

from server.errors import AudienceRefused, AudienceUnavailable, NotStarted, RequestRefused
from server.model import SiteId
from server.notify.audience import open_source
from server.notify.audience.mailchimp import Mailchimp
from server.notify.audience.source import Member, SaleDate, SourceContext
from server.notify.config import EventAudience, Tool
from tests.rig.audience_conformance import CHECKS, FIRST, ZONE, Check, Status, members, people
from tests.rig.mailchimp_audience import DATE_FIELD, MailchimpAudience, opened
from tests.rig.mailchimp_stub import KEY, LIST, Asked, MailchimpStub, StubMember, running_mailchimp
from tests.rig.redis import free_port
from tests.rig.server import SITE

DATE = SaleDate(FIRST, ZONE, "Spring Gala")
CONTEXT = SourceContext(SiteId(SITE), Path())


@pytest.fixture
async def stub() -> AsyncIterator[MailchimpStub]:
    """A Mailchimp."""
    async with running_mailchimp(free_port()) as found:
        yield found


@pytest.fixture
async def source(stub: MailchimpStub) -> AsyncIterator[Mailchimp]:
    """The source of its audience."""
    found = opened(stub.url)
    yield found
    await found.aclose()


@pytest.mark.parametrize(
    "audience", [{}, {"tag": "Early birds"}, {"segment": "Berlin"}], ids=["list", "tag", "segment"]
)
@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__)
async def test_mailchimp_passes_the_conformance_checks(
    check: Check, audience: dict[str, str], stub: MailchimpStub
) -> None:
    """An audience of Mailchimp, a tag and a segment do what every audience must do."""
    bench = MailchimpAudience(stub, **audience)

    try:
        await check(bench)
    finally:
        await bench.source.aclose()


# -- the same as by Mailchimp's own client --


class Vendor:
    """Mailchimp's own client, which is not asynchronous."""

    def __init__(self, url: str) -> None:
        self._client = mailchimp_marketing.Client({"api_key": KEY})
        self._client.api_client.host = url

    async def __call__(self, name: str, *arguments: Any, **more: Any) -> Any:
        return await asyncio.to_thread(getattr(self._client.lists, name), *arguments, **more)


def requests_since(stub: MailchimpStub, number: int) -> list[Asked]:
    return [
        Asked(one.method, one.path, tuple((key, value) for key, value in one.query), one.body)
        for one in stub.log[number:]
    ]


HASH = StubMember("confirmed-0000@example.com", "").id
NEW = StubMember("new@example.com", "").id
MEMBERS = ["members.id", "members.email_address", "members.status", "members.language", "total_items"]
PAGE: dict[str, Any] = {"fields": MEMBERS, "count": 500, "offset": 0}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda source: source.page(None, 500),
            [
                (
                    "get_list_members_info",
                    (LIST,),
                    {**PAGE, "status": "subscribed", "sort_field": "timestamp_opt", "sort_dir": "ASC"},
                )
            ],
        ),
        (lambda source: source.count(), [("get_list", (LIST,), {"fields": ["id", "stats.member_count"]})]),
        (
            lambda source: source.consent(Member("Confirmed-0000@example.com")),
            [("get_list_member", (LIST, HASH), {"fields": ["status", "language"]})],
        ),
        (
            lambda source: source.opt_out("confirmed-0000@example.com"),
            [("update_list_member", (LIST, HASH, {"status": "unsubscribed"}), {})],
        ),
        (
            lambda source: source.sign_up("new@example.com", "de"),
            [
                ("get_list_member", (LIST, NEW), {"fields": ["status", "tags"]}),
                (
                    *(
                        "set_list_member",
                        (LIST, NEW, {"email_address": "new@example.com", "status_if_new": "pending", "language": "de"}),
                    ),
                    {},
                ),
            ],
        ),
        (
            lambda source: source.hold_date(DATE),
            [
                (
                    "get_list_merge_fields",
                    (LIST,),
                    {"count": 1000, "fields": ["merge_fields.tag", "merge_fields.type"]},
                ),
                (
                    "add_list_merge_field",
                    (
                        LIST,
                        {
                            "tag": DATE_FIELD,
                            "name": "Next ticket sale",
                            "type": "date",
                            "required": False,
                            "public": False,
                        },
                    ),
                    {},
                ),
                (
                    "get_list_members_info",
                    (LIST,),
                    {**PAGE, "status": "subscribed", "sort_field": "timestamp_opt", "sort_dir": "ASC"},
                ),
                (
                    "batch_list_members",
                    (
                        LIST,
                        {
                            "members": [
                                {
                                    "email_address": "confirmed-0000@example.com",
                                    "merge_fields": {DATE_FIELD: "2026-12-01"},
                                }
                            ],
                            "update_existing": True,
                        },
                    ),
                    {"skip_merge_validation": "true"},
                ),
            ],
        ),
    ],
    ids=["page", "count", "consent", "opt_out", "sign_up", "hold_date"],
)
async def test_requests_are_those_of_mailchimps_own_client(
    stub: MailchimpStub, source: Mailchimp, ours: Callable[[Mailchimp], Any], theirs: list[tuple[str, Any, Any]]
) -> None:
    """Each of our calls has the method, path, parameters and body with which Mailchimp's own client makes it."""
    bench = MailchimpAudience(stub)
    await bench.fill(people(1))
    await ours(source)
    expected = requests_since(stub, 0)
    await bench.source.aclose()

    async with running_mailchimp(free_port()) as again:
        again.add("confirmed-0000@example.com")
        for name, arguments, more in theirs:
            try:
                await Vendor(again.url)(name, *arguments, **more)
            except ApiClientError as error:
                assert error.status_code == 404  # noqa: PT017 - a member who is not there yet
        assert requests_since(again, 0) == expected


async def test_tags_are_asked_for_as_by_mailchimps_own_client(stub: MailchimpStub) -> None:
    """The calls about a tag and its members are those of Mailchimp's own client, too."""
    tag = stub.tag("Early birds")
    source = opened(stub.url, tag="Early birds")
    await source.count()
    await source.page(None, 500)
    await source.sign_up("new@example.com", "")
    ours = requests_since(stub, 0)
    await source.aclose()
    stub.log.clear()
    stub.members.clear()
    vendor = Vendor(stub.url)
    segments = {"count": 1000, "offset": 0, "type": "static", "fields": ["segments.id", "segments.name", "total_items"]}

    await vendor("get_list", LIST, fields=["id", "stats.member_count"])
    await vendor("list_segments", LIST, **segments)
    await vendor("get_segment", LIST, str(tag), fields=["member_count"])
    await vendor("list_segments", LIST, **segments)
    await vendor("get_segment_members_list", LIST, str(tag), **PAGE)
    with pytest.raises(ApiClientError):
        await vendor("get_list_member", LIST, NEW, fields=["status", "tags"])
    await vendor("set_list_member", LIST, NEW, {"email_address": "new@example.com", "status_if_new": "pending"})
    await vendor("update_list_member_tags", LIST, NEW, {"tags": [{"name": "Early birds", "status": "active"}]})

    assert requests_since(stub, 0) == ours


# -- settings --


@pytest.mark.parametrize(
    ("key", "own", "expected"),
    [
        (KEY, {}, "https://us6.api.mailchimp.com/3.0"),
        (KEY, {"server": "us21"}, "https://us21.api.mailchimp.com/3.0"),
    ],
)
async def test_address_is_that_of_the_data_centre(key: str, own: dict[str, str], expected: str) -> None:
    """The address follows from the end of the key, or from the setting."""
    tool = Tool("m", "mailchimp", "", SecretStr(key), "MAILCHIMP_KEY", own)

    source = open_source(EventAudience("gala", tool, {"list": LIST}), CONTEXT)

    assert isinstance(source, Mailchimp)
    assert expected == source._api._calls.base
    await source.aclose()


@pytest.mark.parametrize(
    ("key", "audience", "date_field", "expected"),
    [
        ("0123456789abcdef", {"list": LIST}, None, "the key in MAILCHIMP_KEY does not end with"),
        (KEY, {"list": "../lists"}, None, "notify.toml:7: list: .* is no id of an audience"),
        (KEY, {"list": LIST, "tag": "a", "segment": "b"}, None, "notify.toml:7: .* a tag or a segment, not both"),
        (KEY, {"list": LIST}, "next sale", "notify.toml:7: date_field: 'next sale' is no merge field"),
        (KEY, {"list": LIST}, "NEXTSALEDATE", "at most 10"),
    ],
)
def test_wrong_settings_are_told(key: str, audience: dict[str, str], date_field: str | None, expected: str) -> None:
    """What cannot be right is told before anything is asked, without the key."""
    tool = Tool("m", "mailchimp", "", SecretStr(key), "MAILCHIMP_KEY")

    with pytest.raises(NotStarted, match=expected) as refused:
        Mailchimp(EventAudience("gala", tool, audience, date_field, line=7), CONTEXT)

    assert key not in str(refused.value)


async def test_place_is_that_of_the_audience(stub: MailchimpStub) -> None:
    """All tags and segments of an audience have one place, since an opt-out leaves all of it."""
    sources = [opened(stub.url), opened(stub.url, tag="a"), opened(stub.url, segment="b")]

    assert {f"mailchimp {LIST}"} == {one.place for one in sources}
    assert [True, True, False] == [one.takes_sign_ups for one in sources]
    for one in sources:
        await one.aclose()


# -- faults --


@pytest.mark.parametrize(("status", "bare"), [(429, False), (403, True), (500, False), (504, True)])
async def test_fault_that_may_be_over_later(stub: MailchimpStub, source: Mailchimp, status: int, bare: bool) -> None:
    """Too many calls, also as a 403 without a body, and faults of the server are unavailable, with the time that was named."""
    stub.down, stub.bare, stub.headers = status, bare, {"retry-after": "30"}

    with pytest.raises(AudienceUnavailable) as unavailable:
        await source.page(None, 100)

    assert status == unavailable.value.status
    assert unavailable.value.retry_after == (None if status == 403 else 30.0)


async def test_wrong_key_is_told(stub: MailchimpStub) -> None:
    """A key that Mailchimp does not know is refused with the name of its variable."""
    source = opened(stub.url, "wrong-us6")

    with pytest.raises(AudienceRefused, match=r"API key may be invalid.*check MAILCHIMP_KEY"):
        await source.count()
    await source.aclose()


async def test_at_most_ten_connections_are_open(stub: MailchimpStub, source: Mailchimp) -> None:
    """However many consents are asked for at once, no more than ten connections are open."""
    stub.delay = 0.05
    stub.add("a@example.com")

    found = await asyncio.gather(*(source.consent(Member("a@example.com")) for _ in range(40)))

    assert all(one.opted_in for one in found)
    assert 1 < stub.most_open <= 10


async def test_unknown_audience_tag_and_segment_are_told_with_those_that_there_are(stub: MailchimpStub) -> None:
    """What notify.toml names and Mailchimp does not have is refused with its line and the names that there are."""
    stub.tag("Early birds")
    stub.segment("Berlin", lambda _: True)
    cases = [
        ({"list": "0000000000"}, rf"no audience 0000000000 .* line 7\. Audiences there: {LIST} \(Friends\)"),
        ({"tag": "Early bird"}, r"no tag Early bird in .* line 7\. Tags there: Early birds$"),
        ({"segment": "Bonn"}, r"no segment Bonn in .* line 7\. Segments there: Berlin, Early birds"),
    ]
    for audience, expected in cases:
        source = opened(stub.url, **audience)
        for call in (
            source.count,
            lambda source=source: source.page(None, 10),
            lambda source=source: source.hold_date(DATE),
        ):
            with pytest.raises(AudienceRefused, match=expected):
                await call()
        await source.aclose()


async def test_opt_out_of_an_unknown_audience_is_refused(stub: MailchimpStub) -> None:
    """A 404 to an opt-out means that there is no such member only where there is such an audience."""
    source = opened(stub.url, list="0000000000")

    with pytest.raises(AudienceRefused, match="no audience 0000000000"):
        await source.opt_out("a@example.com")
    await source.aclose()


@pytest.mark.parametrize(
    ("path", "body", "what"),
    [
        ("/lists/X", {"stats": {}}, "no member_count"),
        ("/lists/X/members", {"members": [3], "total_items": 1}, "no members"),
        ("/lists/X/members", {"members": []}, "no total_items"),
        ("/lists/X/members/H", [], "no object"),
    ],
)
async def test_answer_without_its_members_is_unavailable(
    path: str, body: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that has not what it must have is never an empty list."""
    name = {"/lists/X": "_list", "/lists/X/members": "_members", "/lists/X/members/H": "_member"}[path]
    monkeypatch.setattr(MailchimpStub, name, lambda *_: body)
    async with running_mailchimp(free_port()) as odd:
        other = opened(odd.url)
        calls: dict[str, Callable[[], Any]] = {
            "_list": other.count,
            "_members": lambda: other.page(None, 10),
            "_member": lambda: other.consent(Member("a@example.com")),
        }
        monkeypatch.setattr("tests.rig.mailchimp_stub._only", lambda found, _: found)

        with pytest.raises(AudienceUnavailable, match=what):
            await calls[name]()
        await other.aclose()


# -- members --


async def test_pages_of_a_list_that_changes(stub: MailchimpStub, source: Mailchimp) -> None:
    """A page after the last one is empty and ends the pass; a cursor that is none of ours begins it."""
    stub.add("a@example.com")

    after, begin = await source.page("500", 10), await source.page("x", 10)

    assert ((), None) == (after.members, after.next)
    assert ["a@example.com"] == [one.address for one in begin.members]


async def test_consent_follows_the_tag(stub: MailchimpStub) -> None:
    """Who has lost the tag since the page was read is not told of it."""
    member = stub.add("a@example.com", "subscribed", "Early birds", language="he")
    source = opened(stub.url, tag="Early birds")
    [found] = await members(source)
    before = await source.consent(found)
    member.tags.clear()

    after = await source.consent(found)

    assert ((True, "he"), False) == ((before.opted_in, before.language), after.opted_in)
    await source.aclose()


async def test_segment_is_found_by_its_number(stub: MailchimpStub) -> None:
    """A segment can be named by its number, too."""
    number = stub.segment("Berlin", lambda one: one.language == "de")
    stub.add("a@example.com", language="de")
    stub.add("b@example.com")
    source = opened(stub.url, segment=str(number))

    assert (1, ["a@example.com"]) == (await source.count(), [one.address for one in await members(source)])
    with pytest.raises(AudienceRefused, match="follows its own conditions"):
        await source.sign_up("c@example.com", "")
    await source.aclose()


async def test_many_tags_are_read_to_the_end(stub: MailchimpStub) -> None:
    """A tag on the second page of tags is found."""
    for n in range(1005):
        stub.tag(f"tag {n}")
    stub.add("a@example.com", "subscribed", "tag 1003")
    source = opened(stub.url, tag="tag 1003")

    assert ["a@example.com"] == [one.address for one in await members(source)]
    await source.aclose()


async def test_deleted_tag_is_refused(stub: MailchimpStub) -> None:
    """A tag that is deleted in the middle of a pass is refused, and is not the end of it."""
    for n in range(2):
        stub.add(f"{n}@example.com", "subscribed", "Early birds")
    source = opened(stub.url, tag="Early birds")
    page = await source.page(None, 1)
    stub.segments.clear()

    with pytest.raises(AudienceRefused, match="404: it was deleted"):
        await source.page(page.next, 1)
    await source.aclose()


async def test_who_left_by_themselves_is_not_asked_again(stub: MailchimpStub, source: Mailchimp) -> None:
    """Mailchimp refuses to bring back who left by themselves; that is told, without the address, and with the way that is left."""
    stub.add("a@example.com", "unsubscribed", left_by_themselves=True)

    with pytest.raises(RequestRefused, match=r"Member In Compliance State: .* own sign-up form") as refused:
        await source.sign_up("a@example.com", "de")

    assert "@" not in str(refused.value)


async def test_address_that_mailchimp_does_not_take(source: Mailchimp) -> None:
    """A refusal of one address is told as that, without the address: no other sign-up is concerned."""
    with pytest.raises(RequestRefused, match="Invalid Resource: not a usable address") as refused:
        await source.sign_up("a@example.invalid", "de")

    assert "a@" not in str(refused.value)


async def test_who_was_unsubscribed_by_us_is_asked_again(stub: MailchimpStub, source: Mailchimp) -> None:
    """Who opted out by our link can sign up again: Mailchimp asks them, and their language stays."""
    stub.add("a@example.com", language="he")
    await source.opt_out("A@example.com")

    await source.sign_up("a@example.com", "de")

    member = stub.member("a@example.com")
    assert member is not None
    assert ("pending", "he") == (member.status, member.language)


async def test_member_without_the_tag_is_not_given_it(stub: MailchimpStub) -> None:
    """Nobody can give a subscriber a tag by typing their address, since Mailchimp would not ask."""
    member = stub.add("a@example.com")
    source = opened(stub.url, tag="Early birds")

    with pytest.raises(AudienceRefused, match="whom Mailchimp would not ask"):
        await source.sign_up("a@example.com", "")
    await source.sign_up("new@example.com", "")

    new = stub.member("new@example.com")
    assert new is not None
    assert (set(), {"Early birds"}) == (member.tags, new.tags)
    await source.aclose()


async def test_refused_sign_up_has_a_reason(stub: MailchimpStub, source: Mailchimp) -> None:
    """A sign-up that Mailchimp refuses for another reason is told with its title."""
    stub.refuse_new = True

    with pytest.raises(AudienceRefused, match=r"refuses a sign-up for the audience .*: Invalid Resource"):
        await source.sign_up("fake@example.com", "")


async def test_opt_out_that_is_refused_is_told(stub: MailchimpStub, source: Mailchimp) -> None:
    """An opt-out that Mailchimp refuses is an error only of a member who could still get mail."""
    stub.add("left@example.com", "cleaned", left_by_themselves=True)
    stub.add("stuck@example.com", left_by_themselves=True)

    await source.opt_out("left@example.com")
    with pytest.raises(AudienceRefused, match=r"refuses an opt-out of the audience .*: Member In Compliance State"):
        await source.opt_out("stuck@example.com")


# -- the date --


async def test_date_is_written_in_batches(stub: MailchimpStub, source: Mailchimp) -> None:
    """The date of 1,001 members takes three batches, and no batch names a status."""
    for address in people(1001):
        stub.add(address)

    await source.hold_date(DATE)

    batches = [one.body["members"] for one in stub.log if one.method == "POST" and one.path == f"/lists/{LIST}"]
    assert [500, 500, 1] == [len(one) for one in batches]
    assert {("email_address", "merge_fields")} == {tuple(sorted(one)) for batch in batches for one in batch}
    assert {"2026-12-01"} == {one.merge_fields[DATE_FIELD] for one in stub.members.values()}


async def test_opt_out_survives_a_date(stub: MailchimpStub, source: Mailchimp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opts out between the page and the batch stays opted out."""
    stub.add("a@example.com")
    write = source._api.write

    async def late(*arguments: Any) -> list[str]:
        await source.opt_out("a@example.com")
        return await write(*arguments)

    monkeypatch.setattr(source._api, "write", late)
    await source.hold_date(DATE)

    member = stub.member("a@example.com")
    assert member is not None
    assert "unsubscribed" == member.status


async def test_members_that_are_refused_are_counted(stub: MailchimpStub, source: Mailchimp) -> None:
    """Where Mailchimp answers 200 and refuses some members, their number and the codes are told, without an address."""
    for n in range(3):
        stub.add(f"{n}@example.com")
    stub.refuse_merge.add("1@example.com")

    with pytest.raises(AudienceUnavailable, match="did not write the date for 1 of 3 members: ERROR_GENERIC 1") as some:
        await source.hold_date(DATE)

    assert "@" not in str(some.value)


async def test_field_of_another_type_is_refused(stub: MailchimpStub) -> None:
    """A merge field that holds no date is refused, and nothing is written."""
    stub.add("a@example.com")
    source = opened(stub.url, date_field="FNAME")

    with pytest.raises(AudienceRefused, match="FNAME of Mailchimp is of type text"):
        await source.hold_date(DATE)

    assert {"GET"} == {one.method for one in stub.log}
    await source.aclose()


async def test_stub_refuses_what_mailchimp_would(stub: MailchimpStub) -> None:
    """The stub refuses what Mailchimp's description does not allow, also from Mailchimp's own client, which checks sizes itself."""
    vendor = Vendor(stub.url)
    stub.add("a@example.com")

    for name, arguments, more in (
        ("get_list_members_info", (LIST,), {"status": "confirmed"}),
        ("get_list_members_info", ("0000000000",), {}),
        ("set_list_member", (LIST, NEW, {"email_address": "new@example.com"}), {}),
        ("update_list_member", (LIST, HASH, {"status": "subscribed"}), {}),
        ("batch_list_members", (LIST, {"members": []}), {}),
        ("add_list_merge_field", (LIST, {"tag": "X", "type": "date"}), {}),
    ):
        with pytest.raises(ApiClientError):
            await vendor(name, *arguments, **more)
    with pytest.raises(ValueError, match="less than or equal to `1000`"):
        await vendor("get_list_members_info", LIST, count=1001)
    assert Status.CONFIRMED == await MailchimpAudience(stub).status("a@example.com")
