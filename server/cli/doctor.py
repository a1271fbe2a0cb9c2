"""`ticket-counter doctor`: what is wrong with a deployment, and what to do.

In: options. Out: findings on standard output, as text or as one JSON object, and an exit status: 0 no fault, 1 there are faults, 130
interrupted. Settings that cannot be used are findings too.
"""

import asyncio
import json as json_
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated

import typer

from server.cli import table, values
from server.cli.start import interruptible, read_settings
from server.cli.terminal import Terminal, write
from server.doctor.finding import Finding, Level
from server.errors import NotStarted
from server.setting_faults import WrongSettings
from server.settings import Settings

FAULTS = 1
FORMAT = 1
"""The format of the JSON: another number where a member is changed or removed."""
COLOURS = {Level.OK: "green", Level.NOTICE: "yellow", Level.FAULT: "red"}

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def doctor(
    *,
    site: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Open this page in Chromium, too."),
    ] = None,
    no_browser_sandbox: Annotated[
        bool,
        typer.Option("--no-browser-sandbox", help="Trust the page: no sandbox."),
    ] = False,
    json: Json = False,
) -> None:
    """Say what is wrong with a deployment, and what to do.

    It looks at the settings, Redis, Wix and all else that is set up, and changes nothing. With --site it also opens a page of your site
    as a visitor does, and says why no counter comes up there; the browser gives its sandbox up only with --no-browser-sandbox.
    """

    def findings(settings: Settings) -> AsyncIterator[Finding]:
        # Imported only here: `serve` loads the commands too, and needs nothing of it.
        from server.doctor.run import CHECKS, run, with_page  # noqa: PLC0415

        return run(settings, checks=with_page(site, sandbox=not no_browser_sandbox) if site else CHECKS)

    examine(findings, json=json)


def examine(findings: Callable[[Settings], AsyncIterator[Finding]], *, json: bool) -> None:
    """Print the findings about the settings of the environment; ends the program with status 1 where one is a fault."""
    terminal = Terminal.of_output()
    found: list[Finding] = []

    def show(one: Finding) -> None:
        found.append(one)
        if not json:
            for line in lines(one, terminal):
                write(line)

    with interruptible("what was found until then is above"):
        try:
            settings = read_settings(True)
        except NotStarted as error:
            for one in of_settings(error):
                show(one)
        else:
            asyncio.run(_run(findings(settings), show))
    write(_object(found) if json else summary(found))
    if any(one.level is Level.FAULT for one in found):
        raise typer.Exit(FAULTS)


async def _run(findings: AsyncIterator[Finding], show: Callable[[Finding], None]) -> None:
    async for one in findings:
        show(one)


def of_settings(error: NotStarted) -> Iterator[Finding]:
    """A finding for each setting that cannot be used, and that nothing else was looked at."""
    why = "no command starts with it"
    if isinstance(error, WrongSettings):
        for one in error.faults:
            yield Finding.fault("settings", one.named, why, one.cure)
    else:
        yield Finding.fault("settings", str(error), why)
    yield Finding.notice(
        "settings", "nothing else was looked at", "it depends on the settings", "mend them, and run this again"
    )


def lines(found: Finding, terminal: Terminal) -> Iterator[str]:
    """One finding as text: what was found, and below it why that matters and what to do."""
    level = found.level.upper() if found.level is Level.FAULT else str(found.level)
    before = f"{table.pad(level, 6)}  {table.pad(found.check, 8)}  "
    first, *rest = table.hanging(before, _plain(found.what), terminal.width)
    yield terminal.paint(first[: len(level)], COLOURS[found.level]) + first[len(level) :]
    yield from rest
    for name, text in (("why:", found.why), ("do:", found.cure)):
        if text:
            yield from table.hanging(f"{' ' * 18}{table.pad(name, 5)}", _plain(text), terminal.width)


def summary(found: Sequence[Finding]) -> str:
    """The last line."""
    counts = Counter(one.level for one in found)
    faults, notices = counts[Level.FAULT], counts[Level.NOTICE]
    said = "no fault" if not faults else "1 fault" if faults == 1 else f"{faults} faults"
    return said + (f", {notices} {'notice' if notices == 1 else 'notices'}" if notices else "") + "."


def _object(found: Sequence[Finding]) -> str:
    """One object on one line; only ASCII, so that no name of Wix can control a terminal."""
    faults = sum(one.level is Level.FAULT for one in found)
    return json_.dumps({"format": FORMAT, "faults": faults, "findings": [dict(one.json()) for one in found]})


def _plain(text: str) -> str:
    """On one line, and without characters that control a terminal: names of Wix stand in it."""
    return " ".join(values.printable(text).split())
