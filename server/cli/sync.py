"""`ticket-counter sync …`: what an external ticketing system has, what would be done about it, and doing it.

In: options. Out: text or JSON on standard output, all else on standard error, and an exit status: 0 done, 2 it cannot run, 3 there
are differences, 4 a person is needed, 130 interrupted. 3 only comes with --exit-code, and so does 4 where nothing is written.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

import typer

from server.cli import diff_text, plan_text, status_text, sync_json, sync_service
from server.cli.start import errors_as_lines, interruptible, load_settings
from server.cli.sync_apply import WRITTEN, Approval, apply_plan
from server.cli.sync_conformance import conformance
from server.cli.terminal import Terminal, write
from server.cli.values import Meaning
from server.settings import Settings
from server.sync.mapping import Mode, TargetSettings
from server.sync.mapping_file import file as mapping_file
from server.sync.mapping_file.first_file import next_steps
from server.sync.mapping_file.kinds import kinds
from server.sync.model import Kind, Outcome, Plan
from server.sync.reports import Diff

DIFFERENT, PERSON_NEEDED = 3, 4

_T = TypeVar("_T")


def example(*commands: str) -> str:
    """The last lines of a command's help."""
    return "\b\nFor example:\n" + "\n".join(f"  ticket-counter sync {one}" for one in commands)


app = typer.Typer(
    help="Keep ticket definitions equal in another ticketing system.\n\n"
    "SYNC_FILE (sync.toml) says which system, such as pretix, which events and which fields. An event is followed once it was "
    "brought there by `sync apply`; from then on `serve`, or `worker`, applies every change in Wix within seconds.",
    epilog="\b\nHow to begin:\n"
    "  ticket-counter sync init                               writes a first sync.toml: fill it in\n"
    "  ticket-counter sync plan spring-gala --to pretix-main  shows what would be done\n"
    "  ticket-counter sync apply spring-gala --to pretix-main asks, and does it",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Event = Annotated[
    str, typer.Argument(metavar="EVENT", help="The Wix event: its id, or its slug (the end of its address).")
]
Ticket = Annotated[str, typer.Argument(metavar="TICKET", help="The ticket's id, or how it begins.")]
To = Annotated[
    str | None, typer.Option("--to", metavar="NAME", help="The target's name in SYNC_FILE, if it has several.")
]
Site = Annotated[str | None, typer.Option("--site", metavar="ID", help="The site, if several have such an event.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ExitCode = Annotated[bool, typer.Option("--exit-code", help="Exit with 3 for differences, 4 if a person is needed.")]


@app.command(epilog=example("init", "init --kind http"))
def init(
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="Which kind of system: pretix, or http for any.")
    ] = "pretix",
) -> None:
    """Write a first SYNC_FILE, with comments, if there is none."""
    settings = load_settings(True)
    with errors_as_lines():
        mapping_file.write_first(settings.mapping_file(), kind)
    write(next_steps(kinds()[kind], settings.mapping_file()))


@app.command(epilog=example("plan spring-gala --to pretix-main", "plan spring-gala --exit-code --json"))
def plan(event: Event, to: To = None, site: Site = None, *, json: Json = False, exit_code: ExitCode = False) -> None:
    """Show what would be done to bring an event to a target. It writes nothing."""

    async def work(sync: sync_service.Opened) -> tuple[TargetSettings, Plan]:
        target = sync.target(to)
        return target, await sync.service.plan(target.name, event, site=site)

    target, found = _run(work)
    if json:
        write(sync_json.text(sync_json.plan(found)))
    else:
        _print(plan_text.plan_lines(found, event, _view(target)))
        if next_line := plan_text.next_line(found, event, observe=target.mode is Mode.OBSERVE, site=site):
            write(next_line)
    if exit_code:
        raise typer.Exit(_status(person=bool(found.count(Kind.CONFLICT)), different=bool(found.operations)))


@app.command(epilog=example("apply spring-gala --to pretix-main", "apply spring-gala --to pretix-main --plan 7f3a9c"))
def apply(
    event: Event,
    to: To = None,
    site: Site = None,
    *,
    plan: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Do this plan, and nothing if it has changed.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do what is to be done, without a question.")] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take over records that have a ticket's name and no id.")
    ] = False,
    replace: Annotated[
        list[str] | None,
        typer.Option(metavar="TICKET", help="Make a new record where a price becomes options, or back; repeatable."),
    ] = None,
    deactivate: Annotated[
        int | None, typer.Option(metavar="N", help="Take this many off sale, although it is above the limit.")
    ] = None,
    json: Json = False,
) -> None:
    """Bring an event to a target, and follow it from then on.

    It shows the plan and asks first; where there is no terminal it needs --plan or --yes. Interrupted, and run again, it goes on
    where it stopped. It exits with 4 if something is left that only a person can decide.
    """
    approval = Approval(plan, yes=yes, adopt=adopt, replace=tuple(replace or ()), deactivate=deactivate)
    raise typer.Exit(
        _guarded(lambda settings: apply_plan(settings, approval, event, to=to, site=site, json=json), WRITTEN)
    )


