"""A list of the real Mailman as a source: `async with mailman_source(server, list_id) as source`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from server.model import SiteId
from server.notify.audience.mailman import Mailman
from server.notify.audience.source import Member, SourceContext
from server.notify.config import EventAudience, Tool
from tests.rig.mailman import PASSWORD, USER, MailmanServer

CONTEXT = SourceContext(SiteId("5f0e4d3c-1111-4111-8111-00000000b001"), Path())


def mailman_audience(
    url: str, list_id: str, *, user: str = USER, password: str = PASSWORD, **more: Any
) -> EventAudience:
    """What notify.toml says of an event whose readers are on this list."""
    tool = Tool("lists", "mailman", url, SecretStr(password), "MAILMAN_PASSWORD", {"user": user})
    return EventAudience("spring-gala", tool, {"list": list_id}, line=7, **more)


@asynccontextmanager
async def mailman_source(server: MailmanServer, list_id: str, *, url: str = "", **more: Any) -> AsyncIterator[Mailman]:
    """The source; *url* is another address than the server's, such as that of a proxy."""
    source = Mailman(mailman_audience(url or server.url, list_id, **more), CONTEXT)
    try:
        yield source
    finally:
        await source.aclose()


async def all_members(source: Mailman, size: int = 500) -> list[Member]:
    """One pass over all pages."""
    found: list[Member] = []
    cursor: str | None = None
    while True:
        page = await source.page(cursor, size)
        found += page.members
        if (cursor := page.next) is None:
            return found
