"""Connections to a relay over a real socket."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from server.notify.channels.channel import Reply, Result
from server.notify.channels.relay import Address, Limits, Refused, Relay, address
from server.notify.channels.smtp_replies import Command, Place
from tests.rig.redis import free_port
from tests.rig.server import until
from tests.rig.smtp_server import SILENT, relay, trust

SHORT = Limits(greeting=0.3)


def to(url: str, *, limits: Limits | None = None, idle: float = 10.0, tls: ssl.SSLContext | None = None) -> Relay:
    where = address(SecretStr(url))
    place = Place("mail", where.host, "news@example.org")
    return Relay(where, place, "example.org", connections=2, limits=limits or Limits(), idle=idle, tls=tls)


async def refused(url: str, **options: Any) -> Reply:
    with pytest.raises(Refused) as error:
        await to(url, **options).open()
    assert Result.SERVER_FAULT == error.value.reply.result
    return error.value.reply


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://relay.example.org", ("smtp", "relay.example.org", 587, "")),
        ("smtps://u:p@relay.example.org", ("smtps", "relay.example.org", 465, "u")),
        ("smtp+plain://a%40b:p@127.0.0.1:2525", ("smtp+plain", "127.0.0.1", 2525, "a@b")),
        ("smtp+plain://[::1]", ("smtp+plain", "::1", 25, "")),
        ("smtp+plain://mail", ("smtp+plain", "mail", 25, "")),
    ],
)
def test_the_parts_of_a_url_are_read(url: str, expected: tuple[str, str, int, str]) -> None:
    """Each scheme has its usual port, and user and password are unquoted."""
    found = address(SecretStr(url))

    assert expected == (found.scheme, found.host, found.port, found.user)


def test_a_password_is_not_shown() -> None:
    """A password has any characters, and stands in no text."""
    found = address(SecretStr("smtp://u:p%2Fw%40@relay.example.org"))

    assert "p/w@" == found.password.get_secret_value()
    assert "p/w@" not in repr(found)


async def test_a_name_that_leads_to_the_internet_gets_nothing_in_clear() -> None:
    """An address is looked at when it is used, and what is public is not connected to."""
    where = Address("smtp+plain", "8.8.8.8", 25, "", SecretStr(""))
    ours = Relay(where, Place("mail", "relay", "news@example.org"), "example.org", connections=1, limits=SHORT)

    with pytest.raises(Refused, match="its address is public") as error:
        await ours.open()
    assert True is error.value.reply.pause
    assert "Write smtp:// (STARTTLS) or smtps:// in NOTIFY_SMTP_URL." == error.value.reply.cure


async def test_a_password_goes_in_clear_to_this_machine_alone() -> None:
    """A name that leads to another machine, even of our own network, is not sent a password that all on the way can read."""
    where = Address("smtp+plain", "10.0.0.7", 25, "u", SecretStr("p"))
    ours = Relay(where, Place("mail", "relay", "news@example.org"), "example.org", connections=1, limits=SHORT)

    with pytest.raises(Refused, match="does not encrypt the password"):
        await ours.open()


async def test_a_connection_is_ready_when_it_is_opened(tmp_path: Path) -> None:
    """It has said EHLO as our domain, speaks TLS, and is logged in."""
    with relay("smtp", user="u", password="p", folder=tmp_path) as state:
        ours = to(state.url, tls=trust())
        connection = await ours.open()
        code = (await connection.noop()).code
        ours.keep(connection)
        await ours.aclose()
        await until(lambda: state.open == 0)

    assert 250 == code
    assert ["connect", "ehlo", "starttls", "ehlo", "auth"] == state.commands


async def test_a_kept_connection_is_given_again() -> None:
    """The connection that was kept last is given first; one that was closed meanwhile is not."""
    with relay() as state:
        ours = to(state.url)
        first, second = await ours.open(), await ours.open()
        ours.keep(first)
        ours.keep(second)
        first.close()

        assert second is ours.idle()
        assert None is ours.idle()
        second.close()
        ours.keep(second)
        assert None is ours.idle()


async def test_a_kept_connection_takes_leave_after_its_time() -> None:
    """What is not in use is closed, with a QUIT, and the relay is not left to wait."""
    with relay() as state:
        ours = to(state.url, idle=0.05)
        ours.keep(await ours.open())
        await until(lambda: state.open == 0)

        assert None is ours.idle()
        await ours.aclose()


async def test_leaving_a_silent_relay_takes_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """QUIT has a time limit, after which the connection is closed without an answer."""
    monkeypatch.setattr("server.notify.channels.relay.QUIT_WITHIN", 0.1)
    server = await asyncio.start_server(_greets_and_is_silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ours = to(f"smtp+plain://127.0.0.1:{port}")
    connection = await ours.open()
    ours.keep(connection)

    async with asyncio.timeout(5):
        await ours.aclose()
    assert not connection.is_connected
    server.close()


async def _greets_and_is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 here\r\n")
    await reader.readline()
    writer.write(b"250 here\r\n")
    await reader.read()
    writer.close()


async def test_no_more_turns_than_connections() -> None:
    """A third message waits until one of two is done."""
    ours = to("smtp+plain://127.0.0.1:1")
    async with ours.turn(), ours.turn():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), ours.turn():
                raise AssertionError("a third one began")
    async with ours.turn():
        pass


async def test_each_way_not_to_connect_is_told() -> None:
    """A port that no one listens at, a name that does not exist, and a relay that does not answer in time."""
    nobody = await refused(f"smtp+plain://127.0.0.1:{free_port()}")
    unknown = await refused("smtp://no-such-host.invalid")
    with relay() as state:
        state.on("connect", SILENT)
        silent = await refused(state.url, limits=SHORT)

    assert "no connection" in nobody.reason
    assert "its address was not found" in unknown.reason
    assert "no answer in time" in silent.reason
    assert all("NOTIFY_SMTP_URL" in one.cure for one in (nobody, unknown, silent))


async def test_a_connection_that_does_not_come_about_in_time_is_given_up() -> None:
    """A relay whose queue of connections is full is given up after the limit."""
    ours = to("smtp+plain://127.0.0.1:1", limits=Limits(connect=0.0))
    with pytest.raises(Refused, match="no connection within 0 s"):
        await ours.open()


@pytest.mark.parametrize(("phase", "answer"), [("connect", "554 no"), ("ehlo", "550 no"), ("auth", "535 5.7.8 no")])
async def test_what_would_be_refused_again_pauses(phase: Any, answer: str, tmp_path: Path) -> None:
    """A relay that does not serve us, or not with this login, will not serve the next mail either."""
    with relay("smtp", user="u", password="p", folder=tmp_path) as state:
        state.on(phase, answer)
        reply = await refused(state.url, tls=trust())

    assert (True, answer[:3]) == (reply.pause, reply.code[:3])


async def test_a_relay_without_a_login_is_told_apart() -> None:
    """A password in the settings of a relay that wants none is a setting to mend, not a fault of the relay."""
    with relay("smtp", offers_starttls=False) as state:
        reply = await refused(f"smtp+plain://u:p@127.0.0.1:{state.port}")

    assert True is reply.pause
    assert "it offers no login that we know" in reply.reason
    assert "Leave the user and password out" in reply.cure


async def test_tls_to_a_relay_that_speaks_none(tmp_path: Path) -> None:
    """smtps:// to a port that speaks in clear ends with a reason."""
    with relay() as state:
        reply = await refused(f"smtps://127.0.0.1:{state.port}", limits=Limits(greeting=2.0))

    assert "127.0.0.1: the relay speaks no TLS from the first byte at this port (connect)" == reply.reason
    assert (True, "Write smtp:// (STARTTLS) in NOTIFY_SMTP_URL.") == (reply.pause, reply.cure)
    assert 0 == state.commands.count("ehlo")


