"""What goes wrong with Mailman itself, and what is said of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from server.errors import AudienceError, AudienceRefused, AudienceUnavailable
from server.notify.audience.mailman import Mailman
from server.notify.audience.source import Member, SaleDate
from tests.rig.http_proxy import Fault, html, http_proxy, method, too_many
from tests.rig.mailman import MailmanServer, MailmanServers
from tests.rig.mailman_source import all_members, mailman_source
from tests.rig.raw_server import answer, raw_server

READER = "reader@example.com"

ASKED: list[Callable[[Mailman], Any]] = [
    lambda source: source.count(),
    lambda source: source.page(None, 10),
    lambda source: source.page("2", 10),
    lambda source: source.consent(Member(READER, "a" * 32)),
    lambda source: source.consent(Member(READER)),
    lambda source: source.opt_out(READER),
    lambda source: source.sign_up(READER, "de"),
    lambda source: source.hold_date(SaleDate(1.0)),
]


async def errors(source: Mailman) -> list[AudienceError]:
    """The error of each thing that can be asked."""
    found = []
    for ask in ASKED:
        with pytest.raises(AudienceError) as caught:
            await ask(source)
        assert "reader" not in str(caught.value)
        found.append(caught.value)
    return found


async def test_wrong_password_is_refused_with_its_variable(mailman: MailmanServer) -> None:
    """A password that Mailman refuses is told with the variable that has it, and without its value."""
    async with mailman_source(mailman, await mailman.new_list(), password="a-wrong-one") as source:
        for error in await errors(source):
            assert AudienceRefused is type(error)
            assert "401" in str(error)
            assert "check user, and MAILMAN_PASSWORD" in str(error)
            assert "a-wrong-one" not in str(error)


async def test_mailman_that_is_down_and_comes_back(mailman_server: MailmanServers) -> None:
    """While Mailman is down a later try may help, and when it is back, it does."""
    mailman = mailman_server()
    list_id = await mailman.new_list()
    mailman.fill(list_id, [READER])

    async with mailman_source(mailman, list_id) as source:
        mailman.kill()
        for error in await errors(source):
            assert AudienceUnavailable is type(error)
            assert "was not sent" in str(error)
        mailman.start()
        assert 1 == len(await all_members(source))


async def test_mailman_that_answers_500_on_one_page(mailman: MailmanServer) -> None:
    """A page that is answered 500 is unavailable, in our words alone, and the same cursor reads it later: the pages before stay read."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, [f"reader-{number}@example.com" for number in range(9)])

    async with http_proxy(mailman.url) as proxy, mailman_source(mailman, list_id, url=proxy.url) as source:
        first = await source.page(None, 3)
        second = await source.page(first.next, 3)
        proxy.add(Fault(500, body=b'{"title": "500", "description": "reader-4@example.com is locked"}', times=1))
        with pytest.raises(AudienceUnavailable, match=r"was answered 500$") as caught:
            await source.page(second.next, 3)
        assert 500 == caught.value.status
        third = await source.page(second.next, 3)
    assert 9 == len({one.address for page in (first, second, third) for one in page.members})


async def test_proxy_before_mailman_that_limits_or_fails(mailman: MailmanServer) -> None:
    """A limit of a proxy is kept to, and its pages for browsers are not shown."""
    async with http_proxy(mailman.url) as proxy, mailman_source(mailman, "l.example.org", url=proxy.url) as source:
        proxy.add(too_many(7))
        for error in await errors(source):
            assert isinstance(error, AudienceUnavailable)
            assert (429, 7.0) == (error.status, error.retry_after)
        await proxy.heal()
        proxy.add(html())
        for error in await errors(source):
            assert isinstance(error, AudienceUnavailable)
            assert 502 == error.status
            assert "Gateway" not in str(error)


async def test_no_members_where_the_list_has_some(mailman: MailmanServer) -> None:
    """A page without members, while the list has some, is no end of the list."""
    list_id = await mailman.new_list()
    mailman.fill(list_id, [READER])

    async with http_proxy(mailman.url) as proxy, mailman_source(mailman, list_id, url=proxy.url) as source:
        proxy.add(Fault(200, body=b'{"start": 0, "total_size": 0}', meets=method("GET", "/members/find")))
        for cursor in (None, "4"):
            with pytest.raises(AudienceUnavailable, match="no members, while the list has 1"):
                await source.page(cursor, 10)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b"{}",
        json.dumps({"member_count": "1", "total_size": "1"}).encode(),
        json.dumps({"member_count": 1, "total_size": 1, "entries": 7}).encode(),
        json.dumps({"member_count": 1, "total_size": 1, "entries": [7]}).encode(),
        json.dumps({"member_count": 1, "total_size": 1, "entries": [{"email": READER}]}).encode(),
        json.dumps({"member_count": 1, "total_size": 1, "entries": [{"email": READER, "member_id": "../x"}]}).encode(),
        b"[" * 100_000,
    ],
)
async def test_what_is_no_mailman(mailman: MailmanServer, body: bytes) -> None:
    """Answers that are not Mailman's are errors wherever they are used, and never members."""
    async with (
        raw_server(answer(200, body)) as server,
        mailman_source(mailman, "l.example.org", url=server.url) as source,
    ):
        for ask in ASKED[1:5]:
            with pytest.raises(AudienceUnavailable, match="was answered 200 with"):
                await ask(source)


async def test_address_that_is_no_mailman_at_all(mailman: MailmanServer) -> None:
    """Where every path is unknown, the url is doubted, and not the list."""
    async with (
        raw_server(answer(404, b"")) as server,
        mailman_source(mailman, "l.example.org", url=server.url) as source,
    ):
        with pytest.raises(AudienceRefused, match="check url"):
            await source.count()
