"""POST /webhooks/wix: verify, mark, 200.

In: a raw JWT. Out: an empty answer whose status is all Wix needs: 200 taken or not for us, 401 not signed by Wix,
413 too large, 503 when Redis does not take it, so that Wix sends it again. The work is one round trip to Redis and
never a call to Wix; nothing of an order is stored or logged but ids.
"""

import asyncio

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from server import logs, metrics
from server.errors import Forged, Malformed, StoreUnavailable
from server.model import Install, Rules, SiteId, Webhook
from server.schedule import Schedule
from server.wix import schema, signature

LARGEST = 1_000_000
"""Bytes: the largest real order has some hundred tickets of 1 kB."""
GIVE_UP = 10 * LARGEST
"""Bytes that are read of a body that is too large: who is cut off while sending does not see the answer."""
READ_WITHIN = 5.0
ANSWER_WITHIN = 0.9
"""Seconds: Wix gives up after 1.25 s, and an answer that comes later is a webhook that comes again."""

log = logs.logger("webhook")


class Intake:
    """The webhook's route of one process; a *key* of None refuses everything, as there is no app to sign for."""

    def __init__(
        self,
        schedule: Schedule,
        key: RSAPublicKey | None,
        rules: Rules,
        *,
        everything: bool,
        read_within: float = READ_WITHIN,
    ) -> None:
        self.schedule = schedule
        self.key = key
        self.rules = rules
        self.everything = everything
        self.read_within = read_within

    async def receive(self, request: Request) -> Response:
        """Answer one webhook."""
        try:
            body = await _body(request, self.read_within)
        except TimeoutError:
            return _answer("none", "slow", 408)
        except ClientDisconnect:
            return _answer("none", "left", 400)
        if body is None:
            return _answer("none", "too_large", 413)
        if self.key is None:
            return _answer("none", "no_key", 401)
        try:
            webhook = signature.verify(body, self.key)
        except Forged as error:
            log.warning("webhook_forged", reason=str(error), size=len(body))
            return _answer("none", "forged", 401)
        except Malformed as error:
            # Wix signed it, so it would come back for two days; what we cannot read today we cannot read then.
            log.warning("webhook_malformed", reason=str(error), size=len(body))
            return _answer("none", "malformed", 200)
        return await self._take(webhook)

    async def _take(self, webhook: Webhook) -> Response:
        type_ = webhook.type if webhook.type in schema.KNOWN else "unknown"
        if webhook.meaning is None:
            return _answer(type_, "ignored", 200)
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                if isinstance(webhook.meaning, Install):
                    return await self._install(webhook.site, webhook.meaning, type_)
                marked = await self.schedule.mark(webhook.site, webhook.meaning, type_)
        except (StoreUnavailable, TimeoutError) as error:
            log.error("webhook_not_taken", type=type_, site=webhook.site, error=str(error) or "too slow")
            return _answer(type_, "unavailable", 503)
        if not marked.known:
            log.info("webhook_of_unknown_site", type=type_, site=webhook.site)
            return _answer(type_, "unknown_site", 200)
        metrics.marks.labels(webhook.meaning.reason).inc(marked.taken)
        log.debug("webhook", type=type_, site=webhook.site, tickets=webhook.meaning.tickets, taken=marked.taken)
        return _answer(type_, "marked" if marked.taken else "untracked", 200)

    async def _install(self, site: SiteId, install: Install, type_: str) -> Response:
        if install.installed:
            await self.schedule.adopt(site, self.rules, everything=self.everything)
            log.info("site_installed", site=site)
        else:
            await self.schedule.forget(site)
            log.info("site_removed", site=site)
        return _answer(type_, "taken", 200)


async def _body(request: Request, within: float) -> bytes | None:
    """The whole body, or None if it is too large: counted as it comes, since Content-Length is only a claim."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(within):
            async for part in request.stream():
                size += len(part)
                if size <= LARGEST:
                    parts.append(part)
                elif size > GIVE_UP:
                    break
    except TimeoutError:
        if size <= LARGEST:
            raise
    return b"".join(parts) if size <= LARGEST else None


def _answer(type_: str, outcome: str, status: int) -> Response:
    metrics.webhooks.labels(type_, outcome).inc()
    headers = {"Retry-After": "1"} if status == 503 else {}
    if status in (408, 413):
        # What is left of the body is not worth reading.
        headers["Connection"] = "close"
    return Response(status_code=status, headers=headers)
