"""`python -m sandbox`: a local Wix on a port of this machine.

In: options. Out: one line on standard output when it listens, with the address of the shop page; all other output goes
to standard error. SIGTERM and SIGINT stop it.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from sandbox import state
from sandbox.app import Sandbox
from sandbox.clock import parse
from sandbox.errors import StartupError
from sandbox.knobs import Knobs
from sandbox.site import Site

log = logging.getLogger("sandbox")


class Server(uvicorn.Server):
    """uvicorn with a callback when it listens, without signal handlers: a requested stop must exit with status 0."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


def main(  # noqa: PLR0917 - typer calls it by name
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")] = 9000,
    webhook: Annotated[list[str] | None, typer.Option(help="URL that webhooks are sent to. Can be repeated.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--state", help="Folder for ids, keys and a .env, reused at the next start. Without it, all ids are new."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    hold_seconds: Annotated[float, typer.Option(min=0.1, help="Seconds until a reservation expires.")] = 1200.0,
    rate_limit: Annotated[
        int, typer.Option(min=0, help="API calls allowed in any minute; further calls get 429.")
    ] = 200,
    resend_scale: Annotated[
        float,
        typer.Option(
            min=0,
            help="Factor on the delays of Wix's webhook resend schedule (1 min, 10 min, 1 h, ...).",
        ),
    ] = 1.0,
    tickets: Annotated[int, typer.Option(min=0, help="Number of additional tickets, for load tests.")] = 0,
    seed_at: Annotated[
        str,
        typer.Option(
            help="Time that the sale dates of the first tickets are relative to: `now`, or a date and time with a zone."
        ),
    ] = "now",
    chance: Annotated[
        int | None, typer.Option(help="Seed for the ids of orders and the simulated faults, to repeat a run.")
    ] = None,
) -> None:
    """A local Wix: events with registration, ticket definitions, access tokens, signed webhooks, and a shop page to buy from.

    Start a server with the .env of the --state folder to use it. Change its knobs with PATCH /sandbox/knobs.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        seeded_at = time.time() if seed_at == "now" else _moment(seed_at)
        site = state.load(folder) if folder else Site.new()
        knobs = Knobs(hold_seconds=hold_seconds, rate_limit=rate_limit, resend_scale=resend_scale)
        listening = listen(host, port)
        url = f"http://{_shown(host)}:{listening.getsockname()[1]}"
        if folder:
            state.save(folder, site, url, webhook or ())
    except StartupError as error:
        typer.echo(f"sandbox: {error}", err=True)
        raise typer.Exit(2) from None
    sandbox = Sandbox(site, webhooks=webhook or (), knobs=knobs, seeded_at=seeded_at, chance=chance)
    sandbox.add(tickets)
    asyncio.run(_serve(sandbox, listening, url))


async def _serve(sandbox: Sandbox, listening: socket.socket, url: str) -> None:
    def ready() -> None:
        print(f"Wix sandbox: {url}/", flush=True)  # noqa: T201 - the parent process waits for it
        log.info("webhooks go to %s", ", ".join(sandbox.delivery.urls) or "no receiver: use --webhook")

    server = Server(config(sandbox), ready)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, server)
    await server.serve([listening])


def config(sandbox: Sandbox) -> uvicorn.Config:
    """The configuration of uvicorn, here and in tests."""
    return uvicorn.Config(
        sandbox.app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=1
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StartupError."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise StartupError(f"cannot listen on {host}:{port} ({error.strerror}): change --host or --port") from None
    # Accepted sockets inherit this. asyncio sets it only on sockets with an explicit protocol, which these have not;
    # without it, every second response on a keep-alive connection is 40 ms late.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _stop(server: uvicorn.Server) -> None:
    server.should_exit = True


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _moment(text: str) -> float:
    try:
        return parse(text)
    except ValueError:
        raise StartupError(
            f"--seed-at {text!r} is neither `now` nor a date and time such as 2026-02-11T10:00:00Z"
        ) from None


if __name__ == "__main__":
    typer.run(main)
