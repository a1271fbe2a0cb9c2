from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest
from pydantic import SecretStr

from server import settings
from server.cli.sync_service import Opened, opened
from server.cli.ticket_ids import StoredTickets
from server.errors import NotStarted
from server.model import SiteId, TicketId
from server.sync.mapping import TargetSettings
from server.sync.service import Sync
from tests.rig.process import Run
from tests.rig.sync_shop import SECRET, SyncShop

ONE, ALIKE, OTHER = (
    TicketId("11111111-aaaa-4aaa-8aaa-000000000001"),
    TicketId("11111111-bbbb-4bbb-8bbb-000000000001"),
    TicketId("22222222-aaaa-4aaa-8aaa-000000000002"),
)


class Tickets(StoredTickets):
    """Three tickets, one of them of two sites."""

    def __init__(self) -> None:
        pass

    async def ids(self) -> list[tuple[SiteId, TicketId]]:
        """The tickets."""
        return [(SiteId(site), one) for site, one in (("a", ONE), ("a", ALIKE), ("a", OTHER), ("b", OTHER))]

    async def names(self, tickets: Sequence[tuple[SiteId, TicketId]]) -> list[tuple[TicketId, str]]:
        """Tickets without names."""
        return [(ticket, "") for _, ticket in tickets]


def of(*names: str) -> Opened:
    """What is opened where these are the targets."""
    targets: Mapping[str, TargetSettings] = {
        name: TargetSettings(name, "http", "", SecretStr(""), {}, ()) for name in names
    }
    return Opened(cast("Sync", None), targets, Tickets())


def test_target() -> None:
    """A target is meant by its name, or need not be named where there is one."""
    assert "shop" == of("shop").target(None).name
    assert "box" == of("shop", "box").target("box").name
    with pytest.raises(NotStarted, match=r"^say which target: --to with one of shop, box$"):
        of("shop", "box").target(None)
    with pytest.raises(NotStarted, match=r"^there is no target 'bx': SYNC_FILE has shop, box$"):
        of("shop", "box").target("bx")


async def test_ticket() -> None:
    """A ticket is meant by its id, whether it is known or not, or by how the id begins, as terminals show it."""
    found = of("shop")

    assert ONE == await found.ticket(ONE.upper())
    assert "99999999-aaaa-4aaa-8aaa-000000000001" == await found.ticket("99999999-aaaa-4aaa-8aaa-000000000001")
    assert OTHER == await found.ticket("2222")
    assert ALIKE == await found.ticket("11111111-B")


async def test_opened(sync_shop: SyncShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is opened has the targets of SYNC_FILE, with secrets from the environment, and lists the known tickets."""
    monkeypatch.chdir(sync_shop.folder)
    monkeypatch.setenv("BOX_OFFICE_SECRET", SECRET)
    found = settings.load(redis_url=sync_shop.redis.url)

    async with opened(found) as sync:
        assert SECRET == sync.target("box-office").secret.get_secret_value()
        assert sorted(sync_shop.wix.tickets.values()) == [one for _, one in await sync.tickets.ids()]
        assert ("box-office",) == tuple(one.name for one in await sync.service.status())


async def test_redis_of_serve(command: Run, sync_shop: SyncShop, tmp_path: Path) -> None:
    """Without REDIS_URL the commands use the Valkey of a `serve` with the same DATA_DIR."""
    serve = command("serve", DATA_DIR="data")
    await serve.url()

    status, out, errors = await sync_shop.run("status", REDIS_URL="", DATA_DIR=str(serve.folder / "data"))
    assert (0, "") == (status, errors)
    assert "box-office" in out