@app.command(epilog=example("diff spring-gala --to pretix-main"))
def diff(event: Event, to: To = None, site: Site = None, *, json: Json = False, exit_code: ExitCode = False) -> None:
    """Show, field by field, where Wix and a target differ.

    Of each value it says which side has changed since it was applied last.
    """

    async def work(sync: sync_service.Opened) -> tuple[TargetSettings, Diff]:
        target = sync.target(to)
        return target, await sync.service.diff(target.name, event, site=site)

    target, found = _run(work)
    if json:
        write(sync_json.text(sync_json.diff(found)))
    else:
        _print(diff_text.diff_lines(found, _view(target)))
    if exit_code:
        conflicts = found.plan.count(Kind.CONFLICT)
        raise typer.Exit(_status(person=bool(conflicts), different=bool(found.tickets or found.plan.operations)))


@app.command(epilog=example("status", "status --exit-code"))
def status(*, json: Json = False, exit_code: ExitCode = False) -> None:
    """Show what is equal, due or parked at each target."""
    found = _run(lambda sync: sync.service.status())
    if json:
        write(sync_json.text(sync_json.status(found)))
    else:
        _print(status_text.status_lines(found, Terminal.of_output()))
    if exit_code:
        person = any(one.parked or one.conflicts or one.limited for one in found)
        raise typer.Exit(_status(person=person, different=any(one.due or one.equal != one.records for one in found)))


@app.command(epilog=example("parked"))
def parked(to: To = None, *, json: Json = False) -> None:
    """List the tickets that wait for a person or a change, and why."""
    found = _run(lambda sync: sync.service.parked(sync.target(to).name if to else None))
    if json:
        write(sync_json.text(sync_json.parked(found)))
    else:
        _print(status_text.parked_lines(found, Terminal.of_output(), time.time()))


@app.command(epilog=example("retry", "retry 22222222 --to pretix-main"))
def retry(
    ticket: Annotated[
        str | None, typer.Argument(metavar="TICKET", help="Only this one: its id, or how it begins.")
    ] = None,
    to: To = None,
    *,
    json: Json = False,
) -> None:
    """Try parked tickets again now: all, those of a target, or one."""

    async def work(sync: sync_service.Opened) -> int:
        return await sync.service.retry(
            target=sync.target(to).name if to else None, ticket=await sync.ticket(ticket) if ticket else None
        )

    found = _run(work)
    _answer({"due": found}, status_text.retried(found), json=json)


@app.command(epilog=example("adopt 44444444 --to pretix-main --record 18"))
def adopt(
    ticket: Ticket,
    to: To = None,
    *,
    record: Annotated[str, typer.Option(metavar="KEY", help="The record that is to be this ticket's.")],
    json: Json = False,
) -> None:
    """Decide which record of a target is a ticket's.

    That record gets the ticket's id, any other loses it, and what differs is written.
    """

    async def work(sync: sync_service.Opened) -> tuple[str, Outcome, str]:
        target = sync.target(to).name
        outcome = await sync.service.adopt(target, await sync.ticket(ticket), record)
        # What is left open is parked, with its event, which what helps may need.
        parked = await sync.service.parked(target) if outcome.operation.cure else ()
        events = (one.event for one in parked if one.ticket == outcome.operation.ticket)
        return target, outcome, next(events, "")

    target, found, event = _run(work, WRITTEN)
    if json:
        write(sync_json.text(sync_json.outcome(found, target, event)))
    else:
        _print(status_text.Outcomes([], target, event, Terminal.of_output()).lines(found))
    raise typer.Exit(0 if found.state in status_text.DONE else PERSON_NEEDED)


@app.command(epilog=example('pause pretix-main --reason "moving to another server"'))
def pause(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The target's name in SYNC_FILE.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for all who ask `sync status`.")],
    *,
    json: Json = False,
) -> None:
    """Write nothing to a target until `sync resume`. Changes are remembered."""
    _run(lambda sync: sync.service.pause(sync.target(name).name, reason))
    text = f"{name} is paused: changes are remembered, and applied after `ticket-counter sync resume {name}`."
    _answer({"target": name, "paused": reason}, text, json=json)


@app.command(epilog=example("resume pretix-main"))
def resume(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The target's name in SYNC_FILE.")], *, json: Json = False
) -> None:
    """End the pause of a target: what has changed is applied now."""
    _run(lambda sync: sync.service.resume(sync.target(name).name))
    _answer({"target": name, "paused": None}, f"{name} is no longer paused.", json=json)


app.command(epilog=example("conformance https://box.example.org/tickets --event TEST --secret-env BOX_OFFICE_SECRET"))(
    conformance
)


def _run(work: Callable[[sync_service.Opened], Awaitable[_T]], interrupted: str = "nothing was written") -> _T:
    """What *work* answers, with sync opened for it."""

    async def opened(settings: Settings) -> _T:
        async with sync_service.opened(settings) as sync:
            return await work(sync)

    return _guarded(lambda settings: asyncio.run(opened(settings)), interrupted)


def _guarded(work: Callable[[Settings], _T], interrupted: str) -> _T:
    """What *work* answers; an error of ours ends the program with status 2, and Ctrl+C with 130, each with a line."""
    settings = load_settings(True)
    with errors_as_lines(), interruptible(interrupted):
        return work(settings)


def _view(target: TargetSettings) -> plan_text.View:
    return plan_text.View(Terminal.of_output(), Meaning.of(target), time.time())


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        write(line)


def _answer(found: Mapping[str, Any], text: str, *, json: bool) -> None:
    write(sync_json.text(found) if json else text)


def _status(*, person: bool, different: bool) -> int:
    return PERSON_NEEDED if person else DIFFERENT if different else 0
