import resource
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.http.descriptors import Descriptors, raise_limit


@pytest.mark.parametrize(
    ("limit", "viewers", "first_reserved"),
    [
        (256, 192, 248),
        (1024, 768, 992),
        (4096, 3072, 3968),
        (20_000, 18_976, 19_872),
        (1_048_576, 1_047_552, 1_048_448),
    ],
)
def test_shares_of_descriptors(limit: int, viewers: int, first_reserved: int) -> None:
    """Viewers get all descriptors but 1024, or three quarters of few; one in eight of the others is reserved."""
    found = Descriptors(limit)

    assert (viewers, first_reserved) == (found.for_viewers, found.first_reserved)


@given(st.integers(min_value=32))
def test_every_share_has_descriptors(limit: int) -> None:
    """However many descriptors there are, viewers, other connections and the reserve each have some."""
    found = Descriptors(limit)

    assert 0 < found.for_viewers < found.first_reserved < limit


def test_shortage() -> None:
    """Too few descriptors are told with the number of viewers that they are enough for, and each way to raise the limit."""
    found = Descriptors(8192).shortage(20_000)

    assert found is not None
    assert "a process may open 8192 files, which is enough for 7168 viewers, and MAX_CONNECTIONS is 20000" == found.what
    assert "from viewer 7169 on each is told to come back later" == found.why
    for part in ("LimitNOFILE=21024", "nofile=21024", "`ulimit -n 21024`", "MAX_CONNECTIONS=7168"):
        assert part in found.cure


@pytest.mark.parametrize("limit", [21_024, resource.RLIM_INFINITY])
def test_no_shortage(limit: int) -> None:
    """A limit as the cure names it is enough, and so is none."""
    assert None is Descriptors.of(limit).shortage(20_000)


def test_raise_limit() -> None:
    """The soft limit of open files becomes the hard limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        raise_limit()
        assert (before[1], before[1]) == resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_limit_of_this_process() -> None:
    """The limit is the kernel's for this process; an unlimited one has room for any number of viewers."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        few = Descriptors.of_this_process()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert 512 == few.limit
    assert Descriptors(sys.maxsize).for_viewers > 10**12
