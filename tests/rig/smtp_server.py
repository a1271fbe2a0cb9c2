"""A mail relay over a real socket (aiosmtpd), which does at each phase what a test tells it to.

In: rules, such as `relay.on("rcpt", "450 4.2.0 later", times=1)` or `relay.on("dot", CUT)`. Out: the mails that it took, and how
many connections there were. It runs in a thread of its own, so a test that blocks its own loop does not stop it.

The phases, in their order: connect (before the greeting), ehlo, starttls, auth, mail, rcpt, data (before 354), content (after 354,
while the message comes), dot (the whole message is here and not answered: it counts as taken).
"""

import asyncio
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Phase = Literal["connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "content", "dot"]
Security = Literal["smtp", "smtps", "smtp+plain"]
"""As in NOTIFY_SMTP_URL."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Reset the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Slow:
    """Wait so many seconds, and then go on as usual."""

    seconds: float


logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd warns of a name of its own at each login

CUT = Cut()
SILENT = Slow(3600)
Action = str | Cut | Slow
"""A reply such as "450 4.2.0 later", or one of the above. After a reply of 421 the connection is closed."""


@dataclass(slots=True)
class Rule:
    """What is done at a phase: `times` None = always; `recipient` None = for each (it is known from `rcpt` on)."""

    phase: Phase
    action: Action
    times: int | None = None
    recipient: str | None = None


@dataclass(frozen=True, slots=True)
class TakenMail:
    """A message of which the final dot came; `at` in seconds since 1970; `answered` 250. `connection` counts from 1."""

    sender: str
    recipient: str
    content: bytes
    at: float
    connection: int
    encrypted: bool
    user: str | None
    options: tuple[str, ...]
    answered: bool

    @property
    def message(self) -> EmailMessage:
        """The message, parsed and decoded."""
        return BytesParser(policy=policy.default).parsebytes(self.content)


@dataclass(slots=True)
class Relay:
    """A running relay: where it listens, its rules, and what it saw. `ehlo_names`: what clients called themselves."""

    host: str = "127.0.0.1"
    port: int = 0
    security: Security = "smtp+plain"
    user: str = ""
    password: str = ""
    mails: list[TakenMail] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    commands: list[str] = field(default_factory=list)
    _rules: list[Rule] = field(default_factory=list)

    def on(self, phase: Phase, action: Action, *, times: int | None = None, recipient: str | None = None) -> None:
        """Add a rule; of those that fit, the first one counts until it has been used *times* times."""
        self._rules = [*self._rules, Rule(phase, action, times, recipient)]

    def off(self) -> None:
        """Forget all rules: everything is taken again."""
        self._rules = []

    @property
    def url(self) -> str:
        """For NOTIFY_SMTP_URL. TLS needs `trust()`, and a client that goes by name: the certificate is of `localhost` too."""
        login = f"{self.user}:{self.password}@" if self.user else ""
        return f"{self.security}://{login}{self.host}:{self.port}"

    @property
    def answered(self) -> list[TakenMail]:
        """The mails that were answered 250."""
        return [mail for mail in self.mails if mail.answered]

    def to(self, recipient: str) -> list[TakenMail]:
        """The mails to this recipient."""
        return [mail for mail in self.mails if mail.recipient == recipient]

    def action(self, phase: Phase, recipient: str | None) -> Action | None:
        """What to do now, by the rules; None = as usual."""
        for rule in self._rules:
            if rule.phase == phase and rule.times != 0 and rule.recipient in {None, recipient}:
                if rule.times is not None:
                    rule.times -= 1
                return rule.action
        return None


def trust() -> ssl.SSLContext:
    """A client's settings of TLS that trust the relay's certificate, and verify it as always."""
    return ssl.create_default_context(cadata=_certificate()[0].decode())


def certificate_file(folder: Path) -> Path:
    """The relay's certificate as a file, which a process trusts by SSL_CERT_FILE."""
    file = folder / "relay.pem"
    file.write_bytes(_certificate()[0])
    return file


@contextmanager
def relay(
    security: Security = "smtp+plain",
    *,
    user: str = "",
    password: str = "",
    host: str = "127.0.0.1",
    port: int = 0,
    offers_starttls: bool = True,
    smtputf8: bool = True,
    folder: Path | None = None,
) -> Iterator[Relay]:
    """A relay, as long as the block. TLS needs a *folder* for its certificate; *port* 0 = any free one.

    With a *user*, others get 530 at MAIL. Without *offers_starttls* a relay of "smtp" does not speak TLS at all.
    """
    state = Relay(host, port, security, user, password)
    context = None if security == "smtp+plain" or not offers_starttls else _server_tls(folder)
    thread = _Thread(state, context, smtputf8=smtputf8)
    thread.start()
    try:
        state.port = thread.wait_for_port()
        yield state
    finally:
        thread.stop()


class _Thread(threading.Thread):
    def __init__(self, state: Relay, context: ssl.SSLContext | None, *, smtputf8: bool) -> None:
        super().__init__(name="relay", daemon=True)
        self._state, self._context, self._smtputf8 = state, context, smtputf8
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._listens = threading.Event()
        self._fault: BaseException | None = None
        self.sessions: set[_Connection] = set()

    def wait_for_port(self) -> int:
        assert self._listens.wait(15)
        if self._fault is not None:
            raise self._fault
        return self._state.port

    def stop(self) -> None:
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._end.set)
        self.join(15)

    def run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread of the test
            self._fault = error
        finally:
            self._listens.set()
            self._loop.close()

    async def _serve(self) -> None:
        immediate = self._context if self._state.security == "smtps" else None
        server = await self._loop.create_server(self._connection, self._state.host, self._state.port, ssl=immediate)
        self._state.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._end.wait()
        server.close()
        for session in self.sessions:
            session.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports that were aborted close their sockets

    def _connection(self) -> "_Connection":
        return _Connection(
            self._state,
            self.sessions,
            _Handler(self._state),
            enable_SMTPUTF8=self._smtputf8,
            hostname="relay.test",
            ident="relay",
            loop=self._loop,
            tls_context=self._context if self._state.security == "smtp" else None,
            auth_require_tls=self._state.security == "smtp",
            authenticator=_authenticator(self._state),
        )


