import re
from pathlib import Path

import pytest

from server import settings
from server.errors import NotStarted
from server.keyring import KeyRing
from tests.rig.settings import Write

KEY, OLD = "a-key-for-tests-of-more-than-32-characters", "another-key-for-tests-of-32-characters"
SECRET = "hunter2-password"
PUSH_KEY, OLD_PUSH_KEY = "A" * 42 + "E", "A" * 42 + "I"
"""Private keys of P-256 in 32 bytes, as base64url: the numbers 1 and 2."""


def refused(from_file: Write, *lines: str) -> str:
    """Why these lines cannot be used."""
    with pytest.raises(NotStarted) as caught:
        from_file(*lines)
    return str(caught.value)


def test_nothing_of_notify_is_set(from_file: Write) -> None:
    """Without any setting there are no keys, no relay and no push, and what needs a key says how to make one."""
    found = from_file()

    assert Path("notify.toml") == found.notify_file
    assert (None, None, None, ()) == (
        found.notify_keys,
        found.notify_smtp_url,
        found.notify_from,
        found.notify_push_hosts,
    )
    assert () == found.vapid_keys
    with pytest.raises(NotStarted, match="ticket-counter notify keys"):
        _ = found.keyring


def test_keys_are_in_their_order(from_file: Write) -> None:
    """Keys are separated by commas, the newest first; blanks and empty places are none."""
    found = from_file(f"NOTIFY_KEYS= {KEY} ,, {OLD},", f"NOTIFY_VAPID_KEYS={PUSH_KEY}, {OLD_PUSH_KEY}")

    assert KeyRing([KEY, OLD]).ids == found.keyring.ids
    assert (PUSH_KEY, OLD_PUSH_KEY) == found.vapid_keys


def test_all_faults_are_told_together(from_file: Write) -> None:
    """What is wrong with several settings, of notify and others, is told at once, each by its name, without a secret."""
    text = refused(
        from_file,
        f"NOTIFY_KEYS={SECRET}",
        f"NOTIFY_SMTP_URL=http://ada:{SECRET}@relay.example.org",
        "NOTIFY_FROM=nobody",
        "NOTIFY_REPLY_TO=Ada <ada@example.org>",
        "PORT=many",
    )

    assert ["NOTIFY_FROM", "NOTIFY_KEYS", "NOTIFY_REPLY_TO", "NOTIFY_SMTP_URL", "PORT"] == sorted(
        line.split()[0].rstrip(":") for line in text.splitlines()[1:]
    )
    assert SECRET not in text
    assert "ticket-counter notify keys" in text


@pytest.mark.parametrize("value", [",", " , "])
def test_a_list_of_no_keys(from_file: Write, value: str) -> None:
    """A list of keys without one is told, as it is no way to switch notify off."""
    assert "NOTIFY_KEYS is not set" in refused(from_file, f"NOTIFY_KEYS={value}")


@pytest.mark.parametrize(
    "url",
    [
        "smtp://relay.example.org",
        "smtp://ada:p%40ss@relay.example.org:587",
        "smtps://relay.example.org:465",
        "smtp+plain://[::1]:25",
    ],
)
def test_addresses_of_relays(from_file: Write, url: str) -> None:
    """Each of the three ways to a relay is accepted, with and without port, user and password, and is kept as a secret."""
    found = from_file(f"NOTIFY_SMTP_URL={url}")

    assert found.notify_smtp_url is not None
    assert url == found.notify_smtp_url.get_secret_value()
    assert url not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "relay.example.org",
        "relay.example.org:587",
        "https://relay.example.org",
        "smtp://",
        f"smtp://ada:{SECRET}@",
        f"smtp://ada:{SECRET}@relay.example.org:many",
        f"smtp://ada:{SECRET}@relay.example.org:99999",
        f"smtp://ada:{SECRET}@relay.example.org:0",
        f"smtp://ada:{SECRET}@[::1",
        f"smtp://ada:{SECRET}℀@relay.example.org",
    ],
)
def test_what_is_no_relay(from_file: Write, url: str) -> None:
    """An address that is none is refused with the three ways to write one, and without its password."""
    text = refused(from_file, f"NOTIFY_SMTP_URL={url}")

    assert "begins with smtp://, smtps://, smtp+plain:// and names a host" in text
    assert SECRET not in text


