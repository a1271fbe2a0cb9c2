"""Health and metrics of one process: /livez, /readyz, /metrics.

In: GET. Out: yes or no; with the token also the details of /readyz, as JSON, and the metrics, as both show what redaction hides.
/metrics is 404 if no token is set.
"""

import hmac
from collections.abc import Callable, Mapping

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from server import metrics


class Health:
    """The health of one process.

    *details* are the conditions under which it is ready, *notices* are for an administrator. Both and the metrics are shown only
    with the *token*, and never if that is None.
    """

    def __init__(
        self,
        details: Callable[[], Mapping[str, bool]],
        notices: Callable[[], Mapping[str, bool]] = dict,
        *,
        token: SecretStr | None,
    ) -> None:
        self.details = details
        self.notices = notices
        self._token = token.get_secret_value() if token else None

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [Route("/livez", self.livez), Route("/readyz", self.readyz), Route("/metrics", self.metrics)]

    async def livez(self, _: Request) -> Response:
        """Whether the event loop runs. Nothing else: a restart would not help while Redis is unavailable."""
        return PlainTextResponse("yes\n", headers=_NO_STORE)

    async def readyz(self, request: Request) -> Response:
        """Whether this process should get work now: viewers, or what is due."""
        details = self.details()
        ready = all(details.values())
        if self._has_token(request):
            return JSONResponse({**details, **self.notices()}, 200 if ready else 503, headers=_NO_STORE)
        return PlainTextResponse("yes\n" if ready else "no\n", 200 if ready else 503, headers=_NO_STORE)

    async def metrics(self, request: Request) -> Response:
        """The metrics, in Prometheus's text format."""
        if self._token is None:
            return PlainTextResponse("Not Found", 404)
        if not self._has_token(request):
            return PlainTextResponse("bearer token needed\n", 401, headers={"WWW-Authenticate": "Bearer"})
        return Response(metrics.text(), media_type="text/plain; version=0.0.4", headers=_NO_STORE)

    def _has_token(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())


_NO_STORE = {"Cache-Control": "no-store"}
