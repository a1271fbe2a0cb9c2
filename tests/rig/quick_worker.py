"""The worker as a process, with shorter waits than it has for real."""

from tests.rig.process import PROGRAM

QUICK = """
from functools import partial
from server.notify import notifier
from server.notify.channels import mail
from server.store import channel_servers
notifier.Times = partial(notifier.Times, refused=1.0, poll=0.3, look=0.5, rest=0.5, first_wait={first_wait})
mail.Limits = partial(mail.Limits, **{limits})
channel_servers.FIRST_PROBE = {first_probe}
{program}
"""


def quick(*, first_wait: float = 1.0, first_probe: float = 1.0, **limits: float) -> str:
    """The program of a worker with short waits, in seconds; *limits* are those of the relay's phases that are not to be the usual ones."""
    return QUICK.format(first_wait=first_wait, first_probe=first_probe, limits=limits, program=PROGRAM)
