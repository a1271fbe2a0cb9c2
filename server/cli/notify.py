"""`ticket-counter notify …`: who is told that tickets went on sale, and how far that is.

In: options. Out: text or JSON on standard output, all else on standard error, and an exit status: 0 done, 2 it cannot run, 3 there is
nothing to send, 4 a person is needed, 130 interrupted. 4 of `status` only comes with --exit-code.
"""

import asyncio
import contextlib
import getpass
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server import vapid
from server.cli import notify_json, notify_service, notify_status_text, notify_text
from server.cli.notify_command import Group, answer, guarded, run, wrong_settings
from server.cli.notify_send import Options, send_campaign
from server.cli.notify_watch import watch_campaigns
from server.cli.start import errors_as_lines, load_settings, print_error
from server.cli.terminal import Terminal, write
from server.errors import NotStarted
from server.keyring import new_key
from server.notify.channels.channel import Result
from server.notify.file import file as notify_file
from server.settings import Settings

if TYPE_CHECKING:
    from server.notify.kept_campaigns import KeptCampaigns
    from server.notify.service import Notify

NOTHING_TO_SEND, PERSON_NEEDED = 3, 4


def example(*commands: str) -> str:
    """The last lines of a command's help."""
    return "\b\nFor example:\n" + "\n".join(f"  ticket-counter notify {one}" for one in commands)


