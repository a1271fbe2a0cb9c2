"""`python -m sandbox`: a local Wix on a port of this machine.

In: options. Out: one line on standard output when it listens, which names the shop page's address; everything else
goes to standard error. SIGTERM and SIGINT end it.
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
    """uvicorn that says when it listens, and leaves signals to us: an end that was asked for is no failure."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


def main(  # noqa: PLR0917 - typer calls it by name
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 9000,
    webhook: Annotated[
        list[str] | None, typer.Option(help="Address that webhooks are sent to; may be given several times.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--state", help="Folder for ids, keys and a .env; a second start there keeps them. Without it all are new."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    hold_seconds: Annotated[float, typer.Option(min=0.1, help="Seconds that a reservation lasts.")] = 1200.0,
    rate_limit: Annotated[int, typer.Option(min=0, help="API calls in any minute; above it the answer is 429.")] = 200,
    resend_scale: Annotated[
        float,
        typer.Option(
            min=0,
            help="Factor on Wix's webhook resend schedule (1 min, 10 min, 1 h, ...).",
        ),
    ] = 1.0,
    tickets: Annotated[int, typer.Option(min=0, help="So many more plain tickets, for load.")] = 0,
    seed_at: Annotated[
        str, typer.Option(help="Moment that the first sales go by: `now`, or a date and time with its zone.")
    ] = "now",
    chance: Annotated[
        int | None, typer.Option(help="A number that makes ids of orders and all misfortune repeatable.")
    ] = None,
) -> None:
    """A local Wix: Events ticket definitions, access tokens, signed webhooks, and a shop page to buy from.

    Point a server at it with the .env in the --state folder. Turn its knobs with PATCH /sandbox/knobs.
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
        print(f"Wix sandbox: {url}/", flush=True)  # noqa: T201 - whoever started us waits for it
        log.info("webhooks go to %s", ", ".join(sandbox.delivery.urls) or "nobody: give it --webhook")

    server = Server(config(sandbox), ready)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, server)
    await server.serve([listening])


def config(sandbox: Sandbox) -> uvicorn.Config:
    """How uvicorn runs it, here and in tests."""
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
    # What it accepts inherits this; asyncio sets it only on sockets that name their protocol, which these do not, and
    # every second answer of a kept connection would come 40 ms late.
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
            f"--seed-at {text!r} is not `now`, nor a date and time such as 2026-02-11T10:00:00Z"
        ) from None


if __name__ == "__main__":
    typer.run(main)
