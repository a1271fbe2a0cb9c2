import resource

from server.doctor import process
from server.doctor.deployment import Deployment
from server.doctor.finding import Level
from tests.rig.doctor import found_by
from tests.rig.settings import valid_settings


def test_limit_that_is_too_low() -> None:
    """A limit of files below MAX_CONNECTIONS is named with the number of viewers that it is enough for, and is a fault if that is set."""
    found = process.of_limit(8192, 20_000, is_set=True)

    assert (Level.FAULT, "process") == (found.level, found.check)
    assert "8192 files" in found.what
    assert "MAX_CONNECTIONS=7168" in found.cure
    assert Level.NOTICE is process.of_limit(8192, 20_000, is_set=False).level


def test_limits_that_are_enough() -> None:
    """A limit that leaves MAX_CONNECTIONS viewers their descriptors is right, and so is none."""
    assert Level.OK is process.of_limit(21_024, 20_000, is_set=True).level
    assert Level.OK is process.of_limit(resource.RLIM_INFINITY, 20_000, is_set=True).level


async def test_limit_of_this_process() -> None:
    """The check looks at the limit to which a process may raise its own."""
    (found,) = await found_by(process.check, Deployment(valid_settings(max_connections=1)))

    assert Level.OK is found.level
