"""Whether Wix answers us, and lets us read what we need: the token, tickets, events; and whether our clock is Wix's.

In: the credentials, the known sites. Out: findings; two calls a site, which are paid for, and one for its token.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from email.utils import parsedate_to_datetime

from server.catalog.payment import NoneLeft
from server.doctor.ago import many
from server.doctor.deployment import Deployment, NoCall
from server.doctor.finding import Finding
from server.errors import NotStarted, NotThere, WixForbidden, WixRefused, WixUnavailable
from server.model import EventId, SiteId
from server.store.wix_faults import lasting_fault
from server.wix import cures
from server.wix.client import Wix
from server.wix.credentials import App
from server.wix_client import open_wix

NAME = "wix"
MOST_SITES = 20
"""Sites that are asked for: an app may have thousands, and what is wrong with it is seen at a few."""
CLOCK_OFF = 30.0
"""Seconds by which our clock may differ from Wix's: a webhook whose time is over by two minutes is refused."""

UNREAD = "no number of this site can be read, so its pages show none"


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Ask Wix, for each site."""
    settings = deployment.settings
    try:
        settings.credentials()
    except NotStarted:
        return
    sites = await deployment.sites()
    if not sites:
        yield Finding.fault(
            NAME,
            "no site is known",
            "there is nothing to read, and each request is answered 503",
            "install the app on a site, which sends the webhook App Installed, or set WIX_SITES to the app instance id of the site",
        )
    async with aclosing(open_wix(settings)) as wix:
        for site in sites[:MOST_SITES]:
            try:
                async for finding in _site(deployment, wix, site):
                    yield finding
            except NoCall as error:
                if (paused := await _paused(deployment, site)) is not None:
                    yield paused
                    continue
                yield Finding.notice(
                    NAME,
                    f"site {site} was not asked for: {error}",
                    "what is wrong with it is not known",
                    "run this where Redis is there, and a worker has added the site",
                )
        if len(sites) > MOST_SITES:
            yield Finding.notice(NAME, f"sites that were not asked for: {len(sites) - MOST_SITES}")
        if wix.date_header and (clock := of_clock(await deployment.now(), wix.date_header)):
            yield clock


async def _paused(deployment: Deployment, site: SiteId) -> Finding | None:
    """What the worker was last told, for a site whose calls wait since Wix failed."""
    fault = await lasting_fault(deployment.redis, site) if deployment.redis is not None else None
    if fault is None:
        return None
    what = f"Wix fails for site {site} (failed calls in a row: {fault.in_a_row}): {fault.text}"
    return Finding.fault(NAME, what, UNREAD, fault.hint)


async def _site(deployment: Deployment, wix: Wix, site: SiteId) -> AsyncIterator[Finding]:
    calls = 2 if isinstance(wix.credentials, App) else 1
    try:
        found = await deployment.call(site, lambda pay: wix.page(site, None, pay), calls=calls)
    except NoneLeft as error:
        yield await _paused(deployment, site) or _fault(error, UNREAD)
        return
    except (WixUnavailable, WixRefused, NotThere) as error:
        yield _fault(error, UNREAD)
        return
    if not found.definitions:
        yield Finding.notice(
            NAME,
            f"site {site} has no tickets",
            "there is nothing to show",
            "add a ticket to an event in the dashboard of the site (Events), or name another site in WIX_SITES",
        )
        return
    yield Finding.ok(
        NAME,
        f"Wix answers for site {site}: {'more than ' if found.next_cursor else ''}{many(len(found.definitions), 'ticket')}",
    )
    events = sorted({one.event for one in found.definitions if one.event})[:1]
    if events:
        async for finding in _events(deployment, wix, site, events):
            yield finding


async def _events(deployment: Deployment, wix: Wix, site: SiteId, events: list[EventId]) -> AsyncIterator[Finding]:
    why = "whether registration is open is not known: a page says that tickets are left where Wix sells none"
    try:
        await deployment.call(site, lambda pay: wix.events(site, events, pay))
    except WixForbidden as error:
        yield _fault(error, why)
    except (WixUnavailable, NotThere) as error:
        yield _fault(error, why)
    except WixRefused:
        # The server reads events one by one then.
        return
    else:
        yield Finding.ok(NAME, f"Wix lets us read the events of site {site}")


def _fault(error: WixUnavailable | WixRefused | NotThere, why: str) -> Finding:
    return Finding.fault(NAME, str(error), why, cures.hint(error))


def of_clock(ours: float, header: str) -> Finding | None:
    """Whether our clock is Wix's, which the header Date of an answer has in whole seconds."""
    try:
        off = ours - parsedate_to_datetime(header).timestamp()
    except ValueError:
        return None
    if abs(off) <= CLOCK_OFF:
        return Finding.ok(NAME, "the clock is Wix's, within a few seconds")
    return Finding.fault(
        NAME,
        f"the clock of Redis is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} Wix's",
        "webhooks count as expired, or not valid yet, and sales seem to start at another time",
        "have the machine set its clock by NTP (`timedatectl set-ntp true`)",
    )