app = typer.Typer(
    cls=Group,
    help="Tell subscribers by mail and push that tickets went on sale.\n\n"
    "NOTIFY_FILE (notify.toml) says who is told of which event: the list of a marketing tool such as Mailman, browsers that "
    "subscribed at our page, or both. `serve`, or `worker`, sends by itself when the sale starts; nothing goes out later than "
    "window_hours (two unless you say otherwise) after that.",
    epilog="\b\nHow to begin:\n"
    "  ticket-counter notify init                     writes a first notify.toml: fill it in\n"
    "  ticket-counter notify keys                     makes the keys that .env needs\n"
    "  ticket-counter notify preview spring-gala      writes the message into files, counts the audience\n"
    "  ticket-counter notify test you@example.org     sends it to you alone",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Event = Annotated[str, typer.Argument(metavar="EVENT", help="The event as NOTIFY_FILE names it: its id, or its slug.")]
Campaign = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its name, as `notify status` shows it.")]
Site = Annotated[str | None, typer.Option("--site", metavar="ID", help="The site, if several have such an event.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command(epilog=example("init"))
def init() -> None:
    """Write a first NOTIFY_FILE, with comments, if there is none."""
    settings = load_settings(True)
    with errors_as_lines():
        if settings.notify_file is None:
            raise NotStarted("notify is switched off: set NOTIFY_FILE")
        notify_file.write_first(settings.notify_file)
    write(
        f"{settings.notify_file} is written: fill in its lines, put the lines of `ticket-counter notify keys` into .env, then run "
        "`ticket-counter notify preview EVENT`."
    )


@app.command(epilog=example("keys", "keys >> .env"))
def keys() -> None:
    """Make the keys that .env needs.

    NOTIFY_KEYS encrypts and hashes addresses, NOTIFY_VAPID_KEYS signs push messages.

    To change a key later, write the new one in front of the old one, with a comma between, and keep the old one. NOTIFY_KEYS: links
    in mails that are out, and opt-outs, are of old keys; with an opt-out's key gone nothing is sent any more. NOTIFY_VAPID_KEYS:
    browsers that subscribed with an old key can only be told with that one.
    """
    write(f"NOTIFY_KEYS={new_key()}")
    write(f"NOTIFY_VAPID_KEYS={vapid.new_key()}")
    if sys.stderr.isatty() or sys.stdout.isatty():
        print_error(
            "put these lines into .env, and keep a copy in a safe place. Is there a key already? Then write NEW,OLD: "
            "the new one in front, and never remove the old one (`ticket-counter notify keys --help`)"
        )


@app.command(epilog=example("preview spring-gala", "preview spring-gala --to /tmp/mails"))
def preview(
    event: Event,
    folder: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the files are written.")] = Path(
        "preview"
    ),
    site: Site = None,
    *,
    json: Json = False,
) -> None:
    """Write the message into files, and count the audience.

    There is a text, an HTML and a whole mail in each language. Nothing is sent.
    """

    async def work(notify: "Notify") -> None:
        found = await notify.preview(event, site, folder=folder)
        answer(notify_json.preview(found), notify_text.preview_lines(found, notify.now), json=json)

    run(work, "nothing was claimed or sent", json=json)


@app.command(
    name="test", epilog=example("test you@example.org", "test you@example.org --event spring-gala --language de")
)
def send_test(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who gets it: a mailbox that you can read.")],
    event: Annotated[
        str | None, typer.Option(metavar="EVENT", help="The event, if NOTIFY_FILE has several with a tool.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="L", help="Its short name, such as de; else that of NOTIFY_FILE.")
    ] = None,
    site: Site = None,
    *,
    json: Json = False,
) -> None:
    """Send the mail to one address.

    It is as subscribers get it, with [test] in front of its subject. It goes the same way as all mails, and no row is kept of it. Its link to leave the list is real.
    """

    async def work(notify: "Notify") -> int:
        reply, message_id = await notify.test(address, event, language, site)
        answer(notify_json.reply(reply, message_id), notify_text.test_lines(reply, message_id), json=json)
        return 0 if reply.result is Result.SENT else PERSON_NEEDED

    raise typer.Exit(run(work, "whether it was sent is not known", failed="Nothing was sent.", json=json))


@app.command(epilog=example("send spring-gala --dry-run", "send spring-gala", "send spring-gala@12-01T18 --yes"))
def send(
    what: Annotated[
        str,
        typer.Argument(
            metavar="EVENT_OR_CAMPAIGN", help="An event of NOTIFY_FILE, or the name of a campaign that is to go on."
        ),
    ],
    site: Site = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many would get it.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Announce tickets that were announced before, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it, without a question.")] = False,
    json: Json = False,
) -> None:
    """Announce what is on sale, or go on with a campaign.

    Of an event it announces the tickets that are on sale and were not announced; a campaign goes on that is stopped or paused. Sales that start are announced without this command. It asks first; where there is no terminal it needs --yes. Then the workers
    send. It exits with 3 where there is nothing to send.
    """
    options = Options(site, dry_run=dry_run, again=again, yes=yes, json=json)
    raise typer.Exit(
        guarded(
            lambda settings: send_campaign(settings, what, options),
            "`ticket-counter notify status` says whether it was begun",
            failed="Nothing was sent.",
            json=json,
        )
    )


@app.command(epilog=example("stop spring-gala@12-01T18"))
def stop(campaign: Campaign, site: Site = None, *, json: Json = False) -> None:
    """Stop a campaign at once. What is in flight still arrives; `notify send` has it go on."""

    async def work(settings: Settings) -> int:
        async with notify_service.kept(settings) as campaigns:
            found, stopped = await campaigns.stop(campaign, _user(), site)
        if not stopped:
            notify_json.refused(notify_text.over_line(found), json=json)
            return NOTHING_TO_SEND
        answer(notify_json.campaign(found), notify_text.stopped_lines(found), json=json)
        return 0

    interrupted = "`ticket-counter notify status` says whether it was stopped"
    # A campaign is to be stopped most urgently when something is wrong: no setting of notify is read.
    raise typer.Exit(
        guarded(lambda settings: asyncio.run(work(settings)), interrupted, json=json, given=notify_service.WITHOUT)
    )


@app.command(epilog=example("status", "status spring-gala@12-01T18 --watch", "status --exit-code --json"))
def status(
    campaign: Annotated[
        str | None, typer.Argument(metavar="CAMPAIGN", help="Only this one, in detail.", show_default=False)
    ] = None,
    site: Site = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it, until nothing more happens.")] = False,
    json: Json = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 4 if a person is needed.")] = False,
) -> None:
    """Show how far campaigns are, and what is planned.

    It tells, too, what stands in the way: a relay that refuses us, opt-outs that the tool does not take.
    """

    async def work(notify: "KeptCampaigns", fault: str) -> bool:
        if watch:
            return await watch_campaigns(notify, campaign, site, json=json)
        terminal = Terminal.of_output()
        if campaign is None:
            found = await notify.status(site)
            if fault:
                found = replace(found, hints=(*found.hints, fault))
            lines = notify_status_text.status_lines(
                replace(found, hints=() if fault else found.hints), terminal, notify.now
            )
            answer(notify_json.status(found), lines, json=json)
            return found.person_needed
        report = await notify.report(campaign, site)
        lines = notify_status_text.campaign_lines(report, terminal, notify.now)
        answer(notify_json.campaign(report), lines, json=json)
        return report.person_needed

    async def show(settings: Settings, fault: str) -> bool:
        """What Redis has is shown also where the file, or a setting, is wrong: the fault is a note then."""
        if fault := fault or notify_service.fault(settings):
            print_error(f"{fault}\nWhat is planned is not known. What Redis has:")
            async with notify_service.kept(settings) as campaigns:
                return await work(campaigns, fault)
        async with notify_service.opened(settings) as notify:
            return await work(notify, "")

    fault, given = wrong_settings()
    interrupted = "campaigns go on, whether they are shown or not"
    needed = guarded(lambda settings: asyncio.run(show(settings, fault)), interrupted, json=json, given=given)
    if needed and exit_code:
        raise typer.Exit(PERSON_NEEDED)


@app.command(epilog=example("forget reader@example.org"))
def forget(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The person's e-mail address.")],
    site: Site = None,
    *,
    json: Json = False,
) -> None:
    """Delete what is kept of a person. That they left a list stays, so that nobody writes to them again."""

    async def work(notify: "Notify") -> None:
        found = await notify.forget(address, site)
        answer(notify_json.forgotten(found), notify_text.forgotten_lines(found, notify.now), json=json)

    run(work, "run it again: it goes on from there", json=json)


@app.command(epilog=example("unsuppress reader@example.org"))
def unsuppress(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The person's e-mail address.")],
    site: Site = None,
    *,
    json: Json = False,
) -> None:
    """Undo that a person left a list.

    Do so once they have asked for mails again. The marketing tool has to say that they are subscribed, too.
    """

    async def work(notify: "Notify") -> None:
        ended = await notify.unsuppress(address, site)
        answer(notify_json.unsuppressed(ended), notify_text.unsuppressed_lines(ended), json=json)

    run(work, "run it again: it goes on from there", json=json)


def _user() -> str:
    """Who stops a campaign, for all who ask for its status."""
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return "a person"
