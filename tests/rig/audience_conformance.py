"""What every audience source must do, as checks that each one passes: `docs/adding-an-audience.md`.

A test of a source is its bench and this:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__)
    async def test_conformance(check: Check, bench: AudienceBench) -> None:
        await check(bench)

A bench fills the tool behind the source, and looks at it past the source. What a bench does not offer is skipped by name.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

import pytest

from server.errors import AudienceError, AudienceRefused, AudienceUnavailable
from server.notify.audience.source import AudienceSource, Member, SaleDate

ZONE = "Europe/Berlin"
FIRST, SECOND = 1_796_144_400.0, 1_796_239_800.0
"""1 December 2026 at 18:00, and 2 December at 20:30, in Berlin."""
SECRET = "a-secret-that-no-error-shows"


class Status(StrEnum):
    """What a tool knows of one person."""

    CONFIRMED = "confirmed"
    PENDING = "pending"  # was asked, and has not answered
    LEFT = "left"
    BOUNCED = "bounced"  # the address takes no mail


class AudienceBench:
    """A tool with a list, tag or segment, and its source. `statuses` are those that the tool has. `languages`: it knows them.

    `missing` is the name of a list that it does not have.
    """

    source: AudienceSource
    statuses: frozenset[Status] = frozenset(Status)
    languages: bool = True
    missing: str = "nobody"
    secret: str = SECRET

    async def fill(self, people: Mapping[str, Status], language: str = "") -> None:
        """Give the list these people."""
        raise NotImplementedError

    async def status(self, address: str) -> Status | None:
        """What the tool knows of an address; None = nothing."""
        raise NotImplementedError

    async def leave(self, address: str) -> None:
        """A person leaves by the tool's own means."""
        raise NotImplementedError

    def without_list(self) -> AudienceSource | None:
        """A source of the list that is `missing`; None where that cannot be."""
        return None

    def outage(self) -> AbstractAsyncContextManager[None] | None:
        """The tool answers with a fault that may be over later, as long as the block."""
        return None

    def forbidden(self) -> AbstractAsyncContextManager[None] | None:
        """The tool refuses our credentials, as long as the block."""
        return None

    async def date(self) -> str | None:
        """What the tool holds as the date: ISO 8601, a day or a time with its zone; "" = none."""
        return pytest.skip("it holds no date")

    async def others(self) -> object:
        """What the tool holds beside the date, in any form: writing the date changes nothing of it."""
        return None


Check = Callable[[AudienceBench], Awaitable[None]]


def people(number: int, status: Status = Status.CONFIRMED) -> dict[str, Status]:
    """So many people, all with this status."""
    return {f"{status}-{n:04}@example.com": status for n in range(number)}


async def members(source: AudienceSource, size: int = 100) -> list[Member]:
    """Each member of one pass over all pages."""
    found: list[Member] = []
    cursor: str | None = None
    for _ in range(1000):
        page = await source.page(cursor, size)
        found += page.members
        cursor = page.next
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


def addresses(found: Sequence[Member]) -> list[str]:
    """Their addresses, sorted."""
    return sorted(one.address for one in found)


# -- reading --


async def pages_hold_each_member_once(bench: AudienceBench) -> None:
    """Each confirmed member is on exactly one page, whether the last page is full or not."""
    await bench.fill(people(7))
    for size in (1, 3, 7, 8):
        assert sorted(people(7)) == addresses(await members(bench.source, size))


async def an_empty_list_has_one_page(bench: AudienceBench) -> None:
    """A list without members is one page without members, and its count is 0."""
    await bench.fill({})
    assert (0, []) == (await bench.source.count(), await members(bench.source))


async def only_confirmed_members_are_on_pages(bench: AudienceBench) -> None:
    """Who was only asked, has left, or whose address takes no mail is on no page."""
    wanted = people(2)
    for status in sorted(bench.statuses - {Status.CONFIRMED}):
        wanted |= people(2, status)
    await bench.fill(wanted)
    assert sorted(people(2)) == addresses(await members(bench.source, 3))