@pytest.mark.parametrize("sign", "/#?@[")
def test_a_password_that_is_not_encoded(from_file: Write, sign: str) -> None:
    """A password with a character of addresses is told to be percent-encoded, and is not shown; @ alone is understood."""
    line = f"NOTIFY_SMTP_URL='smtp://ada:hun{sign}ter2@relay.example.org:587'"
    if sign == "@":
        from_file(line)
        return
    text = refused(from_file, line)

    assert "percent-encoded: %2F %23 %40 %3F" in text
    assert not re.search("hun|ter2", text)


@pytest.mark.parametrize("rest", ["/path", "/path?x=1", "?x=1", "#x", "/?"])
def test_nothing_stands_after_the_port(from_file: Write, rest: str) -> None:
    """What no one would read is told; the / at the end of an address is none."""
    assert "something after the host" in refused(from_file, f"NOTIFY_SMTP_URL='smtp+plain://127.0.0.1:25{rest}'")
    assert from_file("NOTIFY_SMTP_URL=smtp+plain://127.0.0.1:25/").notify_smtp_url


@pytest.mark.parametrize("host", ["8.8.8.8", "134744072", "[2606:4700::1]", "[::ffff:8.8.8.8]"])
def test_nothing_goes_in_clear_over_the_internet(from_file: Write, host: str) -> None:
    """A relay without encryption is at a private address, in whichever form the address is written."""
    text = refused(from_file, f"NOTIFY_SMTP_URL=smtp+plain://{host}:25")

    assert "does not encrypt" in text
    assert "write smtp:// or smtps://" in text


@pytest.mark.parametrize(
    ("host", "accepted"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("relay", True), ("10.0.0.7", False)],
)
def test_a_password_goes_in_clear_to_this_machine_alone(from_file: Write, host: str, accepted: bool) -> None:
    """A password is not sent readably through a network; a name is looked up when it is connected to."""
    assert from_file(f"NOTIFY_SMTP_URL=smtp+plain://{host}:25").notify_smtp_url if host == "10.0.0.7" else True
    line = f"NOTIFY_SMTP_URL=smtp+plain://ada:{SECRET}@{host}:25"
    if accepted:
        assert from_file(line).notify_smtp_url
    else:
        text = refused(from_file, line)
        assert "the password would be readable" in text
        assert SECRET not in text


@pytest.mark.parametrize(
    "host", ["*", "*.example.org", "https://push.example.org", "push.example.org:443", "a_b", "a..b"]
)
def test_hosts_of_push_are_names(from_file: Write, host: str) -> None:
    """A host of a push service is a name, since that is what is compared: a scheme, port or wildcard would fit none."""
    assert f"NOTIFY_PUSH_HOSTS: {host!r} is not the name of a host" in refused(from_file, f"NOTIFY_PUSH_HOSTS={host}")


def test_who_writes(from_file: Write) -> None:
    """Addresses of the sender are kept as they are written, without blanks around them; hosts of push are in lower case."""
    found = from_file(
        "NOTIFY_FROM=' News@Example.org '",
        "NOTIFY_SENDER_NAME=The Theatre",
        "NOTIFY_POSTAL_ADDRESS=1 Main Street",
        "NOTIFY_REPLY_TO=box-office@example.org",
        "NOTIFY_ENVELOPE_SENDER=bounces@example.org",
        "NOTIFY_PUSH_HOSTS=Push.Example.org, ,other.example.org",
    )

    assert ("News@Example.org", "box-office@example.org", "bounces@example.org") == (
        found.notify_from,
        found.notify_reply_to,
        found.notify_envelope_sender,
    )
    assert ("The Theatre", "1 Main Street") == (found.notify_sender_name, found.notify_postal_address)
    assert ("push.example.org", "other.example.org") == found.notify_push_hosts


@pytest.mark.parametrize("name", ["NOTIFY_FROM", "NOTIFY_REPLY_TO", "NOTIFY_ENVELOPE_SENDER"])
def test_an_address_that_is_none_is_named(from_file: Write, name: str) -> None:
    """An address that mail cannot be sent to is told by its setting."""
    assert f"{name}: 'news' is not an e-mail address" in refused(from_file, f"{name}=news")


def test_hosts_as_values(from_file: Write) -> None:
    """Hosts that are given as values, as tests do, stay as they are."""
    assert ("push.example.org",) == settings.load(
        _env_file=None, notify_push_hosts=("push.example.org",)
    ).notify_push_hosts
