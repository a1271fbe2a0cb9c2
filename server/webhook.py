"""POST /webhooks/wix: verify, mark, 200.

In: a raw JWT. Out: an empty response whose status is all that Wix needs: 200 taken or not for us, 401 not signed by Wix,
413 too large, 503 when Redis does not take it, so that Wix sends it again. The work is one round trip to Redis and
never a call to Wix; nothing of an order is stored or logged but ids.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from prometheus_client import Counter
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from server import logs, metrics
from server.counter import Rules
from server.errors import Forged, Malformed, OtherKey, RedisUnavailable, WrongTime
from server.logs import OutageLog, RepeatedWarning
from server.model import Install, SiteId, SiteOrigin, Webhook
from server.store.refused_webhooks import Refusal, RefusedWebhooks
from server.store.schedule import Schedule
from server.wire import WEBHOOK_RETRY_AFTER
from server.wix import cures, signature

LARGEST = 1_000_000
"""Bytes of a body: the largest real order has about a hundred tickets of 1 kB."""
GIVE_UP = 10 * LARGEST
"""Bytes that are read of a body that is too large: a client whose connection is closed earlier may not see the response."""
MOST_BUFFERED = 64 * LARGEST
"""Bytes of incomplete bodies in one process: any client may send one, and only a complete one can be verified."""
READ_WITHIN = 5.0
"""Seconds for the body."""
ANSWER_WITHIN = 0.9
"""Seconds for Redis: Wix's time-out is 1.25 s, and after it Wix sends the webhook again."""
NOT_TAKEN = (
    "nothing is lost: Wix sends it again for two days. See that Redis runs and answers in time (`ticket-counter doctor`); there is a "
    "line when it takes webhooks again"
)
"""What to do about webhooks that Redis does not take."""

HEADERS: Mapping[int, tuple[tuple[bytes, bytes], ...]] = {
    # The rest of the body is not read, so the connection cannot be used again.
    HTTPStatus.REQUEST_TIMEOUT: ((b"connection", b"close"),),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ((b"connection", b"close"),),
    # Nor may it have been read here, where too many are incomplete.
    HTTPStatus.SERVICE_UNAVAILABLE: ((b"connection", b"close"), (b"retry-after", b"%d" % WEBHOOK_RETRY_AFTER)),
}
EMPTY: Message = {"type": "http.response.body", "body": b""}

log = logs.logger("webhook")
standard_log = logging.getLogger("webhook")


class BufferFull(Exception):
    """The incomplete bodies of this process take too much memory."""


