import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.cli import commands, sites
from server.counter import Rules
from server.model import Hint, SiteId, SiteOrigin
from server.redis.client import RedisClient
from server.store.schedule import Schedule
from server.store.site_records import SiteRecords
from server.store.sites import Sites
from tests.rig.commands import Commands, logs_as_before
from tests.rig.default_keys import key
from tests.rig.process import ROOT
from tests.rig.stored_site import A, B, StoredSite

NAMES = {"list", "add", "remove"}
OURS, OTHER = (SiteId(f"5f0e4d3c-1111-4111-8111-00000000b00{number}") for number in range(2))


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """The tests' own logs are set up as before."""
    with logs_as_before():
        yield


@pytest.fixture
def program(redis_url: str, tmp_path: Path) -> Commands:
    """`ticket-counter sites …` on an empty Redis."""
    return Commands("sites", tmp_path, {"REDIS_URL": redis_url})


@pytest.fixture
async def schedule(store: RedisClient) -> Schedule:
    """The schedules of an empty Redis."""
    return Schedule(store)


async def add(schedule: Schedule, site: SiteId, origin: SiteOrigin | None, **given: Any) -> None:
    """Have a site known from there."""
    await schedule.add_site(site, Rules(**given), everything=True, origin=origin)


async def origin(schedule: Schedule, site: SiteId) -> SiteOrigin | None:
    """Why a known site is known."""
    found = await SiteRecords(schedule.redis).read(site)
    assert found is not None
    return found.origin


async def said_long_ago(store: RedisClient, site: SiteId) -> None:
    """No process that runs has the site in its settings."""
    await store.do("HSET", key(site, "site"), "in_settings_at", 1_700_000_000_000_000)


# -- help --


def test_help() -> None:
    """The help of `sites` lists each command with a whole sentence, and says what a site is."""
    out = CliRunner().invoke(commands.app, ["sites", "--help"]).stdout

    _, _, listed = out.partition("Commands:\n")
    found = dict(line.split(maxsplit=1) for line in listed.strip().splitlines())
    assert (
        NAMES
        == found.keys()
        == {one.name or getattr(one.callback, "__name__", "") for one in sites.app.registered_commands}
    )
    assert [] == [text for text in found.values() if not re.fullmatch(r"[A-Z].+[^.]\.", text)]
    assert "A site is an app instance id." in " ".join(out.split())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_help_of_command(name: str) -> None:
    """The help of each command says what it does, and gives an example of this command."""
    out = CliRunner().invoke(commands.app, ["sites", name, "--help"]).stdout

    assert out.startswith(f"Usage: ticket-counter sites {name}")
    assert f"  For example:\n    ticket-counter sites {name}" in f"\n{out}"


def test_commands_in_texts_exist() -> None:
    """Every command of sites that a text tells people to run exists."""
    places = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("server/**/*.py")]
    named = {name for place in places for name in re.findall(r"ticket-counter sites ([a-z]+)", place.read_text())}

    assert {"add", "remove"} <= named
    assert named <= NAMES


# -- list --


async def test_list(program: Commands, schedule: Schedule, store: RedisClient) -> None:
    """The list says why each site is known, how many tickets it has, and when its last webhook came."""
    site = StoredSite(program.environment["REDIS_URL"], OURS)
    try:
        await add(schedule, OURS, SiteOrigin.INSTALLED)
        await schedule.listing_done(await site.listing())
        await site.watch(A, B)
        await site.mark(A)
    finally:
        await site.aclose()
    await add(schedule, OTHER, None)

    status, out, errors = await program.run(WIX_SITES=OTHER)

    assert (0, "") == (status, errors)
    assert [
        ["SITE", "KNOWN FROM", "TICKETS", "LAST WEBHOOK"],
        [OURS, "installation of the app", "2", "just now"],
        [OTHER, "an older version of this server, and WIX_SITES", "not listed yet", "never"],
    ] == [re.split(r"   +", line) for line in out.splitlines()]


async def test_list_as_json(program: Commands, schedule: Schedule, store: RedisClient) -> None:
    """With --json it is one object, which also names the sites of WIX_SITES that are not known yet."""
    await add(schedule, OURS, SiteOrigin.SETTINGS)

    for words in (("--json",), ("list", "--json")):
        status, out, _ = await program.run(*words, WIX_SITES=OTHER)
        assert 0 == status
        assert {
            "format": 1,
            "sites": [
                {
                    "site": OURS,
                    "origin": "settings",
                    "in_settings": True,
                    "tickets": 0,
                    "listed": False,
                    "last_webhook": None,
                }
            ],
            "not_known_yet": [OTHER],
        } == json.loads(out)

    await said_long_ago(store, OURS)
    _, out, _ = await program.run("--json")
    assert not json.loads(out)["sites"][0]["in_settings"]


async def test_list_says_what_goes(program: Commands, schedule: Schedule, store: RedisClient) -> None:
    """A site that only once stood in WIX_SITES is listed as one that a worker removes."""
    await add(schedule, OURS, SiteOrigin.SETTINGS)
    await said_long_ago(store, OURS)

    _, out, _ = await program.run("list")

    assert "WIX_SITES, where it stood once: a worker removes it" in out