async def count_is_near(bench: AudienceBench) -> None:
    """The count is at least that of the members, and no more than all that the tool knows."""
    await bench.fill(people(5) | (people(2, Status.LEFT) if Status.LEFT in bench.statuses else {}))
    assert 5 <= await bench.source.count() <= 7


async def language_is_told(bench: AudienceBench) -> None:
    """A member's language is told on the page or by the consent, as the tool writes it."""
    if not bench.languages:
        pytest.skip("the tool knows no languages")
    await bench.fill(people(1), language="de")
    [member] = await members(bench.source)
    told = (await bench.source.consent(member)).language if bench.source.asks_each else member.language
    assert "de" == (told or member.language)[:2]


async def an_unknown_list_is_refused(bench: AudienceBench) -> None:
    """A list that the tool does not have is refused with its name; it is never an empty one."""
    source = bench.without_list()
    if source is None:
        pytest.skip("its list cannot be missing")
    for call in (source.count, lambda: source.page(None, 10)):
        with pytest.raises(AudienceRefused) as refused:
            await call()
        assert bench.missing in str(refused.value)
    await source.aclose()


# -- consent --


async def consent_is_asked_of_the_tool(bench: AudienceBench) -> None:
    """Who leaves after their page was read has no consent any more; the others still have it."""
    if not bench.source.asks_each:
        pytest.skip("its consent is that of the page")
    await bench.fill(people(2))
    found = await members(bench.source)
    await bench.leave(found[0].address)
    consents = [await bench.source.consent(one) for one in found]
    assert [False, True] == [one.opted_in and not one.delivery_off for one in consents]


async def consent_of_a_stranger_is_none(bench: AudienceBench) -> None:
    """An address that the tool does not know has no consent."""
    if not bench.source.asks_each:
        pytest.skip("its consent is that of the page")
    await bench.fill(people(1))
    consent = await bench.source.consent(Member("nobody@example.com"))
    assert not consent.opted_in


async def next_pass_is_without_who_left(bench: AudienceBench) -> None:
    """Who leaves by the tool's own means is on no page of the next pass."""
    await bench.fill(people(3))
    await members(bench.source)
    await bench.leave("confirmed-0001@example.com")
    assert sorted(people(3))[::2] == addresses(await members(bench.source))


# -- opting out, signing up --


async def opt_out_reaches_the_tool(bench: AudienceBench) -> None:
    """An opt-out takes the address off the list at the tool, and no other one."""
    await bench.fill(people(3))
    await bench.source.opt_out("confirmed-0001@example.com")
    assert (await bench.status("confirmed-0001@example.com")) in {None, Status.LEFT}
    assert sorted(people(3))[::2] == addresses(await members(bench.source))


async def opt_out_again_is_no_error(bench: AudienceBench) -> None:
    """An opt-out that was done before, and one of an address that was never on the list, is no error."""
    await bench.fill(people(2))
    for address in ("confirmed-0000@example.com", "confirmed-0000@example.com", "nobody@example.com"):
        await bench.source.opt_out(address)
    assert ["confirmed-0001@example.com"] == addresses(await members(bench.source))


async def sign_up_is_not_yet_a_member(bench: AudienceBench) -> None:
    """An address that a visitor typed is asked, and is no member before its owner has confirmed; twice is no error."""
    if not bench.source.takes_sign_ups:
        pytest.skip("it takes no sign-ups")
    await bench.fill(people(1))
    for _ in range(2):
        await bench.source.sign_up("new@example.com", "de")
    assert Status.PENDING == await bench.status("new@example.com")
    assert sorted(people(1)) == addresses(await members(bench.source))


async def sign_up_of_a_member_changes_nothing(bench: AudienceBench) -> None:
    """Who is a member stays one, whoever types the address."""
    if not bench.source.takes_sign_ups:
        pytest.skip("it takes no sign-ups")
    await bench.fill(people(1))
    await bench.source.sign_up("confirmed-0000@example.com", "")
    assert Status.CONFIRMED == await bench.status("confirmed-0000@example.com")


