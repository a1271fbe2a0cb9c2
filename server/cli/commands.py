"""The program and the commands that run the server: each loads the settings and runs a part of it.

An error of errors.py is one line on standard error and exit status 2; any other is a bug, and shows its traceback.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from dotenv import dotenv_values
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_command

from server import logs, settings, supervisor, watch
from server.child import tied_to_parent
from server.cli import embed, sites, sync, tickets
from server.cli.check import check
from server.cli.doctor import doctor
from server.cli.start import errors_as_lines, exit_with_error, load_settings, log_advice, print_error, redis_url
from server.cli.ticket_ids import StoredTickets
from server.errors import NotStarted
from server.model import TicketId
from server.redis.client import RedisClient, Use
from server.run import run_process
from server.settings_table import table
from server.store.schedule import Schedule


class Program(TyperGroup):
    """All commands. Those of notify are imported when they are asked for: a process that serves needs nothing of them."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name."""
        if cmd_name != "notify":
            return super().get_command(ctx, cmd_name)
        from server.cli import notify  # noqa: PLC0415

        return get_command(notify.app)


app = typer.Typer(
    name="ticket-counter",
    cls=Program,
    help="A live, truthful ticket counter for Wix Events sites.\n\n"
    "Try `ticket-counter demo`: it needs no Wix account. Settings are environment variables: `ticket-counter settings` "
    "lists them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Host = Annotated[str | None, typer.Option(help="Address to listen on (setting HOST).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one (setting PORT).")]

DEMO_HOLD = 30
"""Seconds for which the demo reserves tickets in a cart; Wix does so for some 20 minutes."""


DEMO = {
    "_env_file": None,
    "redis_url": None,
    "wix_api_key": None,
    "host": "127.0.0.1",
    "public_url": None,
    "root_path": "",
    "origins": ("*",),
    "trusted_proxies": (),
    "sync_file": None,
    "notify_file": None,
}
"""Settings that the demo does not take from an environment that is set up for a real site."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ticket-counter {version('ticket-counter')}")  # noqa: T201 - this is what the option is for
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The options that need no command; `app` has the help text."""


@app.command()
def serve(host: Host = None, port: Port = None) -> None:
    """Run the whole server in one process. Without REDIS_URL it starts an embedded Valkey with its data in DATA_DIR."""
    found = load_settings(**_given(host=host, port=port))
    log_advice(found)
    if found.web_processes > 1:
        logs.logger("run").warning("one_process", hint="`serve` is one process: WEB_PROCESSES is for `web`")
    _run(found, web=True, worker=True, embed=True)


@app.command()
def web(
    host: Host = None,
    port: Port = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes that share the port (setting WEB_PROCESSES).")
    ] = None,
    report: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run only the web part: it receives webhooks and serves counters. Needs REDIS_URL."""
    found = load_settings(**_given(host=host, port=port, web_processes=processes))
    if report is not None:
        raise typer.Exit(supervisor.run_child(found, report))
    log_advice(found)
    if found.web_processes > 1:
        with errors_as_lines():
            status = supervisor.supervise(found, _listening)
        raise typer.Exit(status)
    _run(found, web=True, worker=False, embed=False)


@app.command()
def worker() -> None:
    """Run only the worker: it reads tickets from Wix. Needs REDIS_URL."""
    found = load_settings()
    log_advice(found)
    _run(found, web=False, worker=True, embed=False)


@app.command()
def demo(port: Port = None) -> None:
    """Run a complete demo with a local simulation of Wix. It needs no account: its shop page sells tickets."""
    data = Path("data") / "demo"
    with errors_as_lines():
        chosen = _free_port(8000 if port is None else port)
    with _running_sandbox(
        data / "wix", f"http://127.0.0.1:{chosen}/webhooks/wix", "--hold-seconds", str(DEMO_HOLD)
    ) as shop:
        of_sandbox = {name.lower(): value for name, value in dotenv_values(data / "wix" / ".env").items()}
        found = load_settings(**{**DEMO, **of_sandbox, "port": chosen, "data_dir": data})

        def ready(_: str) -> None:
            console = Console()
            console.print("\n  Buy a ticket, and watch the number fall:\n")
            console.print(f"      {shop}\n", style="bold", highlight=False)
            console.print("  In a second terminal, in this directory, all commands work on it, such as:\n")
            console.print(f"      DATA_DIR={data} PORT={chosen} {_program()} tickets\n", highlight=False)
            console.print("  Ctrl+C ends it.\n")

        _run(found, web=True, worker=True, embed=True, ready=ready)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def sandbox(context: typer.Context) -> None:
    """Run only the local simulation of Wix (--help lists its options)."""
    # This process becomes the sandbox, which then gets signals and writes output itself.
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", *context.args])  # noqa: S606 - our own interpreter


@app.command(name="watch")
def watch_(
    tickets: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of tickets, or how they begin (4 or more characters); all if none is given."),
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print whole counters, as the JSON that is published.")] = False,
) -> None:
    """Print each counter now and when it changes.

    It prints `unknown` when a number cannot be verified any more: for named tickets MAX_STALE after Wix or Redis was last
    reached, as they are read every WATCH_EVERY while this runs; for all others RECONCILE + MAX_STALE after it. Uses
    REDIS_URL, or the Valkey of a `serve` with the same DATA_DIR; its other settings must be those of the server.
    """
    found = load_settings()
    with contextlib.suppress(KeyboardInterrupt), errors_as_lines():
        asyncio.run(_watch(found, tickets or (), json=json))


@app.command(name="settings")
def settings_() -> None:
    """Print all settings as a Markdown table. Each is an environment variable, or a line of a .env file."""
    print(table())  # noqa: T201 - this is what the command is for


app.command()(tickets.tickets)
app.command()(tickets.events)
app.command()(embed.embed)
app.add_typer(sites.app, name="sites")
app.command()(check)
app.command()(doctor)
app.add_typer(sync.app, name="sync")
app.add_typer(typer.Typer(), name="notify")  # only its name: see Program


def main() -> None:
    """The console script."""
    app()


async def _watch(found: settings.Settings, names: Sequence[str], *, json: bool) -> None:
    def find_url() -> str:
        # Called again for each connection: after a restart of `serve` the socket may have another path.
        return redis_url(found)

    def show(counter: str) -> None:
        print(counter if json else watch.line(counter), flush=True)  # noqa: T201 - as above

    ids = await _ids(found, names)
    await watch.Watch(find_url, ids, show, print_error, found.timing, prefix=found.redis_prefix).run()


async def _ids(found: settings.Settings, names: Sequence[str]) -> Sequence[TicketId]:
    """The tickets of these ids, or of ids that begin so; raises NotStarted, and RedisUnavailable."""
    async with aclosing(RedisClient(redis_url(found), Use.WORK, found.redis_prefix)) as redis:
        stored = StoredTickets(Schedule(redis, found.timing))
        return [await stored.find(name) for name in names]


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given on the command line."""
    return {name: value for name, value in options.items() if value is not None}


def _run(found: settings.Settings, *, web: bool, worker: bool, embed: bool, ready: Any = None) -> None:
    with errors_as_lines():
        status = run_process(
            found, web=web, worker=worker, embed=embed, ready=ready or _listening, summary=ready is None
        )
    raise typer.Exit(status)


def _listening(address: str) -> None:
    logs.logger("run").info("listening", address=address)


def _program() -> str:
    """This program as it was started: by its path, where it is not found by its name."""
    started = sys.argv[0]
    return started if os.path.basename(started) == "ticket-counter" and os.sep in started else "ticket-counter"  # noqa: PTH119


def _free_port(port: int) -> int:
    """This port, or another if it is in use: the demo should run everywhere. Raises NotStarted."""
    for wanted in (port, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", wanted)) as tried:
            return int(tried.getsockname()[1])
    raise NotStarted("no port of 127.0.0.1 is free")


@contextlib.contextmanager
def _running_sandbox(state: Path, webhook: str, *options: str) -> Iterator[str]:
    """The local Wix as a subprocess; gives the address of its shop page."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--webhook", webhook, "--state", str(state), *options]
    # Tied: else it would keep its port for ever if this process is killed.
    with subprocess.Popen(tied_to_parent(command), stdout=subprocess.PIPE, text=True) as running:  # noqa: S603 - own
        try:
            address = ""
            for printed in running.stdout or ():
                if "http://" in printed:
                    address = printed[printed.index("http://") :].split()[0]
                    break
            if not address:
                exit_with_error(f"the local Wix did not start (exit status {running.wait()})")
            yield address
        finally:
            running.terminate()
            try:
                running.wait(5)
            except subprocess.TimeoutExpired:
                running.kill()
