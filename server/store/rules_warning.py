"""The warning that processes run with different rules (LOW_AT, SHOW_AT_MOST), for every process that notices it."""

import time
from collections.abc import Callable

from server import logs
from server.logs import RepeatedWarning
from server.model import SiteId

HINT = "another process has other rules: restart all with the same LOW_AT and SHOW_AT_MOST, and the same version"

log = logs.logger("rules_warning")


class RulesWarning:
    """Logs `rules_differ`, for each site once a minute at most; *clock* gives seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._warning = RepeatedWarning(log, "rules_differ", clock=clock)

    def warn(self, site: SiteId, **fields: int) -> None:
        """Warn that the rules of a site, or of counters of it, are not this process's; *fields* say how many."""
        self._warning.warn(site, site=site, **fields, hint=HINT)
