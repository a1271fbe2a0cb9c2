"""The commands. Each builds its settings, runs a root, and turns an error of ours into a line and a status.

Errors that a person can mend are one line on standard error and exit status 2; anything else is a bug and shows.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from dotenv import dotenv_values
from rich.console import Console

from server import logs, settings, supervisor, valkey, watch
from server.child import tied_to_parent
from server.errors import NotStarted, TicketCounterError
from server.model import TicketId
from server.run import run_process
from server.wire import guid

app = typer.Typer(
    name="ticket-counter",
    help="A live, truthful ticket counter for Wix Events sites.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Host = Annotated[str | None, typer.Option(help="Address to listen on (HOST).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one (PORT).")]

DEMO_HOLD = 30
"""Seconds that a hold lasts in the demo; Wix's last some 20 minutes."""


DEMO = {
    "_env_file": None,
    "redis_url": None,
    "wix_api_key": None,
    "host": "127.0.0.1",
    "public_url": None,
    "root_path": "",
    "origins": ("*",),
    "trusted_proxies": (),
}
"""What a demo never takes from an environment that is set up for a real site."""


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
    """Run web and worker in one process. Without REDIS_URL it brings a Valkey of its own, with its data in DATA_DIR."""
    found = _settings(**_given(host=host, port=port))
    if found.web_processes > 1:
        logs.logger("run").warning("one_process", hint="`serve` is one process: WEB_PROCESSES is for `web`")
    _run(found, web=True, worker=True, embed=True)


@app.command()
def web(
    host: Host = None,
    port: Port = None,
    processes: Annotated[int | None, typer.Option(help="Processes on that port, one a core (WEB_PROCESSES).")] = None,
    report: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the web process alone: webhooks in, counters out. Needs REDIS_URL."""
    found = _settings(**_given(host=host, port=port, web_processes=processes))
    if report is not None:
        raise typer.Exit(supervisor.run_child(found, report))
    if found.web_processes > 1:
        with _told():
            status = supervisor.supervise(found, _listening)
        raise typer.Exit(status)
    _run(found, web=True, worker=False, embed=False)


@app.command()
def worker() -> None:
    """Run the worker process alone: it re-reads tickets from Wix. Needs REDIS_URL."""
    _run(_settings(), web=False, worker=True, embed=False)


@app.command()
def demo(port: Port = None) -> None:
    """Run everything here, beside a local Wix. Its shop page sells tickets; no account is needed."""
    data = Path("data") / "demo"
    with _told():
        chosen = _free(8000 if port is None else port)
    with _sandbox(data / "wix", f"http://127.0.0.1:{chosen}/webhooks/wix", "--hold-seconds", str(DEMO_HOLD)) as shop:
        given = {name.lower(): value for name, value in dotenv_values(data / "wix" / ".env").items()}
        found = _settings(**{**DEMO, **given, "port": chosen, "data_dir": data})

        def ready(_: str) -> None:
            console = Console()
            console.print("\n  Buy a ticket, and watch the number fall:\n")
            console.print(f"      {shop}\n", style="bold", highlight=False)
            console.print("  Ctrl+C ends it.\n")

        _run(found, web=True, worker=True, embed=True, ready=ready)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def sandbox(context: typer.Context) -> None:
    """Run the local Wix alone (--help for its options)."""
    # A subprocess's place in the tree is taken over whole: signals and output are the sandbox's own.
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", *context.args])  # noqa: S606 - our own interpreter


@app.command(name="watch")
def watch_(
    tickets: Annotated[list[str] | None, typer.Argument(help="Ticket definition ids; none for all.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print the published JSON as it is.")] = False,
) -> None:
    """Print counters as they change, from Redis's public channels."""
    found = _settings()
    ids = [
        TicketId(guid(ticket) or _fail(f"{ticket!r} is not a ticket definition id (a GUID)"))
        for ticket in tickets or ()
    ]
    with contextlib.suppress(KeyboardInterrupt), _told():
        asyncio.run(_watch(found, ids, json=json))


@app.command(name="settings")
def settings_() -> None:
    """Print all settings as a Markdown table. Each row has a name, a default and what it is for."""
    print(settings.table())  # noqa: T201 - this is what the command is for


def main() -> None:
    """The console script."""
    app()


async def _watch(found: settings.Settings, tickets: list[TicketId], *, json: bool) -> None:
    def find() -> str:
        # Asked anew each time: the socket of a `serve` that was started again may lie elsewhere.
        embedded = None if found.redis_url else valkey.url_of(found.data_dir)
        return embedded or found.redis()

    async with aclosing(watch.follow_on(find, tickets, _say)) as counters:
        async for counter in counters:
            print(counter if json else watch.line(counter), flush=True)  # noqa: T201 - as above


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given: the rest is the environment's."""
    return {name: value for name, value in options.items() if value is not None}


def _settings(**given: Any) -> settings.Settings:
    with _told():
        found = settings.load(**given)
        logs.set_up(found.log_level, found.log_form)
        return found


def _run(found: settings.Settings, *, web: bool, worker: bool, embed: bool, ready: Any = None) -> None:
    with _told():
        status = run_process(found, web=web, worker=worker, embed=embed, ready=ready or _listening)
    raise typer.Exit(status)


def _listening(address: str) -> None:
    logs.logger("run").info("listening", address=address)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except TicketCounterError as error:
        _fail(str(error))


def _fail(text: str) -> Any:
    _say(text)
    raise typer.Exit(2)


def _say(text: str) -> None:
    print(f"ticket-counter: {text}", file=sys.stderr)  # noqa: T201 - the one line that a person needs


def _free(port: int) -> int:
    """The port if nobody has it, else a free one: a demo should run, wherever."""
    for wanted in (port, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", wanted)) as tried:
            return int(tried.getsockname()[1])
    raise NotStarted("no port of 127.0.0.1 is free")


@contextlib.contextmanager
def _sandbox(state: Path, webhook: str, *more: str) -> Iterator[str]:
    """The local Wix as a subprocess; gives the address of its shop page."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--webhook", webhook, "--state", str(state), *more]
    # Tied: if this process is killed, it would keep its port for ever.
    with subprocess.Popen(tied_to_parent(command), stdout=subprocess.PIPE, text=True) as running:  # noqa: S603 - ours
        try:
            address = ""
            for printed in running.stdout or ():
                if "http://" in printed:
                    address = printed[printed.index("http://") :].split()[0]
                    break
            if not address:
                _fail(f"the local Wix did not start (exit status {running.wait()})")
            yield address
        finally:
            running.terminate()
            try:
                running.wait(5)
            except subprocess.TimeoutExpired:
                running.kill()


if __name__ == "__main__":
    main()
