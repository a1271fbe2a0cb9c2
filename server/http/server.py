"""Uvicorn's configuration, and a server that run.py starts and ends.

In: the application, the limit of descriptors and settings. Out: a server for a socket from listen.py, whose connections
are of this project's classes: connection.py for HTTP, live/websocket.py for WebSocket.
"""

import contextlib
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from server import logs
from server.http.connection import HttpProtocol
from server.http.descriptors import Descriptors
from server.http.idle import Idle
from server.http.listen import BACKLOG
from server.live.handshake import HEADERS
from server.live.websocket import CounterProtocol
from server.settings import Settings

log = logs.logger("http")


class State(ServerState):
    """Uvicorn's state of a server, with its idle connections."""

    def __init__(self, idle: Idle | None = None) -> None:
        super().__init__()
        self.idle = Idle() if idle is None else idle


class Server(uvicorn.Server):
    """Uvicorn without its signal handlers: run.py ends the process, in its own order."""

    def __init__(self, config: uvicorn.Config, idle: Idle | None = None) -> None:
        super().__init__(config)
        self.server_state = State(idle)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers."""
        yield


def http_server(app: ASGIApp, descriptors: Descriptors, settings: Settings) -> Server:
    """A server for an application; logs a warning if MAX_CONNECTIONS needs more descriptors than there are."""
    if short := descriptors.shortage(settings.max_connections):
        log.warning(
            "few_descriptors",
            viewers=descriptors.for_viewers,
            what=short.what,
            hint=f"{short.why}: {short.cure}",
        )
    return Server(
        uvicorn.Config(
            app,
            ws=CounterProtocol,
            http=HttpProtocol,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=list(HEADERS),
            root_path=settings.root_path,
            proxy_headers=False,  # live/admission.py reads them, alike for HTTP and WebSocket
            timeout_keep_alive=settings.keep_alive,
            timeout_graceful_shutdown=5,
            backlog=BACKLOG,
        ),
        Idle(first_reserved=descriptors.first_reserved),
    )


def worker_server(app: ASGIApp) -> Server:
    """A server for the health and metrics of a worker: it has no viewers, so no request becomes a WebSocket."""
    return Server(
        uvicorn.Config(
            app,
            ws="none",
            http=HttpProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=list(HEADERS),
            proxy_headers=False,
            timeout_graceful_shutdown=5,
            backlog=BACKLOG,
        ),
        Idle(first_reserved=Descriptors.of_this_process().first_reserved),
    )