async def test_a_port_that_speaks_tls_from_the_first_byte(tmp_path: Path) -> None:
    """A relay that waits for TLS sends no greeting: the cure names smtps://, and so it does where an alert comes or it hangs up."""
    with relay("smtps", folder=tmp_path) as state:
        silent = await refused(f"smtp://127.0.0.1:{state.port}", limits=SHORT)
    alert = b"\x15\x03\x03\x00\x02\x02\x28"

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said[0])
        await writer.drain()
        writer.close()

    found, said = [silent], [b""]
    for said[0] in (alert, alert + b"\r\n", b""):
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        found.append(await refused(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        server.close()

    assert [True] * 4 == ["write smtps://" in one.cure for one in found]
    assert False is found[0].pause


def test_the_usual_port_of_tls_names_its_scheme() -> None:
    """At port 465 it is plain which scheme is meant."""
    reply = to("smtp://127.0.0.1:465")._reply(Command.CONNECT, TimeoutError())

    assert "Write smtps:// in NOTIFY_SMTP_URL: at port 465 relays speak TLS from the first byte." == reply.cure


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    """A relay must have a certificate of the host that the setting names."""
    with relay("smtp", host="127.0.0.2", folder=tmp_path) as state:
        reply = await refused(state.url, tls=trust())

    assert True is reply.pause
    assert "its certificate is not accepted" in reply.reason
