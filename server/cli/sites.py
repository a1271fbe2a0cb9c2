"""`ticket-counter sites …`: which sites are known and why, adding one by hand, removing one for good.

In: options. Out: text or JSON on standard output, all else on standard error, and an exit status: 0 done, 2 it cannot run, 4 a person
said no, 130 interrupted.
"""

import asyncio
import json as json_
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer

from server.cli import table, values
from server.cli.start import errors_as_lines, interruptible, load_settings, redis_url
from server.cli.terminal import write
from server.errors import NotStarted
from server.model import SiteId, SiteOrigin
from server.redis.client import RedisClient, Use
from server.settings import Settings
from server.store.schedule import Schedule
from server.store.site_records import SiteRecords, StoredSite
from server.wire import guid

NOT_AGREED = 4
CLAIMED_FOR = 30.0
"""Seconds since a process last said that a site stands in its WIX_SITES: each that runs says so every 5 s."""

WORDS = {
    SiteOrigin.SETTINGS: "WIX_SITES",
    SiteOrigin.ADDED: "added by hand",
    SiteOrigin.INSTALLED: "installation of the app",
    None: "an older version of this server",
}

_T = TypeVar("_T")


def example(*commands: str) -> str:
    """The last lines of a command's help."""
    return "\b\nFor example:\n" + "\n".join(f"  ticket-counter sites {one}".rstrip() for one in commands)


