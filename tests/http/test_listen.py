import socket

import pytest

from server.errors import NotStarted
from server.http.listen import address, listen, reserved
from tests.rig.settings import valid_settings


def test_accepted_connections_inherit_timeouts() -> None:
    """Accepted connections end when their reader reads nothing for 15 s, and are probed by keep-alive."""
    with (
        listen(valid_settings()) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert 15_000 == accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert 1 == accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_listen_on_ipv6_and_ipv4() -> None:
    """`::` accepts IPv4 as well."""
    with listen(valid_settings(host="::")) as listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port)).close()


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1", "Address already in use"), ("192.0.2.1", "Cannot assign requested address")],
)
def test_port_cannot_be_bound(host: str, reason: str) -> None:
    """A port that cannot be bound is reported in one line, with the settings to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(NotStarted) as caught:
            listen(valid_settings(host=host, port=port))

    assert f"cannot listen on {host}, port {port} ({reason}): change HOST or PORT" == str(caught.value)


def test_port_of_a_worker_cannot_be_bound() -> None:
    """A worker's port that is in use is reported by its own setting; another host or port helps."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(NotStarted, match=rf"port {port} \(Address already in use\): change HOST or WORKER_PORT"):
            listen(valid_settings(), port=port)


def test_host_name_without_address() -> None:
    """A host name without an address is reported, with HOST to change."""
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
def test_address_can_be_opened(host: str, url: str) -> None:
    """The address that is printed can be opened on this machine, whatever HOST is."""
    wanted = valid_settings(host=host)

    with listen(wanted) as listening:
        printed = address(wanted, listening)

        assert f"{url}{listening.getsockname()[1]}" == printed


def test_reserved_port() -> None:
    """A reserved port is in use for other programs before any child listens, and free for shared sockets."""
    with reserved(valid_settings()) as port:
        wanted = valid_settings(port=port.getsockname()[1])
        with pytest.raises(NotStarted, match="Address already in use"):
            listen(wanted)

        with listen(wanted, shared=True), listen(wanted, shared=True):
            pass
    listen(wanted).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_reserved_port_with_lingering_connections(host: str) -> None:
    """A port is free although connections of a server that has ended linger there."""
    with (
        listen(valid_settings(host=host)) as ended,
        socket.create_connection(("127.0.0.1", ended.getsockname()[1])) as one,
    ):
        wanted = valid_settings(host=host, port=ended.getsockname()[1])
        ended.accept()[0].close()
        one.recv(1)

    with reserved(wanted) as port, listen(wanted, shared=True) as child:
        assert wanted.port == port.getsockname()[1] == child.getsockname()[1]
