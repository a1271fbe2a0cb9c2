"""The mail relay: opens connections to it, and keeps those that are not in use for a while.

In: NOTIFY_SMTP_URL. Out: connections of aiosmtplib that have said EHLO, speak TLS and are logged in, or Refused with what it means.
smtp:// begins with STARTTLS, which is required; smtps:// is TLS from the first byte; smtp+plain:// is neither, and goes to private
addresses alone, with a password to this machine alone. Certificates are verified. Sources: RFC 5321 (4.5.3.2: time limits), RFC 3207, RFC 8314.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import aiosmtplib
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPConnectResponseError,
    SMTPException,
    SMTPResponseException,
    SMTPTimeoutError,
)
from pydantic import SecretStr

from server.addresses import is_loopback, is_public
from server.notify.channels.channel import Reply
from server.notify.channels.smtp_replies import Command, Place

PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
NO_TLS = {
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "HTTP_REQUEST",
    "UNEXPECTED_MESSAGE",
    "PACKET_LENGTH_TOO_LONG",
}
"""OpenSSL's reasons where what came is no TLS."""
IDLE = 10.0
"""Seconds for which a connection is kept that is not in use."""
QUIT_WITHIN = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for each phase: until a TCP connection stands, for the greeting and TLS, and for the replies to commands.

    `data` is from DATA to the reply after the final dot: a relay may take minutes to check what it got, and a client that leaves
    earlier does not know what became of it (RFC 5321, 4.5.3.2.6).
    """

    connect: float = 15.0
    greeting: float = 60.0
    ehlo: float = 60.0
    mail: float = 60.0
    rcpt: float = 60.0
    data: float = 600.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a relay is: the parts of NOTIFY_SMTP_URL."""

    scheme: str
    host: str
    port: int
    user: str
    password: SecretStr


