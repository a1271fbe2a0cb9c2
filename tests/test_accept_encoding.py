import pytest

from server.accept_encoding import MOST, chosen

HAVE = ("br", "gzip")


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("deflate", "identity"),
        ("x-gzip", "gzip"),
        ("GZIP;Q=0.5", "gzip"),
        ("identity", "identity"),
        ("*", "br"),
        ("*;q=0.1, br;q=0", "gzip"),
        ("br;q=0, gzip;q=0", "identity"),
        ("br;q=0.0, gzip", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=nonsense, gzip;q=0.1", "gzip"),
        ("gzip;q=0.5, identity;q=0.8", "identity"),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip, identity;q=0", "gzip"),
        ("gzip, *;q=0", "gzip"),
    ],
)
def test_coding(header: str | None, coding: str) -> None:
    """A client gets the coding that it weighs most, among equals ours first, and none where it names none that we have."""
    assert coding == chosen(header, HAVE)


@pytest.mark.parametrize("header", ["identity;q=0", "*;q=0", "deflate, *;q=0", "zstd, identity;q=0"])
def test_no_coding_is_accepted(header: str) -> None:
    """A client that refuses the file without a coding too gets none."""
    assert chosen(header, HAVE) is None


def test_long_header() -> None:
    """Of a long header only the beginning counts."""
    assert "identity" == chosen(",".join(["deflate"] * MOST + ["br"]), HAVE)
