"""Each phase of a mail is tried against a relay over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.errors import NotStarted
from server.notify.channels.channel import Channel, Reply, Result
from server.notify.channels.mail import Mail, sender
from server.notify.channels.relay import Limits
from server.notify.message.folder import OURS, TEXT
from server.notify.message.mime import Sender
from tests.rig.mail_samples import ROW, STARTS, delivery, mail_settings, renderer
from tests.rig.server import until
from tests.rig.smtp_server import CUT, SILENT, Action, Phase, Relay, Slow, relay, trust

RENDERER = renderer()
LIMITS: dict[Phase, Limits] = {
    "connect": Limits(greeting=0.3),
    "ehlo": Limits(ehlo=0.3),
    "mail": Limits(mail=0.3),
    "rcpt": Limits(rcpt=0.3),
    "data": Limits(data=0.3),
    "dot": Limits(data=0.3),
}
"""Only the phase in question has little time: the others may be slow on a busy machine."""


@asynccontextmanager
async def mail_to(state: Relay, **options: Any) -> AsyncIterator[Mail]:
    settings = mail_settings(state.url, connections=options.pop("connections", 4))
    channel = Mail(settings, RENDERER, **options)
    try:
        yield channel
    finally:
        await channel.aclose()


async def tried(phase: Phase, action: Action, **options: Any) -> tuple[Reply, Relay]:
    """One mail to a relay that does this; it must not have been taken unless the reply says so."""
    with relay() as state:
        state.on(phase, action)
        async with mail_to(state, **options) as channel:
            return await channel.send(delivery()), state


async def test_a_mail_arrives_as_it_was_written() -> None:
    """What the relay gets is from the envelope's sender to one recipient, and says what the announcement says."""
    with relay() as state:
        async with mail_to(state) as channel:
            reply = await channel.send(delivery())

    assert (Result.SENT, "mail", "250") == (reply.result, reply.server, reply.code)
    (mail,) = state.mails
    assert ("bounces@example.org", "ann@example.net") == (mail.sender, mail.recipient)
    assert "Tickets are on sale: Spring Gala" == mail.message["Subject"]
    assert f"<tc.{ROW}@example.org>" == mail.message["Message-ID"]
    assert any(option.startswith("SIZE=") for option in mail.options)


async def test_the_channel_says_what_the_protocol_asks_for() -> None:
    """The channel has the pace and the number of connections of its settings, and one server for all members."""
    with relay() as state:
        async with mail_to(state, connections=3) as mail:
            channel: Channel = mail

            assert ("mail", 25.0, 3) == (channel.name, channel.per_second, channel.parallel)
            assert "mail" == channel.server(delivery().member)


async def test_a_test_says_so_in_its_subject() -> None:
    """A test has [test] in front of its subject."""
    with relay() as state:
        async with mail_to(state) as channel:
            await channel.send(delivery(test=True))

    assert "[test] Tickets are on sale: Spring Gala" == state.mails[0].message["Subject"]


async def test_starttls_is_required_and_verified(tmp_path: Path) -> None:
    """Over smtp:// a mail goes out encrypted, after a login, and to a relay that has the certificate of its name."""
    with relay("smtp", user="us er", password="p@ss/word", folder=tmp_path) as state:
        state.user, state.password = "us%20er", "p%40ss%2Fword"
        url = state.url
        state.user, state.password = "us er", "p@ss/word"
        channel = Mail(mail_settings(url), RENDERER, tls=trust())
        reply = await channel.send(delivery())
        await channel.aclose()

    assert Result.SENT == reply.result
    assert (True, "us er") == (state.mails[0].encrypted, state.mails[0].user)


async def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    """Over smtps:// nothing is said in clear."""
    with relay("smtps", folder=tmp_path) as state:
        async with mail_to(state, tls=trust()) as channel:
            reply = await channel.send(delivery())

    assert Result.SENT == reply.result
    assert state.mails[0].encrypted


@pytest.mark.parametrize("security", ["smtp", "smtps"])
async def test_an_unknown_certificate_is_refused(security: Any, tmp_path: Path) -> None:
    """A relay whose certificate no one trusts gets no mail and no password, and a person is told."""
    with relay(security, user="u", password="p", folder=tmp_path) as state:
        async with mail_to(state) as channel:
            reply = await channel.send(delivery())

    assert (Result.SERVER_FAULT, True) == (reply.result, reply.pause)
    assert "certificate" in reply.reason
    assert "auth" not in state.commands


async def test_no_mail_without_tls_where_it_is_wanted() -> None:
    """A relay of smtp:// that does not offer STARTTLS gets nothing: an attacker between could have taken the offer out."""
    with relay("smtp", offers_starttls=False) as state:
        async with mail_to(state) as channel:
            reply = await channel.send(delivery())

    assert (Result.SERVER_FAULT, True) == (reply.result, reply.pause)
    assert "does not offer TLS" in reply.reason
    assert "mail" not in state.commands