class WebhookEndpoint:
    """The ASGI app of the route. With a *key* of None it refuses every webhook: without an app there are none."""

    def __init__(
        self,
        schedule: Schedule,
        key: RSAPublicKey | None,
        rules: Rules,
        *,
        everything: bool,
        read_within: float = READ_WITHIN,
        most_buffered: int = MOST_BUFFERED,
    ) -> None:
        self.schedule = schedule
        self.key = key
        self.rules = rules
        self.everything = everything
        self.read_within = read_within
        self._most_buffered = most_buffered
        # Any client may send any number of these: the metric counts them, the log only says that they come.
        self._forged = RepeatedWarning(log, "webhook_forged")
        self._not_taken = RepeatedWarning(log, "webhook_refused")
        self._unknown_site = RepeatedWarning(log, "webhook_of_unknown_site")
        # While Redis is unavailable Wix sends many, and each again.
        self._outage = OutageLog(log, "webhook_not_taken", "webhooks_taken_again")
        self._refused = RefusedWebhooks(schedule.redis)
        # Whether WIX_PUBLIC_KEY is proven to be right.
        self._verified = False
        self._buffered = 0

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Answer one webhook, in plain ASGI: a Request and a Response would take as long as Redis's part."""
        await send(_start(await self._handle(receive)))
        await send(EMPTY)

    async def _handle(self, receive: Receive) -> int:
        try:
            body = await self._read_body(receive)
        except BufferFull:
            return _count("none", "crowded", 503)
        except TimeoutError:
            return _count("none", "slow", 408)
        except ClientDisconnect:
            return _count("none", "left", 400)
        if body is None:
            return _count("none", "too_large", 413)
        if self.key is None:
            self._not_taken.warn("no key", reason="WIX_PUBLIC_KEY is not set", hint=cures.NO_KEY)
            return _count("none", "no_key", 401)
        try:
            webhook = signature.verify(body, self.key)
        except OtherKey as error:
            hint = cures.ANOTHER_APP if self._verified else cures.OTHER_KEY
            await self._refuse(Refusal.OTHER_KEY, error, hint)
            return _count("none", "other_key", 401)
        except WrongTime as error:
            await self._refuse(Refusal.WRONG_TIME, error, cures.CLOCK)
            return _count("none", "wrong_time", 401)
        except Forged as error:
            self._forged.warn(str(error), reason=str(error), size=len(body))
            return _count("none", "forged", 401)
        except Malformed as error:
            # Wix would send it again for two days, and it could not be read then either.
            log.warning("webhook_malformed", reason=str(error), size=len(body))
            return _count("none", "malformed", 200)
        self._verified = True
        return await self._act(webhook)

    async def _refuse(self, refusal: Refusal, error: Forged, hint: str) -> None:
        """Say, once a minute, that webhooks come which may be Wix's and yet are refused; `doctor` says it as well."""
        if not self._not_taken.warn(refusal, reason=str(error), hint=hint):
            return
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                await self._refused.write(refusal)
        except (RedisUnavailable, TimeoutError):
            pass  # the log has it, and the next one tries again

    async def _read_body(self, receive: Receive) -> bytes | None:
        """The whole body, or None if it is too large: counted as it arrives, since Content-Length may be wrong."""
        parts: list[bytes] = []
        size = buffered = 0
        more = True
        try:
            async with asyncio.timeout(self.read_within):
                while more and size <= GIVE_UP:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    part: bytes = message.get("body", b"")
                    more = message.get("more_body", False)
                    size += len(part)
                    if size <= LARGEST:
                        if more and self._buffered + len(part) > self._most_buffered:
                            raise BufferFull
                        parts.append(part)
                        buffered += len(part)
                        self._buffered += len(part)
        except TimeoutError:
            if size <= LARGEST:
                raise
        finally:
            self._buffered -= buffered
        return b"".join(parts) if size <= LARGEST else None

    async def _act(self, webhook: Webhook) -> int:
        if webhook.meaning is None:
            return _count(webhook.type, "ignored", 200)
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                if isinstance(webhook.meaning, Install):
                    await self._install(webhook.site, webhook.meaning)
                    taken = None
                else:
                    taken = await self.schedule.mark(webhook.site, webhook.meaning, webhook.type)
        except (RedisUnavailable, TimeoutError) as error:
            self._outage.fault(type=webhook.type, site=webhook.site, error=str(error) or "too slow", hint=NOT_TAKEN)
            return _count(webhook.type, "unavailable", 503)
        self._outage.works()
        if isinstance(webhook.meaning, Install):
            return _count(webhook.type, "taken", 200)
        if taken is None:
            self._unknown_site.warn(webhook.site, type=webhook.type, site=webhook.site, hint=cures.UNKNOWN_SITE)
            return _count(webhook.type, "unknown_site", 200)
        _marks(webhook.meaning.reason).inc(taken)
        if standard_log.isEnabledFor(logging.DEBUG):
            # structlog builds a line before it checks the level, which takes as long as Redis's part.
            log.debug("webhook", type=webhook.type, site=webhook.site, tickets=webhook.meaning.tickets, taken=taken)
        return _count(webhook.type, "marked" if taken else "untracked", 200)

    async def _install(self, site: SiteId, install: Install) -> None:
        if install.installed:
            await self.schedule.add_site(site, self.rules, everything=self.everything, origin=SiteOrigin.INSTALLED)
            log.info("site_installed", site=site)
        else:
            await self.schedule.remove_site(site)
            log.info("site_removed", site=site)


def _count(type_: str, outcome: str, status: int) -> int:
    """Count the outcome of a webhook, and answer its status."""
    _outcomes(type_, outcome).inc()
    return status


# Finding a counter by its labels takes longer than counting; there are few label values, and none comes from clients.


@cache
def _outcomes(type_: str, outcome: str) -> Counter:
    return metrics.webhooks.labels(type_, outcome)


@cache
def _marks(reason: str) -> Counter:
    return metrics.marks.labels(reason)


@cache
def _start(status: int) -> Message:
    headers = (*HEADERS.get(status, ()), (b"content-length", b"0"))
    return {"type": "http.response.start", "status": status, "headers": headers}
