"""What Redis returned last of each site that is watched here.

In: the answers of `watch`. Out: whether webhooks arrive, for /readyz and the metrics; the rules of the sites.
"""

from collections.abc import Iterable
from dataclasses import replace

from server import metrics
from server.model import SiteId, WatchedSite


class SiteStatus:
    """The status of the sites of one process."""

    def __init__(self) -> None:
        self._sites: dict[SiteId, WatchedSite] = {}

    @property
    def webhooks_heard(self) -> bool:
        """Whether no site that is watched here has stock that falls without any webhook."""
        return all(site.unreported_falls is None for site in self._sites.values())

    @property
    def rules(self) -> Iterable[str]:
        """The hash of the rules of each site."""
        return {site.rules for site in self._sites.values()}

    def take(self, site: SiteId, found: WatchedSite | None) -> None:
        """Remember what was returned; None = the site is unknown."""
        if found is None:
            self._sites.pop(site, None)
        else:
            self._sites[site] = replace(found, tickets=())

    def keep_only(self, sites: Iterable[SiteId]) -> None:
        """Forget all sites but these, and set the metric."""
        self._sites = {site: self._sites[site] for site in sites if site in self._sites}
        metrics.silent_sites.set(sum(found.unreported_falls is not None for found in self._sites.values()))