@pytest.mark.parametrize("answer", ["454 4.7.0 TLS not available", CUT])
async def test_starttls_that_fails_leaves_the_recipient_waiting(answer: Action, tmp_path: Path) -> None:
    """A relay that offers STARTTLS and refuses it is at fault itself."""
    with relay("smtp", folder=tmp_path) as state:
        state.on("starttls", answer)
        async with mail_to(state, tls=trust()) as channel:
            reply = await channel.send(delivery())

    assert (Result.SERVER_FAULT, False, []) == (reply.result, reply.pause, state.mails)


async def test_a_wrong_password_pauses_at_once() -> None:
    """535 says where the password is set, and never shows it."""
    with relay(user="u", password="right") as state:
        state.password = "wrong"
        url = state.url
        state.password = "right"
        channel = Mail(mail_settings(url), RENDERER)
        reply = await channel.send(delivery())
        await channel.aclose()

    assert (Result.SERVER_FAULT, True, "535 5.7.8") == (reply.result, reply.pause, reply.code)
    assert "NOTIFY_SMTP_URL" in reply.cure
    assert "wrong" not in repr(reply)


async def test_a_missing_login_pauses_at_once() -> None:
    """530 at MAIL is no recipient's fault."""
    with relay(user="u", password="p") as state:
        channel = Mail(mail_settings(f"smtp+plain://127.0.0.1:{state.port}"), RENDERER)
        reply = await channel.send(delivery())
        await channel.aclose()

    assert (Result.SERVER_FAULT, True, "530 5.7.0") == (reply.result, reply.pause, reply.code)


REPLIES: list[tuple[Phase, str, Result, bool, str]] = [
    ("connect", "421 4.3.2 busy", Result.SERVER_FAULT, False, "127.0.0.1"),
    ("connect", "554 5.7.1 go away", Result.SERVER_FAULT, True, "127.0.0.1"),
    ("ehlo", "421 4.3.2 busy", Result.SERVER_FAULT, False, "127.0.0.1"),
    ("mail", "421 4.7.28 too fast", Result.SERVER_FAULT, False, "too many messages"),
    ("mail", "451 4.3.0 broken", Result.SERVER_FAULT, False, "the sender bounces@example.org"),
    (
        "mail",
        "550 5.7.1 not you",
        Result.SERVER_FAULT,
        True,
        "refused the sender bounces@example.org (550 5.7.1 at MAIL)",
    ),
    ("rcpt", "421 4.3.2 busy", Result.SERVER_FAULT, False, "127.0.0.1"),
    ("rcpt", "450 4.2.0 greylisted", Result.AGAIN, False, "4.2.0 the mailbox takes no mail"),
    ("rcpt", "450 greylisted", Result.AGAIN, False, "450 the mailbox cannot be used now"),
    ("rcpt", "451 4.7.1 greylisted", Result.AGAIN, False, "4.7.1 not permitted"),
    ("rcpt", "452 4.2.2 full", Result.AGAIN, False, "4.2.2 the mailbox is full"),
    ("rcpt", "452 4.3.1 disk full", Result.SERVER_FAULT, False, "disk"),
    ("rcpt", "550 5.1.1 no ann@example.net here", Result.FAILED, False, "5.1.1 no such mailbox"),
    ("rcpt", "550 no", Result.FAILED, False, "550 the mailbox is refused"),
    ("rcpt", "554 5.7.1 relaying denied", Result.SERVER_FAULT, True, "127.0.0.1"),
    ("rcpt", "550 5.1.8 bad sender", Result.SERVER_FAULT, True, "127.0.0.1"),
    ("rcpt", "503 bad sequence", Result.SERVER_FAULT, False, "127.0.0.1"),
    ("data", "421 4.3.2 busy", Result.SERVER_FAULT, False, "127.0.0.1"),
    ("data", "451 4.2.0 not now", Result.AGAIN, False, "4.2.0 the mailbox takes no mail"),
    ("data", "554 no", Result.FAILED, False, "554 the message is refused"),
    ("dot", "421 4.3.2 busy", Result.SERVER_FAULT, False, "127.0.0.1"),
    ("dot", "451 4.2.0 not now", Result.AGAIN, False, "4.2.0 the mailbox takes no mail"),
    ("dot", "552 5.2.2 full", Result.FAILED, False, "5.2.2 the mailbox is full"),
    ("dot", "550 5.7.26 no DKIM", Result.SERVER_FAULT, True, "SPF and DKIM"),
]