# -- the date --


def is_at(held: str | None, at: float) -> bool:
    """Whether a date that a tool holds is this time: its day, or the time itself."""
    moment = datetime.fromtimestamp(at, ZoneInfo(ZONE))
    return bool(held) and (held == moment.date().isoformat() or datetime.fromisoformat(held or "") == moment)


async def the_date_is_held_moved_and_emptied(bench: AudienceBench) -> None:
    """The date is written in the event's zone, a moved one in its place, and none where no start is known."""
    await bench.fill(people(3))
    kept = await bench.others()
    await bench.source.hold_date(SaleDate(FIRST, ZONE, "Spring Gala"))
    assert is_at(await bench.date(), FIRST), await bench.date()
    await bench.source.hold_date(SaleDate(SECOND, ZONE, "Spring Gala"))
    assert is_at(await bench.date(), SECOND), await bench.date()
    assert kept == await bench.others()
    await bench.source.hold_date(SaleDate(None, ZONE, "Spring Gala"))
    assert "" == await bench.date()
    assert kept == await bench.others()
    assert sorted(people(3)) == addresses(await members(bench.source))


# -- faults --


async def calls(bench: AudienceBench) -> list[AudienceError]:
    """The errors of every call that a source has, while its tool is down or refuses."""
    source, member = bench.source, Member("confirmed-0000@example.com")
    asked: list[Callable[[], Awaitable[object]]] = [
        source.count,
        lambda: source.page(None, 10),
        lambda: source.opt_out(member.address),
    ]
    if source.asks_each:
        asked.append(lambda: source.consent(member))
    if source.takes_sign_ups:
        asked.append(lambda: source.sign_up("new@example.com", "de"))
    found = []
    for one in asked:
        with pytest.raises(AudienceError) as failed:
            await one()
        found.append(failed.value)
    return found


def nobody_is_named(errors: Sequence[AudienceError], secret: str) -> None:
    """No error names a subscriber or a secret."""
    for text in map(str, errors):
        assert "@" not in text, text
        assert "%40" not in text, text
        assert secret not in text


async def an_outage_may_be_over_later(bench: AudienceBench) -> None:
    """While the tool is down each call says so, without an address or a secret; nothing was lost when it is back."""
    await bench.fill(people(2))
    down = bench.outage()
    if down is None:
        pytest.skip("it cannot be down")
    async with down:
        errors = await calls(bench)
    assert {AudienceUnavailable} == {type(one) for one in errors}
    nobody_is_named(errors, bench.secret)
    assert sorted(people(2)) == addresses(await members(bench.source))


async def refused_credentials_need_a_person(bench: AudienceBench) -> None:
    """Where the tool refuses our credentials each call says so, without an address or a secret."""
    await bench.fill(people(2))
    forbidden = bench.forbidden()
    if forbidden is None:
        pytest.skip("it asks for no credentials")
    async with forbidden:
        errors = await calls(bench)
    assert {AudienceRefused} == {type(one) for one in errors}
    nobody_is_named(errors, bench.secret)


async def its_place_has_no_secret(bench: AudienceBench) -> None:
    """The place names the list for good, on one line, without a secret."""
    place = bench.source.place
    assert place
    assert place.isprintable()
    assert bench.secret not in place


CHECKS: tuple[Check, ...] = (
    pages_hold_each_member_once,
    an_empty_list_has_one_page,
    only_confirmed_members_are_on_pages,
    count_is_near,
    language_is_told,
    an_unknown_list_is_refused,
    consent_is_asked_of_the_tool,
    consent_of_a_stranger_is_none,
    next_pass_is_without_who_left,
    opt_out_reaches_the_tool,
    opt_out_again_is_no_error,
    sign_up_is_not_yet_a_member,
    sign_up_of_a_member_changes_nothing,
    the_date_is_held_moved_and_emptied,
    an_outage_may_be_over_later,
    refused_credentials_need_a_person,
    its_place_has_no_secret,
)
