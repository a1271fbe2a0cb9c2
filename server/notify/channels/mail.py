"""Mail: hands one message to the relay, and says what the relay replied.

In: a Delivery. Out: a Reply. MAIL, RCPT and DATA are sent apart, since only the place of a fault says what it means: before DATA
nothing was handed over, so the recipient waits; from DATA on a connection that is lost leaves it unknown whether the message was
taken, and it is never sent again. Sources: RFC 5321 (3.3, 4.2, 4.5.3.2), RFC 1870 (SIZE), RFC 6531 (SMTPUTF8).
"""

import ssl
import time
from collections.abc import Callable

import aiosmtplib
from aiosmtplib.errors import SMTPException, SMTPResponseException, SMTPTimeoutError

from server.campaign import ChannelName
from server.errors import NotStarted
from server.notify.audience.source import Member
from server.notify.channels.channel import Delivery, Reply, Result
from server.notify.channels.relay import IDLE, Limits, Refused, Relay, address
from server.notify.channels.smtp_replies import Command, Place
from server.notify.config import MailSettings
from server.notify.message.mime import Envelope, Sender, Unsafe, on_the_wire, written
from server.notify.message.renderer import Renderer, TooLarge

SERVER = "mail"
"""The name under which the relay's faults are counted."""


def sender(settings: MailSettings) -> Sender:
    """Who writes, as mime.py takes it."""
    reply_to = on_the_wire(settings.reply_to or settings.sender)
    return Sender(on_the_wire(settings.sender), settings.sender_name, reply_to)