class Refused(Exception):
    """No connection came about; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.reason)
        self.reply = reply


class Relay:
    """A relay and the connections to it: at most *connections* at once. *name* is what we say of ourselves in EHLO."""

    def __init__(
        self,
        address: Address,
        place: Place,
        name: str,
        *,
        connections: int,
        limits: Limits,
        idle: float = IDLE,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.place, self.limits = place, limits
        self._address, self._name, self._idle_for = address, name, idle
        self._tls = tls or ssl.create_default_context()
        self._free = asyncio.Semaphore(connections)
        self._idle: dict[aiosmtplib.SMTP, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until there are fewer messages under way than there may be connections."""
        async with self._free:
            yield

    def idle(self) -> aiosmtplib.SMTP | None:
        """A connection that was used before and seems to stand, the newest first; None = there is none."""
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            if connection.is_connected:
                return connection
            connection.close()
        return None

    def keep(self, connection: aiosmtplib.SMTP) -> None:
        """Take back a connection that is in no transaction."""
        if connection.is_connected:
            self._idle[connection] = asyncio.get_running_loop().call_later(self._idle_for, self._expire, connection)

    async def open(self) -> aiosmtplib.SMTP:
        """A new connection; raises Refused."""
        immediate = self._address.scheme == "smtps"
        line = await self._line()
        connection = aiosmtplib.SMTP(
            hostname=self._address.host,
            sock=line,
            local_hostname=self._name,
            use_tls=immediate,
            start_tls=False,
            tls_context=self._tls,
            timeout=self.limits.greeting,
        )
        command = Command.CONNECT
        try:
            await connection.connect()
            command = Command.EHLO
            await connection.ehlo(timeout=self.limits.ehlo)
            if self._address.scheme == "smtp":
                command = Command.STARTTLS
                await self._start_tls(connection)
            if self._address.user:
                command = Command.AUTH
                await self._log_in(connection)
        except BaseException as error:
            connection.close()
            line.close()
            if not isinstance(error, SMTPException | OSError | ValueError):
                raise
            raise Refused(self._reply(command, error)) from None
        return connection

    async def aclose(self) -> None:
        """Take leave of the relay on all connections that are not in use."""
        while connection := self.idle():
            self._expire(connection)
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _line(self) -> socket.socket:
        """A TCP connection to the first address of the relay that takes it; raises Refused."""
        loop, host, port = asyncio.get_running_loop(), self._address.host, self._address.port
        what, cure = "it has no address", ""
        try:
            async with asyncio.timeout(self.limits.connect):
                for family, kind, protocol, _, place in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                    if found := self._not_in_clear(str(place[0])):
                        what, cure = found, "Write smtp:// (STARTTLS) or smtps:// in NOTIFY_SMTP_URL."
                        continue
                    line = socket.socket(family, kind, protocol)
                    try:
                        line.setblocking(False)
                        await loop.sock_connect(line, place)
                    except OSError as error:
                        line.close()
                        what, cure = f"no connection: {error.strerror or type(error).__name__}", ""
                    except BaseException:
                        line.close()
                        raise
                    else:
                        return line
        except TimeoutError:
            what, cure = f"no connection within {self.limits.connect:g} s", ""
        except OSError as error:
            what, cure = f"its address was not found: {error.strerror or type(error).__name__}", ""
        raise Refused(self.place.fault(Command.CONNECT, what, cure, pause=bool(cure)))

    def _not_in_clear(self, address: str) -> str:
        """Why nothing may go to this address in clear; "" where it may, or does not."""
        if self._address.scheme != "smtp+plain":
            return ""
        if is_public(address):
            return "its address is public, and smtp+plain:// does not encrypt"
        if self._address.user and not is_loopback(address):
            return "it is on another machine, and smtp+plain:// does not encrypt the password"
        return ""

    async def _start_tls(self, connection: aiosmtplib.SMTP) -> None:
        if not connection.supports_extension("starttls"):
            cure = "Set smtps:// in NOTIFY_SMTP_URL if it speaks TLS on another port. Nothing goes out without TLS."
            raise Refused(self.place.fault(Command.STARTTLS, "it does not offer TLS", cure, pause=True))
        await connection.starttls(server_hostname=self._address.host, timeout=self.limits.greeting)
        await connection.ehlo(timeout=self.limits.ehlo)

    async def _log_in(self, connection: aiosmtplib.SMTP) -> None:
        if not connection.supported_auth_methods:
            cure = f"Leave the user and password out of NOTIFY_SMTP_URL if {self._address.host} wants none."
            raise Refused(self.place.fault(Command.AUTH, "it offers no login that we know", cure, pause=True))
        await connection.login(self._address.user, self._address.password.get_secret_value(), timeout=self.limits.ehlo)

    def _reply(self, command: Command, error: BaseException) -> Reply:
        if isinstance(error, SMTPResponseException | SMTPConnectResponseError | SMTPAuthenticationError):
            if 400 <= error.code <= 599:
                return self.place.meaning(command, error.code, error.message)
            return self.place.fault(command, "it does not speak SMTP", self._other_scheme(command))
        cause = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            cure = f"It needs a certificate of {self._address.host} from an authority that this machine trusts."
            what = f"its certificate is not accepted: {cause.verify_message}"
            return self.place.fault(Command.STARTTLS, what, cure, pause=True)
        if isinstance(cause, ssl.SSLError) and command is Command.CONNECT and cause.reason in NO_TLS:
            what = "the relay speaks no TLS from the first byte at this port"
            return self.place.fault(command, what, "Write smtp:// (STARTTLS) in NOTIFY_SMTP_URL.", pause=True)
        if isinstance(cause, ssl.SSLError):
            return self.place.fault(Command.STARTTLS, f"TLS does not come about: {cause.reason or 'no agreement'}")
        if isinstance(error, SMTPTimeoutError):
            return self.place.fault(command, "no answer in time", self._other_scheme(command))
        return self.place.fault(command, "the connection was lost", self._other_scheme(command))

    def _other_scheme(self, command: Command) -> str:
        """The cure where a relay did not greet: one that speaks TLS from the first byte waits for us, and then leaves or sends an alert."""
        if command is not Command.CONNECT or self._address.scheme == "smtps":
            return ""
        port = self._address.port
        if port == PORTS["smtps"]:
            return f"Write smtps:// in NOTIFY_SMTP_URL: at port {port} relays speak TLS from the first byte."
        return (
            f"See whether the relay that NOTIFY_SMTP_URL names, {self._address.host}, is up. "
            f"Where it speaks TLS from the first byte at port {port}, write smtps://."
        )

    def _expire(self, connection: aiosmtplib.SMTP) -> None:
        self._idle.pop(connection, None)
        task = asyncio.get_running_loop().create_task(_quit(connection))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def address(url: SecretStr) -> Address:
    """The parts of NOTIFY_SMTP_URL, which notify_settings.py has checked."""
    parts = urlsplit(url.get_secret_value())
    host = parts.hostname or ""
    password = SecretStr(unquote(parts.password or ""))
    return Address(parts.scheme, host, parts.port or PORTS[parts.scheme], unquote(parts.username or ""), password)


async def _quit(connection: aiosmtplib.SMTP) -> None:
    """Take leave, and close the connection whether this is answered or not."""
    with contextlib.suppress(SMTPException, OSError):
        await connection.quit(timeout=QUIT_WITHIN)
    connection.close()
