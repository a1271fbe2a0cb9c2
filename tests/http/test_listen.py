import socket

import pytest

from server.errors import NotStarted
from server.http.listen import address, listen
from tests.rig.settings import valid_settings


def test_listen_inherits() -> None:
    """What a listening socket accepts drops a reader that takes nothing for 15 s, and finds out who is gone."""
    with (
        listen(valid_settings()) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert 15_000 == accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert 1 == accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_listen_on_all() -> None:
    """`::` takes IPv4 as well."""
    with listen(valid_settings(host="::")) as listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port)).close()


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1", "Address already in use"), ("192.0.2.1", "Cannot assign requested address")],
)
def test_listen_in_vain(host: str, reason: str) -> None:
    """A port that cannot be had is named in a line, with the settings to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(NotStarted) as caught:
            listen(valid_settings(host=host, port=port))

    assert f"cannot listen on {host}, port {port} ({reason}): change HOST or PORT" == str(caught.value)


def test_listen_on_no_host() -> None:
    """A name that is no host of this machine's is told with HOST to change."""
    with pytest.raises(NotStarted, match=r"cannot listen on no-host\.invalid, port 0 \([^()]+\): change HOST or PORT"):
        listen(valid_settings(host="no-host.invalid"))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        ("::", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
        ("localhost", "http://localhost:"),
    ],
)
def test_address(host: str, url: str) -> None:
    """The address that is printed can be opened on this machine, whatever HOST is."""
    wanted = valid_settings(host=host)

    with listen(wanted) as listening:
        printed = address(wanted, listening)

        assert f"{url}{listening.getsockname()[1]}" == printed