class Mail:
    """The channel of mail; raises NotStarted where a setting cannot be used.

    *tls* has the trusted certificates, None = those of the system. *clock* answers seconds since 1970, for the header Date.
    """

    name = ChannelName.MAIL

    def __init__(
        self,
        settings: MailSettings,
        renderer: Renderer,
        *,
        limits: Limits | None = None,
        idle: float = IDLE,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.per_second, self.parallel = settings.per_second, settings.connections
        self._renderer, self._clock = renderer, clock
        self._sender = sender(settings)
        self._from = on_the_wire(settings.envelope_sender or settings.sender)
        self._limits = limits or Limits()
        if not (self._sender.address + self._sender.reply_to + self._from).isascii():
            raise NotStarted(
                "NOTIFY_FROM, NOTIFY_REPLY_TO and NOTIFY_ENVELOPE_SENDER can have ASCII alone before the @"
            )
        where = address(settings.url)
        self._place = Place(SERVER, where.host, self._from)
        self._relay = Relay(
            where,
            self._place,
            self._sender.domain,
            connections=settings.connections,
            limits=self._limits,
            idle=idle,
            tls=tls,
        )

    def server(self, member: Member) -> str:  # noqa: ARG002 - the Protocol's
        """The relay, whoever the member is."""
        return SERVER

    async def send(self, delivery: Delivery) -> Reply:
        """Try once; never raises for what the relay does."""
        try:
            content = self._content(delivery)
        except Unsafe as error:
            cure = "Nothing was sent. Report it: it is a bug."
            return Reply(
                Result.SERVER_FAULT, SERVER, f"the mail was not written rightly: {error}", pause=True, cure=cure
            )
        except TooLarge as error:
            return Reply(
                Result.SERVER_FAULT, SERVER, str(error), pause=True, cure="Nothing was sent. Shorten the template."
            )
        async with self._relay.turn():
            # A connection that was kept may be dead, or have taken as many messages as it may: then the next one is asked.
            while connection := self._relay.idle():
                reply, dead = await self._transaction(connection, delivery.address, content)
                if not dead:
                    return reply
            try:
                connection = await self._relay.open()
            except Refused as error:
                return error.reply
            reply, _ = await self._transaction(connection, delivery.address, content)
            return reply

    async def aclose(self) -> None:
        """Close the connections that are not in use."""
        await self._relay.aclose()

    def _content(self, delivery: Delivery) -> bytes:
        rendered = self._renderer.render(
            delivery.announcement, delivery.language, delivery.unsubscribe, test=delivery.test
        )
        envelope = Envelope(delivery.address, delivery.row, delivery.campaign, delivery.unsubscribe, self._clock())
        return written(self._sender, rendered, envelope)

    async def _transaction(self, smtp: aiosmtplib.SMTP, recipient: str, content: bytes) -> tuple[Reply, bool]:
        """One message on this connection; answers whether it was dead from the start, so that another one may be tried."""
        kept = False
        try:
            reply, dead = await self._mail(smtp, recipient, content)
            if reply is None:
                reply = await self._rcpt(smtp, recipient) or await self._data(smtp, content)
                kept = reply.result in {Result.SENT, Result.AGAIN, Result.FAILED} and await self._reset(smtp, reply)
            else:
                kept = reply.result is Result.FAILED  # nothing was said yet
            return reply, dead
        finally:
            if kept:
                self._relay.keep(smtp)
            else:
                smtp.close()

    async def _mail(self, smtp: aiosmtplib.SMTP, recipient: str, content: bytes) -> tuple[Reply | None, bool]:
        """MAIL; answers None where it was taken."""
        options = [f"SIZE={len(content)}"] if smtp.supports_extension("size") else []
        if not recipient.isascii():
            if not smtp.supports_extension("smtputf8"):
                return Reply(Result.FAILED, SERVER, "5.6.7 the relay cannot send to an address like this"), False
            options += ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            await smtp.mail(self._from, options=options, encoding="utf-8", timeout=self._limits.mail)
        except SMTPResponseException as error:
            return self._refused(Command.MAIL, error), error.code == 421
        except (SMTPException, OSError) as error:
            return self._lost(Command.MAIL, error), not isinstance(error, SMTPTimeoutError)
        return None, False

    async def _rcpt(self, smtp: aiosmtplib.SMTP, recipient: str) -> Reply | None:
        """RCPT; answers None where it was taken."""
        try:
            await smtp.rcpt(recipient, encoding="utf-8", timeout=self._limits.rcpt)
        except SMTPResponseException as error:
            return None if error.code == 252 else self._refused(Command.RCPT, error)
        except (SMTPException, OSError) as error:
            return self._lost(Command.RCPT, error)
        return None

    async def _data(self, smtp: aiosmtplib.SMTP, content: bytes) -> Reply:
        """DATA and the message: from here on only a reply tells."""
        if not smtp.is_connected:
            return self._place.fault(Command.DATA, "the connection was lost before the message was sent")
        try:
            await smtp.data(content, timeout=self._limits.data)
        except SMTPResponseException as error:
            if not 400 <= error.code <= 599:
                return self._place.unknown("handed over, and the answer cannot be read")
            return self._place.meaning(Command.DATA, error.code, error.message)
        except SMTPTimeoutError:
            return self._place.unknown("handed over, and no answer in time")
        except (SMTPException, OSError):
            return self._place.unknown("handed over, and the connection was lost before an answer")
        return Reply(Result.SENT, SERVER, code="250")

    async def _reset(self, smtp: aiosmtplib.SMTP, reply: Reply) -> bool:
        """End a transaction that was refused; answers whether the connection can be used again."""
        if reply.result is Result.SENT:
            return True
        try:
            await smtp.rset(timeout=self._limits.ehlo)
        except (SMTPException, OSError):
            return False
        return True

    def _refused(self, command: Command, error: SMTPResponseException) -> Reply:
        if 400 <= error.code <= 599:
            return self._place.meaning(command, error.code, error.message)
        return self._place.fault(command, "its answer cannot be read")

    def _lost(self, command: Command, error: Exception) -> Reply:
        timed_out = isinstance(error, SMTPTimeoutError)
        return self._place.fault(command, "no answer in time" if timed_out else "the connection was lost")
