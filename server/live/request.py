"""Whose counters a public request may have: what it names, held against the sites that are known."""

from collections.abc import Set as AbstractSet

from server.errors import BadRequest, NoSiteYet, UnknownSite
from server.model import SiteId, TicketId
from server.wire import Wanted


def resolve(wanted: Wanted, sites: AbstractSet[SiteId]) -> tuple[SiteId, tuple[TicketId, ...]]:
    """The site and tickets of a request; the site may be left out while there is only one.

    Raises BadRequest, or UnknownSite, which leaves no trace in Redis, or NoSiteYet.
    """
    if not sites:
        raise NoSiteYet("no site is known here yet: come back in a while")
    if wanted.site is None:
        if len(sites) != 1:
            raise BadRequest("site", f"{len(sites)} sites are known here: add &site=<app instance id>")
        return next(iter(sites)), wanted.tickets
    if wanted.site not in sites:
        raise UnknownSite(f"site {wanted.site} is not known here")
    return wanted.site, wanted.tickets