def _authenticator(state: Relay) -> Callable[..., AuthResult]:
    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth: LoginPassword) -> AuthResult:
        right = (auth.login, auth.password) == (state.user.encode(), state.password.encode())
        return AuthResult(success=right, handled=False, auth_data=auth)

    return check


class _Handler:
    """Keeps what came; aiosmtpd calls it when the final dot is there."""

    def __init__(self, state: Relay) -> None:
        self._state = state

    async def handle_DATA(self, server: "_Connection", session: Session, envelope: Envelope) -> str:  # noqa: N802
        recipient = envelope.rcpt_tos[0]
        action = self._state.action("dot", recipient)
        reply = action if isinstance(action, str) else "250 2.0.0 taken"
        if isinstance(action, Slow):
            await asyncio.sleep(action.seconds)
        if reply.startswith("2"):
            login: Any = session.auth_data
            self._state.mails.append(
                TakenMail(
                    str(envelope.mail_from),
                    recipient,
                    envelope.original_content or b"",
                    time.time(),
                    server.number,
                    server.encrypted,
                    login.login.decode() if isinstance(login, LoginPassword) else None,
                    tuple(envelope.mail_options),
                    not isinstance(action, Cut),
                )
            )
        if isinstance(action, Cut):
            server.abort()
            await asyncio.sleep(3600)  # it is cancelled when the connection is gone
        if reply.startswith("421"):
            server.loop.call_later(0.05, server.abort)
        return reply


class _Connection(SMTP):
    """One connection, of which each command asks the rules first."""

    def __init__(self, state: Relay, sessions: "set[_Connection]", handler: _Handler, **options: Any) -> None:
        super().__init__(handler, **options)
        self._state = state
        self._sessions = sessions
        self.number = 0

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self._tls_protocol is not None or self._state.security == "smtps"

    def abort(self) -> None:
        """Reset the connection."""
        transport: Any = getattr(self, "_original_transport", None) or self.transport
        if transport is not None:
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        if not self.number:  # not again when it becomes encrypted
            self._state.connections += 1
            self._state.open += 1
            self._state.most_open = max(self._state.most_open, self._state.open)
            self.number = self._state.connections
            self._sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count it."""
        if self in self._sessions:
            self._sessions.discard(self)
            self._state.open -= 1
        super().connection_lost(error)

    async def _handle_client(self) -> None:
        if not await self._did("connect"):
            await super()._handle_client()

    async def _did(self, phase: Phase, recipient: str | None = None) -> bool:
        """Do what a rule says; answers whether the command is done with."""
        self._state.commands.append(phase)
        match self._state.action(phase, recipient):
            case str(reply):
                await self.push(reply)
                if reply.startswith("421") or phase == "connect":
                    self.transport.close()  # type: ignore[union-attr]
                return True
            case Cut():
                self.abort()
                return True
            case Slow(seconds):
                await asyncio.sleep(seconds)
        return False

    async def push(self, status: Any) -> None:
        """Send a reply; after 354 comes the phase `content`."""
        await super().push(status)
        if str(status).startswith("354"):
            await self._did("content", self._recipient())

    def _recipient(self) -> str | None:
        return self.envelope.rcpt_tos[0] if self.envelope and self.envelope.rcpt_tos else None

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd finds commands by these names
        if not await self._did("ehlo"):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        if not await self._did("starttls"):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        if not await self._did("auth"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        if await self._did("mail"):
            return
        if self._state.user and not (self.session and self.session.authenticated):
            await self.push("530 5.7.0 Authentication required")
            return
        await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        named = (arg or "").partition("<")[2].partition(">")[0]
        if not await self._did("rcpt", named):
            await super().smtp_RCPT(arg)

    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802
        self._state.commands.append("rset")
        await super().smtp_RSET(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if not await self._did("data", self._recipient()):
            await super().smtp_DATA(arg)


@cache
def _certificate() -> tuple[bytes, bytes]:
    """A certificate of `localhost` and 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay.test")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def _server_tls(folder: Path | None) -> ssl.SSLContext:
    assert folder is not None, "a relay with TLS needs a folder for its certificate"
    certificate, secret = folder / "relay-certificate.pem", folder / "relay-key.pem"
    certificate.write_bytes(_certificate()[0])
    secret.write_bytes(_certificate()[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return context