@pytest.mark.parametrize(("phase", "answer", "result", "pause", "said"), REPLIES)
async def test_each_reply_has_its_meaning(phase: Phase, answer: str, result: Result, pause: bool, said: str) -> None:
    """A reply says whose fault it is, by its code and its place; its own words are not kept."""
    reply, state = await tried(phase, answer)

    assert (result, pause, []) == (reply.result, reply.pause, state.mails)
    assert said in reply.reason
    assert "ann@example.net" not in repr(reply)
    assert answer[:3] == reply.code[:3]
    assert (result is Result.SERVER_FAULT) == bool(reply.cure)


@pytest.mark.parametrize("phase", ["connect", "ehlo", "mail", "rcpt"])
async def test_a_line_cut_before_data_leaves_the_recipient_waiting(phase: Phase) -> None:
    """Nothing was handed over, so the next try cannot be a second mail."""
    reply, state = await tried(phase, CUT)

    assert (Result.SERVER_FAULT, False, []) == (reply.result, reply.pause, state.mails)
    assert "127.0.0.1" in reply.reason


@pytest.mark.parametrize("phase", ["data", "content", "dot"])
async def test_a_line_cut_from_data_on_is_unknown(phase: Phase) -> None:
    """Law 17: only a reply tells; after the final dot the message has arrived, though no one said so."""
    reply, state = await tried(phase, CUT)

    assert Result.UNKNOWN == reply.result
    assert (1 if phase == "dot" else 0) == len(state.mails)


@pytest.mark.parametrize("phase", ["connect", "ehlo", "mail", "rcpt"])
async def test_a_silent_relay_has_a_time_limit_at_each_phase(phase: Phase) -> None:
    """Each phase before DATA ends in its own time, and nothing was handed over."""
    reply, state = await tried(phase, SILENT, limits=LIMITS[phase])

    assert (Result.SERVER_FAULT, []) == (reply.result, state.mails)
    assert "no answer in time" in reply.reason


@pytest.mark.parametrize("phase", ["data", "dot"])
async def test_silence_from_data_on_is_unknown(phase: Phase) -> None:
    """A relay that is silent after DATA may have taken the message."""
    reply, _ = await tried(phase, SILENT, limits=LIMITS[phase])

    assert (Result.UNKNOWN, "handed over, and no answer in time") == (reply.result, reply.reason)


async def test_a_slow_relay_gets_its_mail() -> None:
    """A relay that takes its time within the limits is waited for, however long each phase takes."""
    with relay() as state:
        phases: tuple[Phase, ...] = ("connect", "ehlo", "mail", "rcpt", "data", "dot")
        for phase in phases:
            state.on(phase, Slow(0.1))
        async with mail_to(state) as channel:
            reply = await channel.send(delivery())

    assert (Result.SENT, 1) == (reply.result, len(state.mails))


@pytest.mark.parametrize("phase", ["connect", "mail", "rcpt", "data", "dot"])
async def test_what_is_no_smtp_is_no_answer(phase: Phase) -> None:
    """An answer that cannot be read is none: before DATA the recipient waits, later it is unknown."""
    reply, _ = await tried(phase, "HTTP/1.1 400 Bad Request")

    assert (Result.UNKNOWN if phase in {"data", "dot"} else Result.SERVER_FAULT) == reply.result


async def test_a_wait_is_read_in_the_reply() -> None:
    """A relay that says how long to wait is believed up to an hour."""
    minutes, _ = await tried("rcpt", "450 4.2.0 greylisted, come back in 5 minutes")
    seconds, _ = await tried("rcpt", "450 4.2.0 try again after 90 seconds")
    years, _ = await tried("rcpt", "450 4.2.0 try again after 99999 minutes")

    assert (300.0, 90.0, None) == (minutes.retry_after, seconds.retry_after, years.retry_after)


async def test_connections_are_kept_and_used_again() -> None:
    """Ten mails one after another need one connection, also after recipients were refused."""
    with relay() as state:
        state.on("rcpt", "550 5.1.1 no", recipient="b3@example.net")
        async with mail_to(state) as channel:
            results = [(await channel.send(delivery(f"b{one}@example.net"))).result for one in range(10)]

    assert ([Result.SENT] * 3 + [Result.FAILED] + [Result.SENT] * 6) == results
    assert (1, 9, 1) == (state.connections, len(state.mails), state.commands.count("rset"))


async def test_no_more_connections_than_the_settings_allow() -> None:
    """Many mails at once share the connections there may be."""
    with relay() as state:
        state.on("dot", Slow(0.02))
        async with mail_to(state, connections=2) as channel:
            replies = await asyncio.gather(*(channel.send(delivery(f"c{one}@example.net")) for one in range(20)))

    assert {Result.SENT} == {reply.result for reply in replies}
    assert (20, 2) == (len({mail.recipient for mail in state.mails}), state.most_open)


