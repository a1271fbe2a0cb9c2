import ssl

import httpx
import pytest

from server.addresses import PrivateAddress
from server.sync.targets.no_answer import no_answer


def caused(error: httpx.HTTPError, cause: BaseException) -> httpx.HTTPError:
    """An error of httpx with what caused it."""
    error.__cause__ = cause
    return error


def of_tls() -> ssl.SSLError:
    """An error as OpenSSL raises it, which has a reason."""
    error = ssl.SSLError(1, "unknown")
    error.reason = "UNSUPPORTED_PROTOCOL"
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            caused(httpx.ConnectError("All connection attempts failed"), ConnectionRefusedError()),
            "was not sent: it refuses connections (box.example): see whether its server runs, and whether url in the file of SYNC_FILE",
        ),
        (
            httpx.ConnectError("All connection attempts failed"),
            "was not sent: no connection could be made (box.example): see whether its server runs, and how it is reached",
        ),
        (
            caused(httpx.ConnectError("[SSL] unknown"), of_tls()),
            "was not sent: TLS failed (box.example): see which versions of TLS",
        ),
        (
            httpx.ConnectTimeout("timed out"),
            "was not sent: no connection could be made in time (box.example): see whether its server runs, and whether a firewall",
        ),
        (
            httpx.PoolTimeout("pool"),
            "was not sent: no connection was free (box.example): nothing is to be done unless it lasts",
        ),
        (httpx.ReadTimeout("read"), "got no answer within 3 s: see whether its server is overloaded"),
        (
            httpx.ReadError("reset"),
            "got no answer (the connection was closed before the answer was whole): see whether",
        ),
    ],
)
def test_cause_and_cure(error: httpx.HTTPError, says: str) -> None:
    """Each cause is told in our words, with the host and what to do, and nothing of httpx."""
    text = no_answer(error, "box.example", 3)

    assert text.startswith(says)
    assert not str(error) or str(error) not in text


def test_private_address() -> None:
    """An address that is not public has a cure of its own."""
    error = caused(
        httpx.ConnectError("x"), caused(httpx.ConnectError("y"), PrivateAddress("box is at 10.0.0.1: set it"))
    )

    assert "was not sent: box is at 10.0.0.1: set it" == no_answer(error, "box", 3)
