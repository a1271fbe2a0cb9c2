import resource
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.http.descriptors import Descriptors


@pytest.mark.parametrize(
    ("limit", "viewers", "edge"),
    [
        (256, 192, 248),
        (1024, 768, 992),
        (4096, 3072, 3968),
        (20_000, 18_976, 19_872),
        (1_048_576, 1_047_552, 1_048_448),
    ],
)
def test_shares(limit: int, viewers: int, edge: int) -> None:
    """Viewers get all descriptors but 1024, or three quarters of few; one in eight of the rest is only our own."""
    found = Descriptors(limit)

    assert (viewers, edge) == (found.for_viewers, found.edge)


@given(st.integers(min_value=32))
def test_something_is_left(limit: int) -> None:
    """However few or many there are, viewers, other connections and we ourselves each have a share."""
    found = Descriptors(limit)

    assert 0 < found.for_viewers < found.edge < limit


def test_of_this_process() -> None:
    """The limit is what the kernel holds this process to; where it says that there is none, there is none."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        few = Descriptors.of_this_process()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert 512 == few.limit
    assert Descriptors(sys.maxsize).for_viewers > 10**12