async def test_list_of_none(program: Commands) -> None:
    """Without a site the list says how one becomes known."""
    _, out, _ = await program.run("list")
    assert out.startswith("No site is known.\nPut its app instance id into WIX_SITES, or install the app on it")

    _, out, _ = await program.run("list", WIX_SITES=OURS)
    assert out.startswith(f"No site is known.\n{OURS} stands in WIX_SITES and is not known yet: (re)start")


# -- add --


async def test_added_site_stays(program: Commands, schedule: Schedule) -> None:
    """A site that is added by hand is listed by a worker, and stays whatever WIX_SITES is; the second time nothing changes."""
    status, out, errors = await program.run("add", OURS.upper())

    assert (0, "") == (status, errors)
    assert out.startswith(f"{OURS} is added")
    assert SiteOrigin.ADDED == await origin(schedule, OURS)
    assert ["*"] == await schedule.redis.do("ZRANGE", key(OURS, "due"), 0, -1)

    _, out, _ = await program.run("add", OURS)
    assert f"{OURS} was known already (added by hand): nothing was changed.\n" == out


@pytest.mark.parametrize("before", [SiteOrigin.SETTINGS, None])
async def test_adding_a_known_site_keeps_it(program: Commands, schedule: Schedule, before: SiteOrigin | None) -> None:
    """A site that is known from WIX_SITES, or from an older version, is one that was added by hand after `add`."""
    await add(schedule, OURS, before)

    _, out, _ = await program.run("add", OURS)

    assert f"{OURS} was known already; it stays now, whatever WIX_SITES is.\n" == out
    assert SiteOrigin.ADDED == await origin(schedule, OURS)


async def test_add_with_other_settings_than_the_server(program: Commands, schedule: Schedule) -> None:
    """`add` with other settings than the server's is refused: the server's workers would not read the site."""
    await add(schedule, OTHER, None)

    for given in ({"LOW_AT": "3"}, {"TRACK": "watched"}):
        status, _, errors = await program.run("add", OURS, **given)
        assert 2 == status
        assert "the server has another LOW_AT, SHOW_AT_MOST or TRACK than this command" in errors
    assert {OTHER} == await schedule.sites()


# -- remove --


async def test_remove_site(program: Commands, schedule: Schedule) -> None:
    """`remove` does what the webhook App Removed does, and processes that knew the site do not bring it back."""
    await add(schedule, OURS, SiteOrigin.INSTALLED)
    running = Sites(schedule, (), Rules(), everything=True, check_each=True)
    await running.reload()

    status, out, errors = await program.run("remove", OURS, "--yes")

    assert (0, "") == (status, errors)
    assert out.startswith(f"{OURS} is removed.")
    assert frozenset() == await running.reload() == await schedule.sites()
    assert await schedule.was_removed(OURS)
    assert await schedule.mark(OURS, Hint("order", (A,))) is None


@pytest.mark.parametrize(("typed", "left"), [("y\n", frozenset()), ("\n", frozenset({OURS}))])
async def test_remove_asks(program: Commands, schedule: Schedule, typed: str, left: frozenset[SiteId]) -> None:
    """On a terminal `remove` says what it is about and asks; only `y` removes."""
    await add(schedule, OURS, None)

    status, shown = await program.on_terminal("remove", OURS, typed=typed)

    assert (4 if left else 0) == status
    assert f"Site {OURS}, known from: an older version of this server; 0 tickets." in shown
    assert ("Nothing was removed." in shown) == bool(left)
    assert left == await schedule.sites()


async def test_remove_without_a_terminal(program: Commands, schedule: Schedule) -> None:
    """Where no terminal can ask, `remove` needs --yes."""
    await add(schedule, OURS, None)

    status, _, errors = await program.run("remove", OURS)

    assert (2, "ticket-counter: nothing was removed: where no terminal can ask, add --yes\n") == (status, errors)
    assert {OURS} == await schedule.sites()


@pytest.mark.parametrize("site_origin", [SiteOrigin.SETTINGS, SiteOrigin.INSTALLED, None])
async def test_remove_is_refused_for_settings(
    program: Commands, schedule: Schedule, store: RedisClient, site_origin: SiteOrigin | None
) -> None:
    """A site that stands in WIX_SITES, of this command or of a process that runs, is not removed: it would come back."""
    await add(schedule, OURS, site_origin)
    await Sites(schedule, [OURS], Rules(), everything=True).reload()

    status, _, errors = await program.run("remove", OURS, "--yes", WIX_SITES=OURS)
    assert 2 == status
    assert f"{OURS} stands in WIX_SITES, so it would come back: take it out there and restart the server." in errors

    status, _, errors = await program.run("remove", OURS, "--yes")
    assert 2 == status
    assert f"{OURS} stands in the WIX_SITES of a process that runs, or ran until a moment ago" in errors
    assert {OURS} == await schedule.sites()

    await said_long_ago(store, OURS)
    assert 0 == (await program.run("remove", OURS, "--yes"))[0]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("remove", OURS, "--yes"), f"site {OURS} is not known: `ticket-counter sites` lists those that are"),
        (("remove", "nonsense", "--yes"), "'nonsense' is not an app instance id"),
        (("add", "nonsense"), "'nonsense' is not an app instance id"),
    ],
)
async def test_what_cannot_be_done(program: Commands, words: tuple[str, ...], text: str) -> None:
    """An id that is none, or that is not known, is one line and status 2."""
    status, _, errors = await program.run(*words)

    assert 2 == status
    assert text in errors
