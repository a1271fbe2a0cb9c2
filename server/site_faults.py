"""What is wrong with a site, as far as Redis knows it: for the summary at the start.

In: a site. Out: its faults, each with what to do, of those that a person has to know before visitors do: Wix refuses or does not answer
its calls, the permission for events is missing, no webhook has come.
"""

from dataclasses import dataclass

from server.model import SiteId
from server.single_line import printable
from server.store.events import Events
from server.store.schedule import Schedule
from server.store.wix_faults import lasting_fault
from server.wix import cures


@dataclass(frozen=True, slots=True)
class SiteFault:
    """What is wrong, and what to do."""

    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.what}: {self.cure}" if self.cure else self.what


NO_WEBHOOK = SiteFault(
    "no webhook yet, so sales show late",
    "set the callback URL above on the Webhooks page of the app; the log says `first_webhook` when one comes",
)


class SiteFaults:
    """The faults of sites; *webhooks*: whether Wix could send any; *api_key*: whether Wix is asked with WIX_API_KEY, not as an app."""

    def __init__(self, schedule: Schedule, *, webhooks: bool, api_key: bool) -> None:
        self._schedule = schedule
        self._events = Events(schedule.redis, schedule.timing)
        self._webhooks = webhooks
        self._api_key = api_key

    async def of(self, site: SiteId) -> list[SiteFault]:
        """The faults of a site, the gravest first. Raises RedisUnavailable."""
        found = []
        if (fault := await lasting_fault(self._schedule.redis, site)) is not None:
            found.append(SiteFault(printable(fault.text), printable(fault.hint)))
        delay = await self._events.delay(site)
        if delay.lasts and not delay.faults:
            found.append(
                SiteFault(
                    "its events may not be read, so it is not seen when registration closes",
                    cures.of_permission("events", api_key=self._api_key),
                )
            )
        if self._webhooks and not await self._schedule.heard(site):
            found.append(NO_WEBHOOK)
        return found