app = typer.Typer(
    help="List the sites that are known, add one by hand, or remove one.\n\n"
    "A site is an app instance id. It becomes known by WIX_SITES, by installing the app (webhook App Installed), or by hand. One that "
    "is known only from WIX_SITES goes when it is taken out there, within a minute after the processes were restarted. Uses REDIS_URL, "
    "or the Valkey of a `serve` with the same DATA_DIR.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Site = Annotated[str, typer.Argument(metavar="ID", help="The app instance id of the site (a GUID).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@dataclass(frozen=True, slots=True)
class Opened:
    """What the commands need of Redis; *now* is its time, in seconds since 1970."""

    settings: Settings
    schedule: Schedule
    records: SiteRecords
    now: float

    def claimed(self, found: StoredSite) -> bool:
        """Whether a process that runs, or these settings, have the site in WIX_SITES."""
        at = found.record.in_settings_at
        return found.site in self.settings.sites or (at != "" and self.now - int(at) / 1e6 < CLAIMED_FOR)


@app.callback()
def group(context: typer.Context, *, json: Json = False) -> None:
    """List the sites where no command is named; `app` has the help text."""
    if context.invoked_subcommand is None:
        list_(json=json)


@app.command(name="list", epilog=example("list", "list --json"))
def list_(*, json: Json = False) -> None:
    """List the known sites, and why each is known."""

    async def work(opened: Opened) -> tuple[Opened, list[StoredSite]]:
        return opened, [
            one for site in sorted(await opened.schedule.sites()) if (one := await opened.records.find(site))
        ]

    opened, found = _run(work)
    missing = sorted(opened.settings.sites.keys() - {one.site for one in found})
    if json:
        sites = [_json(opened, one) for one in found]
        write(json_.dumps({"format": 1, "sites": sites, "not_known_yet": missing}))
        return
    rows = [["SITE", "KNOWN FROM", "TICKETS", "LAST WEBHOOK"], *(_row(opened, one) for one in found)]
    for line in table.lines(rows) if found else ["No site is known."]:
        write(line)
    for site in missing:
        write(
            f"{site} stands in WIX_SITES and is not known yet: (re)start `ticket-counter serve`, or `web` and `worker`."
        )
    if not found and not missing:
        write("Put its app instance id into WIX_SITES, or install the app on it, with the webhook App Installed.")


@app.command(epilog=example("add 5f0e4d3c-1111-4111-8111-00000000b001"))
def add(site: Site) -> None:
    """Add a site by hand.

    It stays until the app or a person removes it, whatever WIX_SITES is. Its tickets are read as soon as a worker runs.
    """
    id_ = _site(site)

    async def work(opened: Opened) -> str:
        settings = opened.settings
        found = await opened.records.find(id_)
        if found is not None and found.record.origin in {SiteOrigin.ADDED, SiteOrigin.INSTALLED}:
            return f"{id_} was known already ({WORDS[found.record.origin]}): nothing was changed."
        await _check_same_settings(opened)
        await opened.schedule.add_site(id_, settings.rules, everything=settings.everything, origin=SiteOrigin.ADDED)
        if found is None:
            return f"{id_} is added: a worker lists its tickets, which takes some seconds."
        return f"{id_} was known already; it stays now, whatever WIX_SITES is."

    write(_run(work))


@app.command(
    epilog=example("remove 5f0e4d3c-1111-4111-8111-00000000b001", "remove 5f0e4d3c-1111-4111-8111-00000000b001 --yes")
)
def remove(
    site: Site, *, yes: Annotated[bool, typer.Option("--yes", help="Remove it, without a question.")] = False
) -> None:
    """Remove a site, as App Removed does.

    Its tickets are not read any more, and pages show no numbers of them. What is stored of it expires within two days; what sync remembers of it and who opted out of messages stays. A site that stands in
    WIX_SITES would come back: take it out there first.
    """
    id_ = _site(site)

    async def look(opened: Opened) -> StoredSite:
        return await _removable(opened, id_)

    async def work(opened: Opened) -> None:
        await _removable(opened, id_)
        await opened.schedule.remove_site(id_)

    found = _run(look)
    if not yes:
        _ask(found)
    _run(work)
    write(f"{id_} is removed. If its app installs again, or with `ticket-counter sites add`, it is known again.")


async def _removable(opened: Opened, site: SiteId) -> StoredSite:
    """What is stored of the site; raises NotStarted where it is not known, or would come back."""
    found = await opened.records.find(site)
    if found is None:
        raise NotStarted(f"site {site} is not known: `ticket-counter sites` lists those that are")
    if site in opened.settings.sites:
        raise NotStarted(
            f"{site} stands in WIX_SITES, so it would come back: take it out there and restart the server. "
            "A site that is known only from there then goes by itself within a minute"
        )
    if opened.claimed(found):
        raise NotStarted(
            f"{site} stands in the WIX_SITES of a process that runs, or ran until a moment ago, so it would come back: take it "
            "out there, restart that process, and try again in half a minute"
        )
    return found


async def _check_same_settings(opened: Opened) -> None:
    """Raises NotStarted where all known sites have other rules than these settings: then the server has other settings."""
    ours = opened.settings.rules.hash, opened.settings.everything
    known = [await opened.records.read(site) for site in await opened.schedule.sites()]
    if known and ours not in [(one.rules, one.everything) for one in known if one is not None]:
        raise NotStarted(
            "the server has another LOW_AT, SHOW_AT_MOST or TRACK than this command: run it in the server's directory, or with the "
            "server's settings"
        )


def _ask(found: StoredSite) -> None:
    """Ask a person; ends the program where they say no. Raises NotStarted where there is nobody to ask."""
    with errors_as_lines():
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise NotStarted("nothing was removed: where no terminal can ask, add --yes")
    write(f"Site {found.site}, known from: {WORDS[found.record.origin]}; {values.count(found.tickets, 'ticket')}.")
    write("Pages with its tickets will show no numbers.")
    with interruptible("nothing was removed"):
        print("\nRemove it? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - the question
        agreed = sys.stdin.readline().strip().lower() in {"y", "yes"}
    if not agreed:
        write("Nothing was removed.")
        raise typer.Exit(NOT_AGREED)


def _row(opened: Opened, found: StoredSite) -> Sequence[str]:
    known_from = WORDS[found.record.origin]
    if found.record.origin is not SiteOrigin.SETTINGS and found.site in opened.settings.sites:
        known_from += ", and WIX_SITES"
    elif found.record.origin is SiteOrigin.SETTINGS and not opened.claimed(found):
        known_from = "WIX_SITES, where it stood once: a worker removes it"
    heard = "never" if found.heard_at is None else values.ago(opened.now - found.heard_at)
    return [found.site, known_from, f"{found.tickets:,}" if found.listed else "not listed yet", heard]


def _json(opened: Opened, found: StoredSite) -> dict[str, Any]:
    return {
        "site": found.site,
        "origin": found.record.origin,
        "in_settings": opened.claimed(found),
        "tickets": found.tickets,
        "listed": found.listed,
        "last_webhook": found.heard_at,
    }


def _site(text: str) -> SiteId:
    found = guid(text)
    if found is None:
        with errors_as_lines():
            raise NotStarted(
                f"{text!r} is not an app instance id (a GUID such as 5f0e4d3c-1111-4111-8111-00000000b001)"
            )
    return SiteId(found)


def _run(work: Callable[[Opened], Awaitable[_T]]) -> _T:
    """What *work* answers, with Redis opened for it."""
    settings = load_settings(True)

    async def opened() -> _T:
        async with _opened(settings) as found:
            return await work(found)

    with interruptible("nothing was changed"), errors_as_lines():
        return asyncio.run(opened())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Opened]:
    async with aclosing(RedisClient(redis_url(settings), Use.WORK, settings.redis_prefix)) as redis:
        seconds, micro = await redis.do("TIME")
        yield Opened(settings, Schedule(redis, settings.timing), SiteRecords(redis), int(seconds) + int(micro) / 1e6)
