from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from server import metrics
from server.health import Health
from tests.rig.server import StartServer

Serve = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve the health of a process; *details* and other arguments as given."""
    async with AsyncExitStack() as stack:

        def start(details: dict[str, bool] | None = None, token: str | None = None, **given: Any) -> httpx.AsyncClient:
            health = Health(
                lambda: {"redis": True, "accepting": True, **(details or {})},
                token=None if token is None else SecretStr(token),
                **given,
            )
            transport = httpx.ASGITransport(Starlette(routes=health.routes()))
            client = httpx.AsyncClient(transport=transport, base_url="http://health.test")
            stack.push_async_callback(client.aclose)
            return client

        yield start


# -- health --


@pytest.mark.parametrize("details", [{}, {"redis": False}, {"accepting": False}])
async def test_livez_answers_yes(serve: Serve, details: dict[str, bool]) -> None:
    """The process is alive as long as it answers, even if Redis is unavailable."""
    response = await serve(details=details).get("/livez")

    assert (200, "yes\n", "no-store") == (response.status_code, response.text, response.headers["cache-control"])


@pytest.mark.parametrize(
    ("details", "status", "text"),
    [({}, 200, "yes\n"), ({"redis": False}, 503, "no\n"), ({"accepting": False}, 503, "no\n")],
)
async def test_readyz_follows_the_details(serve: Serve, details: dict[str, bool], status: int, text: str) -> None:
    """Law 11: a process is ready while all conditions hold; a client without the token does not learn why not."""
    response = await serve(details=details, token="secret").get("/readyz")

    assert (status, text, "no-store") == (response.status_code, response.text, response.headers["cache-control"])


async def test_readyz_with_token(serve: Serve) -> None:
    """With the token a client learns which condition does not hold."""
    client = serve(details={"redis": False}, token="secret")

    response = await client.get("/readyz", headers={"Authorization": "Bearer secret"})

    assert (503, {"redis": False, "accepting": True}) == (response.status_code, response.json())


async def test_readyz_notices(serve: Serve) -> None:
    """A notice does not make a process unready, and is shown only with the token."""
    client = serve(notices=lambda: {"webhooks_heard": False}, token="secret")

    without, with_token = [
        await client.get("/readyz", headers=headers) for headers in ({}, {"Authorization": "Bearer secret"})
    ]

    assert (200, "yes\n") == (without.status_code, without.text)
    assert (200, {"redis": True, "accepting": True, "webhooks_heard": False}) == (
        with_token.status_code,
        with_token.json(),
    )


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer ", "Bearer", "Basic secret", "Bearer secret2", "s\xe9cret"])
async def test_readyz_with_wrong_token(serve: Serve, given: str) -> None:
    """A wrong token shows no more than none."""
    client = serve(token="secret")

    response = await client.get("/readyz", headers={b"Authorization": given.encode("latin-1")})

    assert (200, "yes\n") == (response.status_code, response.text)


async def test_readyz_without_token_set(serve: Serve) -> None:
    """If no token is set, an empty one is not accepted."""
    response = await serve().get("/readyz", headers={"Authorization": "Bearer "})

    assert "yes\n" == response.text


# -- metrics --


async def test_metrics_with_token(serve: Serve) -> None:
    """With the token the metrics are served, in Prometheus's text format."""
    metrics.withdrawn.inc()
    client = serve(token="secret")

    response = await client.get("/metrics", headers={"Authorization": "Bearer secret"})

    assert 200 == response.status_code
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "ticketcounter_withdrawn_total " in response.text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_metrics_with_wrong_token(serve: Serve, headers: dict[str, str]) -> None:
    """Without the right token the metrics are 401: they show what redaction hides."""
    response = await serve(token="secret").get("/metrics", headers=headers)

    assert (401, "Bearer") == (response.status_code, response.headers["www-authenticate"])
    assert "ticket_counter" not in response.text


async def test_metrics_without_token_set(serve: Serve) -> None:
    """If no token is set, /metrics is 404 as any unknown path."""
    client = serve()
    nothing = await client.get("/nothing")

    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        response = await client.get("/metrics", headers=headers)
        assert (404, nothing.text) == (response.status_code, response.text)


# -- in a web process --


async def test_health_of_a_web_process(start_server: StartServer) -> None:
    """A web process is ready, and is not ready once it admits no viewers; its notices tell of the worker and of Wix."""
    running = await start_server(metrics_token="secret")
    ready = await running.http.get("/readyz")
    running.web.admission.open = False

    closing = await running.http.get("/readyz", headers={"Authorization": "Bearer secret"})

    expected = {"redis": True, "accepting": False, "rules": True, "webhooks_heard": True, "worker": False, "wix": True}
    assert (200, "yes\n") == (ready.status_code, ready.text)
    assert (503, expected) == (closing.status_code, closing.json())
