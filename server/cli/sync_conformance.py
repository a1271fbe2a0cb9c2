"""`ticket-counter sync conformance`: checks a system behind a URL; needs neither Wix nor Redis nor SYNC_FILE."""

import asyncio
import re
from typing import Annotated

import typer

from server.cli.start import errors_as_lines, interruptible
from server.cli.sync_json import text
from server.cli.terminal import write
from server.errors import NotStarted
from server.settings import environment
from server.sync.conformance.check import Result, Verdict
from server.sync.conformance.run import Report, line, run, summary

VARIABLE = "CONFORMANCE_SECRET"  # the name of a variable


PERSON_NEEDED = 4


def conformance(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the system takes tickets.")],
    *,
    event: Annotated[str, typer.Option(metavar="EVENT", help="An event of the system that is there for tests.")],
    secret_env: Annotated[
        str, typer.Option(metavar="NAME", help="The variable that has the secret, in the environment or .env.")
    ] = VARIABLE,
    allow_http: Annotated[bool, typer.Option("--allow-http", help="The address may begin with http://.")] = False,
    allow_private: Annotated[bool, typer.Option("--allow-private", help="It may be in a private network.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Check if a system of your own can be a target of kind http.

    The system is to do what docs/http-target.md says. In the event up to three hundred records are made, which are taken off sale in
    the end. It exits with 4 if a check has failed.
    """
    with errors_as_lines(), interruptible("the records that the checks have made were taken off sale"):
        secret = environment().get(secret_env)
        if not secret:
            raise NotStarted(f"{secret_env} is not set: it holds the system's secret, whsec_… (see --secret-env)")
        each = _quiet if json else _write
        checking = run(url, secret, event=event, allow_http=allow_http, allow_private=allow_private, each=each)
        try:
            report = asyncio.run(checking)
        except NotStarted as error:
            raise NotStarted(_with_options(str(error))) from error
        raise typer.Exit(print_report(report, json=json))


def print_report(report: Report, *, json: bool) -> int:
    """Print what was found, all of it with *json*, else what follows the checks; answers the exit status."""
    if json:
        write(text(_object(report)))
    else:
        for one in summary(report):
            write(one)
    return PERSON_NEEDED if report.count(Verdict.FAILED) else 0


def _with_options(text: str) -> str:
    """An error about a setting of sync.toml, which this command does not read, as one about the option that is in its place."""
    return re.sub(r"\bset allow_(http|private) = true", r"add --allow-\1", text)


def _write(result: Result) -> None:
    write(line(result))


def _quiet(result: Result) -> None:
    """With --json all is in one object."""


def _object(report: Report) -> dict[str, object]:
    results = [
        {"check": one.check.name, "about": one.check.about, "verdict": one.verdict, "text": one.text}
        for one in report.results
    ]
    return {
        "event": report.event.key,
        "name": report.event.name,
        "currency": report.event.currency,
        "page": report.page,
        "not_kept": list(report.set_aside),
        "still_on_sale": report.on_sale,
        "checks": results,
        **{verdict: report.count(verdict) for verdict in Verdict},
    }
