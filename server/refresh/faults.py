"""What a fault of Wix does to a site: all its reads pause.

In: the error of a call. Out: the pause, counted and logged. Only that site is paused, and never one ticket or event.
"""

from server import logs, metrics
from server.errors import NotThere, TicketCounterError
from server.model import SiteId
from server.store.claims import Lot
from server.store.schedule import Schedule

log = logs.logger("faults")


async def pause(schedule: Schedule, site: SiteId, lot: Lot | None, error: TicketCounterError) -> None:
    """Pause the site after this error, and make the lot due again. Raises RedisUnavailable."""
    status = 404 if isinstance(error, NotThere) else getattr(error, "status", 0)
    paused = await schedule.pause(site, lot, getattr(error, "retry_after", None))
    metrics.pauses.labels(str(status)).inc()
    log.warning("wix_fault", site=site, status=status, error=str(error), paused=round(paused, 3))
