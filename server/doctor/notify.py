"""The marketing tools of notify.toml: is each list there, and may we read it? And what else notify needs.

In: NOTIFY_FILE and the settings of notify. Out: findings. No address is shown, and nothing is sent to anyone.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

from server.doctor import mail, push, unsubscribe_address
from server.doctor.ago import many
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.errors import AudienceError, NotStarted
from server.notify.audience import open_source
from server.notify.audience.source import SourceContext
from server.notify.config import NotifyConfig
from server.notify.file.file import load
from server.notify.named_events import NamedEvent, NamedEvents
from server.settings import environment
from server.store.definitions import Definitions
from server.wix.client import Wix
from server.wix_client import open_wix

NAME = "notify"
WHY = "no one is told when tickets go on sale"


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Ask each tool for the audience of each event; then the relay, the keys of push and the unsubscribe address."""
    settings = deployment.settings
    try:
        config = load(settings, settings.pages_url, environment())
    except NotStarted as error:
        yield Finding.fault(NAME, str(error), WHY)
        return
    if config is None:
        return
    if not settings.everything:
        yield Finding.fault(NAME, f"the file {config.file} names events, and TRACK is not `all`", WHY, "set TRACK=all")
    async for finding in _events(deployment, config):
        yield finding
    if config.mail is not None:
        yield await mail.found(config.mail)
        yield await unsubscribe_address.found(config.public_url, settings.keyring)
    if config.push is not None:
        async for finding in push.found(deployment, config.push):
            yield finding


async def _events(deployment: Deployment, config: NotifyConfig) -> AsyncIterator[Finding]:
    if deployment.redis is None:
        return
    events, sites = NamedEvents(config, Definitions(deployment.redis)), await deployment.stored_sites()
    for name in await events.unknown(sites):
        line = config.events[name].line
        what = f"{config.file}:{line}: no event {name!r} is known"
        cure = "give its id, or its slug (the end of its address), and wait until a worker has read a ticket of it"
        yield Finding.notice(NAME, what, "it is not announced", cure)
    for text in await events.doubles(sites):
        yield Finding.fault(NAME, text, "people may be told twice")
    async with aclosing(open_wix(deployment.settings)) as wix:
        for event in await events.all(sites):
            if event.audience.tool is not None:
                yield await _audience(deployment, config, wix, event)


async def _audience(deployment: Deployment, config: NotifyConfig, wix: Wix, event: NamedEvent) -> Finding:
    context = SourceContext(event.site, config.file.resolve().parent, wix, deployment.schedule)
    tool = event.audience.tool.name if event.audience.tool else ""
    try:
        async with aclosing(open_source(event.audience, context)) as source:
            count = await source.count()
    except (AudienceError, NotStarted) as error:
        return Finding.fault(NAME, f"event {event.name}, tool {tool}: {error}", WHY)
    if not count:
        return Finding.notice(NAME, f"event {event.name}: the list of {tool} has no one", WHY)
    return Finding.ok(NAME, f"event {event.name}: {tool} has about {many(count, 'subscriber')}")
