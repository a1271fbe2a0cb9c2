"""Web Push: hands one encrypted message to the push service of a browser, and says what the service replied.

In: a Delivery whose member is a push subscription. Out: a Reply. Redirects are not followed, and only public addresses of known services
are connected to. What was posted and not answered is unknown, and is never sent again. A subscription that its service no longer knows
is removed; where a service refuses our key nothing is, since that is our fault. Sources: RFC 8030 (TTL, Urgency, Topic, 5 and 7.3),
RFC 8188 and 8291 (encryption), RFC 8292 (VAPID), and the Push API's draft of declarative messages (`web_push`).
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from pywebpush import WebPusher  # type: ignore[import-untyped]

from server import deadline, retry_after
from server.addresses import public_addresses
from server.campaign import ChannelName
from server.errors import RedisUnavailable
from server.notify.audience.push_subscriptions import stored_as
from server.notify.audience.source import Member
from server.notify.channels.channel import Delivery, Reply, Result
from server.notify.channels.push_payload import campaign_payload, first_payload, topic
from server.notify.config import PushSettings
from server.notify.message.languages import Languages
from server.push_subscription import host_of, is_allowed, origin_of
from server.store.push_subscriptions import UNCONFIRMED_LASTS, PushSubscriptions, Stored
from server.vapid import VapidSigner

WITHIN = 10.0
"""Seconds for a whole request."""
CONNECT_WITHIN = 3.0
"""Seconds for one address of the service to accept a connection."""
LARGEST_ANSWER = 16_384
"""Bytes of an answer that are read; of more, the connection is closed."""
LONGEST_TTL = 4 * 7 * 86_400
"""Seconds that a service keeps a message at most: 28 days at Google's."""
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors of which no byte has reached the service."""
OUR_KEY = "Set NOTIFY_VAPID_KEYS to the keys that the subscriptions were made with, and NOTIFY_FROM to a mail address of yours"


class Push:
    """The channel of Web Push; raises NotStarted where a key cannot be used.

    *public_url* is ours, to which a click leads. *clock* answers seconds since 1970.
    """

    name = ChannelName.PUSH

    def __init__(
        self,
        settings: PushSettings,
        subscriptions: PushSubscriptions,
        languages: Languages,
        public_url: str,
        *,
        within: float = WITHIN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.per_second, self.parallel = settings.per_second, settings.connections
        self._hosts = frozenset(settings.hosts)
        self._subscriptions, self._languages = subscriptions, languages
        self._page = f"{public_url.rstrip('/')}/tell-me"
        self._within, self._clock = within, clock
        self._signer = VapidSigner([one.get_secret_value() for one in settings.keys], settings.contact, clock=clock)
        limits = httpx.Limits(
            max_connections=settings.connections,
            max_keepalive_connections=settings.connections,
            keepalive_expiry=1.5,  # before a server closes it: a request that crosses with that is one without an answer
        )
        self._http = httpx.AsyncClient(
            transport=deadline.transport(limits, resolve=self._resolve),
            timeout=httpx.Timeout(within, connect=min(within, CONNECT_WITHIN)),
            headers={"user-agent": "ticket-counter", "accept-encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )

    def server(self, member: Member) -> str:
        """The push service of this member's browser."""
        return server_of(member.address)

    async def send(self, delivery: Delivery) -> Reply:
        """Try once; never raises for what a push service does."""
        server = self.server(delivery.member)
        site, id_ = stored_as(delivery.member)
        try:
            stored = await self._subscriptions.read(site, id_)
        except RedisUnavailable:
            return Reply(Result.AGAIN, server, "its subscription could not be read")
        if stored is None or not stored.confirmed:
            return Reply(Result.FAILED, server, "it is no longer subscribed")
        language = self._languages.choose(delivery.language)
        name = topic(site, delivery.campaign)
        payload = campaign_payload(delivery.announcement, language, self._address(stored), name, test=delivery.test)
        return await self._post(stored, payload, name, delivery.deadline)

    async def first(self, stored: Stored, title: str) -> Reply:
        """The first push of a subscription, with the token that confirms it; *title* is that of the event."""
        language = self._languages.choose(stored.language)
        name = topic("first", stored.id)
        address = f"{self._address(stored)}#confirm={self._subscriptions.token(stored)}"
        payload = first_payload(title, language, address, name)
        return await self._post(stored, payload, name, stored.at + UNCONFIRMED_LASTS)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _address(self, stored: Stored) -> str:
        return f"{self._page}?event={stored.event}&site={stored.site}"

    async def _post(self, stored: Stored, payload: bytes, name: str, until: float) -> Reply:
        one = stored.subscription
        server = server_of(one.endpoint)
        if not is_allowed(one.endpoint, self._hosts):
            # What was stored may be older than the settings.
            return Reply(Result.FAILED, server, "its push service is not known here")
        try:
            authorization = self._signer.authorization(one.key, origin_of(one.endpoint))
        except KeyError:
            return Reply(Result.FAILED, server, "the key that it was made with is not set any more", cure=OUR_KEY)
        keys = {"p256dh": one.p256dh, "auth": one.auth}
        headers = {
            "authorization": authorization,
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(min(LONGEST_TTL, max(1, int(until - self._clock())))),
            "urgency": "high",
            "topic": name,
        }
        body = WebPusher({"endpoint": one.endpoint, "keys": keys}).encode(payload)["body"]
        try:
            with deadline.within(self._within):
                status, wait = await self._request(one.endpoint, headers, body)
        except NOT_SENT as error:
            return Reply(Result.SERVER_FAULT, server, f"it cannot be reached: {type(error).__name__}")
        except httpx.HTTPError as error:
            return Reply(Result.UNKNOWN, server, f"no answer: {type(error).__name__}")
        reply = _judged(server, status, wait)
        if reply.result is Result.FAILED:
            await self._remove(stored)
        return reply

    async def _request(self, endpoint: str, headers: dict[str, str], body: bytes) -> tuple[int, float | None]:
        """The status, and the seconds to wait that the service names."""
        request = self._http.build_request("POST", endpoint, headers=headers, content=body)
        response = await self._http.send(request, stream=True)
        try:
            size = 0
            async for part in response.aiter_raw():
                size += len(part)
                if size > LARGEST_ANSWER:
                    break
        except httpx.HTTPError:
            pass  # the status is known, and its body is not needed
        finally:
            await response.aclose()
        return response.status_code, retry_after.seconds(response.headers.get("retry-after", ""))

    async def _remove(self, stored: Stored) -> None:
        # If it stays, the next campaign finds it again, and removes it then.
        with contextlib.suppress(RedisUnavailable):
            await self._subscriptions.remove(stored)

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        if host not in self._hosts:
            return await public_addresses(host, port)
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [str(place[0]) for *_, place in found]


def server_of(endpoint: str) -> str:
    """The name under which the faults of an endpoint's service are counted."""
    return f"push {host_of(endpoint)}"


def _judged(server: str, status: int, wait: float | None) -> Reply:
    """What a status means (RFC 8030, sections 5 and 7.3; RFC 8292, section 4.2)."""
    code = str(status)
    if 200 <= status < 300:
        return Reply(Result.SENT, server, code=code)
    match status:
        case 404 | 410:
            return Reply(Result.FAILED, server, "the browser's subscription has ended", code)
        case 401 | 403:
            return Reply(Result.SERVER_FAULT, server, f"it refuses our key ({status})", code, pause=True, cure=OUR_KEY)
        case 400 | 413:
            cure = "Report it: it is a bug"
            return Reply(Result.SERVER_FAULT, server, f"it refuses our message ({status})", code, pause=True, cure=cure)
        case 429 | 503:
            return Reply(Result.SERVER_FAULT, server, f"it takes no more for now ({status})", code, retry_after=wait)
        case _:
            return Reply(Result.SERVER_FAULT, server, f"it answered {status}", code, retry_after=wait)
