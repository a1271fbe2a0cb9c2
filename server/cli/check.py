"""`ticket-counter check`: whether the settings, sync.toml and notify.toml can be used. It asks no one outside of this process.

In: options. Out: as `ticket-counter doctor`, which also looks at Redis, Wix and all else.
"""

from collections.abc import AsyncIterator

from server.cli.doctor import Json, examine
from server.doctor.finding import Finding
from server.settings import Settings


def check(*, json: Json = False) -> None:
    """Check the settings and the files that they name."""
    examine(_findings, json=json)


def _findings(settings: Settings) -> AsyncIterator[Finding]:
    # Imported only here, as for doctor.
    from server.doctor.run import OFFLINE, run  # noqa: PLC0415

    return run(settings, checks=OFFLINE)