async def test_an_idle_connection_is_closed() -> None:
    """A connection that is not in use is closed after its time, so that the relay need not do it."""
    with relay() as state:
        async with mail_to(state, idle=0.05) as channel:
            await channel.send(delivery())
            assert 1 == state.open
            await until(lambda: state.open == 0)
            reply = await channel.send(delivery())

    assert (Result.SENT, 2) == (reply.result, state.connections)


@pytest.mark.parametrize("action", [CUT, "421 4.7.0 too many messages in this connection"])
async def test_a_kept_connection_that_is_dead_costs_nothing(action: Action) -> None:
    """What a relay does to a connection that was kept is no fault: the mail goes out over a new one."""
    with relay() as state:
        async with mail_to(state) as channel:
            await channel.send(delivery())
            state.on("mail", action, times=1)
            reply = await channel.send(delivery("bob@example.net"))

    assert (Result.SENT, 2, 2) == (reply.result, state.connections, len(state.mails))


async def test_no_relay_at_all_names_what_to_look_at() -> None:
    """A relay that is not there is a fault of none of the recipients."""
    with relay() as state:
        url = state.url
    channel = Mail(mail_settings(url), RENDERER)
    reply = await channel.send(delivery())
    await channel.aclose()

    assert (Result.SERVER_FAULT, False) == (reply.result, reply.pause)
    assert "NOTIFY_SMTP_URL" in reply.cure


async def test_letters_beyond_ascii_need_a_relay_that_offers_them() -> None:
    """An address with an umlaut goes out where the relay offers SMTPUTF8, fails where not, and others do not ask for it."""
    with relay() as state:
        async with mail_to(state) as channel:
            first = await channel.send(delivery("jürgen@example.net"))
            second = await channel.send(delivery())
    with relay(smtputf8=False) as other:
        async with mail_to(other) as channel:
            third = await channel.send(delivery("jürgen@example.net"))
            fourth = await channel.send(delivery())

    assert [Result.SENT, Result.SENT] == [first.result, second.result]
    assert [True, False] == ["SMTPUTF8" in mail.options for mail in state.mails]
    assert ["jürgen@example.net", "ann@example.net"] == [mail.recipient for mail in state.mails]
    assert [Result.FAILED, Result.SENT] == [third.result, fourth.result]
    assert 1 == other.connections


async def test_the_bytes_arrive_as_they_were_written(tmp_path: Path) -> None:
    """Nothing is folded or encoded anew on the way, and a line that begins with a dot does not end the message."""
    text = (OURS / TEXT).read_text("utf-8")
    (tmp_path / TEXT).write_text(f".\n..\n.x\n{text}", "utf-8")
    with relay() as state:
        channel = Mail(mail_settings(state.url), renderer(own=tmp_path), clock=lambda: STARTS)
        await channel.send(delivery())
        await channel.aclose()

    written = channel._content(delivery())
    assert b"\r\n=2E\r\n..\r\n.x\r\n" in written
    assert written == state.mails[0].content


async def test_a_mail_that_is_written_wrongly_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the check of the bytes fails, nothing goes out, and a person is told."""
    monkeypatch.setattr("server.notify.message.mime.LONGEST_LINE", 300)
    with relay() as state:
        async with mail_to(state) as channel:
            reply = await channel.send(delivery())

    assert (Result.SERVER_FAULT, True, 0) == (reply.result, reply.pause, state.connections)


async def test_a_template_that_makes_too_much_is_not_sent(tmp_path: Path) -> None:
    """What an organiser's template makes is limited while sending too: nothing goes out, and a person is told of the file."""
    text = "{{ page }}{{ address }}{{ unsubscribe }}{% if title == 'Spring Gala' %}{{ 'x' * 260000 }}{% endif %}"
    (tmp_path / TEXT).write_text(text, "utf-8")
    with relay() as state:
        channel = Mail(mail_settings(state.url), renderer(own=tmp_path), clock=lambda: STARTS)
        reply = await channel.send(delivery())
        await channel.aclose()

    assert (Result.SERVER_FAULT, True, 0) == (reply.result, reply.pause, state.connections)
    assert f"{tmp_path / TEXT}: it makes more than 256 kB" == reply.reason


def test_settings_that_cannot_be_used_are_told_at_the_start() -> None:
    """Our own addresses need no SMTPUTF8."""
    with pytest.raises(NotStarted, match="NOTIFY_FROM"):
        Mail(mail_settings("smtp://relay.example.org", sender="bücher@example.org"), RENDERER)


def test_who_writes_is_on_the_wire_as_dns_has_it() -> None:
    """A sender's domain with an umlaut is written in the form of DNS; without a Reply-To answers go to the sender."""
    found = sender(mail_settings("smtp://relay.example.org", sender="news@bücher.example", reply_to=""))

    assert Sender("news@xn--bcher-kva.example", "Example Theatre", "news@xn--bcher-kva.example") == found
