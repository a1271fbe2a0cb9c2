"""Notify as it is deployed, with everything real: what a SaleDeployment has, and Mailman behind a proxy.

    notify          a NotifyDeployment with the Mailman that tests share
    notify_alone    the same with a Mailman of its own, to kill and freeze

    list_id = await notify.mailman.new_list()
    event = await notify.add_event(list_id)
    await notify.serve()
    await notify.start_sale(event)
    await notify.reached(event, "done")

NOTIFY_TEST_SIZE is the size of the scenarios in tenths: 1 in CI, 10 by hand.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.rig.http_proxy import Exchange, HttpProxy, http_proxy
from tests.rig.key_table import unlisted
from tests.rig.mailman import PASSWORD, USER, MailmanServer, MailmanServers
from tests.rig.process import Run
from tests.rig.redis import RedisServer, Servers
from tests.rig.sale_deployment import SaleDeployment
from tests.rig.smtp_server import relay
from tests.rig.wix import WixRig

SIZE = int(os.environ.get("NOTIFY_TEST_SIZE", "1"))
"""Tenths of the full size."""
FIRST_WITHIN = 5.0
"""Seconds from the start of a sale to its first mail."""


class NotifyDeployment(SaleDeployment):
    """Everything of one test. `mailman` is asked by the test itself; the product only knows the `proxy`."""

    def __init__(self, *, mailman: MailmanServer, proxy: HttpProxy, **parts: Any) -> None:
        super().__init__(**parts, LISTS_PASSWORD=PASSWORD)
        self.mailman = mailman
        self.proxy = proxy

    @property
    def tool(self) -> str:
        """The lines of notify.toml that say which tool it is."""
        return f'kind = "mailman"\nurl = "{self.proxy.url}"\nuser = "{USER}"\npassword_env = "LISTS_PASSWORD"'

    def consents(self) -> dict[str, list[Exchange]]:
        """By the id of a member: when the product asked for consent, and what it was answered."""
        found: dict[str, list[Exchange]] = {}
        for one in self.proxy.exchanges:
            if match := re.search(r"/members/([0-9a-f]{32})/all/preferences", one.path):
                found.setdefault(match[1], []).append(one)
        return found


@pytest.fixture
async def notify(
    wix: WixRig, mailman: MailmanServer, redis_server: Servers, command: Run, tmp_path: Path
) -> AsyncIterator[NotifyDeployment]:
    """A deployment with notify, without events yet, and with the Mailman that tests share."""
    async with _rig(wix, mailman, redis_server(), command, tmp_path) as found:
        yield found


@pytest.fixture
async def notify_alone(
    wix: WixRig, mailman_server: MailmanServers, redis_server: Servers, command: Run, tmp_path: Path
) -> AsyncIterator[NotifyDeployment]:
    """The same with a Mailman of its own, which may be killed and frozen."""
    async with _rig(wix, mailman_server(), redis_server(), command, tmp_path) as found:
        yield found


@asynccontextmanager
async def _rig(
    wix: WixRig, mailman: MailmanServer, redis: RedisServer, command: Run, folder: Path
) -> AsyncIterator[NotifyDeployment]:
    wix.knobs.turn(rate_limit=100_000)
    with ExitStack() as stack:
        relaying = stack.enter_context(relay())
        async with http_proxy(mailman.url) as proxy:
            yield NotifyDeployment(
                wix=wix, mailman=mailman, proxy=proxy, relay=relaying, redis=redis, command=command, folder=folder
            )
    assert [] == unlisted(redis.port)
